//! The rules that a history must keep, checked entry by entry, without trusting what wrote it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use super::tip::Tip;
use super::{Unreadable, codec, counters};
use crate::model::{Entry, Epoch, Event, Facts, Living, PolicyName, Position, Timestamp};
use crate::policy::Engine;

mod change;
mod issuance;
#[cfg(test)]
mod tests;

/// Something that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// At which entry, if it is at one.
    pub position: Option<Position>,
    /// What.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some(position) => write!(f, "entry {position}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

/// More would not be read.
const MOST_PROBLEMS: usize = 1000;

/// The counters are rid of what expired this often, in ledger time.
const FORGET_LIVING: Duration = Duration::from_secs(60);

/// A history as far as it was walked.
#[derive(Debug, Default)]
pub(super) struct Audit {
    /// What the entries say together; expired up to the last change.
    pub(super) facts: Facts,
    /// How many are alive, as the entries say.
    pub(super) living: Living,
    /// Each epoch, with the position of the entry that began it.
    pub(super) epochs: Vec<(Position, Epoch)>,
    /// The policies in force, and the longest life that each allows; none while their text is not one that this version can read.
    pub(super) policies: Option<BTreeMap<PolicyName, Option<Duration>>>,
    /// What was confirmed: of which downstream, up to where, and in which entry first.
    pub(super) confirmed: BTreeMap<(Position, Position), Position>,
    /// What changed a finding: which one, in what way, and in which entry last.
    pub(super) finding_changes: BTreeMap<(Position, u8), Position>,
    /// Each cut: of what, and where.
    pub(super) cuts: BTreeSet<(Position, Position)>,
    /// The tasks that were closed.
    pub(super) tasks_closed: BTreeSet<Position>,
    /// Where they end.
    pub(super) tip: Tip,
    /// The position of the last row.
    last: Position,
    /// When the counters were last rid of what expired.
    forgot: Timestamp,
    /// The latest expiry of what each key signed.
    last_signed: BTreeMap<Position, Timestamp>,
    /// The keys that an epoch has to cut before anything else.
    to_retire: BTreeSet<Position>,
    /// Entries that could not be read: what they said is missing above.
    pub(super) unreadable: u64,
    pub(super) problems: Vec<Problem>,
    /// How many there were, the ones left out included.
    pub(super) found: u64,
}

impl Audit {
    /// Looks at the next row, and gives what it says. `find` gives the entry at an earlier position.
    pub(super) fn row(&mut self, position: Position, bytes: &[u8], find: impl Fn(Position) -> Option<Entry>) -> Option<Entry> {
        let expected = self.last.next();
        if position != expected {
            self.problem(position, format_args!("stands where entry {expected} must stand"));
        }
        self.last = position;
        match codec::decode(position, bytes) {
            Ok(entry) => {
                self.entry(&entry, &find);
                self.tip.append(&entry, bytes);
                Some(entry)
            }
            Err(Unreadable { problem, .. }) => {
                self.problem(position, format_args!("is unreadable: {problem}"));
                self.unreadable += 1;
                self.tip.tree.append(bytes);
                None
            }
        }
    }

    fn entry(&mut self, entry: &Entry, find: &impl Fn(Position) -> Option<Entry>) {
        let before = self.tip.time;
        if entry.time < before {
            self.problem(entry.position, format_args!("is of {}, and the one before it of {before}", entry.time));
        }
        if matches!(entry.event, Event::LedgerOpened { .. }) != (entry.position == Position::BROKER) {
            self.problem(entry.position, "the opening must be the first entry, and nothing else");
        }
        if entry.time.since(self.forgot) >= FORGET_LIVING {
            self.forgot = entry.time;
            self.living.expire(entry.time);
        }
        if let Event::CredentialIssued(issued) = &entry.event {
            self.wrong(entry.position, issuance::wrong(issued, self, find));
            self.retired_by(entry);
            self.living.add(issued);
            let last = self.last_signed.entry(issued.key).or_default();
            *last = issued.expires_at.max(*last);
        } else {
            // As the broker does before a change.
            self.facts.expire(entry.time);
            self.wrong(entry.position, change::wrong(entry, self, find));
            self.retired_by(entry);
            counters::ended(entry, &self.facts, find).iter().for_each(|ended| ended.apply(&mut self.living));
            self.facts.apply(entry);
            if let Event::PolicyChanged(text) = &entry.event {
                self.policies = Engine::compile(text.files.clone()).ok().map(|engine| engine.ceilings());
            }
        }
    }

    /// An epoch begins with the end of every key from before it.
    fn retired_by(&mut self, entry: &Entry) {
        if let Event::Cut(cut) = &entry.event
            && self.to_retire.remove(&cut.number)
        {
            return;
        }
        self.all_retired(entry.position);
        if let Event::LedgerOpened { epoch, .. } = &entry.event {
            self.epochs.push((entry.position, *epoch));
        }
        if let Event::EpochBegun(begun) = &entry.event {
            self.epochs.push((entry.position, begun.epoch));
            let keys = self.facts.signing_keys().iter().map(|key| key.number);
            self.to_retire = keys.filter(|key| self.facts.cuts().get(*key).is_none()).collect();
        }
    }

    /// Notes keys of an earlier epoch that are still in use.
    pub(super) fn all_retired(&mut self, position: Position) {
        for key in std::mem::take(&mut self.to_retire) {
            self.problem(position, format_args!("an epoch has begun, and key {key} from before it was not cut with it"));
        }
    }

    fn wrong(&mut self, position: Position, wrong: Vec<String>) {
        wrong.into_iter().for_each(|what| self.problem(position, what));
    }

    /// Notes a problem at an entry.
    pub(super) fn problem(&mut self, position: Position, what: impl fmt::Display) {
        self.note(Some(position), what);
    }

    /// Notes a problem of an entry, or of the whole.
    pub(super) fn note(&mut self, position: Option<Position>, what: impl fmt::Display) {
        self.found += 1;
        if self.problems.len() < MOST_PROBLEMS {
            self.problems.push(Problem { position, what: what.to_string() });
        }
    }
}
