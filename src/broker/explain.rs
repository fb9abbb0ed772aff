//! Whether a request would pass, and why: decided as it would be, and never recorded.

use std::sync::Arc;
use std::time::Duration;

use super::{Broker, Error};
use crate::model::{
    Audience, CredentialId, CredentialKind, DownstreamName, EnvironmentName, Facts, KeyPurpose, KnownKey, OwnerId, Position, Refusal,
    Scope, SourceName, SpiffeId, Timestamp,
};
use crate::policy::{Action, Caller, Explanation, IssueRequest, Resource, Role};

/// Whose request is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Whom {
    /// The caller's own.
    Oneself,
    /// That of an identity.
    Identity(SpiffeId),
    /// What a source says.
    Source(SourceName),
}

/// What is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// A token or a certificate.
    Issuing(Proposal),
    /// Any other call.
    Call(Action, Object),
}

/// A token or a certificate that might be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Proposal {
    /// What kind.
    pub kind: CredentialKind,
    /// The environment.
    pub environment: EnvironmentName,
    /// The audience of a token.
    pub audience: Option<Audience>,
    /// The scopes of an access token.
    pub scopes: Vec<Scope>,
    /// The task.
    pub task: Option<Position>,
    /// The life wanted.
    pub ttl: Option<Duration>,
    /// Not bound to a client certificate.
    pub bearer: bool,
}

/// What a call is about, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Object {
    /// The broker as a whole.
    System,
    /// An owner.
    Owner(OwnerId),
    /// A workload.
    Workload(SpiffeId),
    /// An environment.
    Environment(EnvironmentName),
    /// A downstream.
    Downstream(DownstreamName),
    /// A task.
    Task(Position),
    /// A credential.
    Credential(CredentialId),
}

/// An explanation, with who was meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Explained {
    /// administrator, workload, verifier, source or unknown.
    pub role: &'static str,
    /// Whether it would pass, and why.
    pub explanation: Explanation,
    /// The version of the policy text.
    pub policy_hash: [u8; 32],
}

impl Broker {
    /// Says whether a request would pass.
    ///
    /// # Errors
    /// `NotFound` for an unknown name; `Denied` by policy.
    pub(crate) async fn explain(&self, caller: &Caller, whom: Whom, question: Question) -> Result<Explained, Error> {
        // Its own certificate bounds what the caller gets; that of another is not known.
        let (meant, source) = match whom {
            Whom::Identity(id) if id != caller.spiffe_id => (Caller::supposed(id, None), None),
            Whom::Oneself | Whom::Identity(_) => (caller.clone(), None),
            Whom::Source(name) => (caller.clone(), Some(name)),
        };
        let role_in = |facts: &Facts| match &source {
            Some(name) => Role::Source(name.clone()),
            None => Role::of(&meant, &self.administrators, facts),
        };
        self.authorise(caller, Action::ExplainPolicy, |facts, _| {
            Ok(match role_in(facts) {
                Role::Workload(number) => Resource::Workload(number),
                Role::Administrator(_) | Role::Verifier(_) | Role::Source(_) | Role::Unknown => Resource::System,
            })
        })
        .await?;
        if let Some(name) = &source {
            self.sources.find(name)?;
        }
        let looked_up = match &question {
            Question::Call(_, Object::Credential(id)) => Some(Resource::credential(id.position(), &self.issued(*id).await?)),
            // As the call itself finds it.
            Question::Call(_, Object::Task(number)) => self.past_task(*number).await?.as_ref().map(Resource::from),
            Question::Call(..) | Question::Issuing(_) => None,
        };
        let now = self.clock.now();
        let mut explained = self.decide(|engine, facts| -> Result<_, Error> {
            let role = role_in(facts);
            let explanation = match &question {
                Question::Issuing(proposal) => engine.explain((&role, &meant), &request(proposal, facts), facts, now),
                Question::Call(action, object) => {
                    let resource = looked_up.map_or_else(|| object.resource(facts, now), Ok)?;
                    engine.explain_call(&role, *action, &resource, facts)
                }
            };
            Ok(Explained { role: role.as_str(), explanation, policy_hash: engine.text().hash })
        })??;
        if let Question::Issuing(proposal) = &question
            && let Some(denial) = explained.explanation.refused.take()
        {
            explained.explanation.refused = Some(self.of_past_task(denial, proposal.task).await);
        }
        Ok(explained)
    }
}

/// A proposal as a request that is decided and never recorded.
pub(super) fn request(proposal: &Proposal, facts: &Facts) -> IssueRequest {
    let purpose = if proposal.kind == CredentialKind::Certificate { KeyPurpose::Issuer } else { KeyPurpose::Token };
    let key = facts.signing_keys().signing(purpose);
    proposal.request(key.map_or(Position::ZERO, |key| key.number), key.and_then(KnownKey::ends))
}

impl Proposal {
    /// The same as a request, to be signed by a key that ends at `key_not_after`.
    pub(crate) fn request(&self, key: Position, key_not_after: Option<Timestamp>) -> IssueRequest {
        IssueRequest {
            kind: self.kind,
            environment: self.environment.clone(),
            audience: self.audience.clone(),
            scopes: self.scopes.clone(),
            task: self.task,
            ttl: self.ttl,
            bearer: self.bearer,
            purpose: None,
            public_key_hash: (self.kind == CredentialKind::Certificate).then_some([0; 32]),
            key,
            key_not_after,
            request_id: None,
        }
    }
}

impl Object {
    /// What policies are asked about.
    ///
    /// # Errors
    /// `NotFound`; a credential has to be looked up in the ledger, and is never found here.
    pub(crate) fn resource(&self, facts: &Facts, now: Timestamp) -> Result<Resource, Refusal> {
        match self {
            Self::System => Ok(Resource::System),
            Self::Owner(id) => facts.owner(id).map(|known| Resource::Owner(known.number)).ok_or_else(|| Refusal::not_found("owner", id)),
            Self::Workload(id) => {
                facts.workload(id).map(|known| Resource::Workload(known.number)).ok_or_else(|| Refusal::not_found("workload", id))
            }
            Self::Environment(name) => {
                let known = facts.environment(name).map(|known| Resource::Environment(known.number));
                known.ok_or_else(|| Refusal::not_found("environment", name))
            }
            Self::Downstream(name) => {
                let known = facts.downstream(name).map(|known| Resource::Downstream(Arc::clone(&known.record)));
                known.ok_or_else(|| Refusal::not_found("downstream", name))
            }
            Self::Task(number) => {
                let open = facts.task(*number).filter(|task| task.closed.is_none_or(|closed| closed.settled > now));
                open.map(Resource::from).ok_or_else(|| Refusal::not_found("task", number))
            }
            Self::Credential(id) => Err(Refusal::not_found("credential", id)),
        }
    }
}
