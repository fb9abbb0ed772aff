//! What offline verification finds in a file, and that it leaves no trace.

use std::path::Path;

use super::*;
use crate::ledger::samples::finding;
use crate::model::{About, FindingChange};

#[tokio::test]
async fn verification_finds_what_was_tampered_with() {
    let edit = "DROP TRIGGER entries_1_update; DROP TRIGGER entries_1_delete;";
    for (sql, found) in [
        ("UPDATE entries_1 SET bytes = substr(bytes, 1, length(bytes) - 1) WHERE position = 12", "the root in the head"),
        ("DELETE FROM entries_1 WHERE position = 12", "entry 13: stands where entry 12 must stand"),
        ("DELETE FROM entries_1", "entry 8: the segment is missing"),
        ("UPDATE entries_1 SET bytes = (SELECT bytes FROM entries_1 WHERE position = 13) WHERE position = 12", "entry 12: is unreadable"),
        ("UPDATE head SET root = zeroblob(32)", "the root in the head is not that of the entries"),
        ("UPDATE head SET time_ms = time_ms + 1", "the time in the head"),
        ("UPDATE head SET changed = 1", "the head does not name the last change"),
        ("UPDATE head SET latest_expiry_ms = 1", "the latest expiry in the head"),
        ("DELETE FROM current WHERE aspect IN (5, 6)", "the compact table does not say what the entries say"),
        ("DELETE FROM closed_tasks", "closed a task that the table of closed tasks does not have"),
        ("DELETE FROM cuts", "which the table of cuts does not have"),
        ("DROP TABLE entries_2", "entry 16: the segment is missing"),
    ] {
        let disk = Disk::new();
        let ledger = disk.open();
        lively(&ledger).await;
        drop(ledger);
        assert_eq!(disk.problems(), [""; 0]);
        disk.tamper(&format!("{edit}{sql}")).expect(sql);
        let problems = disk.problems();
        assert!(problems.iter().any(|problem| problem.contains(found)), "{sql}: {problems:#?}");
    }
}

/// Each alone: nothing else of the file is touched.
#[tokio::test]
async fn verification_finds_what_stands_beside_the_entries_and_should_not() {
    for (sql, found) in [
        (
            "DROP TRIGGER entries_1_update; CREATE TRIGGER entries_1_update BEFORE UPDATE ON entries_1 BEGIN SELECT 1; END",
            "entry 8: the segment is missing, or does not refuse what it must",
        ),
        ("DROP TRIGGER entries_2_insert", "entry 16: the segment is missing, or does not refuse what it must"),
        ("CREATE TABLE entries_99 (position INTEGER PRIMARY KEY, bytes BLOB)", "there are segments beyond the head"),
        ("INSERT INTO closed_tasks VALUES (2, 3)", "the table of closed tasks has task 2, which was not closed"),
        ("INSERT INTO cuts VALUES (2, 3)", "the table of cuts has one of subject 2 at 3, which was not made"),
        ("INSERT INTO finding_changes VALUES (2, 3, 4)", "the table of changes of findings is not what the entries say"),
        ("INSERT INTO confirmations VALUES (2, 3, 4)", "the table of confirmations is not what the entries say"),
        ("UPDATE living SET position = position - 1", "the kept counters of the living are not what the entries say"),
        ("UPDATE living SET bytes = x'ffff'", "the counters kept there"),
        ("UPDATE living SET position = 4000", "counters of a position that the ledger has not reached"),
        ("UPDATE current SET bytes = x'ffff' WHERE number = 2 AND aspect = 3", "its copy in the compact table is unreadable"),
    ] {
        let disk = Disk::new();
        lively(&disk.open()).await;
        disk.tamper(sql).expect(sql);
        let problems = disk.problems();
        assert!(problems.iter().any(|problem| problem.contains(found)), "{sql}: {problems:#?}");
    }
}

#[tokio::test]
async fn the_root_of_any_earlier_size_can_be_had() {
    let disk = Disk::new();
    let ledger = disk.open();
    let world = populate(&*ledger).await;
    let mut heads = vec![ledger.head()];
    for _ in 0..9 {
        record(&ledger, &world, world.subjects()).await.expect("recorded");
        heads.push(ledger.head());
    }
    drop(ledger);
    let offline = Offline::open(&disk.path()).expect("a ledger");
    assert_eq!(Some(offline.end()), heads.last().map(|head| head.position));
    for head in &heads {
        assert_eq!(offline.root_at(head.position).expect("readable"), Some(head.root));
    }
    assert_eq!(offline.root_at(heads.last().expect("some").position.next()).expect("readable"), None);
    let mut told = Vec::new();
    let report = offline.verify(|position| told.push(position));
    assert_eq!((Some(&report.head), report.entries), (heads.last(), told.len() as u64));
    assert_eq!(report.facts.trust_domain().map(ToString::to_string).as_deref(), Some("example.org"));
}

#[tokio::test]
async fn a_backup_without_lock_or_log_is_verified_without_a_trace() {
    let disk = Disk::new();
    let ledger = disk.open();
    lively(&ledger).await;
    drop(ledger);
    let backup = Disk::new();
    std::fs::copy(disk.path(), backup.path()).expect("copied");
    assert_eq!(backup.problems(), [""; 0]);
    let left: Vec<_> = std::fs::read_dir(backup.0.path()).expect("a folder").map(|file| file.expect("a file").path()).collect();
    assert_eq!(left.iter().map(PathBuf::as_path).collect::<Vec<&Path>>(), [backup.path()]);
}

/// A decision that should not have been made, and that the fence cannot see: it was made later.
#[tokio::test]
async fn an_issuance_under_a_cut_owner_is_found() {
    let disk = Disk::new();
    let ledger = disk.open();
    let world = populate(&*ledger).await;
    ledger.change(cutting(world.owner, Closing::Suspend)).await.expect("cut");
    let wrong = record(&ledger, &world, world.subjects()).await.expect("recorded").position();
    drop(ledger);
    assert_eq!(disk.problems(), [format!("entry {wrong}: was issued under owner 2, which was closed")]);
}

/// An operator's own way to a backup: SQLite's, from another process, on a ledger in use.
#[tokio::test]
async fn a_copy_made_in_use_is_a_sound_ledger() {
    let disk = Disk::new();
    let ledger = disk.open();
    let world = lively(&ledger).await;
    let (copy, before) = (Disk::new(), shown(&ledger));
    disk.tamper(&format!("VACUUM INTO '{}'", copy.path().display())).expect("copied");
    record(&ledger, &world, world.subjects()).await.expect("recorded");
    assert_eq!(copy.problems(), [""; 0]);
    assert_eq!(shown(&copy.open()), before);
    let error = copy.tamper("DELETE FROM entries_1").expect_err("guarded").to_string();
    assert!(error.contains("never deleted"), "{error}");
}

/// A table that was made when the ledger had come to some position lacks what was settled by then, and nothing else.
#[tokio::test]
async fn changes_of_findings_may_be_missing_where_they_were_settled_before_any_were_kept() {
    let disk = Disk::new();
    let ledger = disk.open();
    let world = populate(&*ledger).await;
    let append = async |event| ledger.change(appending(vec![event])).await.expect("recorded").last;
    let mut settled = Vec::new();
    for _ in 0..2 {
        let number = append(Event::FindingRaised(Box::new(finding(About::Subject(world.workload))))).await;
        append(Event::FindingChanged { number, change: FindingChange::Seen, note: None }).await;
        settled.push((number, append(Event::FindingChanged { number, change: FindingChange::Resolved, note: None }).await));
    }
    drop(ledger);
    assert_eq!(disk.problems(), [""; 0]);
    let (first, second) = (settled[0], settled[1].0);
    disk.tamper(&format!("DELETE FROM finding_changes WHERE number = {}", first.0)).expect("deleted");
    let told = ["the table of changes of findings is not what the entries say"];
    assert_eq!(disk.problems(), told);
    disk.tamper(&format!("INSERT INTO finding_changes VALUES (0, 0, {})", first.1)).expect("inserted");
    assert_eq!(disk.problems(), [""; 0]);
    disk.tamper(&format!("DELETE FROM finding_changes WHERE number = {second} AND step = 1")).expect("deleted");
    assert_eq!(disk.problems(), told);
}
