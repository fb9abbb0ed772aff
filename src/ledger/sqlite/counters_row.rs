//! The kept counters of the living.

use rusqlite::{Connection, OptionalExtension, Result, params};

use super::rows::{int, uint};
use crate::model::Position;

/// Puts the counters as of `position` in place of the ones before.
pub(super) fn set(connection: &Connection, position: Position, bytes: &[u8]) -> Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO living (only, position, bytes) VALUES (1, ?1, ?2)")?
        .execute(params![int(position.get()), bytes])?;
    Ok(())
}

/// The counters, and as of which position they are.
pub(super) fn get(connection: &Connection) -> Result<Option<(Position, Vec<u8>)>> {
    connection.query_row("SELECT position, bytes FROM living", [], |row| Ok((Position::new(uint(row.get(0)?)), row.get(1)?))).optional()
}
