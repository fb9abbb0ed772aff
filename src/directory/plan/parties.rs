//! People and contracts, as sources name them.

use std::collections::HashMap;

use super::{Action, Fields, Planning, Subject, Why, added, differing, from, joined, recording, whole};
use crate::directory::ContractSpec;
use crate::model::{Contract, Event, Known, Owner, Person, Position, RecordId, Whose};

impl<'a> Planning<'a> {
    /// Records who there is and for how long, and ends what is not named.
    pub(super) fn parties(&mut self) {
        let snapshot = self.snapshot;
        if self.scope.holds(Subject::Person) {
            snapshot.people.iter().for_each(|person| self.person(person));
            let facts = self.present.facts;
            for (name, known) in self.absent(Subject::Person, facts.people(), |record| record.id.to_string()) {
                self.difference.events.push(Event::PersonEnded { number: known.number });
                self.end((Subject::Person, known.number), &name, 0);
            }
        }
        if self.scope.holds(Subject::Contract) {
            let own = self.contracts(|known| self.scope.is_own(known));
            let others = self.contracts(|known| self.scope.may_touch(known));
            for spec in &snapshot.contracts {
                self.contract(spec, own.get(&spec.record).or_else(|| others.get(&spec.record)).copied());
            }
            let mut gone: Vec<_> = own.into_iter().filter(|(id, known)| self.has_ended(Subject::Contract, known, id.as_str())).collect();
            gone.sort_by_key(|(_, known)| known.number);
            for (id, known) in gone {
                let living = self.contract_gone(known);
                self.end((Subject::Contract, known.number), id.as_str(), living);
            }
        }
    }

    /// Contracts, by what they are called at their source.
    fn contracts(&self, are_so: impl Fn(&Known<Contract>) -> bool) -> HashMap<&'a RecordId, &'a Known<Contract>> {
        let known = self.present.facts.contracts().filter(|known| are_so(known));
        known.filter_map(|known| Some((&known.origin.as_ref()?.record, known))).collect()
    }

    fn person(&mut self, person: &Person) {
        let known = self.present.facts.person(&person.id);
        let origin = self.origin(Subject::Person, person.id.as_str());
        if self.is_of_others(Subject::Person, &person.id, known, person) {
            return;
        }
        match known.filter(|known| known.is_registered()) {
            Some(known) if *known.record == *person && known.origin == origin => return,
            Some(known) => {
                let detail = joined(&differing(&*known.record, person), &from(known, origin.as_ref()));
                let action = if known.record.active && !person.active { Action::End } else { Action::Change };
                self.change((action, Subject::Person, Some(known.number)), &person.id, detail, 0);
            }
            None => self.add(Subject::Person, &person.id, added(known, whole(person))),
        }
        self.difference.events.push(Event::PersonRecorded(recording(known, origin, person.clone())));
    }

    fn contract(&mut self, spec: &ContractSpec, known: Option<&Known<Contract>>) {
        let owner = self.owner_number(&spec.owner);
        let Some(owner) = self.found(Subject::Contract, &spec.record, ("owner", &spec.owner), owner) else { return };
        let (record, origin) = (Contract { owner, end: spec.end }, self.origin(Subject::Contract, spec.record.as_str()));
        match known {
            Some(known) if *known.record == record && known.origin == origin => return,
            Some(known) if known.record.owner == owner => {
                let living = if spec.end < known.record.end { self.shorten(owner, spec) } else { 0 };
                let moved = if known.record.end == spec.end { String::new() } else { format!("end: {} -> {}", known.record.end, spec.end) };
                let detail = joined(&moved, &from(known, origin.as_ref()));
                let action = self.ending(Some(known.record.end), Some(spec.end));
                self.change((action, Subject::Contract, Some(known.number)), &spec.record, detail, living);
                self.difference.events.push(Event::ContractRecorded(recording(Some(known), origin, record)));
                return;
            }
            // A contract is of one owner: of another it is another one.
            Some(other) => {
                let living = self.contract_gone(other);
                self.end((Subject::Contract, other.number), spec.record.as_str(), living);
            }
            None => {}
        }
        let living = self.shorten(owner, spec);
        let detail = format!("owner: {}; end: {}", spec.owner, spec.end);
        // One that is new, and over, ends its owner.
        let facts = self.present.facts;
        let of = facts.owner_numbered(owner).filter(|known| known.has_not_ended());
        let is_end = of.is_some_and(|known| self.ending(facts.contract_end(known), Some(spec.end)) == Action::End);
        let action = if is_end { Action::End } else { Action::Add };
        let number = Some(self.number::<Contract>(None));
        self.change((action, Subject::Contract, number), &spec.record, detail, living);
        self.difference.events.push(Event::ContractRecorded(recording(None, origin, record)));
    }

    /// Cuts what would outlive a contract; gives how many die.
    fn shorten(&mut self, owner: Position, spec: &ContractSpec) -> u64 {
        let facts = self.present.facts;
        let before = facts.owner_numbered(owner).and_then(|known| facts.contract_end(known));
        if !self.is_shortened(before, Some(spec.end)) {
            return 0;
        }
        self.cut(owner, Whose::Owner(owner), Why::ContractEnd)
    }

    /// Ends a contract, and offboards its owner unless that has ended already.
    fn contract_gone(&mut self, known: &Known<Contract>) -> u64 {
        let owner = known.record.owner;
        self.difference.events.push(Event::ContractEnded { number: known.number, owner });
        let open = self.present.facts.owner_numbered(owner).is_some_and(Known::<Owner>::has_not_ended);
        if open { self.cut(owner, Whose::Owner(owner), Why::ContractGone) } else { 0 }
    }
}

impl Fields for Person {
    fn fields(&self) -> Vec<(&'static str, String)> {
        vec![("active", self.active.to_string())]
    }
}
