//! Issuing, and what the ledger knows of one credential.

use api::batched_token::Outcome;
use futures_util::future::join_all;
use tonic_types::StatusExt;

use super::{Call, api, service};
use crate::broker::{CertificateRequest, CredentialStory, Death, End, Error, Issuance, TokenRequest, Wanted, WholeStory};
use crate::grpc::calls::Parts;
use crate::grpc::{fields, time};
use crate::model::{CredentialKind, Invalid, Position, Scope, Timestamp};
use crate::policy::Caller;

service!(credentials_server::Credentials {
    issue_token(IssueTokenRequest) -> IssueTokenResponse;
    batch_issue_tokens(BatchIssueTokensRequest) -> BatchIssueTokensResponse;
    issue_certificate(IssueCertificateRequest) -> IssueCertificateResponse;
    list(CredentialsListRequest) -> CredentialsListResponse;
    get(CredentialsGetRequest) -> CredentialsGetResponse;
});

/// The most tokens in one batch.
const MOST_TOKENS: usize = 500;

/// The most scopes in one token: each stands in the ledger for ever.
const MOST_SCOPES: usize = 64;

impl Call for api::IssueTokenRequest {
    type Answer = api::IssueTokenResponse;

    async fn answer(self, parts: &Parts, caller: &Caller) -> Result<Self::Answer, Error> {
        let ask = TokenRequest {
            kind: token_kind(self.kind)?,
            environment: fields::required("environment", &self.environment)?,
            audience: fields::required("audience", &self.audience)?,
            scopes: scopes(&self.scopes)?,
            task: Position::new(self.task).non_zero(),
            ttl: self.ttl.map(|ttl| time::life("ttl", &ttl)).transpose()?,
            bearer: self.bearer,
            purpose: fields::optional("purpose", &self.purpose)?,
            request_id: fields::request_id(self.request_id)?,
        };
        let (token, issuance) = parts.broker.issue_token(caller, ask).await?;
        Ok(api::IssueTokenResponse { token, issuance: Some(issuance.into()) })
    }
}

impl Call for api::BatchIssueTokensRequest {
    type Answer = api::BatchIssueTokensResponse;

    async fn answer(self, parts: &Parts, caller: &Caller) -> Result<Self::Answer, Error> {
        let asked = self.requests.len();
        if asked == 0 || asked > MOST_TOKENS {
            return Err(Invalid::new("requests", format!("there are {asked}; ask for 1 to {MOST_TOKENS} tokens")).into());
        }
        // All wait for the ledger together, and so are committed together.
        let outcomes = join_all(self.requests.into_iter().map(|request| request.answer(parts, caller))).await;
        let tokens = outcomes.into_iter().map(|outcome| api::BatchedToken {
            outcome: Some(match outcome {
                Ok(issued) => Outcome::Issued(issued),
                Err(error) => Outcome::Failure(failure(&parts.refuse(caller, &error))),
            }),
        });
        Ok(api::BatchIssueTokensResponse { tokens: tokens.collect() })
    }
}

/// What a status says, as a message.
fn failure(status: &tonic::Status) -> api::ItemFailure {
    let retry = status.get_details_retry_info().and_then(|retry| retry.retry_delay);
    api::ItemFailure {
        code: status.code().into(),
        reason: status.get_details_error_info().map(|info| info.reason).unwrap_or_default(),
        message: status.message().to_owned(),
        retry_after: retry.and_then(|delay| prost_types::Duration::try_from(delay).ok()),
    }
}

fn token_kind(kind: i32) -> Result<CredentialKind, Invalid> {
    match api::CredentialKind::try_from(kind) {
        Ok(api::CredentialKind::Unspecified | api::CredentialKind::AccessToken) => Ok(CredentialKind::AccessToken),
        Ok(api::CredentialKind::JwtSvid) => Ok(CredentialKind::JwtSvid),
        Ok(api::CredentialKind::Certificate) | Err(_) => {
            Err(Invalid::new("kind", "it is no kind of token; give ACCESS_TOKEN or JWT_SVID, or call IssueCertificate"))
        }
    }
}

pub(super) fn scopes(scopes: &[String]) -> Result<Vec<Scope>, Invalid> {
    if scopes.len() > MOST_SCOPES {
        return Err(Invalid::new("scopes", format!("there are {}; ask for at most {MOST_SCOPES}", scopes.len())));
    }
    scopes.iter().map(|scope| fields::required("scopes", scope)).collect()
}

impl Call for api::IssueCertificateRequest {
    type Answer = api::IssueCertificateResponse;

    async fn answer(self, parts: &Parts, caller: &Caller) -> Result<Self::Answer, Error> {
        let ask = CertificateRequest {
            csr: self.csr,
            environment: fields::required("environment", &self.environment)?,
            task: Position::new(self.task).non_zero(),
            ttl: self.ttl.map(|ttl| time::life("ttl", &ttl)).transpose()?,
            purpose: fields::optional("purpose", &self.purpose)?,
            request_id: fields::request_id(self.request_id)?,
        };
        let (chain, issuance) = parts.broker.issue_certificate(caller, ask).await?;
        Ok(api::IssueCertificateResponse { chain, issuance: Some(issuance.into()) })
    }
}

impl Call for api::CredentialsGetRequest {
    type Answer = api::CredentialsGetResponse;

    async fn answer(self, parts: &Parts, caller: &Caller) -> Result<Self::Answer, Error> {
        let id = fields::required("credential_id", &self.credential_id)?;
        Ok(parts.broker.credential(caller, id).await?.into())
    }
}

impl Call for api::CredentialsListRequest {
    type Answer = api::CredentialsListResponse;

    async fn answer(self, parts: &Parts, caller: &Caller) -> Result<Self::Answer, Error> {
        let wanted = Wanted {
            owner: fields::optional("owner", &self.owner)?,
            workload: fields::optional("spiffe_id", &self.spiffe_id)?,
            environment: fields::optional("environment", &self.environment)?,
            task: Position::new(self.task).non_zero(),
            audience: fields::optional("audience", &self.audience)?,
            kind: fields::kind("kind", self.kind)?,
            through: fields::optional("through", &self.through)?,
            exception: Position::new(self.exception).non_zero(),
            live: self.live_only,
        };
        let before = Position::new(self.before).non_zero();
        let (credentials, next) = parts.broker.credentials(caller, wanted, before, fields::page_size(self.page_size)).await?;
        Ok(api::CredentialsListResponse { credentials: credentials.into_iter().map(Into::into).collect(), next: fields::number(next) })
    }
}

impl From<Issuance> for api::Issuance {
    fn from(issuance: Issuance) -> Self {
        Self {
            credential_id: issuance.id.to_string(),
            position: issuance.position.get(),
            expires_at: Some(time::timestamp(issuance.expires_at)),
            bound_by: api::Bound::from(issuance.bound_by).into(),
        }
    }
}

impl From<WholeStory> for api::CredentialsGetResponse {
    fn from(whole: WholeStory) -> Self {
        let (business_owner, technical_owner) =
            whole.contacts.map_or_else(Default::default, |(business, technical)| (business.to_string(), technical.to_string()));
        let end = end(whole.end, whole.story.issued.expires_at);
        Self {
            business_owner,
            technical_owner,
            task_purpose: whole.task_purpose.map(|purpose| purpose.to_string()).unwrap_or_default(),
            end: Some(end),
            obtained: whole.children.into_iter().map(Into::into).collect(),
            obtained_next: fields::number(whole.more_children),
            ..whole.story.into()
        }
    }
}

fn end(end: End, expires_at: Timestamp) -> api::CredentialEnd {
    let by_itself = |state: api::CredentialState| api::CredentialEnd {
        state: state.into(),
        at: Some(time::timestamp(expires_at)),
        ..Default::default()
    };
    match end {
        End::Alive => by_itself(api::CredentialState::Alive),
        End::Expired => by_itself(api::CredentialState::Expired),
        End::Cut(cut) => api::CredentialEnd {
            state: api::CredentialState::Cut.into(),
            at: Some(time::timestamp(cut.time)),
            subject: cut.subject.to_owned(),
            position: cut.position.get(),
            reason: api::RevocationReason::from(cut.reason).into(),
            note: cut.note.map(|note| note.to_string()).unwrap_or_default(),
            actor: cut.actor.map(|actor| actor.to_string()).unwrap_or_default(),
        },
    }
}

impl From<CredentialStory> for api::ObtainedCredential {
    fn from(story: CredentialStory) -> Self {
        Self {
            credential_id: story.id.to_string(),
            kind: api::CredentialKind::from(story.issued.kind).into(),
            audience: story.issued.audience.map(|audience| audience.to_string()).unwrap_or_default(),
            issued_at: Some(time::timestamp(story.issued.issued_at)),
            expires_at: Some(time::timestamp(story.issued.expires_at)),
            death: story.death.map(Into::into),
        }
    }
}

impl From<Death> for api::Death {
    fn from(death: Death) -> Self {
        Self { subject: death.subject.to_owned(), position: death.position.get(), reason: api::RevocationReason::from(death.reason).into() }
    }
}

impl From<CredentialStory> for api::CredentialsGetResponse {
    fn from(story: CredentialStory) -> Self {
        let issued = story.issued;
        Self {
            credential_id: story.id.to_string(),
            position: story.id.position().get(),
            kind: api::CredentialKind::from(issued.kind).into(),
            spiffe_id: story.workload,
            owner: story.owner,
            environment: story.environment,
            task: fields::number(issued.subjects.task),
            audience: issued.audience.map(|audience| audience.to_string()).unwrap_or_default(),
            scopes: issued.scopes.iter().map(ToString::to_string).collect(),
            parent: issued.parent.map(|parent| parent.to_string()).unwrap_or_default(),
            lineage: fields::number(issued.subjects.lineage),
            issued_at: Some(time::timestamp(issued.issued_at)),
            expires_at: Some(time::timestamp(issued.expires_at)),
            bound_by: api::Bound::from(issued.bound_by).into(),
            policies: issued.policies.iter().map(ToString::to_string).collect(),
            policy_hash: fields::hex(&issued.policy_hash),
            purpose: issued.purpose.map(|purpose| purpose.to_string()).unwrap_or_default(),
            downstreams: story.downstreams,
            exception: fields::number(issued.exception),
            asked_from: issued.asked_from.map(|address| address.to_string()).unwrap_or_default(),
            death: story.death.map(Into::into),
            ..Self::default()
        }
    }
}
