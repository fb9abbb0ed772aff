//! A backup of a ledger in use.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::ledger::backup;
use crate::ledger::backup::BackupError;

fn names(disk: &Disk) -> Vec<String> {
    let entries = std::fs::read_dir(disk.0.path()).expect("a folder");
    entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_made_while_it_is_written_to_is_one_moment_of_it() {
    let disk = Disk::new();
    let ledger = disk.open();
    let world = lively(&ledger).await;
    let before = ledger.head();
    let writing = tokio::spawn({
        let ledger = Arc::clone(&ledger);
        async move {
            for _ in 0..400 {
                record(&ledger, &world, world.subjects()).await.expect("nothing is held up");
            }
        }
    });
    let (from, copy) = (disk.path(), Disk::new());
    let to = copy.path();
    let copied = tokio::task::spawn_blocking(move || backup(&from, &to, |_| ())).await.expect("done").expect("copied");
    writing.await.expect("recorded");
    let head = copied.report.head;
    assert!(head.position >= before.position && head.position <= ledger.head().position, "{head:?}");
    assert_eq!(names(&copy), ["ledger.db"]);
    let metadata = std::fs::metadata(copy.path()).expect("there");
    assert_eq!((metadata.permissions().mode() & 0o777, metadata.len()), (0o600, copied.bytes));
    drop(ledger);
    let same = Offline::open(&disk.path()).expect("a ledger").root_at(head.position).expect("readable");
    assert_eq!(same, Some(head.root));
    let opened = copy.open();
    assert_eq!(opened.head(), head);
    record(&opened, &world, world.subjects()).await.expect("it goes on from there");
}

#[tokio::test]
async fn a_stopped_ledger_is_copied_without_a_trace() {
    let disk = Disk::new();
    lively(&disk.open()).await;
    let before = names(&disk);
    let copy = Disk::new();
    backup(&disk.path(), &copy.path(), |_| ()).expect("copied");
    assert_eq!(names(&disk), before);
    assert_eq!(shown(&copy.open()), shown(&disk.open()));
}

#[tokio::test]
async fn a_backup_never_overwrites() {
    let disk = Disk::new();
    let ledger = disk.open();
    lively(&ledger).await;
    let copy = Disk::new();
    std::fs::write(copy.path(), "precious").expect("written");
    assert!(matches!(backup(&disk.path(), &copy.path(), |_| ()), Err(BackupError::Exists(_))));
    assert_eq!(std::fs::read_to_string(copy.path()).expect("there"), "precious");
    let other = Disk::new();
    std::fs::write(other.0.path().join("ledger.db.part"), "of another that is under way").expect("written");
    assert!(matches!(backup(&disk.path(), &other.path(), |_| ()), Err(BackupError::Exists(_))));
    assert_eq!(names(&other), ["ledger.db.part"]);
    assert!(backup(&other.0.path().join("none"), &other.path(), |_| ()).is_err());
}

#[tokio::test]
async fn a_ledger_that_is_not_sound_gives_no_backup() {
    let disk = Disk::new();
    lively(&disk.open()).await;
    disk.tamper("UPDATE head SET changed = 1").expect("done");
    let copy = Disk::new();
    let error = backup(&disk.path(), &copy.path(), |_| ()).expect_err("not sound");
    assert!(matches!(&error, BackupError::NotSound { found: 1, .. }) && error.to_string().contains("last change"), "{error}");
    assert_eq!(names(&copy), [""; 0]);
}
