//! The registry: what it names may act, what it no longer names has ended.

use super::moving::Mover;
use super::{Broker, Error};
use crate::directory::{self, Change, Difference, Document, Names, Scope, Snapshot};
use crate::ledger::Present;
use crate::model::{Denial, DenialCode, Facts, Invalid, Known, Origin, Position, Refusal, Standing};
use crate::policy::{Action, Caller, Resource};

/// The registry as the ledger knows it.
#[derive(Clone, Debug)]
pub(crate) struct Exported {
    /// What is registered.
    pub document: Document,
    /// As of this position.
    pub position: Position,
    /// What of it is closed to issuing.
    pub closed: Vec<ClosedRecord>,
    /// What of it comes from a source: what sort of record, its name, and where it comes from.
    pub origins: Vec<(&'static str, String, Origin)>,
}

/// A document that has passed every rule, and the names beside its own that it could refer to then.
#[derive(Clone, Debug)]
pub(crate) struct Checked {
    /// The document.
    pub document: Document,
    /// The names. It is held to the rules again if these are others by the time it is applied.
    pub beside: Names,
}

/// A registered subject that is closed to issuing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClosedRecord {
    /// owner, environment, workload or downstream.
    pub subject: &'static str,
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub standing: Standing,
}

fn invalid(problems: &[impl ToString]) -> Invalid {
    let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
    Invalid::new("document", problems.join("; "))
}

/// What a document of an administrator changes. It may repeat what a source records, and change nothing of it.
fn plan(Checked { document, beside }: Checked, scope: &Scope, present: &Present<'_>, mover: Mover) -> Result<Difference, Refusal> {
    let now_beside = Names::of_others(present.facts, None);
    if now_beside != beside {
        document.check(&now_beside).map_err(|problems| invalid(&problems))?;
    }
    let difference = directory::plan(&Snapshot::from(document), scope, present, &mover.asked(present.facts));
    if difference.problems.is_empty() { Ok(difference) } else { Err(invalid(&difference.problems).into()) }
}

impl Broker {
    /// What applying the document would change.
    ///
    /// # Errors
    /// `Invalid` with everything that is wrong with it; `Denied` by policy.
    pub(crate) async fn registry_difference(&self, caller: &Caller, document: Checked) -> Result<Difference, Error> {
        self.authorise(caller, Action::ReadRegistry, |_, _| Ok(Resource::System)).await?;
        let (scope, mover) = (self.administrators_scope(), self.mover(caller)?);
        // A plan that appends nothing sees the same facts as one that does.
        let plan = move |present: &Present<'_>| Ok((Vec::new(), plan(document, &scope, present, mover)?));
        Ok(self.change(Some(&caller.spiffe_id), plan).await?.1)
    }

    /// Makes the ledger's records equal to the document, all or nothing. Answers the position of
    /// the last entry that it made, if any, and what changed.
    ///
    /// # Errors
    /// `Invalid` with everything that is wrong with it; `Denied` by policy, or if more records
    /// would end than `allow_end`.
    pub(crate) async fn apply_registry(
        &self,
        caller: &Caller,
        document: Checked,
        allow_end: usize,
    ) -> Result<(Option<Position>, Vec<Change>), Error> {
        self.authorise(caller, Action::ApplyRegistry, |_, _| Ok(Resource::System)).await?;
        let (scope, mover) = (self.administrators_scope(), self.mover(caller)?);
        let plan = move |present: &Present<'_>| {
            let Difference { changes, events, ends, .. } = plan(document, &scope, present, mover)?;
            if ends > allow_end {
                let detail = format!("{ends} records would end, and {allow_end} were allowed");
                return Err(Denial::new(DenialCode::EndNotAllowed, detail).into());
            }
            Ok((events, changes))
        };
        let (committed, changes) = self.change(Some(&caller.spiffe_id), plan).await?;
        Ok((committed.first.map(|_| committed.last), changes))
    }

    fn administrators_scope(&self) -> Scope {
        Scope { gone: self.sources.gone(), ..Scope::administrators() }
    }

    /// What an administrator's document may refer to besides what it names.
    pub(crate) fn names_of_sources(&self) -> Names {
        Names::of_others(&self.ledger.facts(), None)
    }

    /// The registry as the ledger knows it.
    ///
    /// # Errors
    /// `Denied` by policy.
    pub(crate) async fn export_registry(&self, caller: &Caller) -> Result<Exported, Error> {
        self.authorise(caller, Action::ReadRegistry, |_, _| Ok(Resource::System)).await?;
        let facts = self.ledger.facts();
        Ok(Exported {
            document: Document::of(&facts),
            position: facts.changed(),
            closed: self.closed_records(&facts),
            origins: origins(&facts),
        })
    }

    fn closed_records(&self, facts: &Facts) -> Vec<ClosedRecord> {
        let now = self.clock.now();
        let owners = facts.owners().filter_map(|known| closed(known, "owner", &known.record.id, now));
        let environments = facts.environments().filter_map(|known| closed(known, "environment", &known.record.name, now));
        let workloads = facts.workloads().filter_map(|known| closed(known, "workload", &known.record.spiffe_id, now));
        let downstreams = facts.downstreams().filter_map(|known| closed(known, "downstream", &known.record.name, now));
        let mut records: Vec<_> = owners.chain(environments).chain(workloads).chain(downstreams).collect();
        records.sort_by(|one, other| (one.subject, &one.name).cmp(&(other.subject, &other.name)));
        records
    }
}

fn origins(facts: &Facts) -> Vec<(&'static str, String, Origin)> {
    fn of<T>(known: &Known<T>, subject: &'static str, name: &dyn std::fmt::Display) -> Option<(&'static str, String, Origin)> {
        let origin = known.origin.clone().filter(|_| known.is_registered())?;
        Some((subject, name.to_string(), origin))
    }
    let owners = facts.owners().filter_map(|known| of(known, "owner", &known.record.id));
    let environments = facts.environments().filter_map(|known| of(known, "environment", &known.record.name));
    let workloads = facts.workloads().filter_map(|known| of(known, "workload", &known.record.spiffe_id));
    let downstreams = facts.downstreams().filter_map(|known| of(known, "downstream", &known.record.name));
    let mut origins: Vec<_> = owners.chain(environments).chain(workloads).chain(downstreams).collect();
    origins.sort_by(|(one, a, _), (other, b, _)| (one, a).cmp(&(other, b)));
    origins
}

fn closed<T>(known: &Known<T>, subject: &'static str, name: &dyn std::fmt::Display, now: crate::model::Timestamp) -> Option<ClosedRecord> {
    let closed = known.is_registered() && !known.is_open();
    closed.then(|| ClosedRecord { subject, name: name.to_string(), standing: known.standing(now) })
}
