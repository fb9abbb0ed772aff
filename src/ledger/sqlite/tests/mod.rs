//! The contract on a file and in memory, and what is SQLite's own.

use super::*;
use crate::ledger::contract::{Rig, contract};
use crate::ledger::samples::{EPOCH, NOW, World, appending, at, cut, cutting, first, owner, populate, refused, spiffe_id, task};
use crate::ledger::{LedgerError, Offline};
use crate::model::{Closing, Subjects, cut_ends};

fn options() -> Options {
    let domain = "example.org".parse().expect("a trust domain");
    // Small segments, so that every test crosses from one to the next.
    Options { segment_size: 8, min_free_disk: 0, ..Options::new(domain, EPOCH) }
}

fn in_memory() -> Rig {
    let (clock, hand) = Clock::manual(NOW);
    let ledger = SqliteLedger::open(&Place::Memory, options(), clock).expect("opened");
    Rig { ledger, hand, _folder: None }
}

fn on_file() -> Rig {
    let (clock, hand) = Clock::manual(NOW);
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = SqliteLedger::open(&Place::File(folder.path().join("ledger.db")), options(), clock).expect("opened");
    Rig { ledger, hand, _folder: Some(folder) }
}

mod backup;
mod damage;
mod faults;
mod high_water;
mod indexing;
mod verification;
mod waiting;

contract!(memory, in_memory());
contract!(file, on_file());

/// A folder with a file for a ledger.
struct Disk(tempfile::TempDir);

impl Disk {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("ledger.db")
    }

    fn open(&self) -> Arc<SqliteLedger> {
        self.try_open(options()).expect("opened")
    }

    fn try_open(&self, options: Options) -> Result<Arc<SqliteLedger>, OpenError> {
        SqliteLedger::open(&Place::File(self.path()), options, Clock::manual(NOW).0)
    }

    /// Works on the file as somebody could who has it.
    fn tamper(&self, sql: &str) -> rusqlite::Result<()> {
        rusqlite::Connection::open(self.path())?.execute_batch(sql)
    }

    fn problems(&self) -> Vec<String> {
        let report = Offline::open(&self.path()).expect("a ledger").verify(|_| ());
        assert_eq!(report.found, report.problems.len() as u64);
        report.problems.iter().map(ToString::to_string).collect()
    }
}

async fn record(ledger: &SqliteLedger, world: &World, subjects: Subjects) -> Result<Recorded, LedgerError> {
    ledger.record(world.grant(ledger, subjects), [1; 8]).await
}

/// A history with everything that a start has to bring back.
async fn lively(ledger: &SqliteLedger) -> World {
    let world = populate(ledger).await;
    for _ in 0..20 {
        record(ledger, &world, world.subjects()).await.expect("recorded");
        record(ledger, &world, world.other_subjects()).await.expect("recorded");
    }
    let alone = record(ledger, &world, world.subjects()).await.expect("recorded").position();
    ledger.change(cutting(alone, Closing::Nothing)).await.expect("cut");
    ledger.change(cutting(world.task, Closing::CloseTask)).await.expect("cut");
    ledger.change(cutting(world.other_owner, Closing::Suspend)).await.expect("cut");
    record(ledger, &world, world.subjects()).await.expect("recorded");
    world
}

/// What a ledger shows: everything that a start has to bring back.
fn shown(ledger: &SqliteLedger) -> (Facts, Head, Living) {
    (ledger.facts().clone(), ledger.head(), ledger.shared.living().clone())
}

#[tokio::test]
async fn what_was_closed_opens_as_it_was() {
    let disk = Disk::new();
    let ledger = disk.open();
    let world = lively(&ledger).await;
    let before = shown(&ledger);
    ledger.close().await;
    let ledger = disk.open();
    assert_eq!(shown(&ledger), before);
    assert_eq!(ledger.unreadable(), &[]);
    let recorded = record(&ledger, &world, world.subjects()).await.expect("recorded");
    assert_eq!(recorded.position(), before.1.position.next());
    drop(ledger);
    assert_eq!(disk.problems(), [""; 0]);
}

/// As after a power cut: a copy of file and log in the middle of it all, counters kept long ago.
#[tokio::test]
async fn what_was_killed_opens_as_it_was() {
    for keep_counters_every in [1 << 16, 7] {
        let disk = Disk::new();
        let ledger = disk.try_open(Options { keep_counters_every, ..options() }).expect("opened");
        lively(&ledger).await;
        // The writer keeps counters between commits, unasked: an answered change comes after that.
        let owner = Event::OwnerRecorded(first(owner("another")));
        ledger.change(appending(vec![owner])).await.expect("recorded");
        let copy = Disk::new();
        for name in ["ledger.db", "ledger.db-wal"] {
            std::fs::copy(disk.0.path().join(name), copy.0.path().join(name)).expect("copied");
        }
        let opened = copy.open();
        assert_eq!(shown(&opened), shown(&ledger), "{keep_counters_every}");
        drop(opened);
        assert_eq!(copy.problems(), [""; 0]);
    }
}

/// The clock ran ahead by a day, something was recorded, and it was set right.
#[tokio::test]
async fn what_is_cut_after_the_clock_was_set_right_is_known_after_a_restart() {
    let disk = Disk::new();
    let (clock, hand) = Clock::manual(NOW);
    let open = || SqliteLedger::open(&Place::File(disk.path()), options(), clock.clone()).expect("opened");
    let ledger = open();
    let world = populate(&*ledger).await;
    hand.set(NOW.plus(Duration::from_secs(24 * 3600)));
    ledger.change(appending(vec![Event::OwnerRecorded(first(owner("another")))])).await.expect("recorded");
    hand.set(NOW);
    let [alone, _alive] = [record(&ledger, &world, world.subjects()).await, record(&ledger, &world, world.subjects()).await];
    let alone = alone.expect("recorded").position();
    let ends = cut_ends(NOW.plus(Duration::from_secs(300)), NOW);
    let made = ledger.change(appending(vec![Event::Cut(cut(alone, Closing::Nothing, ends))])).await.expect("cut");
    // The last change is kept whatever it is.
    ledger.change(cutting(world.other_owner, Closing::Suspend)).await.expect("cut");
    drop(ledger);
    let ledger = open();
    assert_eq!(ledger.facts().cuts().get(alone).map(|cut| cut.position), Some(made.last));
    assert!(ledger.census(Whose::Owner(world.owner), NOW).total > 0);
    assert!(ledger.shared.living().may_be_low(NOW), "what else was alive may have been forgotten");
    drop(ledger);
    assert_eq!(disk.problems(), [""; 0]);
}

#[tokio::test]
async fn entries_refuse_update_and_delete_and_the_head_refuses_to_go_back() {
    let disk = Disk::new();
    let ledger = disk.open();
    lively(&ledger).await;
    drop(ledger);
    for (sql, refusal) in [
        ("UPDATE entries_0 SET bytes = x'00' WHERE position = 3", "entries are never changed"),
        ("UPDATE entries_1 SET position = 99 WHERE position = 9", "entries are never changed"),
        ("DELETE FROM entries_1", "entries are never deleted"),
        ("INSERT OR REPLACE INTO entries_0 (position, bytes) VALUES (3, x'00')", "the segment is full and sealed"),
        ("INSERT INTO entries_6 (position, bytes) VALUES (8, x'00')", "CHECK constraint failed"),
        ("UPDATE head SET position = position - 1", "the head never goes back"),
        ("DELETE FROM head", "the head is never deleted"),
    ] {
        let error = disk.tamper(sql).expect_err(sql).to_string();
        assert!(error.contains(refusal), "{sql}: {error}");
    }
    assert_eq!(disk.problems(), [""; 0]);
}

#[tokio::test]
async fn an_unreadable_entry_is_reported_and_does_not_stop_the_start() {
    let disk = Disk::new();
    let ledger = disk.open();
    let world = lively(&ledger).await;
    let before = shown(&ledger);
    drop(ledger);
    disk.tamper("DROP TRIGGER entries_1_update; UPDATE entries_1 SET bytes = x'ffff' WHERE position = 14; DELETE FROM living")
        .expect("done");
    let ledger = disk.open();
    assert_eq!(ledger.unreadable().iter().map(|bad| bad.position).collect::<Vec<_>>(), [at(14)]);
    assert_eq!((ledger.facts().clone(), ledger.head()), (before.0, before.1));
    let stored = ledger.find(at(14)).await.expect("readable").expect("there");
    assert_eq!((stored.bytes.as_slice(), stored.entry.is_err()), ([0xff; 2].as_slice(), true));
    assert!(record(&ledger, &world, world.subjects()).await.is_ok());
    drop(ledger);
    let problems = disk.problems();
    assert!(problems.iter().any(|problem| problem.starts_with("entry 14: is unreadable")), "{problems:?}");
    assert!(problems.iter().any(|problem| problem.contains("does not refuse what it must")), "{problems:?}");
}

/// A copy in the compact table is damaged, and then the entry too.
#[tokio::test]
async fn what_closes_a_subject_still_does_when_it_cannot_be_read() {
    let disk = Disk::new();
    let ledger = disk.open();
    let world = populate(&*ledger).await;
    let closed = ledger.change(cutting(world.owner, Closing::Offboard)).await.expect("cut").last;
    ledger.change(cutting(world.task, Closing::CloseTask)).await.expect("cut");
    let before = ledger.facts().clone();
    drop(ledger);

    disk.tamper(&format!("UPDATE current SET bytes = x'ffff' WHERE position = {closed}")).expect("done");
    let ledger = disk.open();
    assert_eq!(*ledger.facts(), before, "the entry itself is there");
    assert_eq!(ledger.unreadable().len(), 1);
    drop(ledger);

    disk.tamper("DROP TRIGGER entries_1_update; UPDATE entries_1 SET bytes = x'ffff' WHERE position >= 10").expect("done");
    disk.tamper("UPDATE current SET bytes = x'ffff' WHERE position > 10").expect("done");
    let ledger = disk.open();
    let facts = ledger.facts();
    assert!(!facts.owner_numbered(world.owner).expect("known").is_open());
    assert!(facts.task(world.task).expect("known").closed.is_some());
    assert!(facts.cuts().get(world.owner).is_some_and(|cut| cut.position == closed));
}

#[tokio::test]
async fn damaged_counters_are_counted_again() {
    let disk = Disk::new();
    let ledger = disk.open();
    lively(&ledger).await;
    let before = shown(&ledger);
    drop(ledger);
    for sql in ["UPDATE living SET bytes = x'ffff'", "UPDATE living SET position = 4000", "DELETE FROM living"] {
        disk.tamper(sql).expect("done");
        let ledger = disk.open();
        assert_eq!(shown(&ledger), before, "{sql}");
        assert_eq!(ledger.unreadable().is_empty(), sql.starts_with("DELETE"), "{sql}");
    }
}

/// Then a task must not be closed as if nothing lived under it, at this start and at later ones.
#[tokio::test]
async fn counters_that_could_not_all_be_counted_again_say_so() {
    let disk = Disk::new();
    let ledger = disk.open();
    lively(&ledger).await;
    drop(ledger);
    disk.tamper("DELETE FROM living").expect("done");
    for _ in 0..2 {
        let ledger = disk.try_open(Options { most_replayed: 4, keep_counters_every: 1, ..options() }).expect("opened");
        let head = ledger.head();
        assert!(ledger.shared.living().may_be_low(head.latest_expiry));
        assert!(!ledger.shared.living().may_be_low(head.latest_expiry.plus(crate::model::CUT_GRACE)));
        ledger.close().await;
    }
    assert!(!disk.open().shared.living().may_be_low(NOW), "everything was replayed");
}

#[tokio::test]
async fn a_file_that_contradicts_itself_is_not_opened() {
    for (sql, reason) in [
        ("UPDATE head SET root = zeroblob(32)", "the root is not that of the frontier"),
        ("UPDATE head SET frontier = x''", "the frontier is not one of a tree of that size"),
        ("DROP TRIGGER entries_1_delete; DELETE FROM entries_1 WHERE position = 10", "the last entry near it is 9"),
        ("INSERT INTO entries_1 (position, bytes) VALUES (11, x'')", "the last entry near it is 11"),
    ] {
        let disk = Disk::new();
        let ledger = disk.open();
        populate(&*ledger).await;
        drop(ledger);
        disk.tamper(sql).expect("done");
        let error = disk.try_open(options()).expect_err(sql);
        assert!(matches!(error, OpenError::Damaged(_)) && error.to_string().contains(reason), "{sql}: {error}");
        assert_ne!(disk.problems(), [""; 0], "{sql}");
    }
}

#[tokio::test]
async fn one_file_serves_one_broker_of_one_trust_domain() {
    let disk = Disk::new();
    let ledger = disk.open();
    populate(&*ledger).await;
    assert!(matches!(disk.try_open(options()), Err(OpenError::InUse(_))));
    assert!(matches!(Offline::open(&disk.path()), Err(OpenError::InUse(_))));
    ledger.close().await;
    let other = Options { trust_domain: "example.com".parse().expect("a trust domain"), ..options() };
    assert!(matches!(disk.try_open(other), Err(OpenError::TrustDomain { .. })));
    let later = disk.try_open(Options { epoch: Epoch([1; 16]), segment_size: 99, ..options() }).expect("opened");
    assert_eq!(later.facts().epoch(), Some(EPOCH), "a ledger keeps its own");
}

#[tokio::test]
async fn without_free_disk_issuing_stops_and_revoking_does_not() {
    let disk = Disk::new();
    let ledger = disk.try_open(Options { min_free_disk: u64::MAX, ..options() }).expect("opened");
    let world = populate(&*ledger).await;
    let answer = record(&ledger, &world, world.subjects()).await.expect_err("no room");
    assert!(answer.to_string().contains("issuing has stopped"), "{answer}");
    let opening = |urgency| Change { urgency, ..appending(vec![Event::TaskOpened(task(world.owner, world.environment, None))]) };
    assert!(ledger.change(opening(Urgency::Postponable)).await.is_err(), "what would let more be issued waits too");
    let telling = Change { urgency: Urgency::Postponable, ..appending(vec![refused()]) };
    assert!(ledger.change(telling).await.is_err(), "and what is only told");
    assert!(ledger.change(opening(Urgency::Ordinary)).await.is_ok());
    assert!(ledger.change(cutting(world.owner, Closing::Suspend)).await.is_ok());
    let own = Subjects { owner: Position::BROKER, workload: Position::BROKER, environment: Position::BROKER, task: None, lineage: None };
    assert!(record(&ledger, &world, own).await.is_ok(), "without a server certificate nobody could come to revoke");
}

/// A queue in which 16 changes may wait in each lane, two of each who asks.
struct Lanes(Queue);

impl Lanes {
    fn new() -> Self {
        Self(Queue::new(&Options { most_changes: 16, ..options() }))
    }

    fn push(&self, urgency: Urgency, actor: &str) -> Result<(), LedgerError> {
        let change = Change { urgency, actor: Some(spiffe_id(actor)), ..appending(Vec::new()) };
        self.0.push_change(Pending { change, answer: oneshot::channel().0 })
    }

    fn next(&self) -> Vec<(Urgency, String)> {
        let work = self.0.next(0).expect("open");
        let told = |pending: Pending| (pending.change.urgency, pending.change.actor.expect("somebody").path().to_owned());
        work.changes.into_iter().map(told).collect()
    }
}

/// However many changes of workloads wait.
#[test]
fn an_administrator_goes_before_everybody_else() {
    let lanes = Lanes::new();
    for number in 0..20 {
        lanes.push(Urgency::Postponable, &format!("workload-{number}")).expect("room");
        lanes.push(Urgency::Ordinary, &format!("workload-{number}")).expect("room");
    }
    lanes.push(Urgency::First, "admin").expect("a lane of its own");
    let first = lanes.next();
    assert_eq!(first.first().map(|(urgency, _)| *urgency), Some(Urgency::First));
    assert_eq!(first.len(), 1 + 8 + 1, "and few with it");
    lanes.push(Urgency::First, "admin").expect("room");
    assert_eq!(lanes.next().first().map(|(urgency, _)| *urgency), Some(Urgency::First));
}

#[test]
fn whoever_asks_for_much_is_before_nobody_s_revocation() {
    let lanes = Lanes::new();
    for urgency in [Urgency::Ordinary, Urgency::Postponable] {
        while lanes.push(urgency, "flood").is_ok() {}
    }
    assert_eq!(lanes.push(Urgency::Ordinary, "flood"), Err(LedgerError::Overloaded));
    lanes.push(Urgency::Ordinary, "other").expect("room");
    let next = lanes.next();
    let other = next.iter().position(|(_, actor)| actor.ends_with("other")).expect("in the next go");
    assert!(other <= 1, "behind one at most: {next:?}");
    assert!(next.iter().skip(other).any(|(urgency, _)| *urgency == Urgency::Postponable), "what ends something goes first: {next:?}");
}

#[test]
fn a_lane_is_bounded_and_open_to_whoever_has_nothing_there() {
    let lanes = Lanes::new();
    for number in 0..16 {
        lanes.push(Urgency::Ordinary, &format!("workload-{number}")).expect("room");
    }
    assert_eq!(lanes.push(Urgency::Ordinary, "workload-1"), Err(LedgerError::Overloaded));
    lanes.push(Urgency::Ordinary, "late").expect("the first of its own");
    assert_eq!(lanes.push(Urgency::Ordinary, "late"), Err(LedgerError::Overloaded));
    let (first, second, third) = (lanes.next(), lanes.next(), lanes.next());
    assert_eq!((first.len(), second.len(), third.len()), (8, 8, 1));
    assert!(third[0].1.ends_with("late"));
    lanes.push(Urgency::Ordinary, "workload-1").expect("room again");
}

#[tokio::test]
async fn a_full_lane_refuses_and_leaves_the_other_open() {
    let disk = Disk::new();
    let ledger = disk.try_open(Options { most_issuances: 0, ..options() }).expect("opened");
    let world = populate(&*ledger).await;
    assert_eq!(record(&ledger, &world, world.subjects()).await, Err(LedgerError::Overloaded));
    assert!(ledger.change(cutting(world.owner, Closing::Suspend)).await.is_ok());
    drop(ledger);
    let ledger = disk.try_open(Options { most_changes: 0, ..options() }).expect("opened");
    assert_eq!(ledger.change(appending(Vec::new())).await, Err(LedgerError::Overloaded));
    assert!(record(&ledger, &world, world.other_subjects()).await.is_ok());
}

/// With a linger that no test would survive.
#[tokio::test]
async fn a_lone_request_and_a_change_never_linger() {
    let disk = Disk::new();
    let ledger = disk.try_open(Options { linger: Duration::from_secs(3600), ..options() }).expect("opened");
    let world = populate(&*ledger).await;
    for _ in 0..5 {
        record(&ledger, &world, world.subjects()).await.expect("recorded");
        ledger.change(appending(Vec::new())).await.expect("decided");
    }
    assert_eq!(ledger.stats().batch_sizes.first(), Some(&(5 + 1)), "each alone, and the opening");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_together_is_committed_together() {
    let disk = Disk::new();
    let ledger = disk.open();
    let world = populate(&*ledger).await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let ledger = Arc::clone(&ledger);
        tasks.spawn(async move {
            for _ in 0..10 {
                record(&ledger, &world, world.subjects()).await.expect("recorded");
            }
        });
    }
    tasks.join_all().await;
    let stats = ledger.stats();
    assert_eq!(stats.entries, 640 + World::SIZE as u64 + 1);
    assert!(stats.commits < 320, "{stats:?}");
}

#[tokio::test]
async fn a_second_cut_of_a_task_keeps_the_first_position() {
    let disk = Disk::new();
    let ledger = disk.open();
    let world = populate(&*ledger).await;
    let first = ledger.change(cutting(world.task, Closing::CloseTask)).await.expect("cut").first;
    ledger.change(appending(vec![Event::Cut(cut(world.task, Closing::CloseTask, None))])).await.expect("cut");
    assert_eq!(ledger.closed_task(world.task).await, Ok(first));
}
