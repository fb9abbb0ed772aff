//! Entries and head as rows. Entries lie in segments, tables of a fixed number of positions that
//! refuse update and delete, and once they are full insertion too (`INSERT OR REPLACE` deletes, and asks no
//! trigger). The only key is the position: a commit appends and does nothing else. A guard against
//! replacement in the open segment would cost as much as a third of a row; there the tree tells.

use rusqlite::{Connection, OptionalExtension, Result, Row, named_params, params};

use crate::ledger::tip::Tip;
use crate::ledger::tree::Tree;
use crate::model::{Position, Timestamp};

/// Where positions lie: segment `n` holds those from `n` times the size on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ledger) struct Segments {
    size: u64,
}

/// The head as it is stored.
#[derive(Debug)]
pub(in crate::ledger) struct StoredHead {
    pub(in crate::ledger) position: Position,
    pub(in crate::ledger) time: Timestamp,
    pub(in crate::ledger) changed: Position,
    pub(in crate::ledger) latest_expiry: Timestamp,
    pub(in crate::ledger) root: Vec<u8>,
    pub(in crate::ledger) frontier: Vec<u8>,
    pub(in crate::ledger) segments: Segments,
}

impl StoredHead {
    /// The tip that it describes, or what is wrong with it.
    pub(in crate::ledger) fn tip(&self) -> std::result::Result<Tip, &'static str> {
        let tree = Tree::restore(self.position.get(), &self.frontier).ok_or("the frontier is not one of a tree of that size")?;
        if tree.root().as_slice() != self.root {
            return Err("the root is not that of the frontier");
        }
        Ok(Tip { time: self.time, changed: self.changed, latest_expiry: self.latest_expiry, tree })
    }
}

impl Segments {
    /// Segments of `size` positions.
    pub(super) fn of(size: u64) -> Self {
        Self { size: size.max(1) }
    }

    const fn number(self, position: Position) -> u64 {
        position.get() / self.size
    }

    /// The first and last position of a segment. Position 0 holds nothing.
    pub(super) const fn range(self, segment: u64) -> (Position, Position) {
        let first = segment * self.size;
        (Position::new(first), Position::new(first + (self.size - 1)))
    }

    /// The segment that holds `position`, with its first and last.
    pub(in crate::ledger) const fn around(self, position: Position) -> (u64, Position, Position) {
        let number = self.number(position);
        let (first, last) = self.range(number);
        (number, first, last)
    }
}

/// The statements that make segment `number`: a table that refuses update and delete.
fn making(number: u64, first: Position, last: Position) -> [String; 3] {
    [
        format!(
            "CREATE TABLE entries_{number} (
             position INTEGER PRIMARY KEY CHECK (position BETWEEN {first} AND {last}),
             bytes BLOB NOT NULL
         ) STRICT"
        ),
        format!(
            "CREATE TRIGGER entries_{number}_update BEFORE UPDATE ON entries_{number}
         BEGIN SELECT RAISE(ABORT, 'entries are never changed'); END"
        ),
        format!(
            "CREATE TRIGGER entries_{number}_delete BEFORE DELETE ON entries_{number}
         BEGIN SELECT RAISE(ABORT, 'entries are never deleted'); END"
        ),
    ]
}

/// The statement that seals segment `number`, once it is full.
fn sealing(number: u64) -> String {
    format!(
        "CREATE TRIGGER entries_{number}_insert BEFORE INSERT ON entries_{number}
         BEGIN SELECT RAISE(ABORT, 'the segment is full and sealed'); END"
    )
}

/// Makes the table of the segment that holds `position`, and seals the one before.
fn create(connection: &Connection, segments: Segments, position: Position) -> Result<()> {
    let (number, first, last) = segments.around(position);
    for statement in making(number, first, last).into_iter().chain(number.checked_sub(1).map(sealing)) {
        connection.execute_batch(&statement)?;
    }
    Ok(())
}

/// Whether the segment that holds `position` is there and refuses what it must, word for word, if
/// the ledger ends at `head`.
pub(in crate::ledger) fn is_guarded(connection: &Connection, segments: Segments, position: Position, head: Position) -> Result<bool> {
    let (number, first, last) = segments.around(position);
    let sealed = number < segments.number(head);
    let mut statement = connection.prepare_cached("SELECT sql FROM sqlite_schema WHERE tbl_name = ?1 AND type IN ('table', 'trigger')")?;
    let found: Vec<String> = statement.query_map([format!("entries_{number}")], |row| row.get(0))?.collect::<Result<_>>()?;
    let mut wanted = making(number, first, last).into_iter().chain(sealed.then(|| sealing(number)));
    Ok(wanted.all(|wanted| found.contains(&wanted)) && found.len() == 3 + usize::from(sealed))
}

/// How many segments there are.
pub(in crate::ledger) fn segment_count(connection: &Connection) -> Result<u64> {
    let sql = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name GLOB 'entries_[0-9]*'";
    connection.query_row(sql, [], |row| row.get(0)).map(uint)
}

/// What SQLite itself finds wrong with the file, page by page.
pub(in crate::ledger) fn broken_pages(connection: &Connection) -> Result<Vec<String>> {
    let found: Vec<String> = connection.prepare("PRAGMA integrity_check")?.query_map([], |row| row.get(0))?.collect::<Result<_>>()?;
    Ok(found.into_iter().filter(|line| line != "ok").collect())
}

/// Appends rows from `first` on.
pub(super) fn append(connection: &Connection, segments: Segments, first: Position, rows: &[Vec<u8>]) -> Result<()> {
    let mut rows = rows.iter();
    let mut position = first;
    while rows.len() > 0 {
        let (number, start, last) = segments.around(position);
        if position == start.max(Position::new(1)) {
            create(connection, segments, position)?;
        }
        let mut insert = connection.prepare_cached(&format!("INSERT INTO entries_{number} (position, bytes) VALUES (?1, ?2)"))?;
        while position <= last
            && let Some(bytes) = rows.next()
        {
            insert.execute(params![int(position.get()), bytes])?;
            position = position.next();
        }
    }
    Ok(())
}

/// The bytes at a position.
pub(super) fn find(connection: &Connection, segments: Segments, position: Position) -> Result<Option<Vec<u8>>> {
    let number = segments.number(position);
    connection
        .prepare_cached(&format!("SELECT bytes FROM entries_{number} WHERE position = ?1"))?
        .query_row([int(position.get())], |row| row.get(0))
        .optional()
}

/// Gives each row from `from` to `to`, in order, until `each` says no.
pub(in crate::ledger) fn walk(
    connection: &Connection,
    segments: Segments,
    (from, to): (Position, Position),
    mut each: impl FnMut(Position, Vec<u8>) -> bool,
) -> Result<()> {
    let mut from = from;
    while from <= to {
        let (number, _, last) = segments.around(from);
        let mut select = connection
            .prepare_cached(&format!("SELECT position, bytes FROM entries_{number} WHERE position BETWEEN ?1 AND ?2 ORDER BY position"))?;
        let mut rows = select.query([int(from.get()), int(to.min(last).get())])?;
        while let Some(row) = rows.next()? {
            if !each(Position::new(uint(row.get(0)?)), row.get(1)?) {
                return Ok(());
            }
        }
        from = last.next();
    }
    Ok(())
}

/// Gives each row from `to` down to `from`, in falling order, until `each` says no.
pub(super) fn walk_back(
    connection: &Connection,
    segments: Segments,
    (from, to): (Position, Position),
    mut each: impl FnMut(Position, Vec<u8>) -> bool,
) -> Result<()> {
    let mut to = to;
    while from <= to {
        let (number, first, _) = segments.around(to);
        let sql = format!("SELECT position, bytes FROM entries_{number} WHERE position BETWEEN ?1 AND ?2 ORDER BY position DESC");
        let mut select = connection.prepare_cached(&sql)?;
        let mut rows = select.query([int(from.max(first).get()), int(to.get())])?;
        while let Some(row) = rows.next()? {
            if !each(Position::new(uint(row.get(0)?)), row.get(1)?) {
                return Ok(());
            }
        }
        let Some(below) = first.get().checked_sub(1) else { return Ok(()) };
        to = Position::new(below);
    }
    Ok(())
}

/// The last row in the segment that holds `position`.
pub(in crate::ledger) fn last(connection: &Connection, segments: Segments, position: Position) -> Result<Option<Position>> {
    let number = segments.number(position);
    let last: Option<i64> = connection.query_row(&format!("SELECT max(position) FROM entries_{number}"), [], |row| row.get(0))?;
    Ok(last.map(|last| Position::new(uint(last))))
}

/// The head; none in a new store.
pub(in crate::ledger) fn head(connection: &Connection) -> Result<Option<StoredHead>> {
    let sql = "SELECT position, time_ms, changed, latest_expiry_ms, root, frontier, segment_size FROM head";
    connection.prepare_cached(sql)?.query_row([], stored_head).optional()
}

fn stored_head(row: &Row<'_>) -> Result<StoredHead> {
    let number = |column: &str| row.get(column).map(uint);
    Ok(StoredHead {
        position: Position::new(number("position")?),
        time: Timestamp::from_millis(number("time_ms")?),
        changed: Position::new(number("changed")?),
        latest_expiry: Timestamp::from_millis(number("latest_expiry_ms")?),
        root: row.get("root")?,
        frontier: row.get("frontier")?,
        segments: Segments::of(number("segment_size")?),
    })
}

/// Moves the head.
pub(super) fn set_head(connection: &Connection, segments: Segments, tip: &Tip) -> Result<()> {
    let sql = "INSERT INTO head (only, position, time_ms, changed, latest_expiry_ms, root, frontier, segment_size)
         VALUES (1, :position, :time, :changed, :latest_expiry, :root, :frontier, :segment_size)
         ON CONFLICT (only) DO UPDATE SET position = :position, time_ms = :time, changed = :changed,
             latest_expiry_ms = :latest_expiry, root = :root, frontier = :frontier";
    connection.prepare_cached(sql)?.execute(named_params! {
        ":position": int(tip.position().get()),
        ":time": int(tip.time.millis()),
        ":changed": int(tip.changed.get()),
        ":latest_expiry": int(tip.latest_expiry.millis()),
        ":root": tip.tree.root(),
        ":frontier": tip.tree.frontier(),
        ":segment_size": int(segments.size),
    })?;
    Ok(())
}

/// Writes the head over itself.
pub(super) fn touch_head(connection: &Connection) -> Result<()> {
    connection.prepare_cached("UPDATE head SET position = position")?.execute([]).map(drop)
}

/// SQLite's integers have a sign.
pub(super) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// What [`int`] made of a number; what it cannot have made is 0.
pub(super) fn uint(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
