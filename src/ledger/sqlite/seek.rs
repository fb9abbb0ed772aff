//! A search, the newest first: sealed segments by their index where it can say, the others row by row. And
//! where the ledger stood at an instant.

use super::Shared;
use super::rows::{self, find};
use crate::ledger::search::MOST_SEARCHED;
use crate::ledger::{Found, LedgerError, Search, codec};
use crate::model::{CredentialId, Issued, Position, Timestamp};

/// A search under way.
struct Seeking<'a> {
    search: &'a Search,
    /// The lowest position that is looked at.
    floor: Position,
    found: Found,
    /// How many more entries may be looked at.
    left: u64,
}

/// Searches from `last` down. Blocks on the disk.
pub(super) fn search(shared: &Shared, search: &Search, last: Position) -> Result<Found, LedgerError> {
    let floor = search.after.next().max(Position::BROKER);
    let mut seeking = Seeking { search, floor, found: Found::default(), left: MOST_SEARCHED };
    let segments = shared.store.segments;
    let mut to = last;
    while to >= floor {
        let (segment, first, _) = segments.around(to);
        let from = first.max(floor);
        let indexed = search.by.as_ref().and_then(|by| shared.index.positions(segment, by, (from, to), seeking.left));
        let goes_on = match indexed {
            Some(positions) => seeking.by_index(shared, &positions)?,
            None => seeking.by_row(shared, (from, to))?,
        };
        let Some(below) = from.get().checked_sub(1).filter(|_| goes_on) else { break };
        to = Position::new(below);
    }
    Ok(seeking.found)
}

/// The first entry up to `last` that was committed at `since` or later, found by halves: times never go back.
/// Of a stretch that cannot be read nobody knows when it was, so it counts as later. Blocks on the disk.
pub(super) fn first_since(shared: &Shared, since: Timestamp, last: Position) -> Result<Position, LedgerError> {
    let (mut low, mut high) = (Position::BROKER.get(), last.get() + 1);
    while low < high {
        let middle = low.midpoint(high);
        match first_readable(shared, (Position::new(middle), Position::new(high - 1)))? {
            Some((position, time)) if time < since => low = position.get() + 1,
            Some(_) | None => high = middle,
        }
    }
    Ok(Position::new(low))
}

/// The first entry in a range that can be read, and when it was committed.
fn first_readable(shared: &Shared, range: (Position, Position)) -> Result<Option<(Position, Timestamp)>, LedgerError> {
    let mut found = None;
    shared.store.read(|connection| {
        rows::walk(connection, shared.store.segments, range, |position, bytes| {
            found = codec::decode(position, &bytes).ok().map(|entry| (position, entry.time));
            found.is_none()
        })
    })?;
    Ok(found)
}

impl Seeking<'_> {
    fn by_index(&mut self, shared: &Shared, positions: &[Position]) -> Result<bool, LedgerError> {
        for position in positions {
            let bytes = shared.store.read(|connection| find(connection, shared.store.segments, *position))?;
            if bytes.is_some_and(|bytes| !self.consider(*position, &bytes)) {
                return Ok(false);
            }
        }
        Ok(self.spend(u64::try_from(positions.len()).unwrap_or(u64::MAX), positions.last().copied()))
    }

    fn by_row(&mut self, shared: &Shared, (from, to): (Position, Position)) -> Result<bool, LedgerError> {
        let from = from.max(Position::new((to.get() + 1).saturating_sub(self.left)));
        let mut goes_on = true;
        shared.store.read(|connection| {
            rows::walk_back(connection, shared.store.segments, (from, to), |position, bytes| {
                goes_on = self.consider(position, &bytes);
                goes_on
            })
        })?;
        Ok(goes_on && self.spend(to.get() - from.get() + 1, Some(from)))
    }

    /// Whether more may be looked at after so many, the lowest at `lowest`; if not, there the next
    /// search goes on.
    fn spend(&mut self, looked: u64, lowest: Option<Position>) -> bool {
        self.left = self.left.saturating_sub(looked);
        if self.left == 0 {
            self.found.next = lowest.filter(|lowest| *lowest > self.floor);
        }
        self.left > 0
    }

    /// Takes what is wanted, and says whether to go on.
    fn consider(&mut self, position: Position, bytes: &[u8]) -> bool {
        // What cannot be read was reported at the start, and is found by verifying.
        let Ok(entry) = codec::decode(position, bytes) else { return true };
        if entry.time < self.search.since {
            return false;
        }
        let is_wanted =
            |issued: &Issued| self.search.by.as_ref().is_none_or(|by| by.holds(issued)) && (self.search.wanted)(position, issued);
        let wanted = entry.event.issued().filter(is_wanted);
        self.found.credentials.extend(wanted.map(|issued| (CredentialId::new(position, issued.nonce), issued)));
        let enough = self.found.credentials.len() >= self.search.limit;
        if enough {
            self.found.next = Some(position).filter(|position| *position > self.floor);
        }
        !enough
    }
}
