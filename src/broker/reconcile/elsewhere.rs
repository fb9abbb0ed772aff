//! What other systems say of what is registered: who is missing from the inventories, and whom nobody knows.

use crate::broker::source::{Everybody, Existing};
use crate::model::{Contact, Facts, Person, Position};

/// What the sources of this broker say, beside the records.
#[derive(Clone, Debug, Default)]
pub(super) struct Elsewhere {
    pub(super) existing: Existing,
    pub(super) everybody: Everybody,
}

/// An owner, workload or downstream for which nobody answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Forlorn {
    pub(super) number: Position,
    pub(super) name: String,
    pub(super) why: Nobody,
}

/// Why nobody does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Nobody {
    /// Who is named has left, by this entry.
    Left(Contact, Position),
    /// No source knows who is named.
    Unknown(Contact),
    /// Nobody is named, by this entry.
    Unnamed(Position),
}

/// All that are open. For a workload that names nobody its owner's people answer; a downstream has no owner.
pub(super) fn forlorn(facts: &Facts, everybody: Everybody) -> Vec<Forlorn> {
    let owners = facts.owners().filter(|known| known.is_open()).filter_map(|known| {
        let record = &known.record;
        let why = of(facts, everybody, [&record.business_owner, &record.technical_owner])?;
        Some(Forlorn { number: known.number, name: record.id.to_string(), why })
    });
    let workloads = facts.workloads().filter(|known| known.is_open()).filter_map(|known| {
        let record = &known.record;
        let why = of(facts, everybody, record.business_owner.iter().chain(&record.technical_owner))?;
        Some(Forlorn { number: known.number, name: record.spiffe_id.to_string(), why })
    });
    let downstreams = facts.downstreams().filter(|known| known.is_open()).filter_map(|known| {
        let record = &known.record;
        let named = || record.business_owner.iter().chain(&record.technical_owner);
        let unnamed = named().next().is_none().then_some(Nobody::Unnamed(known.changed));
        let why = unnamed.or_else(|| of(facts, everybody, named()))?;
        Some(Forlorn { number: known.number, name: format!("downstream {}", record.name), why })
    });
    owners.chain(workloads).chain(downstreams).collect()
}

/// Why the first of these who is nobody is that.
fn of<'a>(facts: &Facts, everybody: Everybody, contacts: impl IntoIterator<Item = &'a Contact>) -> Option<Nobody> {
    let mut unknown = None;
    for contact in contacts {
        match facts.person(contact) {
            Some(known) if known.is_registered() && is_active(&known.record) => {}
            Some(known) => return Some(Nobody::Left(contact.clone(), known.absent.map_or(known.changed, |absent| absent.at))),
            None if everybody != Everybody::Unclaimed => unknown = unknown.or(Some(Nobody::Unknown(contact.clone()))),
            None => {}
        }
    }
    unknown
}

const fn is_active(person: &Person) -> bool {
    person.active
}
