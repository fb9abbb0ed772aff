//! Every write of the store fails, before and after it persists.

use std::collections::BTreeSet;

use super::*;
use crate::ledger::samples::{
    again, begun, contract, downstream, environment, every_event, exception, finding, first, key, origin, person, refused, resource,
    sound_policy, sourced, workload,
};
use crate::ledger::sqlite::faults::Fault;
use crate::model::{About, CUT_GRACE, CUT_OF_KEY_ENDS, DownstreamConfirmed, Exception, FindingChange, Held, Recording, Resource, Subjects};

const BOTH: [(Fault, u64); 2] = [(Fault::Before, 0), (Fault::After, 1)];

fn is_unavailable<T: std::fmt::Debug>(answer: &Result<T, LedgerError>) {
    assert!(matches!(answer, Err(LedgerError::Unavailable(_))), "{answer:?}");
}

/// The tables of a new ledger, then its first entry.
#[tokio::test]
async fn a_start_that_fails_at_any_write_is_repeated_as_if_it_had_not_been() {
    for (spared, (fault, _)) in [0, 1].into_iter().flat_map(|spared| BOTH.map(|fault| (spared, fault))) {
        let disk = Disk::new();
        let options = options();
        options.faults.arm(spared, fault);
        let error = disk.try_open(options.clone()).expect_err("a write failed").to_string();
        assert!(!error.is_empty() && options.faults.left() == 0, "{error}");
        let ledger = disk.open();
        let world = populate(&*ledger).await;
        record(&ledger, &world, world.subjects()).await.expect("recorded");
        drop(ledger);
        assert_eq!(disk.problems(), [""; 0], "{spared} {fault:?}");
    }
}

#[tokio::test]
async fn a_start_on_a_ledger_that_is_there_commits_nothing() {
    let disk = Disk::new();
    lively(&disk.open()).await;
    let options = options();
    // The first is that of the tables, of which none is new.
    options.faults.arm(1, Fault::Before);
    let ledger = disk.try_open(options.clone()).expect("opened");
    assert_eq!(options.faults.left(), 1);
    ledger.probe().await.expect_err("the first write");
}

#[tokio::test]
async fn after_a_failed_commit_memory_is_what_the_store_has() {
    let disk = Disk::new();
    let ledger = disk.open();
    let world = lively(&ledger).await;
    let faults = &ledger.shared.store.faults;
    let living = || ledger.census(Whose::Owner(world.owner), NOW).total;
    for (fault, stored) in BOTH {
        let (head, alive) = (ledger.head().position.get(), living());
        faults.arm(0, fault);
        is_unavailable(&record(&ledger, &world, world.subjects()).await);
        let recorded = record(&ledger, &world, world.subjects()).await.expect("recorded");
        assert_eq!((recorded.position().get(), living()), (head + stored + 1, alive + stored + 1));

        let decided = world.grant(&*ledger, world.subjects());
        let mut watch = ledger.watch();
        faults.arm(0, fault);
        is_unavailable(&ledger.change(cutting(world.owner, Closing::Suspend)).await);
        // A cut that was stored counts, though nobody was told of it.
        assert_eq!(ledger.facts().owner_numbered(world.owner).is_some_and(|owner| owner.is_open()), stored == 0);
        assert_eq!(watch.has_changed().expect("open"), stored == 1);
        assert_eq!(ledger.record(decided, [0; 8]).await.is_err(), stored == 1);
        assert_eq!(*watch.borrow_and_update(), ledger.facts().changed());
    }
    assert_eq!(ledger.stats().failures, 4);
    let before = shown(&ledger);
    drop(ledger);
    assert_eq!(disk.problems(), [""; 0]);
    assert_eq!(shown(&disk.open()), before);
}

/// What is appended one after the other, from a position on.
struct Said {
    changes: Vec<Vec<Event>>,
    next: Position,
}

impl Said {
    fn one(&mut self, event: Event) -> Position {
        self.together(vec![event])
    }

    /// Answers the position of the first.
    fn together(&mut self, events: Vec<Event>) -> Position {
        let first = self.next;
        self.next = at(first.get() + events.len() as u64);
        self.changes.push(events);
        first
    }
}

/// What can be appended, in an order in which each may be, after the entry `last`.
fn every_change(world: &World, round: u8, last: Position) -> Vec<Vec<Event>> {
    let ended = |number, closing| Event::Cut(cut(number, closing, Some(NOW.plus(Duration::from_secs(420)))));
    let for_ever = |number| Event::Cut(cut(number, Closing::Nothing, Some(CUT_OF_KEY_ENDS)));
    let mut said = Said { changes: Vec::new(), next: last.next() };
    said.one(Event::OwnerRecorded(first(owner(&format!("new-{round}")))));
    said.one(Event::EnvironmentRecorded(again(world.environment, environment("production"))));
    said.one(Event::WorkloadRecorded(again(world.workload, workload("payments/api", world.owner, &[world.environment]))));
    said.one(Event::DownstreamRecorded(again(world.downstream, downstream("ledger-api", &[world.environment]))));
    said.one(Event::PolicyChanged(sound_policy(round)));
    said.one(Event::TaskOpened(task(world.owner, world.environment, None)));
    said.one(Event::AdministrativeRead { action: "ReadOwner".to_owned(), number: Some(world.owner) });
    said.one(refused());
    let asked = Exception { workload: world.workload, environment: world.environment, ..exception(NOW.plus(Duration::from_secs(3600))) };
    let excepted = said.one(Event::ExceptionRequested(Box::new(asked)));
    said.one(Event::ExceptionApproved { number: excepted, note: None });
    let found = said.one(Event::FindingRaised(Box::new(finding(About::Subject(world.workload)))));
    said.one(Event::FindingChanged { number: found, change: FindingChange::Resolved, note: None });
    let person = said.one(Event::PersonRecorded(Recording { number: None, ..sourced(at(0), person()) }));
    said.one(Event::PersonEnded { number: person });
    let contract = said.one(Event::ContractRecorded(Recording { number: None, ..sourced(at(0), contract(world.owner)) }));
    said.one(Event::ContractEnded { number: contract, owner: world.owner });
    said.one(Event::ResourceRecorded(first(Resource { ended: None, ..resource() })));
    let (source, why) = (origin().source, "it is empty".parse().expect("a note"));
    said.one(Event::SourceHeld(Held { source: source.clone(), digest: Some([5; 32]), why, ends: 12, of: 12 }));
    said.one(Event::SourceEnded { source: source.clone(), records: vec![world.workload] });
    said.one(Event::SourceConfirmed { source, digest: [5; 32] });
    said.one(Event::DownstreamConfirmed(DownstreamConfirmed { number: world.downstream, position: last, confirmed: 3, lapsed: 1 }));
    said.one(ended(world.workload, Closing::Suspend));
    said.one(ended(world.environment, Closing::Offboard));
    said.one(Event::Reinstated { number: world.environment, note: None });
    said.one(ended(world.other_workload, Closing::AwaitOwner));
    said.one(Event::WorkloadAccepted { number: world.other_workload, owner: world.other_owner, note: None });
    said.one(ended(world.other_workload, Closing::Unregister));
    said.one(ended(world.task, Closing::CloseTask));
    let api = said.one(Event::DownstreamRecorded(first(downstream(&format!("api-{round}"), &[]))));
    said.one(Event::DownstreamRemoved { number: api });
    said.together(vec![Event::EpochBegun(begun([round; 16])), for_ever(world.key)]);
    let key = said.one(Event::KeyActivated(key(&format!("token-{round}"))));
    said.one(Event::KeyRetired { number: key, ends: Some(NOW.plus(Duration::from_secs(420))) });
    said.changes
}

/// Whether it comes as a change: a ledger opens once, and issuing has its own way in. Each of these is failed above.
const fn is_change(event: &Event) -> bool {
    match event {
        Event::LedgerOpened { .. } | Event::CredentialIssued(_) => false,
        Event::KeyActivated(_)
        | Event::KeyRetired { .. }
        | Event::PolicyChanged(_)
        | Event::OwnerRecorded(_)
        | Event::EnvironmentRecorded(_)
        | Event::WorkloadRecorded(_)
        | Event::DownstreamRecorded(_)
        | Event::DownstreamRemoved { .. }
        | Event::TaskOpened(_)
        | Event::Cut(_)
        | Event::Reinstated { .. }
        | Event::WorkloadAccepted { .. }
        | Event::AdministrativeRead { .. }
        | Event::EpochBegun(_)
        | Event::DownstreamConfirmed(_)
        | Event::RequestsRefused(_)
        | Event::ExceptionRequested(_)
        | Event::ExceptionApproved { .. }
        | Event::PersonRecorded(_)
        | Event::PersonEnded { .. }
        | Event::ContractRecorded(_)
        | Event::ContractEnded { .. }
        | Event::ResourceRecorded(_)
        | Event::SourceHeld(_)
        | Event::SourceConfirmed { .. }
        | Event::SourceEnded { .. }
        | Event::FindingRaised(_)
        | Event::FindingChanged { .. } => true,
    }
}

#[tokio::test]
async fn every_kind_of_change_may_fail_both_ways() {
    let (world, events) = World::events();
    let tried: BTreeSet<&str> = every_change(&world, 0, at(events.len() as u64 + 1)).iter().flatten().map(Event::name).collect();
    let kinds: BTreeSet<&str> = every_event().iter().filter(|event| is_change(event)).map(Event::name).collect();
    assert_eq!(tried, kinds, "no kind is left out");
    for (round, (fault, stored)) in (70..).zip(BOTH) {
        for kind in 0.. {
            let disk = Disk::new();
            let ledger = disk.open();
            let world = populate(&*ledger).await;
            record(&ledger, &world, world.subjects()).await.expect("recorded");
            let changes = every_change(&world, round, ledger.head().position);
            let Some(events) = changes.get(kind).cloned() else { break };
            for earlier in &changes[..kind] {
                ledger.change(appending(earlier.clone())).await.expect("changed");
            }
            let (head, name) = (ledger.head().position.get(), events[0].name());
            let size = events.len() as u64;
            ledger.shared.store.faults.arm(0, fault);
            is_unavailable(&ledger.change(appending(events)).await);
            assert_eq!(ledger.head().position.get(), head + stored * size, "{name}: all of it or nothing");
            ledger.change(cutting(world.other_owner, Closing::Suspend)).await.expect("revoking goes on");
            let before = shown(&ledger);
            drop(ledger);
            assert_eq!(disk.problems(), [""; 0], "{name} {fault:?}");
            assert_eq!(shown(&disk.open()), before, "{name} {fault:?}");
        }
    }
}

#[tokio::test]
async fn counters_that_were_not_kept_are_counted_again() {
    for (fault, _) in BOTH {
        let disk = Disk::new();
        let ledger = disk.open();
        lively(&ledger).await;
        let before = shown(&ledger);
        // The only write that is left is that of the counters, as it closes.
        ledger.shared.store.faults.arm(0, fault);
        ledger.close().await;
        assert_eq!(ledger.shared.store.faults.left(), 0);
        assert_eq!(disk.problems(), [""; 0], "{fault:?}");
        assert_eq!(shown(&disk.open()), before, "{fault:?}");
    }
}

#[tokio::test]
async fn the_probe_says_whether_the_disk_takes_a_commit() {
    let disk = Disk::new();
    let ledger = disk.open();
    let head = ledger.head();
    ledger.probe().await.expect("sound");
    for (fault, _) in BOTH {
        ledger.shared.store.faults.arm(0, fault);
        is_unavailable(&ledger.probe().await);
        ledger.probe().await.expect("sound again");
        assert_eq!(ledger.head(), head);
    }
    ledger.close().await;
    is_unavailable(&ledger.probe().await);
}

/// What is read needs no write, and a failed write leaves it readable.
#[tokio::test]
async fn reading_goes_on_after_a_failed_write() {
    let disk = Disk::new();
    let ledger = disk.open();
    let world = lively(&ledger).await;
    let last = record(&ledger, &world, Subjects { ..world.subjects() }).await.expect("recorded").position();
    ledger.shared.store.faults.arm(0, Fault::Before);
    is_unavailable(&ledger.change(cutting(world.owner, Closing::Suspend)).await);
    assert!(ledger.find(last).await.expect("readable").is_some_and(|stored| stored.entry.is_ok()));
    assert_eq!(ledger.entries(at(1), 5).await.expect("readable").len(), 5);
    assert_eq!(ledger.closed_task(world.task).await.expect("readable").is_some(), ledger.facts().task(world.task).is_some());
    assert_eq!(ledger.high_water().await.expect("readable").position(), ledger.head().position);
    assert!(ledger.facts().cuts().iter().all(|cut| cut.ends >= NOW.plus(CUT_GRACE)));
}
