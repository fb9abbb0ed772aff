//! Offline verification: of a stopped ledger or a backup, read-only, entry by entry.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::audit::{Audit, Problem};
use super::sqlite::rows::{self, StoredHead};
use super::sqlite::{current, start, store};
use super::tree::Tree;
use super::{Head, OpenError};
use crate::model::{Closing, CutMade, Entry, Event, Facts, Position};

/// A ledger that nobody writes to.
#[derive(Debug)]
pub(crate) struct Offline {
    connection: Connection,
    head: StoredHead,
    /// Keeps a broker from starting on the file meanwhile.
    _lock: Option<File>,
}

/// What verification found.
#[derive(Debug)]
pub(crate) struct Report {
    /// How many entries were looked at.
    pub entries: u64,
    /// Where they end: size and root are to be compared with a checkpoint.
    pub head: Head,
    /// What they say together: with the keys that sign checkpoints.
    pub facts: Facts,
    /// The first thousand problems; the ledger is sound if there are none.
    pub problems: Vec<Problem>,
    /// How many problems there are.
    pub found: u64,
}

impl Offline {
    /// Opens a ledger that no broker has open.
    ///
    /// # Errors
    /// If it is in use, not a ledger, or cannot be read.
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        let path = path.canonicalize().map_err(|error| OpenError::Store(format!("{}: {error}", path.display())))?;
        let lock = share_lock(&path)?;
        let connection = connect(&path)?;
        // One view of the file for all that follows.
        connection.execute_batch("BEGIN")?;
        let head = rows::head(&connection)?.ok_or_else(|| OpenError::Damaged("it has no head".to_owned()))?;
        Ok(Self { connection, head, _lock: lock })
    }

    /// Walks every entry, and holds all else in the file against what the entries say. `progress` is
    /// told each position.
    ///
    /// # Errors
    /// If the file cannot be read any further.
    pub(crate) fn verify(&self, mut progress: impl FnMut(Position)) -> Result<Report, OpenError> {
        let mut audit = Audit::default();
        let segments = self.head.segments;
        for segment in self.segments() {
            if !rows::is_guarded(&self.connection, segments, segment, self.head.position)? {
                let what = "the segment is missing, or does not refuse what it must";
                audit.problem(segment, what);
            }
        }
        let find = |position| start::find_entry(&self.connection, segments, position);
        self.walk(self.head.position, |position, bytes| {
            if let Some(entry) = audit.row(position, &bytes, find)
                && !self.knows_closed(&entry)
            {
                audit.problem(position, "closed a task that the table of closed tasks does not have");
            }
            progress(position);
        })?;
        let entries = audit.tip.tree.size();
        self.compare(&mut audit)?;
        Ok(Report { entries, head: audit.tip.head(), facts: audit.facts, problems: audit.problems, found: audit.found })
    }

    /// The root over the first `size` entries, for a checkpoint from before; none if it has fewer.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn root_at(&self, size: Position) -> Result<Option<[u8; 32]>, OpenError> {
        let mut tree = Tree::default();
        self.walk(size.min(self.head.position), |_, bytes| tree.append(&bytes))?;
        Ok((tree.size() == size.get()).then(|| tree.root()))
    }

    fn knows_closed(&self, entry: &Entry) -> bool {
        let Event::Cut(CutMade { number, closing: Closing::CloseTask, .. }) = entry.event else { return true };
        let closed = current::closed_task(&self.connection, number).ok().flatten();
        closed.is_some_and(|closed| closed <= entry.position)
    }

    fn walk(&self, to: Position, mut each: impl FnMut(Position, Vec<u8>)) -> Result<(), OpenError> {
        for segment in self.segments().filter(|segment| *segment <= to) {
            let (_, _, last) = self.head.segments.around(segment);
            if rows::last(&self.connection, self.head.segments, segment).is_err() {
                // Reported as a gap by whoever counts.
                continue;
            }
            rows::walk(&self.connection, self.head.segments, (segment, last.min(to)), |position, bytes| {
                each(position, bytes);
                true
            })?;
        }
        Ok(())
    }

    /// The first position of each segment.
    fn segments(&self) -> impl Iterator<Item = Position> {
        let segments = self.head.segments;
        let next = move |segment: &Position| Some(segments.around(*segment).2.next());
        std::iter::successors(Some(Position::BROKER), next).take_while(|segment| *segment <= self.head.position)
    }

    /// Head and compact tables against the entries.
    fn compare(&self, audit: &mut Audit) -> Result<(), OpenError> {
        let (head, tip) = (&self.head, audit.tip.clone());
        let beyond = rows::last(&self.connection, head.segments, head.position).ok().flatten();
        let differences = [
            (tip.position() != head.position, "the head is not at the last entry"),
            (beyond > Some(head.position), "there are entries beyond the head"),
            (tip.tree.root().as_slice() != head.root, "the root in the head is not that of the entries"),
            (tip.tree.frontier() != head.frontier, "the frontier in the head is not that of the entries"),
            (tip.time != head.time, "the time in the head is not that of the last entry"),
            (tip.changed != head.changed, "the head does not name the last change"),
            (tip.latest_expiry != head.latest_expiry, "the latest expiry in the head is not that of the entries"),
        ];
        for (_, what) in differences.into_iter().filter(|(differs, _)| *differs) {
            audit.note(Problem { position: None, what: what.to_owned() });
        }
        let kept = start::facts(&self.connection, head.segments, &tip)?;
        for unreadable in kept.unreadable {
            audit.problem(unreadable.position, format_args!("its copy in the compact table is unreadable: {}", unreadable.problem));
        }
        let (mut from_kept, mut from_entries) = (kept.facts, audit.facts.clone());
        from_kept.expire(tip.time);
        from_entries.expire(tip.time);
        if from_kept != from_entries {
            audit.note(Problem { position: None, what: "the compact table does not say what the entries say".to_owned() });
        }
        Ok(())
    }
}

/// Opens the file without changing anything on the disk where that is possible: a log left over
/// from a crash has to be read with the file.
fn connect(path: &Path) -> Result<Connection, OpenError> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    if PathBuf::from(log).exists() {
        return Ok(store::connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?);
    }
    let escaped: String = path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    Ok(store::connect(Path::new(&format!("file:{escaped}?immutable=1")), flags)?)
}

fn share_lock(path: &Path) -> Result<Option<File>, OpenError> {
    let Ok(file) = File::open(store::lock_path(path)) else { return Ok(None) };
    match file.try_lock_shared() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(OpenError::Store(error.to_string())),
    }
}
