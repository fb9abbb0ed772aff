//! Who the caller is to the broker, and what policy allows it.

use std::time::Duration;

use super::{Broker, Error, Proposal};
use crate::model::{Audience, CredentialKind, Denial, EnvironmentName, Facts, Known, Standing, Timestamp, Workload};
use crate::policy::{Action, Caller, Engine, Role, admit};

/// Who the caller is.
#[derive(Clone, Debug)]
pub(crate) struct WhoAmI {
    /// administrator, workload, verifier or unknown.
    pub role: &'static str,
    /// Of a workload: its owner, where that stands, and where the workload stands.
    pub workload: Option<(String, Standing, Standing)>,
    /// What policy was asked about, and what it said.
    pub allowed: Vec<Allowance>,
}

/// One thing that policy was asked about.
#[derive(Clone, Debug)]
pub struct Allowance {
    /// What would be issued.
    pub kind: CredentialKind,
    /// The audience of a token, or the environment of a certificate.
    pub resource: String,
    /// The environment.
    pub environment: EnvironmentName,
    /// The longest life, or why not.
    pub outcome: Result<Duration, Denial>,
}

/// At most so many questions are put to policy for one answer.
const MOST_QUESTIONS: usize = 200;

impl Broker {
    /// Who the caller is, and what it may have right now. Anybody with an identity may ask.
    ///
    /// # Errors
    /// `Denied` if the caller's certificate is dead; `Limited`.
    pub(crate) fn who_am_i(&self, caller: &Caller) -> Result<WhoAmI, Error> {
        let now = self.clock.now();
        self.decide(|engine, facts| {
            admit(caller, facts, now)?;
            let role = Role::of(caller, &self.administrators, facts);
            // It is up to so many questions of a kind that is counted elsewhere too.
            self.limiters.call(&role, Action::ExplainPolicy, now)?;
            let known = facts.workload(&caller.spiffe_id);
            let workload = known.and_then(|known| {
                let owner = facts.owner_numbered(known.record.owner)?;
                Some((owner.record.id.to_string(), owner.standing(now), known.standing(now)))
            });
            let allowed = match (&role, known) {
                (Role::Workload(_), Some(known)) => self.allowances(engine, facts, (caller, &role), known, now),
                _ => Vec::new(),
            };
            Ok(WhoAmI { role: role.as_str(), workload, allowed })
        })?
    }

    fn allowances(
        &self,
        engine: &Engine,
        facts: &Facts,
        (caller, role): (&Caller, &Role),
        workload: &Known<Workload>,
        now: Timestamp,
    ) -> Vec<Allowance> {
        let mut questions = Vec::new();
        for environment in workload.record.environments.iter().filter_map(|number| facts.environment_numbered(*number)) {
            let name = &environment.record.name;
            questions.push((CredentialKind::Certificate, name.clone(), None));
            let here =
                facts.downstreams().filter(|known| known.record.accepts_tokens && known.record.environments.contains(&environment.number));
            let mut audiences: Vec<Audience> = here.flat_map(|known| known.record.audiences.clone()).collect();
            audiences.sort();
            audiences.dedup();
            questions.extend(audiences.into_iter().map(|audience| (CredentialKind::AccessToken, name.clone(), Some(audience))));
        }
        questions.truncate(MOST_QUESTIONS);
        let answer = |(kind, environment, audience): (CredentialKind, EnvironmentName, Option<Audience>)| {
            let resource = audience.as_ref().map_or_else(|| environment.to_string(), ToString::to_string);
            let request = self.request(&proposal(kind, environment.clone(), audience));
            let outcome = engine.decide(role, caller, &request, facts, now);
            let outcome = outcome.map(|grant| grant.issued().expires_at.since(grant.issued().issued_at));
            Allowance { kind, resource, environment, outcome }
        };
        questions.into_iter().map(answer).collect()
    }
}

/// A proposal of the longest life.
fn proposal(kind: CredentialKind, environment: EnvironmentName, audience: Option<Audience>) -> Proposal {
    Proposal { kind, environment, audience, scopes: Vec::new(), task: None, ttl: Some(kind.longest_life()), bearer: false }
}
