//! What differs between a document and the ledger's records, and the events that make them equal.
//!
//! What dies, and why that much:
//! - **No longer named**: everything issued under the owner, environment or workload, which is
//!   closed until it is named again. Named again it keeps its number, and what died stays dead.
//! - **A workload with another owner**: everything issued to it before, since each credential
//!   names the owner who answered for it. Issuing goes on.
//! - **A workload that loses an environment** which goes on existing: everything issued to it
//!   before, in every environment. A cut has one subject, and none means "this workload there";
//!   it can ask again at once where it still may act. An environment that ends with the same
//!   document takes its own with it, and nothing else.
//! - **An earlier `contract_end` or `valid_until`**: everything issued before, if anything at all
//!   may outlive the new end. Judged by the latest expiry ever recorded, not by counters.
//! - **A downstream that is no longer named**: the tokens that were issued for it, which may be accepted at others
//!   too. Certificates live on: they are for every downstream of their environment. Any other change of a downstream
//!   ends nothing.
//!
//! Such a cut stands before the new record, so that it falls on the subject as it was.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::Hash;

use super::document::registered;
use super::{Document, DownstreamSpec, WorkloadSpec};
use crate::ledger::Present;
use crate::model::{
    Closing, Concerns, CutMade, Downstream, Environment, EnvironmentName, Event, Known, Owner, OwnerId, Position, Reason, Recording,
    Timestamp, Whose, Workload, cut_ends,
};

mod words;

#[cfg(test)]
mod tests;

use words::{Action, Subject, differing, whole};

/// What applying a document would change, in the order of the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    /// For people.
    pub changes: Vec<Change>,
    /// What to append, in this order, in one transaction.
    pub events: Vec<Event>,
    /// How many owners, environments, workloads and downstreams would end.
    pub ends: usize,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// What happens.
    pub action: Action,
    /// To what sort of record.
    pub subject: Subject,
    /// Its name.
    pub name: String,
    /// What differs, in words.
    pub detail: String,
    /// How many living credentials would die. One that dies with two records counts at both.
    pub living: u64,
}

/// Compares a document with what is recorded.
///
/// The document has passed [`Document::check`]; a record that refers to a name which the document
/// does not declare would be left as it is.
pub(crate) fn plan(document: &Document, present: &Present<'_>) -> Difference {
    let mut document = document.clone();
    document.sort();
    let mut planning = Planning::new(present);
    for environment in &document.environments {
        planning.environment(environment);
    }
    for owner in &document.owners {
        planning.owner(owner);
    }
    for workload in &document.workloads {
        planning.workload(workload);
    }
    for downstream in &document.downstreams {
        planning.downstream(downstream);
    }
    planning.ends(&document);
    planning.difference
}

struct Planning<'a> {
    present: &'a Present<'a>,
    /// The numbers of the owners that the document names.
    owners: HashMap<OwnerId, Position>,
    /// The numbers of the environments that the document names.
    environments: HashMap<EnvironmentName, Position>,
    difference: Difference,
}

impl<'a> Planning<'a> {
    fn new(present: &'a Present<'a>) -> Self {
        Self { present, owners: HashMap::new(), environments: HashMap::new(), difference: Difference::default() }
    }

    fn environment(&mut self, environment: &Environment) {
        let known = self.present.facts.environment(&environment.name);
        self.environments.insert(environment.name.clone(), self.number(known));
        if known.is_none_or(|known| !known.is_registered()) {
            self.add(Subject::Environment, &environment.name, added(known, String::new()));
            self.difference.events.push(Event::EnvironmentRecorded(recording(known, environment.clone())));
        }
    }

    fn owner(&mut self, owner: &Owner) {
        let known = self.present.facts.owner(&owner.id);
        self.owners.insert(owner.id.clone(), self.number(known));
        match known.filter(|known| known.is_registered()) {
            Some(known) if *known.record == *owner => return,
            Some(known) => {
                let shortened = self.is_shortened(known.record.contract_end, owner.contract_end);
                let living = if shortened { self.cut(known.number, Whose::Owner(known.number), Why::ContractEnd) } else { 0 };
                let (name, detail) = (owner.id.to_string(), differing(&*known.record, owner));
                self.difference.changes.push(Change { action: Action::Change, subject: Subject::Owner, name, detail, living });
            }
            None => self.add(Subject::Owner, &owner.id, added(known, whole(owner))),
        }
        self.difference.events.push(Event::OwnerRecorded(recording(known, owner.clone())));
    }

    fn workload(&mut self, spec: &WorkloadSpec) {
        let Some(owner) = self.owners.get(&spec.owner).copied() else { return };
        let Some(environments) = self.environment_numbers(&spec.environments) else { return };
        let record = Workload {
            spiffe_id: spec.spiffe_id.clone(),
            owner,
            purpose: spec.purpose.clone(),
            environments,
            valid_until: spec.valid_until,
        };
        let known = self.present.facts.workload(&spec.spiffe_id);
        match known.filter(|known| known.is_registered()) {
            Some(known) if *known.record == record => return,
            Some(known) => {
                let action = if known.record.owner == owner { Action::Change } else { Action::Move };
                let whose = Whose::Workload { owner: known.record.owner, workload: known.number };
                let why = self.why_curtailed(&known.record, &record);
                let living = why.map(|why| self.cut(known.number, whose, why)).unwrap_or_default();
                let detail = WorkloadSpec::of(&known.record, self.present.facts).map(|old| differing(&old, spec)).unwrap_or_default();
                let name = spec.spiffe_id.to_string();
                self.difference.changes.push(Change { action, subject: Subject::Workload, name, detail, living });
            }
            None => self.add(Subject::Workload, &spec.spiffe_id, added(known, whole(spec))),
        }
        self.difference.events.push(Event::WorkloadRecorded(recording(known, record)));
    }

    /// Why what was issued to a workload that was `old` may not live on now that it is `new`.
    fn why_curtailed(&self, old: &Workload, new: &Workload) -> Option<Why> {
        let goes_on = |environment: &Position| self.environments.values().any(|named| named == environment);
        let lost = |environment: &Position| !new.environments.contains(environment) && goes_on(environment);
        if old.owner != new.owner {
            Some(Why::Moved)
        } else if old.environments.iter().any(lost) {
            Some(Why::EnvironmentTaken)
        } else {
            self.is_shortened(old.valid_until, new.valid_until).then_some(Why::ValidUntil)
        }
    }

    fn downstream(&mut self, spec: &DownstreamSpec) {
        let Some(environments) = self.environment_numbers(&spec.environments) else { return };
        let record = Downstream {
            name: spec.name.clone(),
            accepts_tokens: spec.accepts_tokens,
            accepts_certificates: spec.accepts_certificates,
            audiences: spec.audiences.iter().cloned().collect(),
            environments,
            verifier_kind: spec.verifier_kind,
            verifier: spec.verifier.clone(),
        };
        let known = self.present.facts.downstream(&spec.name);
        match known {
            Some(known) if *known.record == record => return,
            Some(known) => {
                let detail = differing(&DownstreamSpec::of(&known.record, self.present.facts), spec);
                let name = spec.name.to_string();
                self.difference.changes.push(Change { action: Action::Change, subject: Subject::Downstream, name, detail, living: 0 });
            }
            None => self.add(Subject::Downstream, &spec.name, whole(spec)),
        }
        self.difference.events.push(Event::DownstreamRecorded(recording(known, record)));
    }

    /// Ends what the document does not name.
    fn ends(&mut self, document: &Document) {
        let facts = self.present.facts;
        let named = document.workloads.iter().map(|workload| &workload.spiffe_id).collect();
        for known in absent(facts.workloads(), |record| &record.spiffe_id, &named) {
            let whose = Whose::Workload { owner: known.record.owner, workload: known.number };
            let living = self.cut(known.number, whose, Why::Absent);
            self.end(Subject::Workload, &known.record.spiffe_id, living);
        }
        let named = document.owners.iter().map(|owner| &owner.id).collect();
        for known in absent(facts.owners(), |record| &record.id, &named) {
            let living = self.cut(known.number, Whose::Owner(known.number), Why::Absent);
            self.end(Subject::Owner, &known.record.id, living);
        }
        let named = document.environments.iter().map(|environment| &environment.name).collect();
        for known in absent(facts.environments(), |record| &record.name, &named) {
            let living = self.cut(known.number, Whose::Environment(known.number), Why::Absent);
            self.end(Subject::Environment, &known.record.name, living);
        }
        let named = document.downstreams.iter().map(|downstream| &downstream.name).collect();
        for known in absent(facts.downstreams(), |record| &record.name, &named) {
            let living = self.cut(known.number, Whose::Bearing(known.number), Why::Decommissioned);
            self.difference.events.push(Event::DownstreamRemoved { number: known.number });
            self.end(Subject::Downstream, &known.record.name, living);
        }
    }

    fn add(&mut self, subject: Subject, name: &impl ToString, detail: String) {
        self.difference.changes.push(Change { action: Action::Add, subject, name: name.to_string(), detail, living: 0 });
    }

    fn end(&mut self, subject: Subject, name: &impl ToString, living: u64) {
        let detail = Why::Absent.note().to_owned();
        self.difference.changes.push(Change { action: Action::End, subject, name: name.to_string(), detail, living });
        self.difference.ends += 1;
    }

    /// Cuts a subject and counts what dies. The cut stays in the list until everything that was
    /// ever issued, to anybody, has expired everywhere, so that it needs no look at whose that is.
    fn cut(&mut self, number: Position, whose: Whose, why: Why) -> u64 {
        let ends = cut_ends(self.present.latest_expiry, self.present.now);
        let (closing, reason) = why.consequence();
        let census = self.present.living.census(whose, self.present.now);
        let found = Concerns::of(&census, self.present.facts);
        let known = self.present.facts.cuts().get(number).is_none() && !self.present.living.may_be_low(self.present.now);
        let concerns = Some(if known { found } else { found.anywhere(self.present.facts, self.present.latest_expiry) });
        self.difference.events.push(Event::Cut(CutMade { number, reason, ends, closing, note: why.note().parse().ok(), concerns }));
        census.total
    }

    /// Whether an end was moved to before the expiry of something that may be alive.
    fn is_shortened(&self, old: Option<Timestamp>, new: Option<Timestamp>) -> bool {
        new.is_some_and(|new| old.is_none_or(|old| new < old) && new < self.present.latest_expiry)
    }

    /// The number of a record: its own, or the place of the event that comes next.
    fn number<T>(&self, known: Option<&Known<T>>) -> Position {
        let place = u64::try_from(self.difference.events.len()).unwrap_or(u64::MAX);
        let next = Position::new(self.present.head.get().saturating_add(place).saturating_add(1));
        known.map_or(next, |known| known.number)
    }

    /// The numbers of environments, ascending; `None` if one is not declared.
    fn environment_numbers(&self, names: &BTreeSet<EnvironmentName>) -> Option<Vec<Position>> {
        let numbers: Option<BTreeSet<Position>> = names.iter().map(|name| self.environments.get(name).copied()).collect();
        numbers.map(|numbers| numbers.into_iter().collect())
    }
}

/// Why a registry cuts.
#[derive(Clone, Copy)]
enum Why {
    Absent,
    Decommissioned,
    Moved,
    EnvironmentTaken,
    ContractEnd,
    ValidUntil,
}

impl Why {
    const fn consequence(self) -> (Closing, Reason) {
        match self {
            Self::Absent => (Closing::Unregister, Reason::CessationOfOperation),
            Self::Decommissioned => (Closing::Nothing, Reason::CessationOfOperation),
            Self::Moved => (Closing::MoveOwner, Reason::AffiliationChanged),
            Self::EnvironmentTaken | Self::ContractEnd | Self::ValidUntil => (Closing::Nothing, Reason::PrivilegeWithdrawn),
        }
    }

    const fn note(self) -> &'static str {
        match self {
            Self::Absent | Self::Decommissioned => "no longer named by the registry",
            Self::Moved => "moved to another owner by the registry",
            Self::EnvironmentTaken => "an environment was taken away by the registry",
            Self::ContractEnd => "contract_end was moved earlier by the registry",
            Self::ValidUntil => "valid_until was moved earlier by the registry",
        }
    }
}

fn recording<T>(known: Option<&Known<T>>, record: T) -> Recording<T> {
    Recording { number: known.map(|known| known.number), record }
}

/// How an addition reads: whether it was there before, and whether naming it opens it.
fn added<T>(known: Option<&Known<T>>, fields: String) -> String {
    let again = match known {
        None => return fields,
        Some(Known { closed: None, .. }) => "named again",
        Some(_) => "named again, and still closed by a revocation",
    };
    if fields.is_empty() { again.to_owned() } else { format!("{again}; {fields}") }
}

/// The registered records that `named` does not hold, by name.
fn absent<'a, T: 'a, N: Ord + Hash>(
    known: impl Iterator<Item = &'a Known<T>>,
    name: fn(&T) -> &N,
    named: &HashSet<&N>,
) -> Vec<&'a Known<T>> {
    let mut absent: Vec<_> = registered(known).filter(|known| !named.contains(name(&known.record))).collect();
    absent.sort_by(|one, other| name(&one.record).cmp(name(&other.record)));
    absent
}
