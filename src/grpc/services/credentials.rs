//! Issuing, and what the ledger knows of one credential.

use super::{Call, api, service};
use crate::broker::{CertificateRequest, CredentialStory, Error, Issuance, TokenRequest};
use crate::grpc::calls::Parts;
use crate::grpc::{fields, time};
use crate::mint::SigningRequest;
use crate::model::{CredentialKind, Invalid, Position, Scope};
use crate::policy::Caller;

service!(credentials_server::Credentials {
    issue_token(IssueTokenRequest) -> IssueTokenResponse;
    issue_certificate(IssueCertificateRequest) -> IssueCertificateResponse;
    get(CredentialsGetRequest) -> CredentialsGetResponse;
});

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

fn token_kind(kind: i32) -> Result<CredentialKind, Invalid> {
    match api::CredentialKind::try_from(kind) {
        Ok(api::CredentialKind::Unspecified | api::CredentialKind::AccessToken) => Ok(CredentialKind::AccessToken),
        Ok(api::CredentialKind::JwtSvid) => Ok(CredentialKind::JwtSvid),
        Ok(api::CredentialKind::Certificate) | Err(_) => {
            Err(Invalid::new("kind", "it is no kind of token; give ACCESS_TOKEN or JWT_SVID, or call IssueCertificate"))
        }
    }
}

fn scopes(scopes: &[String]) -> Result<Vec<Scope>, Invalid> {
    if scopes.len() > MOST_SCOPES {
        return Err(Invalid::new("scopes", format!("there are {}; ask for at most {MOST_SCOPES}", scopes.len())));
    }
    scopes.iter().map(|scope| fields::required("scopes", scope)).collect()
}

impl Call for api::IssueCertificateRequest {
    type Answer = api::IssueCertificateResponse;

    async fn answer(self, parts: &Parts, caller: &Caller) -> Result<Self::Answer, Error> {
        let ask = CertificateRequest {
            signing_request: SigningRequest::from_der(&self.csr)?,
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
            death: story.death.map(|death| api::Death {
                subject: death.subject.to_owned(),
                position: death.position.get(),
                reason: api::RevocationReason::from(death.reason).into(),
            }),
        }
    }
}
