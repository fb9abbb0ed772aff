//! What differs between a document and the ledger's records, and the events that make them equal.
//!
//! What dies, and why that much:
//! - **No longer named**: everything issued under the owner, environment or workload, which is
//!   closed until it is named again. Named again it keeps its number, and what died stays dead.
//! - **A workload with another owner**: everything issued to it before, since each credential
//!   names the owner who answered for it. Issuing goes on if policy lets whoever says so move it there, and
//!   otherwise once that owner has accepted it.
//! - **A workload that loses an environment** which goes on existing: everything issued to it
//!   before, in every environment. A cut has one subject, and none means "this workload there";
//!   it can ask again at once where it still may act. An environment that ends with the same
//!   document takes its own with it, and nothing else.
//! - **An earlier `contract_end` or `valid_until`**: everything issued before, if anything at all
//!   may outlive the new end. Judged by the latest expiry ever recorded, not by counters.
//! - **A contract that is no longer named**: everything under its owner, which is offboarded. One that is
//!   new or ends earlier: as an earlier `contract_end`.
//! - **A person who is not active any more**: nothing; but nobody answers for what they answered for.
//! - **A downstream that is no longer named**: the tokens that were issued for it, which may be accepted at others
//!   too. Certificates live on: they are for every downstream of their environment. Any other change of a downstream
//!   ends nothing.
//!
//! Everything is of one [`Scope`]: a source, or the administrators. What others record is not touched;
//! records may refer to it.
//!
//! An owner or environment that is no longer named where a record of the same snapshot refers to it is missing by
//! mistake: it goes on, and that is told.
//!
//! Such a cut stands before the new record, so that it falls on the subject as it was.

use std::collections::{BTreeSet, HashMap};

use super::{Document, DownstreamSpec, Scope, Snapshot, WorkloadSpec};
use crate::ledger::Present;
use crate::model::{
    Downstream, Environment, EnvironmentName, Event, Known, Origin, Owner, OwnerId, Position, Recording, Timestamp, Whose, Workload,
};

mod ends;
mod moves;
mod parties;
mod why;
mod words;

#[cfg(test)]
mod tests;

use why::Why;
pub(crate) use words::{Action, Subject};
use words::{Fields, added, differing, from, joined, whole};

/// What a snapshot would change, in the order of the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    /// For people.
    pub changes: Vec<Change>,
    /// What to append, in this order, in one transaction.
    pub events: Vec<Event>,
    /// How many of the changes end something.
    pub ends: usize,
    /// What cannot be done, and is left as it is: it is recorded by others, or refers to nothing.
    pub problems: Vec<String>,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// What happens.
    pub action: Action,
    /// To what sort of record.
    pub subject: Subject,
    /// The number of the record; absent if it has none yet.
    pub number: Option<Position>,
    /// Its name.
    pub name: String,
    /// What differs, in words.
    pub detail: String,
    /// How many living credentials would die. One that dies with two records counts at both.
    pub living: u64,
}

impl Difference {
    /// The records that end.
    pub(crate) fn ended(&self) -> Vec<Position> {
        self.changes.iter().filter(|change| change.ends()).filter_map(|change| change.number).collect()
    }
}

/// Whether whoever says all this may give a workload of another to an owner, without asking that one.
pub(crate) type MayMove<'a> = &'a dyn Fn(&Owner) -> bool;

/// Compares what a scope says with what is recorded.
///
/// The records have passed [`Document::check`], or were sifted.
pub(crate) fn plan(snapshot: &Snapshot, scope: &Scope, present: &Present<'_>, may_move: MayMove<'_>) -> Difference {
    let Document { owners, environments, workloads, downstreams } = &snapshot.document;
    let mut planning = Planning::new(snapshot, scope, present, may_move);
    planning.beyond_scope();
    if scope.holds(Subject::Environment) {
        sorted(environments, |environment| &environment.name).for_each(|environment| planning.environment(environment));
    }
    if scope.holds(Subject::Owner) {
        sorted(owners, |owner| &owner.id).for_each(|owner| planning.owner(owner));
    }
    if scope.holds(Subject::Workload) {
        sorted(workloads, |workload| &workload.spiffe_id).for_each(|workload| planning.workload(workload));
    }
    if scope.holds(Subject::Downstream) {
        sorted(downstreams, |downstream| &downstream.name).for_each(|downstream| planning.downstream(downstream));
    }
    planning.parties();
    planning.ends();
    let Planning { mut difference, .. } = planning;
    difference.ends = difference.changes.iter().filter(|change| change.ends()).count();
    difference
}

/// What happens, to what sort of record, and to which, if it is known.
type What = (Action, Subject, Option<Position>);

struct Planning<'a> {
    snapshot: &'a Snapshot,
    scope: &'a Scope,
    present: &'a Present<'a>,
    may_move: MayMove<'a>,
    /// What that said, by owner.
    asked: HashMap<OwnerId, bool>,
    /// The numbers of the owners that are named.
    owners: HashMap<OwnerId, Position>,
    /// The numbers of the environments that are named.
    environments: HashMap<EnvironmentName, Position>,
    difference: Difference,
}

impl<'a> Planning<'a> {
    fn new(snapshot: &'a Snapshot, scope: &'a Scope, present: &'a Present<'a>, may_move: MayMove<'a>) -> Self {
        Self {
            snapshot,
            scope,
            present,
            may_move,
            asked: HashMap::new(),
            owners: HashMap::new(),
            environments: HashMap::new(),
            difference: Difference::default(),
        }
    }

    /// Tells what is named and is none of the scope's business.
    fn beyond_scope(&mut self) {
        let document = &self.snapshot.document;
        let named = [
            (Subject::Owner, document.owners.len()),
            (Subject::Environment, document.environments.len()),
            (Subject::Workload, document.workloads.len()),
            (Subject::Downstream, document.downstreams.len()),
            (Subject::Person, self.snapshot.people.len()),
            (Subject::Contract, self.snapshot.contracts.len()),
        ];
        for (subject, count) in named.into_iter().filter(|(subject, count)| *count > 0 && !self.scope.holds(*subject)) {
            self.problem(format!("{count} records of kind {subject} are left, which `holds` does not name"));
        }
    }

    fn environment(&mut self, environment: &Environment) {
        let known = self.present.facts.environment(&environment.name);
        self.environments.insert(environment.name.clone(), self.number(known));
        let origin = self.origin(Subject::Environment, environment.name.as_str());
        if self.is_of_others(Subject::Environment, &environment.name, known, environment) {
            return;
        }
        match known.filter(|known| known.is_registered()) {
            Some(known) if known.origin == origin => return,
            Some(known) => {
                let what = (Action::Change, Subject::Environment, Some(known.number));
                self.change(what, &environment.name, from(known, origin.as_ref()), 0);
            }
            None => self.add(Subject::Environment, &environment.name, added(known, String::new())),
        }
        self.difference.events.push(Event::EnvironmentRecorded(recording(known, origin, environment.clone())));
    }

    fn owner(&mut self, owner: &Owner) {
        let known = self.present.facts.owner(&owner.id);
        self.owners.insert(owner.id.clone(), self.number(known));
        let origin = self.origin(Subject::Owner, owner.id.as_str());
        if self.is_of_others(Subject::Owner, &owner.id, known, owner) {
            return;
        }
        match known.filter(|known| known.is_registered()) {
            Some(known) if *known.record == *owner && known.origin == origin => return,
            Some(known) => {
                let shortened = self.is_shortened(known.record.contract_end, owner.contract_end);
                let living = if shortened { self.cut(known.number, Whose::Owner(known.number), Why::ContractEnd) } else { 0 };
                let detail = joined(&differing(&*known.record, owner), &from(known, origin.as_ref()));
                let action = self.ending(known.record.contract_end, owner.contract_end);
                self.change((action, Subject::Owner, Some(known.number)), &owner.id, detail, living);
            }
            None => self.add(Subject::Owner, &owner.id, added(known, whole(owner))),
        }
        self.difference.events.push(Event::OwnerRecorded(recording(known, origin, owner.clone())));
    }

    fn workload(&mut self, spec: &WorkloadSpec) {
        let known = self.present.facts.workload(&spec.spiffe_id);
        let owner = self.owner_number(&spec.owner);
        let Some(owner) = self.found(Subject::Workload, &spec.spiffe_id, ("owner", &spec.owner), owner) else { return };
        let Some(environments) = self.environment_numbers(Subject::Workload, &spec.spiffe_id, &spec.environments) else { return };
        let record = Workload {
            spiffe_id: spec.spiffe_id.clone(),
            owner,
            purpose: spec.purpose.clone(),
            environments,
            valid_until: spec.valid_until,
            business_owner: spec.business_owner.clone(),
            technical_owner: spec.technical_owner.clone(),
        };
        let origin = self.origin(Subject::Workload, spec.spiffe_id.as_str());
        if self.is_of_others(Subject::Workload, &spec.spiffe_id, known, &record) {
            return;
        }
        match known.filter(|known| known.is_registered()) {
            Some(known) if *known.record == record && known.origin == origin => return,
            Some(known) => {
                let action =
                    if known.record.owner == owner { self.ending(known.record.valid_until, record.valid_until) } else { Action::Move };
                let whose = Whose::Workload { owner: known.record.owner, workload: known.number };
                let why =
                    if action == Action::Move { Some(self.why_moved(&spec.owner)) } else { self.why_curtailed(&known.record, &record) };
                let living = why.map(|why| self.cut(known.number, whose, why)).unwrap_or_default();
                let old = WorkloadSpec::of(&known.record, self.present.facts);
                let detail = joined(&old.map(|old| differing(&old, spec)).unwrap_or_default(), &from(known, origin.as_ref()));
                let detail = joined(&detail, why.map_or("", Why::besides));
                self.change((action, Subject::Workload, Some(known.number)), &spec.spiffe_id, detail, living);
            }
            None => {
                let why = self.comes_back(known, owner, &spec.owner);
                self.add(Subject::Workload, &spec.spiffe_id, joined(&added(known, whole(spec)), why.map_or("", Why::besides)));
            }
        }
        self.difference.events.push(Event::WorkloadRecorded(recording(known, origin, record)));
    }

    /// Why what was issued to a workload that was `old` may not live on now that it is `new`, of the same owner.
    fn why_curtailed(&self, old: &Workload, new: &Workload) -> Option<Why> {
        let facts = self.present.facts;
        let stays = |number: Position| {
            let known = facts.environment_numbered(number).filter(|known| known.is_registered());
            known.is_some_and(|known| !self.has_ended(Subject::Environment, known, known.record.name.as_str()))
        };
        let goes_on = |environment: &Position| self.environments.values().any(|named| named == environment) || stays(*environment);
        let lost = |environment: &Position| !new.environments.contains(environment) && goes_on(environment);
        if old.environments.iter().any(lost) {
            Some(Why::EnvironmentTaken)
        } else {
            self.is_shortened(old.valid_until, new.valid_until).then_some(Why::ValidUntil)
        }
    }

    fn downstream(&mut self, spec: &DownstreamSpec) {
        let known = self.present.facts.downstream(&spec.name);
        let Some(environments) = self.environment_numbers(Subject::Downstream, &spec.name, &spec.environments) else { return };
        let record = Downstream {
            name: spec.name.clone(),
            accepts_tokens: spec.accepts_tokens,
            accepts_certificates: spec.accepts_certificates,
            audiences: spec.audiences.iter().cloned().collect(),
            environments,
            verifier_kind: spec.verifier_kind,
            verifier: spec.verifier.clone(),
            business_owner: spec.business_owner.clone(),
            technical_owner: spec.technical_owner.clone(),
        };
        let origin = self.origin(Subject::Downstream, spec.name.as_str());
        if self.is_of_others(Subject::Downstream, &spec.name, known, &record) {
            return;
        }
        match known {
            Some(known) if *known.record == record && known.origin == origin => return,
            Some(known) => {
                let old = DownstreamSpec::of(&known.record, self.present.facts);
                let detail = joined(&differing(&old, spec), &from(known, origin.as_ref()));
                self.change((Action::Change, Subject::Downstream, Some(known.number)), &spec.name, detail, 0);
            }
            None => self.add(Subject::Downstream, &spec.name, whole(spec)),
        }
        self.difference.events.push(Event::DownstreamRecorded(recording(known, origin, record)));
    }

    /// Whether a record is not this scope's to touch. An administrator may repeat it as it is.
    fn is_of_others<T: PartialEq>(&mut self, subject: Subject, name: &impl ToString, known: Option<&Known<T>>, record: &T) -> bool {
        let Some(known) = known.filter(|known| known.is_registered() && !self.scope.may_touch(known)) else { return false };
        if self.scope.source.is_some() || *known.record != *record {
            let whose = match &known.origin {
                Some(Origin { source, record }) => {
                    let gone = if self.scope.gone.contains(source) { ", which the configuration does not declare any more" } else { "" };
                    format!("source {source} (as `{record}`){gone}")
                }
                None => "the administrators".to_owned(),
            };
            self.problem(format!("{subject} `{}` is recorded by {whose}; left as it is", name.to_string()));
        }
        true
    }

    fn problem(&mut self, problem: String) {
        self.difference.problems.push(problem);
    }

    fn add(&mut self, subject: Subject, name: &impl ToString, detail: String) {
        self.change((Action::Add, subject, None), name, detail, 0);
    }

    fn change(&mut self, (action, subject, number): What, name: &impl ToString, detail: String, living: u64) {
        self.difference.changes.push(Change { action, subject, number, name: name.to_string(), detail, living });
    }

    /// Where a record of this scope comes from.
    fn origin(&self, subject: Subject, name: &str) -> Option<Origin> {
        let source = self.scope.source.clone()?;
        Some(Origin { source, record: self.snapshot.record_id(subject, name)? })
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

    /// The number of an owner that is named here, or that others record.
    fn owner_number(&self, id: &OwnerId) -> Option<Position> {
        let recorded = || self.present.facts.owner(id).filter(|known| known.is_registered()).map(|known| known.number);
        self.owners.get(id).copied().or_else(recorded)
    }

    fn environment_number(&self, name: &EnvironmentName) -> Option<Position> {
        let recorded = || self.present.facts.environment(name).filter(|known| known.is_registered()).map(|known| known.number);
        self.environments.get(name).copied().or_else(recorded)
    }

    /// What a reference refers to, or a problem.
    fn found<V>(&mut self, subject: Subject, name: &impl ToString, (what, id): (&str, &dyn ToString), found: Option<V>) -> Option<V> {
        if found.is_none() {
            let (name, id) = (name.to_string(), id.to_string());
            self.problem(format!("{subject} `{name}`: no {what} `{id}` is recorded; left as it is"));
        }
        found
    }

    /// The numbers of environments, ascending; `None` if one is recorded nowhere.
    fn environment_numbers(&mut self, subject: Subject, of: &impl ToString, names: &BTreeSet<EnvironmentName>) -> Option<Vec<Position>> {
        let mut numbers = BTreeSet::new();
        for name in names {
            let number = self.environment_number(name);
            numbers.insert(self.found(subject, of, ("environment", name), number)?);
        }
        Some(numbers.into_iter().collect())
    }
}

/// Records in the order of their names, whatever order they were written in.
fn sorted<T, N: Ord>(records: &[T], name: impl Fn(&T) -> &N) -> impl Iterator<Item = &T> {
    let mut records: Vec<&T> = records.iter().collect();
    records.sort_by(|one, other| name(one).cmp(name(other)));
    records.into_iter()
}

fn recording<T>(known: Option<&Known<T>>, origin: Option<Origin>, record: T) -> Recording<T> {
    Recording { number: known.map(|known| known.number), origin, record }
}
