//! Files that a disk or a person damaged: the broker says so, and serves and revokes the rest, or it
//! refuses to start with a reason.

use std::fs;

use super::*;
use crate::ledger::samples::finding;
use crate::model::{About, DownstreamConfirmed, FindingChange, Owner, Recording};

/// What `verify` says of the file, or why it cannot be looked at.
fn said(disk: &Disk) -> Vec<String> {
    match Offline::open(&disk.path()) {
        Ok(offline) => offline.verify(|_| ()).problems.iter().map(ToString::to_string).collect(),
        Err(error) => vec![error.to_string()],
    }
}

/// A ledger that was stopped, as bytes.
async fn stopped() -> (World, Vec<u8>) {
    let disk = Disk::new();
    let ledger = disk.open();
    let world = lively(&ledger).await;
    // So that no table is empty.
    let said = DownstreamConfirmed { number: world.downstream, position: world.task, confirmed: 1, lapsed: 0 };
    let found = Event::FindingRaised(Box::new(finding(About::Subject(world.downstream))));
    let raised = ledger.change(appending(vec![Event::DownstreamConfirmed(said), found])).await.expect("recorded").last;
    let seen = Event::FindingChanged { number: raised, change: FindingChange::Seen, note: None };
    ledger.change(appending(vec![seen])).await.expect("recorded");
    drop(ledger);
    disk.tamper("VACUUM").expect("no page is free");
    (world, fs::read(disk.path()).expect("there"))
}

fn holding(bytes: &[u8]) -> Disk {
    let disk = Disk::new();
    fs::write(disk.path(), bytes).expect("written");
    disk
}

/// Starts on the damaged file. Either that is refused, or everything that is not damaged goes on.
async fn starts_or_says_why(disk: &Disk, world: &World) -> bool {
    match disk.try_open(options()) {
        Err(error) => {
            assert!(matches!(error, OpenError::NotALedger(_) | OpenError::Damaged(_)), "{error:?}");
            false
        }
        Ok(ledger) => {
            assert_eq!(ledger.facts().epoch(), Some(EPOCH));
            ledger.change(cutting(world.owner, Closing::Offboard)).await.expect("revoking goes on");
            let facts = ledger.facts();
            assert!(facts.owner_numbered(world.owner).is_some_and(|owner| !owner.is_open()), "{facts:?}");
            true
        }
    }
}

const PAGE: usize = 4096;

#[tokio::test]
async fn a_torn_page_is_found_whichever_it_is() {
    let (world, sound) = stopped().await;
    assert_eq!(said(&holding(&sound)), [""; 0]);
    let (mut started, mut refused) = (0, 0);
    for page in 0..sound.len() / PAGE {
        let mut torn = sound.clone();
        // As if the second half never reached the disk.
        torn[page * PAGE + PAGE / 2..(page + 1) * PAGE].fill(0);
        assert_ne!(torn, sound, "page {page} has an empty half, and shows nothing");
        assert_ne!(said(&holding(&torn)), [""; 0], "page {page}");
        if starts_or_says_why(&holding(&torn), &world).await { started += 1 } else { refused += 1 }
    }
    assert!(started > 0 && refused > 0, "{started} started, {refused} refused");
}

#[tokio::test]
async fn a_file_that_was_cut_short_is_found() {
    let (world, sound) = stopped().await;
    let pages = sound.len() / PAGE;
    for length in (1..pages).map(|pages| pages * PAGE).chain([1, 100, PAGE - 1, PAGE + 1, sound.len() - 1]) {
        let short = holding(&sound[..length]);
        assert_ne!(said(&short), [""; 0], "{length} bytes");
        starts_or_says_why(&short, &world).await;
    }
}

#[tokio::test]
async fn a_file_of_something_else_is_refused() {
    let (_, sound) = stopped().await;
    for bytes in [vec![0; sound.len()], b"something else".repeat(1000)] {
        let error = holding(&bytes).try_open(options()).expect_err("no ledger");
        assert!(matches!(error, OpenError::NotALedger(_)) && error.to_string().contains("restore a backup"), "{error}");
        assert_ne!(said(&holding(&bytes)), [""; 0]);
    }
}

/// An empty file looks like a new ledger; what tells is the mark beside the keys.
#[tokio::test]
async fn an_empty_file_is_refused_by_the_high_water_mark() {
    let disk = Disk::new();
    let ledger = disk.open();
    lively(&ledger).await;
    let mark = ledger.high_water().await.expect("readable");
    let error = holding(b"").try_open(Options { high_water: Some(mark), ..options() }).expect_err("emptied");
    assert!(matches!(error, OpenError::WentBack { found: Position::ZERO, .. }), "{error}");
}

/// Entries that were in the log alone are lost with it. What is left is sound, so only the mark can
/// tell; and with it, no shorter log is taken for the whole.
#[tokio::test]
async fn a_log_that_was_cut_short_is_an_older_ledger_and_refused_as_one() {
    let disk = Disk::new();
    let ledger = disk.open();
    lively(&ledger).await;
    let (file, log) = (fs::read(disk.path()).expect("there"), fs::read(disk.0.path().join("ledger.db-wal")).expect("there"));
    let (head, mark) = (ledger.head().position, ledger.high_water().await.expect("readable"));
    let with_log = |log: &[u8]| {
        let copy = holding(&file);
        fs::write(copy.0.path().join("ledger.db-wal"), log).expect("written");
        copy
    };
    let (mut whole, mut older, mut torn) = (0, 0, 0);
    for length in (0..=log.len()).rev().step_by(log.len() / 60) {
        match with_log(&log[..length]).try_open(Options { high_water: Some(mark.clone()), ..options() }) {
            Ok(ledger) => {
                assert_eq!(ledger.head().position, head, "{length} bytes of the log");
                whole += 1;
            }
            Err(OpenError::WentBack { found, .. }) => {
                assert!(found < head);
                let copy = with_log(&log[..length]);
                drop(copy.open());
                assert_eq!(copy.problems(), [""; 0], "what is left is whole");
                older += 1;
            }
            // The file already had later pages than what is left of the log: the two do not fit.
            Err(_) => torn += 1,
        }
    }
    assert!(whole > 0 && older > 10, "{whole} whole, {older} older, {torn} torn");
    let mut flipped = log.clone();
    flipped[log.len() / 2] ^= 1;
    assert!(matches!(with_log(&flipped).try_open(Options { high_water: Some(mark), ..options() }), Err(OpenError::WentBack { .. })));
}

/// What recorded an owner first is damaged, entry and copy. It was offboarded, and named again since.
#[tokio::test]
async fn a_subject_whose_first_recording_is_lost_is_closed() {
    let disk = Disk::new();
    let ledger = disk.open();
    let world = populate(&*ledger).await;
    ledger.change(cutting(world.owner, Closing::Offboard)).await.expect("cut");
    let again = {
        let facts = ledger.facts();
        let known = facts.owner_numbered(world.owner).expect("known");
        Owner { contract_end: Some(Timestamp::from_seconds(4_000_000_000)), ..Owner::clone(&known.record) }
    };
    let again = Event::OwnerRecorded(Recording { number: Some(world.owner), origin: None, record: again });
    ledger.change(appending(vec![again])).await.expect("recorded");
    let before = ledger.facts().clone();
    drop(ledger);
    let ledger = disk.open();
    assert_eq!(*ledger.facts(), before);
    drop(ledger);

    let (first, segment) = (world.owner, world.owner.get() / 8);
    disk.tamper(&format!(
        "DROP TRIGGER entries_{segment}_update; UPDATE entries_{segment} SET bytes = x'ffff' WHERE position = {first};
         UPDATE current SET bytes = x'ffff' WHERE position = {first}"
    ))
    .expect("done");
    let ledger = disk.open();
    assert_eq!(ledger.unreadable().iter().map(|bad| bad.position).collect::<Vec<_>>(), [first]);
    assert!(!ledger.facts().owner_numbered(world.owner).expect("known").is_open());
}
