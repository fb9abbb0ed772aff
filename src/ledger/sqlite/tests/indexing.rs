//! Searches by owner, workload and audience: the same with an index as without, and over segments that are sealed.

use super::*;
use crate::ledger::samples::granted;
use crate::ledger::search::MOST_SEARCHED;
use crate::ledger::{By, Found, Search};
use crate::model::Issued;

/// The positions that a search for what stands on `subject` finds, page after page.
async fn found(ledger: &SqliteLedger, subject: Position, by_index: bool, limit: usize) -> Vec<u64> {
    found_by(ledger, &By::Subject(subject), by_index, limit).await
}

async fn found_by(ledger: &SqliteLedger, by: &By, by_index: bool, limit: usize) -> Vec<u64> {
    let (mut positions, mut before) = (Vec::new(), Some(at(u64::MAX)));
    while let Some(from) = before {
        let wanted = by.clone();
        let search = Search {
            before: from,
            after: Position::ZERO,
            limit,
            since: Timestamp::EPOCH,
            by: by_index.then(|| by.clone()),
            wanted: Box::new(move |_, issued| wanted.holds(issued)),
        };
        let Found { credentials, next } = ledger.search(search).await.expect("searched");
        assert!(credentials.len() <= limit);
        positions.extend(credentials.iter().map(|(id, _)| id.position().get()));
        before = next;
    }
    positions
}

/// Waits until every sealed segment is indexed.
async fn indexed(ledger: &SqliteLedger) {
    let (open, ..) = ledger.shared.store.segments.around(ledger.head().position);
    // The writer says how far it came between commits.
    while ledger.shared.index.segments() != (0..open).collect::<Vec<_>>() {
        tokio::task::yield_now().await;
    }
}

async fn fill(ledger: &SqliteLedger, world: &World) {
    for round in 0..30 {
        record(ledger, world, if round % 3 == 0 { world.other_subjects() } else { world.subjects() }).await.expect("recorded");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_finds_the_same_with_the_index_as_without_after_a_restart_too() {
    let disk = Disk::new();
    let ledger = disk.open();
    let world = populate(&*ledger).await;
    fill(&ledger, &world).await;
    indexed(&ledger).await;
    let subjects = [world.owner, world.workload, world.other_owner, at(999)];
    let mut expected = Vec::new();
    for subject in subjects {
        let scanned = found(&ledger, subject, false, 100).await;
        for limit in [1, 3, 100] {
            assert_eq!(found(&ledger, subject, true, limit).await, scanned, "{subject}, {limit} a page");
        }
        expected.push(scanned);
    }
    assert_eq!(expected.iter().map(Vec::len).collect::<Vec<_>>(), [20, 20, 10, 0]);
    drop(ledger);
    let ledger = disk.open();
    ledger.change(cutting(world.other_owner, Closing::Suspend)).await.expect("cut");
    indexed(&ledger).await;
    assert_eq!(found(&ledger, world.owner, true, 3).await, expected[0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_issued_for_an_audience_is_found_in_sealed_segments_by_the_index() {
    let disk = Disk::new();
    let ledger = disk.open();
    let world = populate(&*ledger).await;
    let [usual, other, unknown] = ["https://api.example.org", "https://other.example.org", "https://nobody.example.org"];
    for audience in [other, usual, usual, other].into_iter().cycle().take(32) {
        let audience = Some(audience.parse().expect("an audience"));
        let grant = granted(&*ledger, Issued { audience, ..world.issued(world.subjects()) });
        ledger.record(grant, [1; 8]).await.expect("recorded");
    }
    indexed(&ledger).await;
    for (audience, count) in [(usual, 16), (other, 16), (unknown, 0)] {
        let by = By::Audience(audience.parse().expect("an audience"));
        let everything = Search {
            before: at(u64::MAX),
            after: Position::ZERO,
            limit: 100,
            since: Timestamp::EPOCH,
            by: None,
            wanted: Box::new(move |_, issued| issued.audience.as_ref().is_some_and(|found| found.as_str() == audience)),
        };
        let scanned = ledger.search(everything).await.expect("searched").credentials;
        let scanned: Vec<u64> = scanned.iter().map(|(id, _)| id.position().get()).collect();
        assert_eq!((scanned.len(), found_by(&ledger, &by, true, 3).await), (count, scanned), "{audience}");
        let answered = ledger.shared.index.positions(0, &by, (Position::ZERO, at(u64::MAX)), 100).expect("it is sealed and indexed");
        assert!(count > 0 || answered.is_empty(), "nothing is looked at in vain");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sealed_segment_is_answered_by_the_index_and_the_open_one_is_scanned() {
    let disk = Disk::new();
    let ledger = disk.open();
    let world = populate(&*ledger).await;
    fill(&ledger, &world).await;
    indexed(&ledger).await;
    let segments = ledger.shared.store.segments;
    let (open, ..) = segments.around(ledger.head().position);
    let all = (Position::ZERO, ledger.head().position);
    let mut answered = Vec::new();
    for segment in 0..open {
        answered.extend(ledger.shared.index.positions(segment, &By::Subject(world.owner), all, 100).expect("it is sealed and indexed"));
    }
    answered.sort_unstable_by(|one, other| other.cmp(one));
    let (_, begins, _) = segments.around(ledger.head().position);
    let scanned = found(&ledger, world.owner, false, 100).await;
    let sealed: Vec<u64> = scanned.into_iter().filter(|position| *position < begins.get()).collect();
    assert_eq!(answered.iter().map(|position| position.get()).collect::<Vec<_>>(), sealed);
    assert!(!sealed.is_empty());
    assert_eq!(ledger.shared.index.positions(open, &By::Subject(world.owner), all, 100), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_is_damaged_or_of_another_history_is_made_again() {
    let (disk, other) = (Disk::new(), Disk::new());
    let world = {
        let (ledger, elsewhere) = (disk.open(), other.open());
        let (world, strange) = (populate(&*ledger).await, populate(&*elsewhere).await);
        fill(&ledger, &world).await;
        for _ in 0..30 {
            elsewhere.record(strange.grant(&*elsewhere, strange.other_subjects()), [2; 8]).await.expect("recorded");
        }
        indexed(&ledger).await;
        indexed(&elsewhere).await;
        world
    };
    let index = |disk: &Disk| disk.path().with_extension("db.index");
    let foreign = std::fs::read(index(&other)).expect("an index");
    for bytes in [foreign, b"no database at all, and long enough to be looked at as one".repeat(20), Vec::new()] {
        std::fs::write(index(&disk), &bytes).expect("written");
        let ledger = disk.open();
        ledger.change(cutting(world.other_owner, Closing::Suspend)).await.expect("cut");
        indexed(&ledger).await;
        let scanned = found(&ledger, world.owner, false, 100).await;
        assert_eq!((scanned.len(), found(&ledger, world.owner, true, 100).await), (20, scanned));
    }
}

#[tokio::test]
async fn a_segment_whose_indexing_was_interrupted_is_indexed_at_the_next_start() {
    let disk = Disk::new();
    let place = Place::File(disk.path());
    // The first segment begins with what is no issuance.
    let ledger = disk.try_open(Options { segment_size: 16, ..options() }).expect("opened");
    let world = populate(&*ledger).await;
    fill(&ledger, &world).await;
    drop(ledger);
    std::fs::remove_file(disk.path().with_extension("db.index")).expect("there");
    let store = Store::open(&place, 16, Faults::default()).expect("opened");
    let index = Index::beside(&place);
    index.stop();
    assert!(index.provide(&store, 0).is_err());
    store.close();
    drop((store, index));
    let ledger = disk.open();
    ledger.change(cutting(world.other_owner, Closing::Suspend)).await.expect("cut");
    indexed(&ledger).await;
    assert_eq!(found(&ledger, world.owner, true, 100).await, found(&ledger, world.owner, false, 100).await);
}

#[tokio::test]
async fn a_ledger_in_memory_has_no_index_and_is_scanned() {
    let ledger = in_memory().ledger;
    let world = populate(&*ledger).await;
    for _ in 0..30 {
        ledger.record(world.grant(&*ledger, world.subjects()), [1; 8]).await.expect("recorded");
    }
    let search = Search {
        before: at(u64::MAX),
        after: Position::ZERO,
        limit: usize::try_from(MOST_SEARCHED).expect("small"),
        since: Timestamp::EPOCH,
        by: Some(By::Subject(world.owner)),
        wanted: Box::new(|_, _| true),
    };
    assert_eq!(ledger.search(search).await.expect("searched").credentials.len(), 30);
}
