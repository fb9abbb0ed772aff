//! Which issuances of a sealed segment stand on which owner and workload, and for which audience they are: a file beside the ledger,
//! built once by a thread of its own when the segment is sealed, so that a commit writes nothing
//! more. It is a cache: what is missing, or of another history, is made again, and until then the
//! segment is scanned. Nothing is decided by it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use ring::digest::{SHA256, digest};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Result, params};

use super::rows::{self, Segments, int, uint};
use super::store::{self, Store};
use super::{Place, Shared};
use crate::ledger::{By, LedgerError, codec};
use crate::model::{Audience, Event, Position};

/// What is indexed of a segment; one of another form is made again.
const FORM: &[u8] = b"owner, workload, audience";

/// The index of one ledger.
#[derive(Debug, Default)]
pub(super) struct Index {
    file: Option<PathBuf>,
    /// For look-ups; none without a file that can be used.
    reader: Mutex<Option<Connection>>,
    /// The segments that can be looked up.
    built: Mutex<BTreeSet<u64>>,
    /// All segments below this number are sealed.
    sealed: Mutex<u64>,
    woken: Condvar,
    stopped: AtomicBool,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Why a segment has no index.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unbuilt {
    #[error("{0}")]
    Index(#[from] rusqlite::Error),
    #[error("{0}")]
    Ledger(#[from] LedgerError),
    #[error("it was stopped")]
    Stopped,
}

impl Index {
    /// That of the ledger kept at `place`.
    pub(super) fn beside(place: &Place) -> Self {
        let Place::File(ledger) = place else { return Self::default() };
        let file = beside(ledger);
        let opened = open(&file).or_else(|_unusable| {
            // It is only a cache: made anew, it is as good.
            ["", "-wal", "-shm"].into_iter().for_each(|end| drop(std::fs::remove_file(with(&file, end))));
            open(&file)
        });
        match opened {
            Ok(reader) => Self { file: Some(file), reader: Mutex::new(Some(reader)), ..Self::default() },
            Err(error) => {
                tracing::warn!(%error, file = %file.display(), "there is no index of sealed segments; they are scanned");
                Self::default()
            }
        }
    }

    /// Starts the thread that builds.
    pub(super) fn start(shared: &Arc<Shared>) {
        if shared.index.file.is_none() {
            return;
        }
        let of_thread = Arc::clone(shared);
        match std::thread::Builder::new().name("index".to_owned()).spawn(move || of_thread.index.keep_building(&of_thread.store)) {
            Ok(thread) => *locked(&shared.index.thread) = Some(thread),
            Err(error) => tracing::warn!(%error, "sealed segments are not indexed"),
        }
    }

    /// Says where the ledger ends now.
    pub(super) fn reached(&self, segments: Segments, head: Position) {
        let (segment, ..) = segments.around(head);
        let mut sealed = locked(&self.sealed);
        if segment > *sealed {
            *sealed = segment;
            self.woken.notify_one();
        }
    }

    /// Stops building, and returns when it has.
    pub(super) fn stop(&self) {
        {
            let _sealed = locked(&self.sealed);
            self.stopped.store(true, Ordering::Relaxed);
            self.woken.notify_one();
        }
        let thread = locked(&self.thread).take();
        drop(thread.map(JoinHandle::join));
        *locked(&self.reader) = None;
    }

    /// The issuances in a segment that are known by this, from `to` down to `from`, `most` at most, and perhaps a few
    /// others; none at all if the segment has to be scanned.
    pub(super) fn positions(&self, segment: u64, by: &By, (from, to): (Position, Position), most: u64) -> Option<Vec<Position>> {
        if !locked(&self.built).contains(&segment) {
            return None;
        }
        let reader = locked(&self.reader);
        let found = find(reader.as_ref()?, segment, by, (from, to), most);
        found.map_err(|error| tracing::warn!(%error, segment, "the index of a segment cannot be read; it is scanned")).ok()
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    fn keep_building(&self, store: &Store) {
        let mut next = 0;
        loop {
            let sealed = {
                let idle = |sealed: &mut u64| *sealed <= next && !self.is_stopped();
                *self.woken.wait_while(locked(&self.sealed), idle).unwrap_or_else(PoisonError::into_inner)
            };
            while next < sealed {
                if self.is_stopped() {
                    return;
                }
                match self.provide(store, next) {
                    Ok(()) => drop(locked(&self.built).insert(next)),
                    Err(Unbuilt::Stopped) => return,
                    Err(error) => tracing::warn!(%error, segment = next, "a sealed segment is not indexed; it is scanned"),
                }
                next += 1;
            }
            if self.is_stopped() {
                return;
            }
        }
    }

    /// Sees to it that a segment is indexed, and that the index is of this history.
    pub(super) fn provide(&self, store: &Store, segment: u64) -> std::result::Result<(), Unbuilt> {
        let Some(file) = &self.file else { return Err(Unbuilt::Stopped) };
        let mut connection = store::connect(file, OpenFlags::default())?;
        let (first, last) = store.segments.range(segment);
        // Two histories never end a segment with the same entry: each has its time and its random bytes.
        let end = store.read(|connection| rows::find(connection, store.segments, last))?.unwrap_or_default();
        let mark = digest(&SHA256, &[FORM, &end].concat());
        let known: Option<Vec<u8>> =
            connection.query_row("SELECT mark FROM segments WHERE number = ?1", [int(segment)], |row| row.get(0)).optional()?;
        if known.as_deref() == Some(mark.as_ref()) {
            return Ok(());
        }
        let mut rows = Vec::new();
        store.read(|connection| {
            rows::walk(connection, store.segments, (first, last), |position, bytes| {
                // What cannot be read is no issuance that anybody could list.
                if let Ok(Event::CredentialIssued(issued)) = codec::decode(position, &bytes).map(|entry| entry.event) {
                    rows.push((int(issued.subjects.owner.get()), position));
                    rows.push((int(issued.subjects.workload.get()), position));
                    rows.extend(issued.audience.as_ref().map(|audience| (of_audience(audience), position)));
                }
                !self.is_stopped()
            })
        })?;
        if self.is_stopped() {
            // Half a segment, and perhaps nothing of it to insert.
            return Err(Unbuilt::Stopped);
        }
        rows.sort_unstable();
        rows.dedup();
        let transaction = connection.transaction()?;
        transaction.execute_batch(&format!(
            "DROP TABLE IF EXISTS subjects_{segment};
             CREATE TABLE subjects_{segment} (number INTEGER, position INTEGER, PRIMARY KEY (number, position)) STRICT, WITHOUT ROWID;"
        ))?;
        {
            let mut insert = transaction.prepare(&format!("INSERT INTO subjects_{segment} VALUES (?1, ?2)"))?;
            for (number, position) in rows {
                if self.is_stopped() {
                    return Err(Unbuilt::Stopped);
                }
                insert.execute([number, int(position.get())])?;
            }
        }
        transaction.execute("INSERT OR REPLACE INTO segments VALUES (?1, ?2)", params![int(segment), mark.as_ref()])?;
        Ok(transaction.commit()?)
    }
}

/// The number by which an audience is known: below zero, where no subject has one. Two may have the same, since what is
/// found is looked at again.
fn of_audience(audience: &Audience) -> i64 {
    let hash = digest(&SHA256, audience.as_str().as_bytes());
    let first = hash.as_ref().first_chunk().map_or(0, |bytes| i64::from_be_bytes(*bytes));
    first | i64::MIN
}

fn find(connection: &Connection, segment: u64, by: &By, (from, to): (Position, Position), most: u64) -> Result<Vec<Position>> {
    let sql =
        format!("SELECT position FROM subjects_{segment} WHERE number = ?1 AND position BETWEEN ?2 AND ?3 ORDER BY position DESC LIMIT ?4");
    let mut select = connection.prepare_cached(&sql)?;
    let number = match by {
        By::Subject(number) => int(number.get()),
        By::Audience(audience) => of_audience(audience),
    };
    let rows = select.query_map([number, int(from.get()), int(to.get()), int(most)], |row| row.get(0))?;
    rows.map(|position| position.map(|position| Position::new(uint(position)))).collect()
}

fn open(file: &Path) -> Result<Connection> {
    store::create(file).map_err(|_error| rusqlite::Error::InvalidPath(file.to_owned()))?;
    let connection = store::connect(file, OpenFlags::default())?;
    connection.execute_batch("CREATE TABLE IF NOT EXISTS segments (number INTEGER PRIMARY KEY, mark BLOB NOT NULL) STRICT;")?;
    Ok(connection)
}

fn beside(ledger: &Path) -> PathBuf {
    with(ledger, ".index")
}

fn with(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
impl Index {
    /// The segments that can be looked up.
    pub(super) fn segments(&self) -> Vec<u64> {
        locked(&self.built).iter().copied().collect()
    }
}
