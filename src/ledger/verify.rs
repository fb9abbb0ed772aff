//! Offline verification: of a stopped ledger or a backup, read-only, entry by entry.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::audit::{Audit, Problem};
use super::sqlite::rows::{self, StoredHead};
use super::sqlite::{current, start, store};
use super::tip::Tip;
use super::tree::Tree;
use super::{Head, OpenError};
use crate::model::{Closing, CutMade, Entry, Epoch, Event, Facts, FindingChange, Position};

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
    /// Each epoch, with the position of the entry that began it.
    pub epochs: Vec<(Position, Epoch)>,
    /// The first thousand problems; the ledger is sound if there are none.
    pub problems: Vec<Problem>,
    /// How many problems there are.
    pub found: u64,
}

impl Report {
    /// The epoch of the entry at a position.
    pub(crate) fn epoch_at(&self, position: Position) -> Option<Epoch> {
        self.epochs.iter().rev().find(|(began, _)| *began <= position).map(|(_, epoch)| *epoch)
    }
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

    /// Where the ledger says that it ends.
    pub(crate) const fn end(&self) -> Position {
        self.head.position
    }

    /// Walks every entry, and holds all else in the file against what the entries say. `progress` is
    /// told each position. What cannot be read is a problem, and what can be is looked at.
    pub(crate) fn verify(&self, mut progress: impl FnMut(Position)) -> Report {
        let mut audit = Audit::default();
        match rows::broken_pages(&self.connection) {
            Ok(broken) => broken.iter().for_each(|what| audit.note(None, format_args!("the file is damaged: {what}"))),
            Err(error) => audit.note(None, format_args!("the file cannot be checked: {error}")),
        }
        self.segments_are_whole(&mut audit);
        let segments = self.head.segments;
        let find = |position| start::find_entry(&self.connection, segments, position);
        for segment in self.segments() {
            let read = self.walk_segment(segment, self.head.position, |position, bytes| {
                let entry = audit.row(position, &bytes, find);
                match entry.as_ref().map(|entry| &entry.event) {
                    Some(Event::Cut(cut)) => {
                        audit.cuts.insert((cut.number, position));
                    }
                    Some(Event::DownstreamConfirmed(said)) => {
                        audit.confirmed.entry((said.number, said.position)).or_insert(position);
                    }
                    Some(Event::FindingChanged { number, change, .. }) => {
                        audit.finding_changes.insert((*number, change.step()), position);
                    }
                    Some(_) | None => {}
                }
                if let Some(entry) = entry
                    && let Some(task) = closed_task(&entry)
                {
                    audit.tasks_closed.insert(task);
                    if !self.knows_closed(&entry) {
                        audit.problem(position, "closed a task that the table of closed tasks does not have");
                    }
                }
                progress(position);
            });
            if let Err(error) = read {
                audit.problem(segment, format_args!("the segment that begins here cannot be read to its end: {error}"));
            }
        }
        audit.all_retired(audit.tip.position());
        self.compare(&mut audit);
        let (entries, head) = (audit.tip.tree.size(), audit.tip.head());
        Report { entries, head, facts: audit.facts, epochs: audit.epochs, problems: audit.problems, found: audit.found }
    }

    /// The root over the first `size` entries, for a checkpoint from before; none if it has fewer.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn root_at(&self, size: Position) -> Result<Option<[u8; 32]>, OpenError> {
        let mut tree = Tree::default();
        self.walk((Position::BROKER, size.min(self.head.position)), |_, bytes| {
            tree.append(&bytes);
            true
        })?;
        Ok((tree.size() == size.get()).then(|| tree.root()))
    }

    /// Gives each row of a range, in order, until `each` says no.
    ///
    /// # Errors
    /// If the file cannot be read any further.
    pub(super) fn walk(&self, range: (Position, Position), each: impl FnMut(Position, Vec<u8>) -> bool) -> Result<(), OpenError> {
        Ok(rows::walk(&self.connection, self.head.segments, range, each)?)
    }

    fn walk_segment(&self, segment: Position, to: Position, mut each: impl FnMut(Position, Vec<u8>)) -> Result<(), OpenError> {
        let (_, _, last) = self.head.segments.around(segment);
        self.walk((segment, last.min(to)), |position, bytes| {
            each(position, bytes);
            true
        })
    }

    fn segments_are_whole(&self, audit: &mut Audit) {
        let mut count = 0;
        for segment in self.segments() {
            count += 1;
            if !rows::is_guarded(&self.connection, self.head.segments, segment, self.head.position).unwrap_or(false) {
                audit.problem(segment, "the segment is missing, or does not refuse what it must");
            }
        }
        if rows::segment_count(&self.connection).is_ok_and(|found| found > count) {
            audit.note(None, "there are segments beyond the head");
        }
    }

    fn knows_closed(&self, entry: &Entry) -> bool {
        let closed = closed_task(entry).and_then(|number| current::closed_task(&self.connection, number).ok().flatten());
        closed.is_some_and(|closed| closed <= entry.position)
    }

    /// The first position of each segment.
    fn segments(&self) -> impl Iterator<Item = Position> {
        let segments = self.head.segments;
        let next = move |segment: &Position| Some(segments.around(*segment).2.next());
        std::iter::successors(Some(Position::BROKER), next).take_while(|segment| *segment <= self.head.position)
    }

    /// Head, compact tables and counters against the entries.
    fn compare(&self, audit: &mut Audit) {
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
            audit.note(None, what);
        }
        if let Err(error) = self.compare_tables(audit, &tip) {
            audit.note(None, format_args!("the compact tables cannot be read: {error}"));
        }
    }

    fn compare_tables(&self, audit: &mut Audit, tip: &Tip) -> Result<(), OpenError> {
        let kept = start::facts(&self.connection, self.head.segments, tip)?;
        for unreadable in &kept.unreadable {
            audit.problem(unreadable.position, format_args!("its copy in the compact table is unreadable: {}", unreadable.problem));
        }
        let (mut from_kept, mut from_entries) = (kept.facts, audit.facts.clone());
        from_kept.expire(tip.time);
        from_entries.expire(tip.time);
        if from_kept != from_entries {
            audit.note(None, "the compact table does not say what the entries say");
        }
        for (number, _) in current::closed_tasks(&self.connection)? {
            if !audit.tasks_closed.contains(&number) {
                audit.note(None, format_args!("the table of closed tasks has task {number}, which was not closed"));
            }
        }
        let cuts = current::cuts(&self.connection)?;
        let missing: Vec<_> = audit.cuts.difference(&cuts).copied().collect();
        for (number, position) in missing {
            audit.problem(position, format_args!("cut subject {number}, which the table of cuts does not have"));
        }
        // What an unreadable entry cut is not known.
        if audit.unreadable == 0 {
            let made_up: Vec<_> = cuts.difference(&audit.cuts).copied().collect();
            for (number, position) in made_up {
                audit.note(None, format_args!("the table of cuts has one of subject {number} at {position}, which was not made"));
            }
        }
        // What an unreadable entry confirmed is not known.
        if audit.unreadable == 0 && current::confirmations(&self.connection)? != audit.confirmed {
            audit.note(None, "the table of confirmations is not what the entries say");
        }
        // What an unreadable entry changed is not known.
        if audit.unreadable == 0 && !changes_are_kept(&audit.finding_changes, current::all_finding_changes(&self.connection)?) {
            audit.note(None, "the table of changes of findings is not what the entries say");
        }
        // Counters that miss what an unreadable entry said are not held against those that do not.
        if audit.unreadable == 0 {
            let mut counters = start::Counters::read(&self.connection, self.head.segments, tip, &from_entries, u64::MAX)?;
            for unreadable in &counters.unreadable {
                audit.problem(unreadable.position, &unreadable.problem);
            }
            audit.living.expire(tip.time);
            counters.living.expire(tip.time);
            if counters.living != audit.living {
                audit.note(None, "the kept counters of the living are not what the entries say");
            }
        }
        Ok(())
    }
}

/// Whether the changes of findings that are kept are those of the entries, but for findings that were settled before any
/// were kept.
fn changes_are_kept(made: &BTreeMap<(Position, u8), Position>, mut kept: BTreeMap<(Position, u8), Position>) -> bool {
    let since = kept.remove(&(Position::ZERO, 0)).unwrap_or_default();
    let settled = |number: Position| made.get(&(number, FindingChange::Resolved.step())).is_some_and(|at| *at <= since);
    let expected = made.iter().filter(|((number, _), _)| !settled(*number));
    expected.map(|(change, at)| (*change, *at)).eq(kept)
}

/// The task that an entry closes.
fn closed_task(entry: &Entry) -> Option<Position> {
    let Event::Cut(CutMade { number, closing: Closing::CloseTask, .. }) = entry.event else { return None };
    Some(number)
}

/// Opens the file without changing anything on the disk where that is possible: a log left over
/// from a crash has to be read with the file.
pub(super) fn connect(path: &Path) -> Result<Connection, OpenError> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    if PathBuf::from(log).exists() {
        return Ok(store::connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?);
    }
    let escaped: String = path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    Ok(store::connect(Path::new(&format!("file:{escaped}?immutable=1")), flags)?)
}

/// Keeps a broker from starting on the file; a backup has no lock beside it.
pub(super) fn share_lock(path: &Path) -> Result<Option<File>, OpenError> {
    let Ok(file) = File::open(store::lock_path(path)) else { return Ok(None) };
    match file.try_lock_shared() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(OpenError::Store(error.to_string())),
    }
}
