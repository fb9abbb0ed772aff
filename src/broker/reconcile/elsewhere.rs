//! What other systems say of what is registered: who is missing from the inventories, and whom nobody knows.

use crate::broker::source::{Everybody, Existing};
use crate::model::{Contact, Downstream, Facts, Person, Position};

/// What the sources of this broker say, beside the records.
#[derive(Clone, Debug, Default)]
pub(super) struct Elsewhere {
    pub(super) existing: Existing,
    pub(super) everybody: Everybody,
}

/// An owner, workload or downstream for the purpose or the running of which nobody answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Forlorn {
    pub(super) number: Position,
    /// The entry that says who answers.
    pub(super) recorded: Position,
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
    /// One of the two is not named, or neither is.
    Unnamed(&'static str),
}

/// All that are open and have lost one of the two. Where a workload names nobody its owner's people answer; a
/// downstream has no owner, and names both itself.
pub(super) fn forlorn(facts: &Facts, everybody: Everybody) -> Vec<Forlorn> {
    let lost = |business: Option<&Contact>, technical: Option<&Contact>| of(facts, everybody, business.into_iter().chain(technical));
    let owners = facts.owners().filter(|known| known.is_open()).filter_map(|known| {
        let record = &known.record;
        let why = lost(Some(&record.business_owner), Some(&record.technical_owner))?;
        Some(Forlorn { number: known.number, recorded: known.recorded, name: record.id.to_string(), why })
    });
    let workloads = facts.workloads().filter(|known| known.is_open()).filter_map(|known| {
        let record = &known.record;
        let why = lost(record.business_owner.as_ref(), record.technical_owner.as_ref())?;
        Some(Forlorn { number: known.number, recorded: known.recorded, name: record.spiffe_id.to_string(), why })
    });
    let downstreams = facts.downstreams().filter(|known| known.is_open()).filter_map(|known| {
        let record = &known.record;
        let why = match lost(record.business_owner.as_ref(), record.technical_owner.as_ref()) {
            Some(Nobody::Left(contact, left)) => Nobody::Left(contact, left),
            // That nobody is named is known, whatever is known of those who are.
            lost => unnamed(record).map(Nobody::Unnamed).or(lost)?,
        };
        Some(Forlorn { number: known.number, recorded: known.recorded, name: format!("downstream {}", record.name), why })
    });
    owners.chain(workloads).chain(downstreams).collect()
}

/// Which of the two a downstream does not name.
const fn unnamed(downstream: &Downstream) -> Option<&'static str> {
    match (&downstream.business_owner, &downstream.technical_owner) {
        (Some(_), Some(_)) => None,
        (None, Some(_)) => Some("no business owner"),
        (Some(_), None) => Some("no technical owner"),
        (None, None) => Some("neither a business nor a technical owner"),
    }
}

/// Why the first of these who is nobody is that.
fn of<'a>(facts: &Facts, everybody: Everybody, contacts: impl IntoIterator<Item = &'a Contact>) -> Option<Nobody> {
    let mut unknown = None;
    for contact in contacts {
        match facts.person(contact) {
            Some(known) if known.is_registered() && is_active(&known.record) => {}
            Some(known) => return Some(Nobody::Left(contact.clone(), known.absent.map_or(known.recorded, |absent| absent.at))),
            None if everybody != Everybody::Unclaimed => unknown = unknown.or(Some(Nobody::Unknown(contact.clone()))),
            None => {}
        }
    }
    unknown
}

const fn is_active(person: &Person) -> bool {
    person.active
}
