//! People and contracts: who answers, and for how long.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::known::Register;
use super::{Closed, Closing, Contact, Contract, Known, Person, Position, Recording, Timestamp};

/// The people and contracts that sources name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Accountable {
    people: Register<String, Person>,
    contracts: BTreeMap<Position, Known<Contract>>,
    /// Owner, end and number of each contract.
    ends: BTreeSet<(Position, Timestamp, Position)>,
}

impl Contact {
    /// What two ways to write one person have in common: the address between `<` and `>` if there is one,
    /// without case.
    pub fn address(&self) -> String {
        let text = self.as_str();
        let address = text.strip_suffix('>').and_then(|text| text.rsplit_once('<')).map_or(text, |(_, address)| address);
        address.to_lowercase()
    }
}

impl Accountable {
    pub(super) fn person(&mut self, recording: &Recording<Person>, at: Position) {
        self.people.record(recording.record.id.address(), recording, at);
    }

    pub(super) fn end_person(&mut self, number: Position, at: Position, time: Timestamp) {
        self.people.touch(number, at, |known| known.absent = Some(Closed { by: Closing::Unregister, at, settled: time }));
    }

    pub(super) fn contract(&mut self, recording: &Recording<Contract>, at: Position) {
        let number = recording.number.unwrap_or(at);
        self.end_contract(number);
        let (record, origin) = (Arc::new(recording.record), recording.origin.clone());
        self.ends.insert((record.owner, record.end, number));
        let known = Known { number, record, origin, recorded: at, changed: at, closed: None, absent: None, awaiting: None };
        self.contracts.insert(number, known);
    }

    pub(super) fn end_contract(&mut self, number: Position) {
        if let Some(known) = self.contracts.remove(&number) {
            self.ends.remove(&(known.record.owner, known.record.end, number));
        }
    }

    /// The earliest end of the contracts of an owner, and the entry that says so.
    pub(super) fn contract_ending(&self, owner: Position) -> Option<(Timestamp, Position)> {
        let first = (owner, Timestamp::EPOCH, Position::ZERO);
        let (_, end, number) = self.ends.range(first..).next().filter(|(of, ..)| *of == owner)?;
        Some((*end, self.contracts.get(number)?.recorded))
    }

    pub(super) fn contracts(&self) -> impl Iterator<Item = &Known<Contract>> {
        self.contracts.values()
    }

    pub(super) fn find(&self, contact: &Contact) -> Option<&Known<Person>> {
        self.people.by_name(&contact.address())
    }

    pub(super) fn people(&self) -> impl Iterator<Item = &Known<Person>> {
        self.people.by_number.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contract(number: Option<u64>, owner: u64, end: u64) -> Recording<Contract> {
        let record = Contract { owner: Position::new(owner), end: Timestamp::from_seconds(end) };
        Recording { number: number.map(Position::new), origin: None, record }
    }

    #[test]
    fn of_several_contracts_the_earliest_end_counts_until_it_is_named_no_longer() {
        let mut known = Accountable::default();
        known.contract(&contract(None, 2, 90), Position::new(10));
        known.contract(&contract(None, 2, 60), Position::new(11));
        known.contract(&contract(None, 3, 30), Position::new(12));
        let end = |known: &Accountable| known.contract_ending(Position::new(2)).map(|(end, at)| (end.seconds(), at.get()));
        assert_eq!(end(&known), Some((60, 11)));
        known.contract(&contract(Some(11), 2, 120), Position::new(13));
        assert_eq!(end(&known), Some((90, 10)), "a later end of the same contract replaces its earlier one");
        known.end_contract(Position::new(10));
        assert_eq!((end(&known), known.contract_ending(Position::new(1))), (Some((120, 13)), None));
    }

    #[test]
    fn a_person_is_found_without_case_and_by_the_address() {
        let mut known = Accountable::default();
        let record = Person { id: "Ada@Example.org".parse().expect("a contact"), active: true };
        known.person(&Recording { number: None, origin: None, record }, Position::new(10));
        for text in ["ada@example.org", "ADA@EXAMPLE.ORG", "Ada Lovelace <ada@example.org>"] {
            assert!(known.find(&text.parse().expect("a contact")).is_some(), "{text}");
        }
        assert!(known.find(&"bob@example.org".parse().expect("a contact")).is_none());
    }
}
