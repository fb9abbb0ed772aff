//! A ledger that went back, or another way, is not opened.

use super::*;
use crate::ledger::samples::{begun, granted, key};
use crate::model::{CUT_OF_KEY_ENDS, Issued};

/// The files of a ledger in use, as they are now.
fn copied(disk: &Disk) -> Disk {
    let copy = Disk::new();
    for name in ["ledger.db", "ledger.db-wal"] {
        let from = disk.0.path().join(name);
        if from.exists() {
            std::fs::copy(from, copy.0.path().join(name)).expect("copied");
        }
    }
    copy
}

fn beyond(mark: HighWater) -> Options {
    Options { high_water: Some(mark), ..options() }
}

#[tokio::test]
async fn an_older_copy_is_refused_with_what_to_do() {
    let disk = Disk::new();
    let ledger = disk.open();
    let world = lively(&ledger).await;
    let (old, then) = (copied(&disk), ledger.head().position);
    ledger.change(cutting(world.owner, Closing::Offboard)).await.expect("cut");
    let mark = ledger.high_water().await.expect("readable");
    assert_eq!(mark.position(), ledger.head().position);
    let error = old.try_open(beyond(mark.clone())).expect_err("an older copy");
    assert!(matches!(error, OpenError::WentBack { found, reached } if (found, reached) == (then, mark.position())), "{error}");
    assert!(error.to_string().contains("curfew ledger recover"), "{error}");
    let empty = Disk::new();
    assert!(matches!(empty.try_open(beyond(mark.clone())), Err(OpenError::WentBack { .. })), "no ledger at all");
    drop(ledger);
    disk.try_open(beyond(mark)).expect("the ledger itself");
}

#[tokio::test]
async fn a_mark_that_lags_behind_is_passed() {
    let disk = Disk::new();
    let ledger = disk.open();
    let world = populate(&*ledger).await;
    let mut marks = vec![ledger.high_water().await.expect("readable")];
    for _ in 0..9 {
        record(&ledger, &world, world.subjects()).await.expect("recorded");
        marks.push(ledger.high_water().await.expect("readable"));
    }
    drop(ledger);
    for mark in marks {
        drop(disk.try_open(beyond(mark)).expect("the same history"));
    }
}

/// The copy was used, and has come further by now than the ledger had.
#[tokio::test]
async fn a_ledger_that_went_another_way_is_refused() {
    let disk = Disk::new();
    let ledger = disk.open();
    let world = lively(&ledger).await;
    let other = copied(&disk);
    ledger.change(cutting(world.owner, Closing::Offboard)).await.expect("cut");
    let mark = ledger.high_water().await.expect("readable");
    let used = other.open();
    for _ in 0..5 {
        record(&used, &world, world.subjects()).await.expect("recorded");
    }
    drop(used);
    let error = other.try_open(beyond(mark)).expect_err("another history");
    assert!(matches!(&error, OpenError::AnotherHistory { what, .. } if what.contains("entries")), "{error}");
    let stranger = Disk::new();
    let ledger = stranger.try_open(Options { epoch: Epoch([1; 16]), ..options() }).expect("opened");
    let mark = ledger.high_water().await.expect("readable");
    let error = disk_of_its_own().await.try_open(beyond(mark)).expect_err("another ledger");
    assert!(matches!(&error, OpenError::AnotherHistory { what, .. } if what.contains("epoch")), "{error}");
}

async fn disk_of_its_own() -> Disk {
    let disk = Disk::new();
    populate(&*disk.open()).await;
    disk
}

/// Its keys are cut, so that nothing it issued is alive, counted or not.
#[tokio::test]
async fn a_new_epoch_ends_what_was_alive_and_stays_after_a_restart() {
    let disk = Disk::new();
    let ledger = disk.open();
    let world = lively(&ledger).await;
    assert!(ledger.census(Whose::Owner(world.owner), NOW).total > 0);
    let retired = cut(world.key, Closing::Nothing, Some(CUT_OF_KEY_ENDS));
    ledger.change(appending(vec![Event::EpochBegun(begun([9; 16])), Event::Cut(retired)])).await.expect("begun");
    assert_eq!(ledger.census(Whose::Owner(world.owner), NOW).total, 0);
    let key = ledger.change(appending(vec![Event::KeyActivated(key("token-2"))])).await.expect("activated").last;
    let issued = Issued { key, ..world.issued(world.subjects()) };
    ledger.record(granted(&*ledger, issued), [1; 8]).await.expect("recorded");
    assert_eq!(ledger.census(Whose::Owner(world.owner), NOW).total, 1);
    let before = shown(&ledger);
    assert_eq!(before.0.epoch(), Some(Epoch([9; 16])));
    drop(ledger);
    assert_eq!(disk.problems(), [""; 0]);
    // However long the start is away, the cut of a key does not leave the list.
    let later = Clock::manual(NOW.plus(Duration::from_secs(10 * 365 * 86_400))).0;
    let ledger = SqliteLedger::open(&Place::File(disk.path()), options(), later).expect("opened");
    assert!(ledger.facts().cuts().get(world.key).is_some());
    assert_eq!(ledger.facts().epoch(), Some(Epoch([9; 16])));
    drop(ledger);
    let offline = Offline::open(&disk.path()).expect("a ledger").verify(|_| ());
    assert_eq!((offline.epoch_at(at(1)), offline.epoch_at(key)), (Some(EPOCH), Some(Epoch([9; 16]))));
}

#[tokio::test]
async fn a_mark_reads_back_and_a_damaged_one_does_not() {
    let disk = Disk::new();
    let ledger = disk.open();
    lively(&ledger).await;
    let mark = ledger.high_water().await.expect("readable");
    let text = mark.to_json();
    assert_eq!(HighWater::from_json(&text), Some(mark));
    for (from, to) in
        [("\"position\":", "\"position\":2"), ("\"root\":\"", "\"root\":\"0"), ("\"epoch\":\"", "\"epoch\":\"x"), ("[\"", "[\"00")]
    {
        let damaged = text.replacen(from, to, 1);
        assert_ne!(damaged, text);
        assert_eq!(HighWater::from_json(&damaged), None, "{damaged}");
    }
    assert_eq!(HighWater::from_json(""), None);
}
