//! What a source says at one moment, and what of that is its business.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::str::FromStr;
use std::sync::Arc;

use super::check::meant;
use super::{Document, DownstreamDraft, DownstreamSpec, Draft, Finding, Names, Subject, WorkloadDraft, WorkloadSpec};
use crate::model::{Contact, DownstreamName, EnvironmentName, Facts, Known, OwnerId, Person, RecordId, SourceName, SpiffeId, Timestamp};

/// A contract as a source names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ContractSpec {
    /// What it is called at the source.
    pub record: RecordId,
    /// Its owner.
    pub owner: OwnerId,
    /// When it ends.
    pub end: Timestamp,
}

/// Whose records a plan may touch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scope {
    /// The source; the administrators if absent.
    pub source: Option<SourceName>,
    /// What it is authoritative for.
    pub holds: BTreeSet<Subject>,
    /// Whether it takes over what the administrators recorded, where it names that.
    pub takes_over: bool,
    /// The sources that are no more. What they recorded goes on until somebody takes it over who names it: the
    /// administrators, or a source that takes over theirs too.
    pub gone: Arc<BTreeSet<SourceName>>,
}

impl Scope {
    /// What administrators apply.
    pub(crate) fn administrators() -> Self {
        let holds = [Subject::Owner, Subject::Environment, Subject::Workload, Subject::Downstream].into();
        Self { source: None, holds, takes_over: false, gone: Arc::default() }
    }

    pub(super) fn holds(&self, subject: Subject) -> bool {
        self.holds.contains(&subject)
    }

    /// Whether a record is of this scope.
    pub(super) fn is_own<T>(&self, known: &Known<T>) -> bool {
        known.is_of(self.source.as_ref())
    }

    /// Whether a record may be changed within this scope.
    pub(super) fn may_touch<T>(&self, known: &Known<T>) -> bool {
        let takes_over = self.takes_over || self.source.is_none();
        self.is_own(known) || (takes_over && known.origin.as_ref().is_none_or(|origin| self.gone.contains(&origin.source)))
    }
}

/// What records are called at a source, where that is not their name.
pub(crate) type Ids = HashMap<(Subject, String), RecordId>;

/// What is new in a snapshot, and comes in portions.
#[derive(Debug)]
pub(crate) struct Aside {
    workloads: Vec<WorkloadSpec>,
    downstreams: Vec<DownstreamSpec>,
    people: Vec<Person>,
    ids: Arc<Ids>,
    holds: BTreeSet<Subject>,
}

/// What a scope says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// Its records.
    pub document: Document,
    /// Its people, each once.
    pub people: Vec<Person>,
    /// Its contracts, each once.
    pub contracts: Vec<ContractSpec>,
    /// The identities that exist according to it.
    pub inventory: HashSet<SpiffeId>,
    /// What records are called at the source, where that is not their name.
    pub ids: Arc<Ids>,
    /// What is named and cannot be used: it stays as it is.
    pub kept: HashSet<(Subject, String)>,
    /// Of these something is named of which not even the name is known: none of them ends.
    pub unnamed: BTreeSet<Subject>,
    /// Fields of which no record says anything, since they are not there at all.
    pub unmet: BTreeSet<&'static str>,
    /// Everything that is named.
    pub(super) named: HashSet<(Subject, String)>,
    /// The owners and environments that its records refer to without naming them, and one of these records.
    pub(super) referred: HashMap<(Subject, String), String>,
}

impl From<Document> for Snapshot {
    fn from(document: Document) -> Self {
        Self { document, ..Self::default() }.indexed()
    }
}

impl Snapshot {
    /// What is right of a draft. What is wrong is told, and stays as it is recorded.
    pub(crate) fn sift<'a, T: AsRef<str>>(draft: &'a Draft<T>, others: &Names) -> (Self, Vec<Finding<'a, T>>) {
        let (document, findings) = draft.sift(others);
        let mut snapshot = Self::from(document);
        if !findings.is_empty() {
            snapshot.keep::<OwnerId>(Subject::Owner, draft.owners.iter().map(|draft| draft.id.as_ref()));
            snapshot.keep::<EnvironmentName>(Subject::Environment, draft.environments.iter().map(|draft| draft.name.as_ref()));
            snapshot.keep::<SpiffeId>(Subject::Workload, draft.workloads.iter().map(|draft| draft.spiffe_id.as_ref()));
            snapshot.keep::<DownstreamName>(Subject::Downstream, draft.downstreams.iter().map(|draft| draft.name.as_ref()));
            // What is wrong with a record may be that what it refers to is missing.
            for WorkloadDraft { spiffe_id, owner, environments, .. } in &draft.workloads {
                let owner = owner.as_ref().and_then(|owner| meant(owner.as_ref()));
                let environments = environments.iter().filter_map(|name| meant(name.as_ref()));
                snapshot.refer((Subject::Workload, spiffe_id.as_ref()), owner.as_ref(), environments);
            }
            for DownstreamDraft { name, environments, .. } in &draft.downstreams {
                let environments = environments.iter().filter_map(|name| meant(name.as_ref()));
                snapshot.refer((Subject::Downstream, name.as_ref()), None, environments);
            }
        }
        (snapshot, findings)
    }

    /// Remembers what a record refers to.
    fn refer(&mut self, (subject, name): (Subject, &str), owner: Option<&OwnerId>, environments: impl Iterator<Item = EnvironmentName>) {
        let owner = owner.map(|owner| (Subject::Owner, owner.to_string()));
        for key in owner.into_iter().chain(environments.map(|environment| (Subject::Environment, environment.to_string()))) {
            let by = self.referred.entry(key).or_default();
            if by.is_empty() {
                *by = format!("{subject} `{}`", name.chars().take(120).collect::<String>().escape_debug());
            }
        }
    }

    /// Keeps what is named and is not among the records.
    fn keep<'t, N: FromStr + ToString>(&mut self, subject: Subject, names: impl Iterator<Item = &'t str>) {
        for name in names {
            match meant::<N>(name) {
                Some(name) => {
                    self.kept.insert(key(subject, &name.to_string()));
                }
                None => {
                    self.unnamed.insert(subject);
                }
            }
        }
    }

    /// Keeps what a text names, or everything if it names nothing.
    pub(super) fn keep_named(&mut self, subject: Subject, name: Option<&str>) {
        let name = std::iter::once(name.unwrap_or_default());
        match subject {
            Subject::Owner => self.keep::<OwnerId>(subject, name),
            Subject::Environment => self.keep::<EnvironmentName>(subject, name),
            Subject::Workload => self.keep::<SpiffeId>(subject, name),
            Subject::Downstream => self.keep::<DownstreamName>(subject, name),
            Subject::Person => self.keep::<Contact>(subject, name),
            Subject::Contract => self.keep::<RecordId>(subject, name),
            Subject::Inventory => self.keep::<SpiffeId>(subject, name),
        }
    }

    /// Adds what another part of the same scope says. It is not indexed by that.
    pub(super) fn absorb(&mut self, part: Self) {
        self.document.owners.extend(part.document.owners);
        self.document.environments.extend(part.document.environments);
        self.document.workloads.extend(part.document.workloads);
        self.document.downstreams.extend(part.document.downstreams);
        self.kept.extend(part.kept);
        self.unnamed.extend(part.unnamed);
        self.referred.extend(part.referred);
    }

    /// Takes out the records of which the name is so. It is not indexed by that.
    pub(super) fn forget(&mut self, is_so: impl Fn(&str) -> bool) {
        self.document.owners.retain(|owner| !is_so(owner.id.as_str()));
        self.document.environments.retain(|environment| !is_so(environment.name.as_str()));
        self.document.workloads.retain(|workload| !is_so(workload.spiffe_id.as_str()));
        self.document.downstreams.retain(|downstream| !is_so(downstream.name.as_str()));
        self.people.retain(|person| !is_so(person.id.as_str()));
        self.contracts.retain(|contract| !is_so(contract.record.as_str()));
        self.inventory.retain(|identity| !is_so(identity.as_str()));
    }

    /// Sets aside the workloads, downstreams and people that are new to a scope, if they are more than `most`. What
    /// others refer to stays, and what may end something.
    pub(crate) fn set_aside(&mut self, scope: &Scope, facts: &Facts, most: usize) -> Option<Aside> {
        fn is_new<T>(known: Option<&Known<T>>) -> bool {
            !known.is_some_and(Known::is_registered)
        }
        let workload = |it: &WorkloadSpec| scope.holds(Subject::Workload) && is_new(facts.workload(&it.spiffe_id));
        let downstream = |it: &DownstreamSpec| scope.holds(Subject::Downstream) && is_new(facts.downstream(&it.name));
        let person = |it: &Person| scope.holds(Subject::Person) && is_new(facts.person(&it.id));
        let Self { document: Document { workloads, downstreams, .. }, people, .. } = self;
        let new = workloads.iter().filter(|it| workload(it)).count()
            + downstreams.iter().filter(|it| downstream(it)).count()
            + people.iter().filter(|it| person(it)).count();
        (new > most).then(|| Aside {
            workloads: workloads.extract_if(.., |it| workload(it)).collect(),
            downstreams: downstreams.extract_if(.., |it| downstream(it)).collect(),
            people: people.extract_if(.., |it| person(it)).collect(),
            ids: Arc::clone(&self.ids),
            holds: scope.holds.clone(),
        })
    }

    /// How many records are named.
    pub(crate) fn len(&self) -> usize {
        self.named.len() + self.inventory.len()
    }

    /// With everything that is named looked up quickly. To be called once it is complete.
    #[must_use]
    pub(crate) fn indexed(mut self) -> Self {
        let Document { owners, environments, workloads, downstreams } = &self.document;
        let owners = owners.iter().map(|owner| (Subject::Owner, owner.id.to_string()));
        let environments = environments.iter().map(|environment| (Subject::Environment, environment.name.to_string()));
        let workloads = workloads.iter().map(|workload| (Subject::Workload, workload.spiffe_id.as_str().to_owned()));
        let downstreams = downstreams.iter().map(|downstream| (Subject::Downstream, downstream.name.to_string()));
        let people = self.people.iter().map(|person| key(Subject::Person, person.id.as_str()));
        let contracts = self.contracts.iter().map(|contract| (Subject::Contract, contract.record.to_string()));
        self.named = owners.chain(environments).chain(workloads).chain(downstreams).chain(people).chain(contracts).collect();
        self
    }

    /// Whether an identity is named in an inventory, or may be.
    pub(crate) fn exists(&self, identity: &SpiffeId) -> bool {
        self.inventory.contains(identity)
            || self.unnamed.contains(&Subject::Inventory)
            || self.kept.contains(&(Subject::Inventory, identity.to_string()))
    }

    /// Whether a record of this scope has ended: neither named, nor kept, nor referred to.
    pub(super) fn ends(&self, subject: Subject, name: &str) -> bool {
        self.is_absent(subject, name) && !self.referred.contains_key(&key(subject, name))
    }

    /// What refers to a record that is absent, if something does.
    pub(super) fn missing(&self, subject: Subject, name: &str) -> Option<&str> {
        let by = self.referred.get(&key(subject, name))?;
        self.is_absent(subject, name).then_some(by)
    }

    fn is_absent(&self, subject: Subject, name: &str) -> bool {
        let key = key(subject, name);
        !self.unnamed.contains(&subject) && !self.named.contains(&key) && !self.kept.contains(&key)
    }

    /// What a record is called at the source.
    pub(super) fn record_id(&self, subject: Subject, name: &str) -> Option<RecordId> {
        let given = self.ids.get(&(subject, name.to_owned())).cloned();
        given.or_else(|| shortened(name).parse().ok())
    }
}

impl Aside {
    /// How many records there are.
    pub(crate) fn len(&self) -> usize {
        self.workloads.len() + self.downstreams.len() + self.people.len()
    }

    /// Takes so many of them at most: a snapshot that ends nothing. `None` once there are no more.
    pub(crate) fn portion(&mut self, most: usize) -> Option<Snapshot> {
        fn take<T>(of: &mut Vec<T>, room: &mut usize) -> Vec<T> {
            let taken = of.split_off(of.len().saturating_sub(*room));
            *room -= taken.len();
            taken
        }
        let mut room = most;
        let (workloads, downstreams) = (take(&mut self.workloads, &mut room), take(&mut self.downstreams, &mut room));
        let people = take(&mut self.people, &mut room);
        let document = Document { workloads, downstreams, ..Document::default() };
        let (ids, unnamed) = (Arc::clone(&self.ids), self.holds.clone());
        (room < most).then(|| Snapshot { document, people, ids, unnamed, ..Snapshot::default() })
    }
}

/// Under what a name is looked up. Two ways to write one person are one.
fn key(subject: Subject, name: &str) -> (Subject, String) {
    let person = (subject == Subject::Person).then(|| name.parse().ok()).flatten();
    (subject, person.map_or_else(|| name.to_owned(), |contact: Contact| contact.address()))
}

/// A name that is longer than an id may be, as far as that goes.
fn shortened(name: &str) -> &str {
    name.get(..name.floor_char_boundary(256)).unwrap_or(name)
}
