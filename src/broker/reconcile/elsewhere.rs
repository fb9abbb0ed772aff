//! What other systems say of what is registered: who is missing from the inventories, and whom nobody knows.

use crate::broker::source::{Everybody, Existing};
use crate::model::{Contact, Facts, Person, Position};

/// What the sources of this broker say, beside the records.
#[derive(Clone, Debug, Default)]
pub(super) struct Elsewhere {
    pub(super) existing: Existing,
    pub(super) everybody: Everybody,
}

/// An owner, workload or downstream whose business or technical owner is nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Forlorn {
    pub(super) number: Position,
    pub(super) name: String,
    pub(super) contact: Contact,
    /// The entry that says that they left; absent if no source knows them.
    pub(super) left: Option<Position>,
}

/// All that are open.
pub(super) fn forlorn(facts: &Facts, everybody: Everybody) -> Vec<Forlorn> {
    let owners = facts.owners().filter(|known| known.is_open()).filter_map(|known| {
        let record = &known.record;
        of(facts, everybody, [&record.business_owner, &record.technical_owner]).map(|found| (known.number, record.id.to_string(), found))
    });
    let workloads = facts.workloads().filter(|known| known.is_open()).filter_map(|known| {
        let record = &known.record;
        let own = record.business_owner.iter().chain(&record.technical_owner);
        of(facts, everybody, own).map(|found| (known.number, record.spiffe_id.to_string(), found))
    });
    let downstreams = facts.downstreams().filter(|known| known.is_open()).filter_map(|known| {
        let record = &known.record;
        let own = record.business_owner.iter().chain(&record.technical_owner);
        of(facts, everybody, own).map(|found| (known.number, format!("downstream {}", record.name), found))
    });
    owners.chain(workloads).chain(downstreams).map(|(number, name, (contact, left))| Forlorn { number, name, contact, left }).collect()
}

/// The first of these who is nobody.
fn of<'a>(facts: &Facts, everybody: Everybody, contacts: impl IntoIterator<Item = &'a Contact>) -> Option<(Contact, Option<Position>)> {
    let mut unknown = None;
    for contact in contacts {
        match facts.person(contact) {
            Some(known) if known.is_registered() && is_active(&known.record) => {}
            Some(known) => return Some((contact.clone(), Some(known.absent.map_or(known.changed, |absent| absent.at)))),
            None if everybody != Everybody::Unclaimed => unknown = unknown.or(Some((contact.clone(), None))),
            None => {}
        }
    }
    unknown
}

const fn is_active(person: &Person) -> bool {
    person.active
}
