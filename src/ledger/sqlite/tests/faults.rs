//! Every write of the store fails, before and after it persists.

use super::*;
use crate::ledger::samples::{again, begun, downstream, environment, first, key, sound_policy, workload};
use crate::ledger::sqlite::faults::Fault;
use crate::model::{CUT_GRACE, CUT_OF_KEY_ENDS, Subjects};

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

/// What can be appended, in an order in which each may be.
fn every_change(world: &World, round: u8) -> Vec<Vec<Event>> {
    let ended = |number, closing| Event::Cut(cut(number, closing, Some(NOW.plus(Duration::from_secs(420)))));
    let for_ever = |number| Event::Cut(cut(number, Closing::Nothing, Some(CUT_OF_KEY_ENDS)));
    vec![
        vec![Event::OwnerRecorded(first(owner(&format!("new-{round}"))))],
        vec![Event::EnvironmentRecorded(again(world.environment, environment("production")))],
        vec![Event::WorkloadRecorded(again(world.workload, workload("payments/api", world.owner, &[world.environment])))],
        vec![Event::DownstreamRecorded(again(world.downstream, downstream("ledger-api", &[world.environment])))],
        vec![Event::PolicyChanged(sound_policy(round))],
        vec![Event::TaskOpened(task(world.owner, world.environment, None))],
        vec![Event::AdministrativeRead { action: "ReadOwner".to_owned(), number: Some(world.owner) }],
        vec![ended(world.workload, Closing::Suspend)],
        vec![ended(world.environment, Closing::Offboard)],
        vec![Event::Reinstated { number: world.environment, note: None }],
        vec![ended(world.other_workload, Closing::AwaitOwner)],
        vec![Event::WorkloadAccepted { number: world.other_workload, owner: world.other_owner, note: None }],
        vec![ended(world.other_workload, Closing::Unregister)],
        vec![ended(world.task, Closing::CloseTask)],
        vec![Event::DownstreamRecorded(first(downstream(&format!("api-{round}"), &[])))],
        vec![Event::EpochBegun(begun([round; 16])), for_ever(world.key)],
        vec![Event::KeyActivated(key(&format!("token-{round}")))],
    ]
}

#[tokio::test]
async fn every_kind_of_change_may_fail_both_ways() {
    for (round, (fault, stored)) in (70..).zip(BOTH) {
        for kind in 0.. {
            let disk = Disk::new();
            let ledger = disk.open();
            let world = populate(&*ledger).await;
            record(&ledger, &world, world.subjects()).await.expect("recorded");
            let changes = every_change(&world, round);
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
