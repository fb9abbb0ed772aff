//! Who the caller is to the broker, and what policy allows it.

use std::sync::Arc;
use std::time::Duration;

use super::{Broker, Error, Proposal};
use crate::model::{
    Audience, CredentialId, CredentialKind, Denial, EnvironmentName, Facts, Known, Note, Position, SpiffeId, Standing, Subjects, Task,
    Timestamp, Workload,
};
use crate::policy::{Action, Caller, Engine, Resource, Role, admit};

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
pub(crate) struct Allowance {
    /// What would be done.
    pub action: Action,
    /// The audience of a token, the environment of a certificate; of any other call, in words, what it may be done to.
    pub resource: String,
    /// The environment of what would be issued.
    pub environment: Option<EnvironmentName>,
    /// The longest life of what would be issued, or why not. Other calls are named only where they are allowed.
    pub outcome: Result<Option<Duration>, Denial>,
}

/// At most so many questions of issuing are put to policy for one answer.
const MOST_QUESTIONS: usize = 200;
/// Of so many subjects of each kind policy is asked for each other call.
const FEW: usize = 10;

/// What a call may be done to: some of what there is of one kind.
struct Objects {
    /// All of them, in words.
    whole: &'static str,
    /// What stands in front of the names of some.
    part: &'static str,
    /// How many there are.
    count: usize,
    /// Those that are asked about, by name.
    asked: Vec<(String, Resource)>,
}

impl Broker {
    /// Who the caller is, and what it may have right now. Anybody with an identity may ask.
    ///
    /// # Errors
    /// `Denied` if the caller's certificate is dead; `Limited` if it asks too often.
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
            let mut allowed = match (&role, known) {
                (Role::Workload(_), Some(known)) => self.issuing(engine, facts, (caller, &role), known, now),
                _ => Vec::new(),
            };
            if role != Role::Unknown {
                allowed.extend(calls(engine, &role, facts, &objects(&caller.spiffe_id, facts, now)));
            }
            Ok(WhoAmI { role: role.as_str(), workload, allowed })
        })?
    }

    fn issuing(
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
            let action = if audience.is_some() { Action::IssueToken } else { Action::IssueCertificate };
            let resource = audience.as_ref().map_or_else(|| environment.to_string(), ToString::to_string);
            let request = super::explain::request(&proposal(kind, environment.clone(), audience), facts);
            let outcome = engine.decide(role, caller, &request, facts, now);
            let outcome = outcome.map(|grant| Some(grant.issued().expires_at.since(grant.issued().issued_at)));
            Allowance { action, resource, environment: Some(environment), outcome }
        };
        questions.into_iter().map(answer).collect()
    }
}

/// A proposal of the longest life.
fn proposal(kind: CredentialKind, environment: EnvironmentName, audience: Option<Audience>) -> Proposal {
    Proposal { kind, environment, audience, scopes: Vec::new(), task: None, ttl: Some(kind.longest_life()), bearer: false }
}

/// Every other call that policy allows, and to what.
fn calls(engine: &Engine, role: &Role, facts: &Facts, objects: &[Objects]) -> Vec<Allowance> {
    let mut allowed = Vec::new();
    for action in Action::ALL.iter().copied().filter(|action| !action.issues()) {
        for objects in objects {
            let permits = |resource| action.concerns(resource) && engine.explain_call(role, action, resource, facts).refused.is_none();
            let permitted = objects.asked.iter().filter(|(_, resource)| permits(resource));
            let permitted: Vec<&str> = permitted.map(|(name, _)| name.as_str()).collect();
            allowed.extend(objects.words(&permitted).map(|resource| Allowance { action, resource, environment: None, outcome: Ok(None) }));
        }
    }
    allowed
}

/// What there is to call about. What is the caller's own stands first.
fn objects(caller: &SpiffeId, facts: &Facts, now: Timestamp) -> [Objects; 7] {
    let mut workloads: Vec<_> = facts.workloads().filter(|known| known.is_registered()).collect();
    let own = facts.workload(caller).map(|known| (known.record.owner, &known.record.environments));
    let is_own = |owner| own.is_some_and(|(own, _)| own == owner);
    workloads.sort_by_key(|known| (known.record.spiffe_id != *caller, !is_own(known.record.owner), known.number));
    let mut owners: Vec<_> = facts.owners().filter(|known| known.is_registered()).collect();
    owners.sort_by_key(|known| (!is_own(known.number), known.number));
    let mut environments: Vec<_> = facts.environments().filter(|known| known.is_registered()).collect();
    environments.sort_by_key(|known| (own.is_none_or(|(_, own)| !own.contains(&known.number)), known.number));

    let of_workloads = |whole, part, resource: &dyn Fn(&Known<Workload>) -> Option<Resource>| {
        let named = |known: &&Known<Workload>| Some((known.record.spiffe_id.to_string(), resource(known)?));
        Objects { whole, part, count: workloads.len(), asked: workloads.iter().take(FEW).filter_map(named).collect() }
    };
    [
        Objects { whole: "the broker", part: "", count: 1, asked: vec![(String::new(), Resource::System)] },
        Objects {
            whole: "every owner",
            part: "owner ",
            count: owners.len(),
            asked: owners.iter().take(FEW).map(|known| (known.record.id.to_string(), Resource::Owner(known.number))).collect(),
        },
        Objects {
            whole: "every environment",
            part: "environment ",
            count: environments.len(),
            asked: environments
                .iter()
                .take(FEW)
                .map(|known| (known.record.name.to_string(), Resource::Environment(known.number)))
                .collect(),
        },
        Objects {
            whole: "every downstream",
            part: "downstream ",
            count: facts.downstreams().count(),
            asked: facts
                .downstreams()
                .take(FEW)
                .map(|known| (known.record.name.to_string(), Resource::Downstream(Arc::clone(&known.record))))
                .collect(),
        },
        of_workloads("every workload", "workload ", &|known| Some(Resource::Workload(known.number))),
        of_workloads("tasks of every workload", "tasks of workload ", &|known| supposed_task(known, now)),
        of_workloads("credentials of every workload", "credentials of workload ", &supposed_credential),
    ]
}

impl Objects {
    /// Those that are permitted, in words; `None` if none is.
    fn words(&self, permitted: &[&str]) -> Option<String> {
        let asked = self.asked.len();
        let unasked = if asked < self.count { format!(" (asked about {asked} of {})", self.count) } else { String::new() };
        match permitted.len() {
            0 => None,
            some if some == asked => Some(format!("{}{unasked}", self.whole)),
            _ => Some(format!("{}{}{unasked}", self.part, permitted.join(", "))),
        }
    }
}

/// A task that a workload could open.
fn supposed_task(of: &Known<Workload>, now: Timestamp) -> Option<Resource> {
    Some(Resource::new_task(Task {
        owner: of.record.owner,
        environment: *of.record.environments.first()?,
        workload: Some(of.number),
        deadline: now,
        purpose: "supposed".parse::<Note>().ok()?,
        opened_by: of.record.spiffe_id.clone(),
    }))
}

/// A credential that a workload could have.
fn supposed_credential(of: &Known<Workload>) -> Option<Resource> {
    let environment = *of.record.environments.first()?;
    let subjects = Subjects { owner: of.record.owner, workload: of.number, environment, task: None, lineage: None };
    Some(Resource::Credential { id: CredentialId::new(Position::new(u64::MAX), [0; 8]), kind: CredentialKind::AccessToken, subjects })
}
