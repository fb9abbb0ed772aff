//! Exceptions: what no policy permits, allowed for a time.

use super::credentials::scopes;
use super::{Call, api, service};
use crate::broker::{Asked, Error, ExceptionState, ExceptionStory, Limits};
use crate::grpc::calls::Parts;
use crate::grpc::{fields, time};
use crate::model::Invalid;
use crate::policy::Caller;

service!(exceptions_server::Exceptions {
    request(ExceptionsRequestRequest) -> ExceptionsRequestResponse;
    approve(ExceptionsApproveRequest) -> ExceptionsApproveResponse;
    revoke(ExceptionsRevokeRequest) -> ExceptionsRevokeResponse;
    get(ExceptionsGetRequest) -> ExceptionsGetResponse;
    list(ExceptionsListRequest) -> ExceptionsListResponse;
});

/// The most exceptions in one list.
const MOST_LISTED: usize = 1000;

impl Call for api::ExceptionsRequestRequest {
    type Answer = api::ExceptionsRequestResponse;

    async fn answer(self, parts: &Parts, caller: &Caller) -> Result<Self::Answer, Error> {
        let until = self.until.ok_or_else(|| Invalid::new("until", "say when it ends by itself"))?;
        let ask = Asked {
            workload: fields::optional("spiffe_id", &self.spiffe_id)?,
            environment: fields::required("environment", &self.environment)?,
            audience: fields::optional("audience", &self.audience)?,
            scopes: scopes(&self.scopes)?,
            until: time::instant("until", &until)?,
            purpose: fields::required("purpose", &self.purpose)?,
        };
        let story = parts.broker.request_exception(caller, ask).await?;
        Ok(api::ExceptionsRequestResponse { exception: Some(story.into()) })
    }
}

impl Call for api::ExceptionsApproveRequest {
    type Answer = api::ExceptionsApproveResponse;

    async fn answer(self, parts: &Parts, caller: &Caller) -> Result<Self::Answer, Error> {
        let note = fields::optional("note", &self.note)?;
        let story = parts.broker.approve_exception(caller, fields::position("exception", self.exception)?, note).await?;
        Ok(api::ExceptionsApproveResponse { exception: Some(story.into()) })
    }
}

impl Call for api::ExceptionsRevokeRequest {
    type Answer = api::ExceptionsRevokeResponse;

    async fn answer(self, parts: &Parts, caller: &Caller) -> Result<Self::Answer, Error> {
        let number = fields::position("exception", self.exception)?;
        let why = (fields::reason(self.reason)?, fields::optional("note", &self.note)?);
        let limits = Limits { dry_run: self.dry_run, max_affected: self.max_affected };
        let revoked = parts.broker.revoke_exception(caller, number, why, limits).await?;
        Ok(api::ExceptionsRevokeResponse {
            position: fields::number(revoked.position),
            ended: Some(revoked.ended.into()),
            repeated: revoked.repeated,
            committed_at: revoked.committed_at.map(time::timestamp),
        })
    }
}

impl Call for api::ExceptionsGetRequest {
    type Answer = api::ExceptionsGetResponse;

    async fn answer(self, parts: &Parts, caller: &Caller) -> Result<Self::Answer, Error> {
        let story = parts.broker.exception(caller, fields::position("exception", self.exception)?).await?;
        Ok(api::ExceptionsGetResponse { exception: Some(story.into()) })
    }
}

impl Call for api::ExceptionsListRequest {
    type Answer = api::ExceptionsListResponse;

    async fn answer(self, parts: &Parts, caller: &Caller) -> Result<Self::Answer, Error> {
        let workload = fields::optional("spiffe_id", &self.spiffe_id)?;
        let (exceptions, truncated) = parts.broker.exceptions(caller, workload, MOST_LISTED).await?;
        Ok(api::ExceptionsListResponse { exceptions: exceptions.into_iter().map(Into::into).collect(), truncated })
    }
}

impl From<ExceptionStory> for api::Exception {
    fn from(story: ExceptionStory) -> Self {
        let (known, record) = (&story.known, &story.known.record);
        let approval = known.approved.as_ref();
        Self {
            exception: known.number.get(),
            spiffe_id: story.workload,
            environment: story.environment,
            audience: record.audience.as_ref().map(ToString::to_string).unwrap_or_default(),
            scopes: record.scopes.iter().map(ToString::to_string).collect(),
            until: Some(time::timestamp(record.until)),
            purpose: record.purpose.to_string(),
            state: api::ExceptionState::from(story.state).into(),
            requested_by: record.requested_by.to_string(),
            requested_at: Some(time::timestamp(known.requested)),
            approved_by: approval.and_then(|approval| approval.by.as_ref()).map(ToString::to_string).unwrap_or_default(),
            approved_at: approval.map(|approval| time::timestamp(approval.time)),
            approved_position: fields::number(approval.map(|approval| approval.at)),
            ended_position: fields::number(known.ended),
            living: story.living,
        }
    }
}

impl From<ExceptionState> for api::ExceptionState {
    fn from(state: ExceptionState) -> Self {
        match state {
            ExceptionState::Requested => Self::Requested,
            ExceptionState::Active => Self::Active,
            ExceptionState::Expired => Self::Expired,
            ExceptionState::Revoked => Self::Revoked,
        }
    }
}
