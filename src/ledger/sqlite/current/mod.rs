//! The compact tables: the entries that still matter, which cut closed which task, and where the
//! cuts of each number and the changes of each finding stand.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OptionalExtension, Result, params};

use super::rows::{self, Segments, int, uint};
use crate::ledger::compact::{self, Aspect, Slot};
use crate::model::{CLOCK_STEP, Entry, Event, Position, Timestamp};

#[cfg(test)]
mod tests;

/// A row: an entry that holds a slot.
#[derive(Debug)]
pub(in crate::ledger) struct Kept {
    pub(in crate::ledger) slot: Option<Slot>,
    pub(in crate::ledger) position: Position,
    pub(in crate::ledger) bytes: Vec<u8>,
}

/// Takes an entry in, and what it replaces out.
pub(in crate::ledger) fn keep(connection: &Connection, entry: &Entry, bytes: &[u8]) -> Result<()> {
    for Slot { number, aspect, ends } in compact::slots(entry) {
        let (number, position) = (int(number.get()), int(entry.position.get()));
        let ends = ends.map(|ends| int(ends.millis()));
        // A cut that ends before an earlier one of its number leaves with that one, for in the
        // facts the two are one: the position of the later, the end of the longer.
        connection
            .prepare_cached(
                "INSERT INTO current (number, aspect, position, ends_ms, bytes) VALUES (?1, ?2, ?3,
                 max(?4, coalesce((SELECT max(ends_ms) FROM current WHERE number = ?1 AND aspect = ?2), ?4)), ?5)",
            )?
            .execute(params![number, aspect.number(), position, ends, bytes])?;
        connection
            .prepare_cached("DELETE FROM current WHERE number = ?1 AND aspect = ?2 AND position < ?3 AND coalesce(ends_ms <= ?4, true)")?
            .execute(params![number, aspect.number(), position, ends])?;
        if aspect == Aspect::TaskClosed {
            connection
                .prepare_cached("INSERT INTO closed_tasks (number, position) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
                .execute([number, position])?;
        }
    }
    if let Event::Cut(cut) = &entry.event {
        connection
            .prepare_cached("INSERT INTO cuts (number, position) VALUES (?1, ?2)")?
            .execute([int(cut.number.get()), int(entry.position.get())])?;
    }
    if let Event::DownstreamConfirmed(confirmed) = &entry.event {
        connection
            .prepare_cached("INSERT INTO confirmations (number, reaches, position) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?
            .execute([int(confirmed.number.get()), int(confirmed.position.get()), int(entry.position.get())])?;
    }
    if let Event::FindingChanged { number, change, .. } = &entry.event {
        connection.prepare_cached("INSERT OR REPLACE INTO finding_changes (number, step, position) VALUES (?1, ?2, ?3)")?.execute([
            int(number.get()),
            int(change.step().into()),
            int(entry.position.get()),
        ])?;
    }
    if let Some((number, aspects)) = compact::removed(entry) {
        for aspect in aspects {
            connection
                .prepare_cached("DELETE FROM current WHERE number = ?1 AND aspect = ?2")?
                .execute(params![int(number.get()), aspect.number()])?;
        }
    }
    Ok(())
}

/// Drops what stopped to matter by `now`, as [`Facts`](crate::model::Facts) forget it: tasks that
/// closed and settled, cuts that left the list for good, exceptions that have long been over, and what sources
/// ended long ago.
pub(in crate::ledger) fn prune(connection: &Connection, now: Timestamp) -> Result<()> {
    let (now, for_good) = (int(now.millis()), int(now.minus(CLOCK_STEP).millis()));
    connection
        .prepare_cached(
            "DELETE FROM current WHERE aspect = ?1 AND number IN (SELECT number FROM current WHERE aspect = ?2 AND ends_ms <= ?3)",
        )?
        .execute(params![Aspect::Task.number(), Aspect::TaskClosed.number(), now])?;
    let exceptions = [Aspect::Exception, Aspect::ExceptionApproved, Aspect::ExceptionEnded];
    let sources = [Aspect::SourceConfirmed, Aspect::SourceEnded];
    let at_their_end = [Aspect::TaskClosed].into_iter().chain(exceptions).chain(sources).map(|aspect| (aspect, now));
    for (aspect, ended) in at_their_end.chain([(Aspect::Listed, for_good)]) {
        connection.prepare_cached("DELETE FROM current WHERE aspect = ?1 AND ends_ms <= ?2")?.execute(params![aspect.number(), ended])?;
    }
    Ok(())
}

/// Everything that is kept, in order of position.
pub(in crate::ledger) fn all(connection: &Connection) -> Result<Vec<Kept>> {
    let mut select = connection.prepare("SELECT number, aspect, position, ends_ms, bytes FROM current ORDER BY position")?;
    let rows = select.query_map([], |row| {
        let number = Position::new(uint(row.get("number")?));
        let ends: Option<i64> = row.get("ends_ms")?;
        let ends = ends.map(|ends| Timestamp::from_millis(uint(ends)));
        Ok(Kept {
            slot: Aspect::numbered(row.get("aspect")?).map(|aspect| Slot { number, aspect, ends }),
            position: Position::new(uint(row.get("position")?)),
            bytes: row.get("bytes")?,
        })
    })?;
    rows.collect()
}

/// Every task that was closed, with the cut that closed it, in no order.
pub(in crate::ledger) fn closed_tasks(connection: &Connection) -> Result<Vec<(Position, Position)>> {
    let position = |number: i64| Position::new(uint(number));
    let mut select = connection.prepare("SELECT number, position FROM closed_tasks")?;
    let rows = select.query_map([], |row| Ok((position(row.get(0)?), position(row.get(1)?))))?;
    rows.collect()
}

/// Every cut: of what, and where.
pub(in crate::ledger) fn cuts(connection: &Connection) -> Result<BTreeSet<(Position, Position)>> {
    let position = |number: i64| Position::new(uint(number));
    let mut select = connection.prepare("SELECT number, position FROM cuts")?;
    let rows = select.query_map([], |row| Ok((position(row.get(0)?), position(row.get(1)?))))?;
    rows.collect()
}

/// The cut that closed a task.
pub(in crate::ledger) fn closed_task(connection: &Connection, number: Position) -> Result<Option<Position>> {
    let position = connection
        .prepare_cached("SELECT position FROM closed_tasks WHERE number = ?1")?
        .query_row([int(number.get())], |row| row.get(0))
        .optional()?;
    Ok(position.map(|position: i64| Position::new(uint(position))))
}

/// The first cut of a number above a position.
pub(in crate::ledger) fn cut_above(connection: &Connection, number: Position, above: Position) -> Result<Option<Position>> {
    let position: Option<i64> = connection
        .prepare_cached("SELECT min(position) FROM cuts WHERE number = ?1 AND position > ?2")?
        .query_row([int(number.get()), int(above.get())], |row| row.get(0))?;
    Ok(position.map(|position| Position::new(uint(position))))
}

/// The first entry that says that a downstream has confirmed a position, or a later one.
pub(in crate::ledger) fn confirmed(connection: &Connection, number: Position, position: Position) -> Result<Option<Position>> {
    let found: Option<i64> = connection
        .prepare_cached("SELECT min(position) FROM confirmations WHERE number = ?1 AND reaches >= ?2")?
        .query_row([int(number.get()), int(position.get())], |row| row.get(0))?;
    Ok(found.map(|position| Position::new(uint(position))))
}

/// Every confirmation: of which downstream and up to where, and the first entry that says so.
pub(in crate::ledger) fn confirmations(connection: &Connection) -> Result<BTreeMap<(Position, Position), Position>> {
    let position = |number: i64| Position::new(uint(number));
    let mut select = connection.prepare("SELECT number, reaches, position FROM confirmations")?;
    let rows = select.query_map([], |row| Ok(((position(row.get(0)?), position(row.get(1)?)), position(row.get(2)?))))?;
    rows.collect()
}

/// The entry that raised a finding which was changed, and the last of each sort that changed it, in order; nothing of one
/// that was settled before they were kept.
pub(in crate::ledger) fn of_finding(connection: &Connection, segments: Segments, number: Position) -> Result<Vec<(Position, Vec<u8>)>> {
    let mut select = connection.prepare_cached(
        "SELECT number FROM finding_changes WHERE number = ?1 UNION SELECT position FROM finding_changes WHERE number = ?1",
    )?;
    let positions = select.query_map([int(number.get())], |row| Ok(Position::new(uint(row.get(0)?))))?;
    let mut found = Vec::new();
    for position in positions {
        let position = position?;
        found.extend(rows::find(connection, segments, position)?.map(|bytes| (position, bytes)));
    }
    found.sort();
    Ok(found)
}

/// Every change of a finding that is kept: the last of each sort. Under number and sort zero stands the position from
/// which on findings that are settled are among them.
pub(in crate::ledger) fn all_finding_changes(connection: &Connection) -> Result<BTreeMap<(Position, u8), Position>> {
    let position = |number: i64| Position::new(uint(number));
    let mut select = connection.prepare("SELECT number, step, position FROM finding_changes")?;
    let rows = select.query_map([], |row| Ok(((position(row.get(0)?), row.get(1)?), position(row.get(2)?))))?;
    rows.collect()
}
