//! The policy text.

use super::{Call, api, service};
use crate::broker::{Error, Explained, Object, Proposal, Question, Whom};
use crate::grpc::calls::Parts;
use crate::grpc::{fields, time};
use crate::model::{Bound, CredentialKind, Invalid, PolicyName, Position, Timestamp};
use crate::policy::Caller;

service!(policy_server::Policy {
    check(PolicyCheckRequest) -> PolicyCheckResponse;
    apply(PolicyApplyRequest) -> PolicyApplyResponse;
    explain(PolicyExplainRequest) -> PolicyExplainResponse;
});

impl Call for api::PolicyCheckRequest {
    type Answer = api::PolicyCheckResponse;

    async fn answer(self, parts: &Parts, caller: &Caller) -> Result<Self::Answer, Error> {
        Ok(match parts.broker.check_policy(caller, files(self.files)?).await? {
            Ok(engine) => api::PolicyCheckResponse {
                hash: fields::hex(&engine.text().hash),
                policies: engine.names().iter().map(ToString::to_string).collect(),
                problems: Vec::new(),
            },
            Err(problems) => {
                api::PolicyCheckResponse { problems: problems.iter().map(ToString::to_string).collect(), ..Default::default() }
            }
        })
    }
}

impl Call for api::PolicyApplyRequest {
    type Answer = api::PolicyApplyResponse;

    async fn answer(self, parts: &Parts, caller: &Caller) -> Result<Self::Answer, Error> {
        let applied = parts.broker.apply_policy(caller, files(self.files)?).await?;
        Ok(api::PolicyApplyResponse { position: applied.position.get(), hash: fields::hex(&applied.hash), unchanged: applied.unchanged })
    }
}

impl Call for api::PolicyExplainRequest {
    type Answer = api::PolicyExplainResponse;

    async fn answer(self, parts: &Parts, caller: &Caller) -> Result<Self::Answer, Error> {
        use api::policy_explain_request::Question as Asked;
        let whom = match (fields::optional("spiffe_id", &self.spiffe_id)?, fields::optional("source", &self.source)?) {
            (None, None) => Whom::Oneself,
            (Some(id), None) => Whom::Identity(id),
            (None, Some(name)) => Whom::Source(name),
            (Some(_), Some(_)) => return Err(Invalid::new("source", "it asks under no SPIFFE ID; leave one of them out").into()),
        };
        let question = match self.question {
            Some(Asked::Issuing(_)) if matches!(whom, Whom::Source(_)) => {
                return Err(Invalid::new("question", "a source asks for no credentials; ask about a call").into());
            }
            Some(Asked::Issuing(proposed)) => Question::Issuing(proposal(&proposed)?),
            Some(Asked::Call(proposed)) => Question::Call(fields::required("action", &proposed.action)?, object(proposed.object)?),
            None => return Err(Invalid::new("question", "say what is asked: issuing or call").into()),
        };
        Ok(parts.broker.explain(caller, whom, question).await?.into())
    }
}

fn proposal(asked: &api::ProposedIssuing) -> Result<Proposal, Invalid> {
    let kind = fields::kind("kind", asked.kind)?.unwrap_or(CredentialKind::AccessToken);
    let audience = fields::optional("audience", &asked.audience)?;
    let certificate = kind == CredentialKind::Certificate;
    if certificate != audience.is_none() {
        return Err(Invalid::new("audience", "a token has one, a certificate has none"));
    }
    let token_only = asked.bearer || !asked.scopes.is_empty();
    if certificate && token_only {
        return Err(Invalid::new("kind", "a certificate has no scopes and is never bearer"));
    }
    Ok(Proposal {
        kind,
        environment: fields::required("environment", &asked.environment)?,
        audience,
        scopes: super::credentials::scopes(&asked.scopes)?,
        task: Position::new(asked.task).non_zero(),
        ttl: asked.ttl.as_ref().map(|ttl| time::life("ttl", ttl)).transpose()?,
        bearer: asked.bearer,
    })
}

fn object(asked: Option<api::proposed_call::Object>) -> Result<Object, Invalid> {
    use api::proposed_call::Object as Asked;
    Ok(match asked {
        None => Object::System,
        Some(Asked::Owner(id)) => Object::Owner(fields::required("owner", &id)?),
        Some(Asked::Workload(id)) => Object::Workload(fields::required("workload", &id)?),
        Some(Asked::Environment(name)) => Object::Environment(fields::required("environment", &name)?),
        Some(Asked::Downstream(name)) => Object::Downstream(fields::required("downstream", &name)?),
        Some(Asked::Task(number)) => Object::Task(fields::position("task", number)?),
        Some(Asked::CredentialId(id)) => Object::Credential(fields::required("credential_id", &id)?),
    })
}

impl From<Explained> for api::PolicyExplainResponse {
    fn from(Explained { role, explanation, policy_hash }: Explained) -> Self {
        let refused = explanation.refused.as_ref();
        let life = explanation.life;
        Self {
            allowed: refused.is_none(),
            reason: refused.map(|denial| denial.code.as_str().to_owned()).unwrap_or_default(),
            detail: refused.map(ToString::to_string).unwrap_or_default(),
            role: role.to_owned(),
            permits: explanation.permits.iter().map(ToString::to_string).collect(),
            forbids: explanation.forbids.iter().map(ToString::to_string).collect(),
            policy_hash: fields::hex(&policy_hash),
            life: life.map(|life| time::duration(life.expires_at.since(life.issued_at))),
            expires_at: life.map(|life| time::timestamp(life.expires_at)),
            bound_by: life.map_or(api::Bound::Unspecified, |life| life.bound_by.into()).into(),
            bounds: explanation.bounds.into_iter().map(bound).collect(),
        }
    }
}

fn bound((bound, end): (Bound, Timestamp)) -> api::ExplainedBound {
    api::ExplainedBound { bound: api::Bound::from(bound).into(), ends_at: Some(time::timestamp(end)) }
}

fn files(files: Vec<api::PolicyFile>) -> Result<Vec<(PolicyName, String)>, Invalid> {
    files.into_iter().map(|file| Ok((fields::required("files.name", &file.name)?, file.text))).collect()
}
