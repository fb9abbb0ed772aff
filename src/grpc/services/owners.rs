//! Owners, and the end of everything of an owner.

use super::{Call, api, service};
use crate::broker::{Error, Limits, OwnerStory, Target, Withdrawal};
use crate::grpc::calls::Parts;
use crate::grpc::{fields, time};
use crate::model::OwnerId;
use crate::policy::Caller;

service!(owners_server::Owners {
    get(OwnersGetRequest) -> OwnersGetResponse;
    list(OwnersListRequest) -> OwnersListResponse;
    preview_revocation(PreviewRevocationRequest) -> PreviewRevocationResponse;
    revoke_by_owner(RevokeByOwnerRequest) -> RevokeByOwnerResponse;
    get_report(GetReportRequest) -> GetReportResponse;
    reinstate(OwnersReinstateRequest) -> OwnersReinstateResponse;
});

impl Call for api::OwnersGetRequest {
    type Answer = api::OwnersGetResponse;

    async fn answer(self, parts: &Parts, caller: &Caller) -> Result<Self::Answer, Error> {
        let owner = parts.broker.owner(caller, &fields::required("owner", &self.owner)?).await?;
        Ok(api::OwnersGetResponse { owner: Some(owner.into()) })
    }
}

impl Call for api::OwnersListRequest {
    type Answer = api::OwnersListResponse;

    async fn answer(self, parts: &Parts, caller: &Caller) -> Result<Self::Answer, Error> {
        let after: Option<OwnerId> = fields::optional("after", &self.after)?;
        let (owners, more) = parts.broker.owners(caller, after.as_ref(), fields::page_size(self.page_size)).await?;
        let next = owners.last().filter(|_| more).map(|last| last.record.id.to_string()).unwrap_or_default();
        Ok(api::OwnersListResponse { owners: owners.into_iter().map(Into::into).collect(), next })
    }
}

impl Call for api::PreviewRevocationRequest {
    type Answer = api::PreviewRevocationResponse;

    async fn answer(self, parts: &Parts, caller: &Caller) -> Result<Self::Answer, Error> {
        let (standing, living) = parts.broker.preview(caller, &fields::required("owner", &self.owner)?).await?;
        Ok(api::PreviewRevocationResponse { standing: api::Standing::from(standing).into(), living: Some(living.into()) })
    }
}

impl Call for api::RevokeByOwnerRequest {
    type Answer = api::RevokeByOwnerResponse;

    async fn answer(self, parts: &Parts, caller: &Caller) -> Result<Self::Answer, Error> {
        let target = Target::Owner(fields::required("owner", &self.owner)?);
        let ask = Withdrawal {
            reason: fields::reason(self.reason)?,
            note: fields::optional("note", &self.note)?,
            suspend: self.suspend,
            limits: Limits { dry_run: self.dry_run, max_affected: self.max_affected },
        };
        let revoked = parts.broker.revoke(caller, target, ask).await?;
        Ok(api::RevokeByOwnerResponse {
            position: fields::number(revoked.position),
            committed_at: revoked.committed_at.map(time::timestamp),
            ended: Some(revoked.ended.into()),
            standing: revoked.standing.map_or(api::Standing::Unspecified, Into::into).into(),
            repeated: revoked.repeated,
        })
    }
}

impl Call for api::GetReportRequest {
    type Answer = api::GetReportResponse;

    async fn answer(self, parts: &Parts, caller: &Caller) -> Result<Self::Answer, Error> {
        let report = parts.broker.signed_report(caller, &fields::required("owner", &self.owner)?).await?;
        Ok(api::GetReportResponse { report })
    }
}

impl Call for api::OwnersReinstateRequest {
    type Answer = api::OwnersReinstateResponse;

    async fn answer(self, parts: &Parts, caller: &Caller) -> Result<Self::Answer, Error> {
        let target = Target::Owner(fields::required("owner", &self.owner)?);
        let reinstated = parts.broker.reinstate(caller, target, fields::optional("note", &self.note)?).await?;
        Ok(api::OwnersReinstateResponse { position: fields::number(reinstated.position) })
    }
}

impl From<OwnerStory> for api::Owner {
    fn from(owner: OwnerStory) -> Self {
        Self {
            id: owner.record.id.to_string(),
            number: owner.number.get(),
            kind: owner.record.kind.to_string(),
            business_owner: owner.record.business_owner.to_string(),
            technical_owner: owner.record.technical_owner.to_string(),
            contract_end: owner.contract_end.map(time::timestamp),
            standing: api::Standing::from(owner.standing).into(),
            closed_position: fields::number(owner.closed),
            workloads: owner.workloads,
            living: owner.living.map(Into::into),
            origin: owner.origin.as_ref().map(fields::origin),
        }
    }
}
