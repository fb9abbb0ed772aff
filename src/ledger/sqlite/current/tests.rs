//! The rule of `compact.rs`, against every entry.

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::super::rows::Segments;
use super::super::{start, store};
use super::*;
use crate::ledger::codec;
use crate::ledger::samples::{
    EPOCH, NOW, again, begun, contract, cut, downstream, environment, exception, finding, first, issued, key, owner, policy, resource,
    task, workload,
};
use crate::ledger::tip::Tip;
use crate::model::{
    About, CUT_OF_KEY_ENDS, Closing, Event, Facts, FindingAction, FindingChange, Person, Recording, SourceName, Subjects, Turnover,
};

/// Something that may happen; what exists by then makes an event of it.
#[derive(Clone, Debug)]
enum Step {
    Owner { name: u8, anew: bool },
    Environment { name: u8, anew: bool },
    Workload { name: u8, anew: bool, owner: Index },
    Downstream { name: u8, anew: bool },
    Person { name: u8, anew: bool },
    EndPerson(Index),
    Contract { name: u8, anew: bool },
    EndContract { name: u8 },
    Resource { name: u8, anew: bool },
    Remove(Index),
    Task,
    Cut { subject: Index, closing: Closing, ends: Option<u64> },
    Reinstate(Index),
    Turn { named: Index, open: bool },
    Accept(Index),
    Key,
    Retire(Index),
    CutKey(Index),
    Policy(u8),
    Read,
    Epoch(u8),
    Issue,
    Exception { until: u64 },
    Approve(Index),
    Finding(Index),
    Change { finding: Index, change: FindingChange },
    SourceEnds { source: u8, record: Index },
    ConfirmSource { source: u8 },
}

fn step() -> impl Strategy<Value = Step> {
    let named = || (0..3u8, prop::bool::weighted(0.3));
    prop_oneof![
        2 => named().prop_map(|(name, anew)| Step::Owner { name, anew }),
        1 => named().prop_map(|(name, anew)| Step::Environment { name, anew }),
        2 => (named(), any::<Index>()).prop_map(|((name, anew), owner)| Step::Workload { name, anew, owner }),
        4 => named().prop_map(|(name, anew)| Step::Downstream { name, anew }),
        2 => named().prop_map(|(name, anew)| Step::Person { name, anew }),
        1 => any::<Index>().prop_map(Step::EndPerson),
        3 => named().prop_map(|(name, anew)| Step::Contract { name, anew }),
        1 => named().prop_map(|(name, _)| Step::EndContract { name }),
        2 => named().prop_map(|(name, anew)| Step::Resource { name, anew }),
        1 => any::<Index>().prop_map(Step::Remove),
        2 => Just(Step::Task),
        8 => (any::<Index>(), select(Closing::ALL), prop::option::of(0..40u64))
            .prop_map(|(subject, closing, ends)| Step::Cut { subject, closing, ends }),
        2 => any::<Index>().prop_map(Step::Reinstate),
        6 => (any::<Index>(), prop::bool::weighted(0.3)).prop_map(|(named, open)| Step::Turn { named, open }),
        2 => any::<Index>().prop_map(Step::Accept),
        2 => Just(Step::Key),
        2 => any::<Index>().prop_map(Step::Retire),
        1 => any::<Index>().prop_map(Step::CutKey),
        1 => any::<u8>().prop_map(Step::Policy),
        1 => Just(Step::Read),
        1 => any::<u8>().prop_map(Step::Epoch),
        1 => Just(Step::Issue),
        2 => (0..8000u64).prop_map(|until| Step::Exception { until }),
        2 => any::<Index>().prop_map(Step::Approve),
        2 => any::<Index>().prop_map(Step::Finding),
        3 => (any::<Index>(), select(vec![
            FindingChange::Seen, FindingChange::Acted(FindingAction::Suspend), FindingChange::Resolved, FindingChange::Waived { until: NOW },
        ])).prop_map(|(finding, change)| Step::Change { finding, change }),
        4 => (0..2u8, any::<Index>()).prop_map(|(source, record)| Step::SourceEnds { source, record }),
        1 => (0..2u8).prop_map(|source| Step::ConfirmSource { source }),
    ]
}

fn sourced(name: u8) -> SourceName {
    format!("source-{name}").parse().expect("a name")
}

/// Mostly seconds, and now and then most of a day.
fn pause() -> impl Strategy<Value = u64> {
    prop_oneof![30 => 0..15u64, 1 => 40_000..90_000u64]
}

/// A ledger made of steps: what exists, by name.
#[derive(Default)]
struct History {
    entries: Vec<Entry>,
    named: Vec<(&'static str, u8, Position)>,
    subjects: Vec<Position>,
}

impl History {
    fn number(&self, kind: &'static str, name: u8) -> Option<Position> {
        self.named.iter().rev().find(|known| (known.0, known.1) == (kind, name)).map(|known| known.2)
    }

    /// A recording under the number from before, or under a new one where there is none or it is wanted.
    fn recording<T>(&mut self, (kind, name, anew): (&'static str, u8, bool), record: T) -> Recording<T> {
        let known = self.number(kind, name).filter(|_| !anew);
        if known.is_none() {
            self.named.push((kind, name, Position::new(self.entries.len() as u64 + 1)));
        }
        match known {
            Some(number) => again(number, record),
            None => first(record),
        }
    }

    fn event(&mut self, step: &Step, time: Timestamp) -> Event {
        let subject = |subjects: &[Position], index: &Index| *index.get(subjects);
        match step {
            Step::Owner { name, anew } => Event::OwnerRecorded(self.recording(("owner", *name, *anew), owner(&format!("owner-{name}")))),
            Step::Environment { name, anew } => {
                Event::EnvironmentRecorded(self.recording(("environment", *name, *anew), environment(&format!("env-{name}"))))
            }
            Step::Workload { name, anew, owner } => {
                let record = workload(&format!("w{name}"), subject(&self.subjects, owner), &[]);
                Event::WorkloadRecorded(self.recording(("workload", *name, *anew), record))
            }
            Step::Downstream { name, anew } => {
                Event::DownstreamRecorded(self.recording(("downstream", *name, *anew), downstream(&format!("d{name}"), &[])))
            }
            Step::Person { name, anew } => {
                let record = Person { id: format!("p{name}").parse().expect("a contact"), active: *anew };
                Event::PersonRecorded(self.recording(("person", *name, *anew), record))
            }
            Step::EndPerson(index) => Event::PersonEnded { number: subject(&self.subjects, index) },
            Step::Contract { name, anew } => {
                let owner = self.number("owner", *name).unwrap_or(Position::BROKER);
                // A contract is of one owner for ever.
                let key = (owner.get() % 251) as u8;
                Event::ContractRecorded(self.recording(("contract", key, *anew), contract(owner)))
            }
            Step::EndContract { name } => {
                let owner = self.number("owner", *name).unwrap_or(Position::BROKER);
                let number = self.number("contract", (owner.get() % 251) as u8).unwrap_or(Position::BROKER);
                Event::ContractEnded { number, owner }
            }
            Step::Resource { name, anew } => Event::ResourceRecorded(self.recording(("resource", *name, *anew), resource())),
            Step::Remove(index) => {
                let number = subject(&self.subjects, index);
                // What is named again after that is a new one.
                self.named.retain(|(_, _, known)| *known != number);
                Event::DownstreamRemoved { number }
            }
            Step::Task => Event::TaskOpened(task(Position::BROKER, Position::BROKER, None)),
            Step::Cut { subject: index, closing, ends } => {
                let ends = ends.map(|ends| time.plus(Duration::from_secs(ends)));
                Event::Cut(cut(subject(&self.subjects, index), *closing, ends))
            }
            Step::Reinstate(index) => Event::Reinstated { number: subject(&self.subjects, index), note: None },
            Step::Turn { named, open } => {
                // What has a name is what is suspended, and recorded anew.
                let number = if self.named.is_empty() { Position::BROKER } else { named.get(&self.named).2 };
                if *open { Event::Reinstated { number, note: None } } else { Event::Cut(cut(number, Closing::Suspend, Some(time))) }
            }
            Step::Accept(index) => Event::WorkloadAccepted { number: subject(&self.subjects, index), owner: Position::BROKER, note: None },
            Step::Key => Event::KeyActivated(key("k")),
            Step::Retire(index) => Event::KeyRetired { number: subject(&self.subjects, index), ends: Some(time) },
            Step::CutKey(index) => Event::Cut(cut(subject(&self.subjects, index), Closing::Nothing, Some(CUT_OF_KEY_ENDS))),
            Step::Policy(version) => Event::PolicyChanged(policy(*version)),
            Step::Read => Event::AdministrativeRead { action: "ReadLedger".to_owned(), number: None },
            Step::Epoch(epoch) => Event::EpochBegun(begun([*epoch; 16])),
            Step::Exception { until } => Event::ExceptionRequested(Box::new(exception(time.plus(Duration::from_secs(*until))))),
            Step::Approve(index) => Event::ExceptionApproved { number: subject(&self.subjects, index), note: None },
            Step::Finding(index) => Event::FindingRaised(Box::new(finding(About::Subject(subject(&self.subjects, index))))),
            Step::Change { finding, change } => {
                Event::FindingChanged { number: subject(&self.subjects, finding), change: change.clone(), note: None }
            }
            Step::SourceEnds { source, record } => {
                Event::SourceEnded { source: sourced(*source), records: vec![subject(&self.subjects, record)] }
            }
            Step::ConfirmSource { source } => Event::SourceConfirmed { source: sourced(*source), digest: [5; 32] },
            Step::Issue => {
                let [owner, workload, environment] = [Position::BROKER; 3];
                Event::CredentialIssued(Box::new(issued(Subjects { owner, workload, environment, task: None, lineage: None }, time)))
            }
        }
    }

    fn push(&mut self, time: Timestamp, event: Event) -> Entry {
        let position = Position::new(self.entries.len() as u64 + 1);
        let entry = Entry { position, time, actor: None, request_id: None, event };
        self.entries.push(entry.clone());
        self.subjects.push(position);
        entry
    }
}

/// In a table of before, the latest recording of a downstream stands where the first does now.
#[test]
fn a_downstream_that_was_recorded_anew_before_there_was_a_place_for_that_is_suspended_like_any_other() {
    let store = store::Store::open(&super::super::Place::Memory, 1 << 20, super::super::Faults::default()).expect("a store in memory");
    let (mut history, mut facts) = (History::default(), Facts::default());
    let api = || downstream("api", &[]);
    let number = Position::new(1);
    let mut apply = |event: Event, before: bool| {
        let entry = history.push(NOW, event);
        let kept = store.write(|connection| {
            keep(connection, &entry, &codec::encode(&entry))?;
            if before {
                connection.execute("DELETE FROM current WHERE aspect = ?1", [Aspect::Downstream.number()])?;
                let places = [Aspect::Downstream.number(), Aspect::DownstreamAnew.number()];
                connection.execute("UPDATE current SET aspect = ?1 WHERE aspect = ?2", places)?;
            }
            Ok(())
        });
        kept.expect("kept");
        facts.apply(&entry);
    };
    apply(Event::DownstreamRecorded(first(api())), false);
    apply(Event::DownstreamRecorded(again(number, api())), true);
    apply(Event::Cut(cut(number, Closing::Suspend, Some(NOW))), false);
    apply(Event::DownstreamRecorded(again(number, api())), false);
    assert_eq!(facts.downstream_numbered(number).map(|known| known.is_open()), Some(false));
    let made = store.write(|connection| start::facts(connection, Segments::of(1 << 20), &Tip::default())).expect("read");
    assert_eq!(made.facts, facts);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn what_is_kept_makes_the_same_facts_as_every_entry(steps in prop::collection::vec((step(), pause()), 1..60), later in 0..60u64) {
        let store = store::Store::open(&super::super::Place::Memory, 1 << 20, super::super::Faults::default()).expect("a store in memory");
        let mut history = History::default();
        let mut facts = Facts::default();
        let mut time = NOW;
        let opened = Event::LedgerOpened { epoch: EPOCH, trust_domain: "example.org".parse().expect("a trust domain") };
        let mut apply = |entry: Entry| {
            store.write(|connection| {
                keep(connection, &entry, &codec::encode(&entry))?;
                prune(connection, entry.time)
            }).expect("kept");
            facts.expire(entry.time);
            facts.apply(&entry);
        };
        apply(history.push(time, opened));
        for (step, seconds) in &steps {
            time = time.plus(Duration::from_secs(*seconds));
            let event = history.event(step, time);
            apply(history.push(time, event));
        }
        let end = time.plus(Duration::from_secs(later));
        let mut made = store
            .write(|connection| start::facts(connection, Segments::of(1 << 20), &Tip::default()))
            .expect("read");
        made.facts.expire(end);
        facts.expire(end);
        prop_assert_eq!(&made.unreadable, &[]);
        prop_assert_eq!(made.facts, facts);
    }

    #[test]
    fn what_ended_is_not_kept_for_ever(tasks in 1..20u64) {
        let store = store::Store::open(&super::super::Place::Memory, 1 << 20, super::super::Faults::default()).expect("a store in memory");
        let mut history = History::default();
        for number in 0..tasks {
            let time = NOW.plus(Duration::from_secs(number));
            let opened = history.push(time, Event::TaskOpened(task(Position::BROKER, Position::BROKER, None)));
            let ends = Some(time.plus(Duration::from_secs(1)));
            history.push(time, Event::Cut(cut(opened.position, Closing::CloseTask, ends)));
        }
        let time = NOW.plus(Duration::from_secs(tasks));
        history.push(time, Event::SourceEnded { source: sourced(0), records: vec![Position::BROKER] });
        history.push(time, Event::SourceConfirmed { source: sourced(0), digest: [5; 32] });
        let kept = store.write(|connection| {
            for entry in &history.entries {
                keep(connection, entry, &codec::encode(entry))?;
                prune(connection, entry.time)?;
            }
            prune(connection, Turnover::forgotten(time))?;
            for task in history.entries.iter().step_by(2).take(usize::try_from(tasks).expect("few")) {
                assert_eq!(closed_task(connection, task.position)?, Some(task.position.next()));
            }
            all(connection)
        }).expect("kept");
        prop_assert_eq!(kept.len(), 1, "the last change alone");
    }
}
