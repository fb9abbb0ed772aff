//! One file, one writing connection, a few reading ones; nobody else while it is open.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use refinery::{Migration, Runner};
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::faults::Faults;
use super::rows::{self, Segments};
use super::{OpenError, Place, counters_row, current};
use crate::ledger::tip::Tip;
use crate::ledger::{LedgerError, codec};
use crate::model::{Entry, Position, Timestamp};

/// More would only contend for the two or three cores that a broker has.
const IDLE_READERS: usize = 4;

/// The tables. A migration is never edited, only followed by another.
const MIGRATIONS: [(&str, &str); 5] = [
    ("V1__ledger", include_str!("../migrations/V1__ledger.sql")),
    ("V2__cuts", include_str!("../migrations/V2__cuts.sql")),
    ("V3__confirmations", include_str!("../migrations/V3__confirmations.sql")),
    ("V4__status_secret", include_str!("../migrations/V4__status_secret.sql")),
    ("V5__finding_changes", include_str!("../migrations/V5__finding_changes.sql")),
];

/// An open store.
#[derive(Debug)]
pub(super) struct Store {
    /// Taken when it is closed.
    writer: Mutex<Option<Connection>>,
    readers: Readers,
    pub(super) segments: Segments,
    /// Held as long as the store is open.
    lock: Mutex<Option<File>>,
    pub(super) faults: Faults,
}

#[derive(Debug)]
enum Readers {
    /// In memory there is one connection, for all.
    Writer,
    File {
        path: PathBuf,
        idle: Mutex<Vec<Connection>>,
    },
}

/// What one transaction appends.
#[derive(Debug)]
pub(super) struct Batch<'a> {
    /// The position of the first row.
    pub(super) first: Position,
    /// The bytes of each entry.
    pub(super) rows: &'a [Vec<u8>],
    /// The entries, unless all are issuances.
    pub(super) changes: &'a [Entry],
    /// Where the ledger ends after it.
    pub(super) tip: &'a Tip,
    /// What the clock says; not the time of an entry, which may be of when the clock ran ahead.
    pub(super) now: Timestamp,
}

impl Store {
    /// Opens the store, and makes it if it is not there.
    pub(super) fn open(place: &Place, segment_size: u64, faults: Faults) -> Result<Self, OpenError> {
        let (mut writer, readers, lock) = match place {
            Place::Memory => (Connection::open_in_memory()?, Readers::Writer, None),
            Place::File(path) => {
                let file = create(path).map_err(|error| OpenError::Store(format!("{}: {error}", path.display())))?;
                not_cut_short(file)?;
                let lock = take_lock(path)?;
                (connect(path, OpenFlags::default())?, Readers::File { path: path.clone(), idle: Mutex::default() }, Some(lock))
            }
        };
        faults.pass(|| migrate(&mut writer))?;
        let segments = rows::head(&writer)?.map_or_else(|| Segments::of(segment_size), |head| head.segments);
        Ok(Self { writer: Mutex::new(Some(writer)), readers, segments, lock: Mutex::new(lock), faults })
    }

    /// Appends durably and all at once. After an error nobody knows whether it was stored.
    pub(super) fn append(&self, batch: &Batch<'_>) -> Result<(), LedgerError> {
        self.write(|connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            rows::append(&transaction, self.segments, batch.first, batch.rows)?;
            for (entry, bytes) in batch.changes.iter().zip(batch.rows) {
                current::keep(&transaction, entry, bytes)?;
            }
            if !batch.changes.is_empty() {
                current::prune(&transaction, batch.now)?;
            }
            rows::set_head(&transaction, self.segments, batch.tip)?;
            self.faults.commit(transaction)
        })
    }

    /// Writes the head over itself, and waits until that is on the disk.
    pub(super) fn probe(&self) -> Result<(), LedgerError> {
        self.write(|connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            rows::touch_head(&transaction)?;
            self.faults.commit(transaction)
        })
    }

    /// Keeps the counters, as bytes, as of `position`.
    pub(super) fn keep_counters(&self, position: Position, bytes: &[u8]) -> Result<(), LedgerError> {
        self.write(|connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            counters_row::set(&transaction, position, bytes)?;
            self.faults.commit(transaction)
        })
    }

    /// What the store has beyond `tip`, and where it ends.
    pub(super) fn beyond(&self, tip: &Tip) -> Result<(Vec<Entry>, Tip), LedgerError> {
        let mut entries = Vec::new();
        let head = self.write(|connection| {
            let head = rows::head(connection)?;
            let end = head.as_ref().map_or(Position::ZERO, |head| head.position);
            rows::walk(connection, self.segments, (tip.position().next(), end), |position, bytes| {
                entries.push(codec::decode(position, &bytes));
                true
            })?;
            Ok(head)
        })?;
        let wrong = |problem: String| LedgerError::Unavailable(problem);
        let entries = entries.into_iter().collect::<Result<_, _>>().map_err(|unreadable| wrong(unreadable.to_string()))?;
        let end = head.map_or_else(|| Ok(Tip::default()), |head| head.tip()).map_err(|problem| wrong(problem.to_owned()))?;
        Ok((entries, end))
    }

    /// Works on the writing connection.
    pub(super) fn write<T>(&self, work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>) -> Result<T, LedgerError> {
        let mut writer = locked(&self.writer);
        let connection = writer.as_mut().ok_or_else(closed)?;
        work(connection).map_err(unavailable)
    }

    /// Works on a reading connection. Blocks on the disk: not for an async thread.
    pub(super) fn read<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, LedgerError> {
        let Readers::File { path, idle } = &self.readers else {
            return self.write(|connection| work(connection));
        };
        let taken = locked(idle).pop();
        let connection = match taken {
            Some(connection) => connection,
            None if locked(&self.writer).is_none() => return Err(closed()),
            None => connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(unavailable)?,
        };
        let answer = work(&connection).map_err(unavailable);
        let mut idle = locked(idle);
        if idle.len() < IDLE_READERS {
            idle.push(connection);
        }
        answer
    }

    /// Bytes that can still be written where it lies; no limit in memory.
    pub(super) fn free_disk(&self) -> Option<u64> {
        let Readers::File { path, .. } = &self.readers else { return None };
        let disk = rustix::fs::statvfs(path).ok()?;
        Some(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// Folds the write-ahead log into the file and lets go of it.
    pub(super) fn close(&self) {
        if let Readers::File { idle, .. } = &self.readers {
            locked(idle).clear();
        }
        if let Some(connection) = locked(&self.writer).take()
            && let Err((_, error)) = connection.close()
        {
            tracing::warn!(%error, "the ledger's file was not closed cleanly; the next start recovers it");
        }
        *locked(&self.lock) = None;
    }
}

/// Opens a connection to a file that is there.
pub(in crate::ledger) fn connect(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    if !flags.contains(OpenFlags::SQLITE_OPEN_READ_ONLY) {
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // Every commit is on the disk before it is answered.
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    }
    Ok(connection)
}

/// The file beside the ledger whose lock says that it is open. Not the ledger itself: closing any
/// handle of that would drop SQLite's own locks.
pub(in crate::ledger) fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

fn take_lock(path: &Path) -> Result<File, OpenError> {
    let path = path.canonicalize().map_err(|error| OpenError::Store(format!("{}: {error}", path.display())))?;
    let file = create(&lock_path(&path)).map_err(|error| OpenError::Store(error.to_string()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(path)),
        Err(TryLockError::Error(error)) => Err(OpenError::Store(format!("{}: {error}", path.display()))),
    }
}

/// Opens a file, and makes it for this user alone if it is not there.
pub(super) fn create(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)
}

/// Refuses a file that has something in it and not so much as its first page: SQLite would take it for
/// an empty one, and write over it.
fn not_cut_short(mut file: File) -> Result<(), OpenError> {
    let mut start = Vec::new();
    let read = file.metadata().and_then(|metadata| file.by_ref().take(18).read_to_end(&mut start).map(|_| metadata.len()));
    let length = read.map_err(|error| OpenError::Store(error.to_string()))?;
    // "The Database Header" of SQLite's file format: a name, then the size of a page (1 for 65536, which is not made here).
    let page = match start.as_slice() {
        [] => return Ok(()),
        [name @ .., high, low] if name == b"SQLite format 3\0" => u64::from(u16::from_be_bytes([*high, *low]).max(512)),
        _ => return Err(OpenError::NotALedger("it does not begin as one".to_owned())),
    };
    if length >= page { Ok(()) } else { Err(OpenError::NotALedger("it is cut short".to_owned())) }
}

fn migrate(connection: &mut Connection) -> Result<(), OpenError> {
    let migration = |(name, sql): (&str, &str)| Migration::unapplied(name, sql);
    let migrations = MIGRATIONS.into_iter().map(migration).collect::<Result<Vec<_>, _>>();
    let run = migrations.and_then(|migrations| Runner::new(&migrations).run(connection));
    run.map(drop).map_err(|error| OpenError::in_chain(&error))
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn closed() -> LedgerError {
    LedgerError::Unavailable("it is closed".to_owned())
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that `map_err` wants")]
fn unavailable(error: rusqlite::Error) -> LedgerError {
    LedgerError::Unavailable(error.to_string())
}
