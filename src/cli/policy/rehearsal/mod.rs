//! A rehearsal: requests that are decided on a registry alone, by the same decision as in a broker.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

mod script;

use script::{Expected, Place, Test, Text};

pub(super) use script::Script;

use crate::broker::{Object, Proposal};
use crate::directory::{self, Document, Problem, Scope, Snapshot};
use crate::ledger::Present;
use crate::model::{
    CredentialId, CredentialKind, Entry, EnvironmentName, Event, Facts, Living, OwnerId, Position, Refusal, SpiffeId, Subjects, Task,
    Timestamp,
};
use crate::policy::{Action, Caller, Engine, Explanation, OwnCertificate, Resource, Role};

/// The facts on which the requests of one file are decided.
pub(super) struct Scene {
    file: PathBuf,
    facts: Facts,
    last: Position,
    now: Timestamp,
    administrators: BTreeSet<SpiffeId>,
    /// Of the tasks of the file, by their names there.
    tasks: BTreeMap<String, Position>,
}

/// One request, decided.
#[derive(Debug)]
pub(super) struct Rehearsed {
    pub(super) name: String,
    pub(super) line: u64,
    pub(super) explanation: Explanation,
    /// What is not as expected.
    pub(super) differs: Vec<String>,
}

/// What a test asks.
enum Asked {
    Issuing(Proposal),
    Call(Action, Resource),
}

impl Scene {
    /// Records the registry, and opens the tasks of the file.
    ///
    /// # Errors
    /// What in the file cannot be understood.
    pub(super) fn set(file: &Path, script: &Script, document: &Document, now: Timestamp) -> Result<Self, Problem> {
        let place = Place(file);
        let now = place.optional("at", script.at.as_ref())?.unwrap_or(now);
        let administrators = script.administrators.iter().map(|id| place.required("administrators", id)).collect::<Result<_, _>>()?;
        // Number 1 is the broker's own.
        let mut scene =
            Self { file: file.to_owned(), facts: Facts::default(), last: Position::BROKER, now, administrators, tasks: BTreeMap::new() };
        let present = Present { facts: &scene.facts, living: &Living::default(), head: scene.last, latest_expiry: Timestamp::EPOCH, now };
        let events = directory::plan(&Snapshot::from(document.clone()), &Scope::administrators(), &present, &|_| true).events;
        events.into_iter().for_each(|event| scene.append(event));
        for task in &script.tasks {
            let owner: OwnerId = place.required("owner", &task.owner)?;
            let environment: EnvironmentName = place.required("environment", &task.environment)?;
            let workload: Option<SpiffeId> = place.optional("workload", task.workload.as_ref())?;
            let missing = |text, kind: &'static str| move || place.problem(kind, text, format!("the registry has no {kind} of this name"));
            let record = Task {
                owner: scene.facts.owner(&owner).ok_or_else(missing(&task.owner, "owner"))?.number,
                environment: scene.facts.environment(&environment).ok_or_else(missing(&task.environment, "environment"))?.number,
                workload: match (workload, task.workload.as_ref()) {
                    (Some(id), Some(text)) => Some(scene.facts.workload(&id).ok_or_else(missing(text, "workload"))?.number),
                    _ => None,
                },
                deadline: now.plus(place.life("ends_in", &task.ends_in)?),
                purpose: place.required("name", &task.name)?,
                opened_by: place.required("opened_by", &task.opened_by)?,
            };
            scene.append(Event::TaskOpened(record));
            if scene.tasks.insert(task.name.value.clone(), scene.last).is_some() {
                return Err(place.problem("name", &task.name, "two tasks have this name"));
            }
        }
        Ok(scene)
    }

    fn append(&mut self, event: Event) {
        self.last = self.last.next();
        self.facts.apply(&Entry { position: self.last, time: self.now, actor: None, request_id: None, event });
    }

    /// Decides one request, and compares.
    ///
    /// # Errors
    /// What in the test cannot be understood.
    pub(super) fn rehearse(&self, engine: &Engine, test: &Test) -> Result<Rehearsed, Problem> {
        let place = Place(&self.file);
        let expected = Expected::read(place, test)?;
        let asked = self.asked(test)?;
        let explanation = match (asked, &test.caller, &test.source) {
            (Asked::Issuing(proposal), Some(caller), None) => {
                let caller = self.caller(test, caller)?;
                let role = Role::of(&caller, &self.administrators, &self.facts);
                engine.explain((&role, &caller), &proposal.request(Position::BROKER, None), &self.facts, self.now)
            }
            (Asked::Call(action, resource), Some(caller), None) => {
                let role = Role::of(&self.caller(test, caller)?, &self.administrators, &self.facts);
                engine.explain_call(&role, action, &resource, &self.facts)
            }
            (Asked::Call(action, resource), None, Some(source)) => {
                let role = Role::Source(place.required("source", source)?);
                engine.explain_call(&role, action, &resource, &self.facts)
            }
            (Asked::Issuing(_), _, Some(source)) => {
                return Err(place.problem("source", source, "it asks for no credentials; write a call"));
            }
            (_, _, _) => {
                return Err(place.problem(
                    "caller",
                    &test.name,
                    "write who asks: either `caller:` and a SPIFFE ID, or `source:` and a name",
                ));
            }
        };
        let differs = expected.differences(&explanation);
        Ok(Rehearsed { name: test.name.value.clone(), line: test.name.referenced.line(), explanation, differs })
    }

    fn caller(&self, test: &Test, caller: &Text) -> Result<Caller, Problem> {
        let spiffe_id: SpiffeId = Place(&self.file).required("caller", caller)?;
        let own = self.own_certificate(test, caller, &spiffe_id)?;
        Ok(Caller::supposed(spiffe_id, own))
    }

    fn asked(&self, test: &Test) -> Result<Asked, Problem> {
        let place = Place(&self.file);
        match (&test.issue, &test.call) {
            (Some(kind), None) => {
                let kind: CredentialKind = place.required("issue", kind)?;
                let Some(environment) = &test.environment else {
                    return Err(place.problem("issue", &test.name, "a credential is bound to an environment; write one"));
                };
                if (kind == CredentialKind::Certificate) != test.audience.is_none() {
                    return Err(place.problem("audience", &test.name, "a token has one, a certificate has none"));
                }
                Ok(Asked::Issuing(Proposal {
                    kind,
                    environment: place.required("environment", environment)?,
                    audience: place.optional("audience", test.audience.as_ref())?,
                    scopes: test.scopes.iter().map(|scope| place.required("scopes", scope)).collect::<Result<_, _>>()?,
                    task: self.task(test)?,
                    ttl: test.ttl.as_ref().map(|ttl| place.life("ttl", ttl)).transpose()?,
                    bearer: test.bearer,
                }))
            }
            (None, Some(action)) => Ok(Asked::Call(place.required("call", action)?, self.resource(test)?)),
            _ => Err(place.problem("test", &test.name, "write what is asked: either `issue:` and a kind, or `call:` and an action")),
        }
    }

    /// The number of the task that a test names.
    fn task(&self, test: &Test) -> Result<Option<Position>, Problem> {
        let Some(name) = &test.task else { return Ok(None) };
        let known = self.tasks.get(&name.value).copied();
        let unknown = || Place(&self.file).problem("task", name, format!("no task `{}` is opened in this file", name.value));
        known.map(Some).ok_or_else(unknown)
    }

    /// What a call is about.
    fn resource(&self, test: &Test) -> Result<Resource, Problem> {
        let place = Place(&self.file);
        if let Some(workload) = &test.credential_of {
            let id: SpiffeId = place.required("credential_of", workload)?;
            let own = self.issued_to(&id, test, None).map_err(|refusal| place.problem("credential_of", workload, refusal))?;
            return Ok(Resource::Credential { id: own.id, kind: CredentialKind::AccessToken, subjects: own.subjects });
        }
        let (object, field, text) = if let Some(owner) = &test.owner {
            (Object::Owner(place.required("owner", owner)?), "owner", owner)
        } else if let Some(workload) = &test.workload {
            (Object::Workload(place.required("workload", workload)?), "workload", workload)
        } else if let Some(environment) = &test.environment {
            (Object::Environment(place.required("environment", environment)?), "environment", environment)
        } else if let Some(downstream) = &test.downstream {
            (Object::Downstream(place.required("downstream", downstream)?), "downstream", downstream)
        } else if let (Some(number), Some(task)) = (self.task(test)?, &test.task) {
            (Object::Task(number), "task", task)
        } else {
            return Ok(Resource::System);
        };
        object.resource(&self.facts, self.now).map_err(|refusal| place.problem(field, text, refusal))
    }

    /// The certificate of ours with which a test comes, if it says so.
    fn own_certificate(&self, test: &Test, caller: &Text, id: &SpiffeId) -> Result<Option<OwnCertificate>, Problem> {
        let place = Place(&self.file);
        match test.obtained_with.as_ref().map(|with| (with, with.value.as_str())) {
            None | Some((_, "outside")) => Ok(None),
            Some((_, "certificate")) => {
                let own = self.issued_to(id, test, self.task(test)?);
                own.map(Some).map_err(|refusal| place.problem("caller", caller, refusal))
            }
            Some((with, _)) => Err(place.problem("obtained_with", with, "write outside or certificate")),
        }
    }

    /// A certificate that was issued to a workload, in the environment of the test or else the
    /// workload's first.
    fn issued_to(&self, id: &SpiffeId, test: &Test, task: Option<Position>) -> Result<OwnCertificate, Refusal> {
        let workload = self.facts.workload(id).ok_or_else(|| Refusal::not_found("workload", id))?;
        let named = test.environment.as_ref().and_then(|name| self.facts.environment(&name.value.parse().ok()?));
        let environment = named.map(|known| known.number).or_else(|| workload.record.environments.first().copied());
        let environment = environment.ok_or_else(|| Refusal::not_found("environment of workload", id))?;
        let subjects = Subjects { owner: workload.record.owner, workload: workload.number, environment, task, lineage: None };
        Ok(OwnCertificate { id: CredentialId::new(self.last.next(), [0; 8]), subjects, key: Position::BROKER, exception: None })
    }
}
