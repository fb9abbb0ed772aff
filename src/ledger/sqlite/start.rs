//! The start: from the compact tables to what is held in memory. Its time does not grow with the
//! number of entries.

use rusqlite::{Connection, OptionalExtension as _};

use super::rows::{self, Segments};
use super::{OpenError, counters_row, current};
use crate::ledger::tip::Tip;
use crate::ledger::{Unreadable, codec, compact, counters};
use crate::model::{CLOCK_STEP, CredentialKind, Entry, Event, Facts, Living, Position, Recording, Timestamp};

/// What is held in memory.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) facts: Facts,
    pub(super) living: Living,
    /// The counters are kept as of this position.
    pub(super) counted: Position,
    pub(super) tip: Tip,
    pub(super) unreadable: Vec<Unreadable>,
}

impl State {
    /// Reads it; that of an empty ledger if there is none yet.
    pub(super) fn load(connection: &Connection, segments: Segments, most_replayed: u64, now: Timestamp) -> Result<Self, OpenError> {
        let mut state = Self { tip: tip(connection, segments)?, ..Self::default() };
        if state.tip.position() == Position::ZERO {
            return Ok(state);
        }
        sound_tables(connection)?;
        let kept = facts(connection, segments, &state.tip)?;
        state.facts = kept.facts;
        state.unreadable = kept.unreadable;
        state.facts.expire(now);
        let mut counters = Counters::read(connection, segments, &state.tip, &state.facts, most_replayed)?;
        state.unreadable.append(&mut counters.unreadable);
        state.living = counters.living;
        state.counted = counters.counted;
        state.living.expire(now);
        doubt(&mut state.living, state.tip.time, &state.tip, now);
        Ok(state)
    }
}

/// What the places of tokens in status lists are computed from. With another, the lists would say of the wrong
/// tokens that they are dead.
pub(super) fn status_secret(connection: &Connection) -> Result<[u8; 32], OpenError> {
    let bytes = |row: &rusqlite::Row<'_>| Ok(row.get_ref(0)?.as_blob().ok().and_then(|bytes| bytes.try_into().ok()));
    let found = connection.query_row("SELECT bytes FROM status_secret", [], bytes).optional()?;
    found.flatten().ok_or_else(|| OpenError::Damaged("the secret of its status lists is lost: restore a backup".to_owned()))
}

/// Says of the counters that something may be missing, if what expired was forgotten by a clock that had
/// come to `then`, and that was so far ahead of `now` that some of it is alive.
pub(super) fn doubt(living: &mut Living, then: Timestamp, tip: &Tip, now: Timestamp) {
    if then > now.plus(CLOCK_STEP) {
        // Longer than a credential lives it was alive already, and so is counted, when the clock was right.
        living.distrust(tip.latest_expiry.min(now.plus(CredentialKind::Certificate.longest_life())));
    }
}

/// The tables from which a start makes what is in memory, page by page. They are small; the entries are
/// not looked at, and are for offline verification.
fn sound_tables(connection: &Connection) -> Result<(), OpenError> {
    for table in ["head", "current", "living"] {
        let found: String = connection.query_row(&format!("PRAGMA quick_check('{table}')"), [], |row| row.get(0))?;
        if found != "ok" {
            return Err(OpenError::NotALedger(format!("table {table}: {found}")));
        }
    }
    Ok(())
}

/// The counters of the living, from the kept ones and the entries after these.
#[derive(Debug, Default)]
pub(in crate::ledger) struct Counters {
    pub(in crate::ledger) living: Living,
    /// They were kept as of this position.
    counted: Position,
    pub(in crate::ledger) unreadable: Vec<Unreadable>,
}

impl Counters {
    /// Reads them, and counts what came after them; where none are kept, at most `most_replayed` entries.
    pub(in crate::ledger) fn read(
        connection: &Connection,
        segments: Segments,
        tip: &Tip,
        facts: &Facts,
        most_replayed: u64,
    ) -> Result<Self, OpenError> {
        let mut counters = Self::kept(connection, tip.position())?;
        let from = counters.counted.next().max(Position::new(tip.position().get().saturating_sub(most_replayed)));
        let mut bad = Vec::new();
        rows::walk(connection, segments, (from, tip.position()), |position, bytes| {
            match codec::decode(position, &bytes) {
                Ok(entry) => replay(&mut counters.living, &entry, facts, connection, segments),
                Err(unreadable) => bad.push(unreadable),
            }
            true
        })?;
        if from > counters.counted.next() || !bad.is_empty() {
            counters.living.distrust(tip.latest_expiry);
        }
        counters.unreadable.append(&mut bad);
        Ok(counters)
    }

    fn kept(connection: &Connection, head: Position) -> Result<Self, OpenError> {
        let Some((position, bytes)) = counters_row::get(connection)? else { return Ok(Self::default()) };
        let unreadable = |problem| Self { unreadable: vec![Unreadable { position, problem }], ..Self::default() };
        if position > head {
            return Ok(unreadable("counters of a position that the ledger has not reached".to_owned()));
        }
        Ok(match counters::decode(&bytes) {
            Ok(Some(living)) => Self { living, counted: position, ..Self::default() },
            Ok(None) => Self::default(),
            Err(problem) => unreadable(format!("the counters kept there: {problem}")),
        })
    }
}

fn replay(living: &mut Living, entry: &Entry, facts: &Facts, connection: &Connection, segments: Segments) {
    if let Event::CredentialIssued(issued) = &entry.event {
        living.add(issued);
    }
    let find = |position| find_entry(connection, segments, position);
    counters::ended(entry, facts, find).iter().for_each(|ended| ended.apply(living));
}

/// What stands at a position, if it can be read.
pub(in crate::ledger) fn find_entry(connection: &Connection, segments: Segments, position: Position) -> Option<Entry> {
    let bytes = rows::find(connection, segments, position).ok().flatten()?;
    codec::decode(position, &bytes).ok()
}

/// Where the ledger ends, if head, frontier and entries agree on it.
fn tip(connection: &Connection, segments: Segments) -> Result<Tip, OpenError> {
    let Some(head) = rows::head(connection)? else { return Ok(Tip::default()) };
    let tip = head.tip().map_err(|problem| OpenError::Damaged(format!("the head of the ledger cannot be right: {problem}")))?;
    let last = rows::last(connection, segments, head.position)?;
    if last == Some(head.position) {
        return Ok(tip);
    }
    let last = last.unwrap_or_default();
    Err(OpenError::Damaged(format!("the head is at {} and the last entry near it is {last}", head.position)))
}

/// Facts made of the entries that are kept, and which of these could not be read.
#[derive(Debug, Default)]
pub(in crate::ledger) struct FromKept {
    pub(in crate::ledger) facts: Facts,
    pub(in crate::ledger) unreadable: Vec<Unreadable>,
}

/// Applies what is kept, in order. Where a kept copy cannot be read, the entry itself is taken; where
/// that cannot be read either, the worst is assumed: a subject whose first recording is lost is closed.
pub(in crate::ledger) fn facts(connection: &Connection, segments: Segments, tip: &Tip) -> rusqlite::Result<FromKept> {
    let mut made = FromKept::default();
    let (mut applied, mut is_incomplete) = (Position::ZERO, false);
    for kept in current::all(connection)? {
        if kept.position == applied {
            continue;
        }
        match codec::decode(kept.position, &kept.bytes) {
            Ok(entry) => {
                let lost = lost(&made.facts, &entry.event).filter(|_| is_incomplete);
                made.facts.apply(&entry);
                applied = kept.position;
                lost.into_iter().for_each(|number| made.facts.apply(&compact::closed(number, kept.position, tip.latest_expiry)));
            }
            Err(unreadable) => {
                let instead = find_entry(connection, segments, kept.position);
                let instead = instead.or_else(|| compact::assumed(kept.slot?, kept.position, tip.latest_expiry));
                is_incomplete |= instead.is_none();
                instead.into_iter().for_each(|entry| made.facts.apply(&entry));
                if made.unreadable.last() != Some(&unreadable) {
                    made.unreadable.push(unreadable);
                }
            }
        }
    }
    Ok(made)
}

/// The subject that is recorded anew here, if it is not known: what closed it before then closed nothing.
fn lost(facts: &Facts, event: &Event) -> Option<Position> {
    let (Event::OwnerRecorded(Recording { number: Some(number), .. })
    | Event::EnvironmentRecorded(Recording { number: Some(number), .. })
    | Event::WorkloadRecorded(Recording { number: Some(number), .. })
    | Event::DownstreamRecorded(Recording { number: Some(number), .. })) = event
    else {
        return None;
    };
    let is_known = facts.owner_numbered(*number).is_some()
        || facts.environment_numbered(*number).is_some()
        || facts.workload_numbered(*number).is_some()
        || facts.downstream_numbered(*number).is_some();
    (!is_known).then_some(*number)
}
