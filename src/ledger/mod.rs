//! The one total order: what a ledger promises, and its stores.
//!
//! Positions are given by the committing transaction: 1, 2, 3, … without gaps. Nothing is
//! answered before it is durable. An issuance is recorded only if nothing that it was decided on
//! has changed since; a change is decided inside the transaction that commits it.

use std::future::Future;
use std::pin::Pin;
use std::sync::RwLockReadGuard;

use tokio::sync::watch;

use crate::model::{Census, Concerns, Entry, Event, Facts, Living, Position, Refusal, SpiffeId, Timestamp, Whose};
use crate::policy::Grant;

mod audit;
mod backup;
pub(crate) mod codec;
mod compact;
#[cfg(test)]
mod contract;
mod counters;
mod export;
mod high_water;
mod recorded;
#[cfg(test)]
mod samples;
mod search;
mod sqlite;
mod testimony;
mod tip;
mod tree;
mod verify;

pub(crate) use audit::Problem;
pub(crate) use backup::backup;
pub(crate) use export::ExportError;
pub(crate) use high_water::HighWater;
pub(crate) use recorded::Recorded;
pub(crate) use search::{By, Found, Search};
pub(crate) use sqlite::{OpenError, Options, Place, SqliteLedger};
pub(crate) use testimony::Testimony;
pub(crate) use verify::{Offline, Report};

/// A future that a ledger returns; the box is nothing beside a disk write.
pub(crate) type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where the ledger ends, as committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// The last position; also the size of the tree.
    pub position: Position,
    /// When the last entry was committed.
    pub time: Timestamp,
    /// The Merkle tree root over all entries (RFC 6962, section 2.1).
    pub root: [u8; 32],
    /// The latest expiry ever recorded.
    pub latest_expiry: Timestamp,
}

/// What a plan may look at, inside the committing transaction.
#[derive(Debug)]
pub(crate) struct Present<'a> {
    /// What the ledger says at this position.
    pub facts: &'a Facts,
    /// The counters of the living at this position.
    pub living: &'a Living,
    /// The last position.
    pub head: Position,
    /// The latest expiry ever recorded.
    pub latest_expiry: Timestamp,
    /// What the clock says. The new entries carry it, or the time of the last entry if that is later.
    pub now: Timestamp,
}

impl Present<'_> {
    /// Whom a cut of `number` made now concerns, where `census` counts what dies of it: everybody, if the
    /// counters may miss something or a cut before this one may not be enforced yet.
    pub(crate) fn concerns(&self, number: Position, census: &Census) -> Concerns {
        let found = Concerns::of(census, self.facts);
        let is_known = self.facts.cuts().get(number).is_none() && !self.living.may_be_low(self.now);
        if is_known { found } else { found.anywhere(self.facts, self.latest_expiry) }
    }
}

/// Decides, on the facts of the committing transaction, what to append: nothing, or events that
/// are committed together, or a refusal that changes nothing.
///
/// An event may name the number that an earlier event of the same plan gets: `head` + its place.
pub(crate) type Plan = Box<dyn FnOnce(&Present<'_>) -> Result<Vec<Event>, Refusal> + Send>;

/// How a change stands to others that wait, and to a disk that is nearly full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// An administrator's, who may be revoking, or the broker's own: it goes before everything else that
    /// waits, in a lane that no workload can fill.
    First,
    /// It goes before what follows, in a lane where everybody who has something there gets a turn: somebody's
    /// revocation is not behind all that others want.
    Ordinary,
    /// It can wait for better times: it lets more be issued, or only tells. It goes before issuances, in a lane
    /// of the same kind, and stops as they do when the disk is nearly full.
    Postponable,
}

/// A change to be decided and committed.
pub(crate) struct Change {
    /// What it waits for.
    pub urgency: Urgency,
    /// Who causes it; absent for the broker itself.
    pub actor: Option<SpiffeId>,
    /// What the caller calls it, for tracing.
    pub request_id: Option<String>,
    /// What to append.
    pub plan: Plan,
}

/// What a change committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Committed {
    /// The position of the first event; absent if the plan appended nothing.
    pub first: Option<Position>,
    /// The position of the last event; the head if the plan appended nothing.
    pub last: Position,
    /// When.
    pub time: Timestamp,
}

/// Why nothing was recorded or changed, or why that is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LedgerError {
    /// Something that the grant was decided on has changed: decide again.
    #[error("decided on facts that have changed since")]
    Stale,
    /// The plan refused. Nothing was changed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Too much waits to be committed. Nothing was changed; a retry can help.
    #[error("too many requests wait to be recorded")]
    Overloaded,
    /// The store failed or is closed. Nothing was acknowledged; whether it was stored is unknown,
    /// which is harmless for an issuance, and repeating a change is idempotent.
    #[error("the ledger cannot commit: {0}")]
    Unavailable(String),
}

/// An entry as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    /// Its position, from the store.
    pub position: Position,
    /// Its bytes, as hashed.
    pub bytes: Vec<u8>,
    /// What they say, or why they cannot be read.
    pub entry: Result<Entry, Unreadable>,
}

/// Why the bytes of an entry cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("entry {position} is unreadable: {problem}")]
pub(crate) struct Unreadable {
    /// Where.
    pub position: Position,
    /// What is wrong.
    pub problem: String,
}

/// A ledger. Every verb is atomic.
pub(crate) trait Ledger: Send + Sync + std::fmt::Debug {
    /// What the ledger says now. Hold it briefly and never across an await: a commit waits for it.
    fn facts(&self) -> RwLockReadGuard<'_, Facts>;

    /// The committed end. It is never behind what any earlier call was answered. Read while
    /// [`Ledger::facts`] is held, it is of the same moment: no change lies between.
    fn head(&self) -> Head;

    /// Counts the living of a subject.
    fn census(&self, whose: Whose, now: Timestamp) -> Census;

    /// How many credentials of a workload are alive at most; see [`Living::at_most`].
    fn living_at_most(&self, workload: Position) -> u64;

    /// Whether so many issuances wait that [`Ledger::record`] would answer `Overloaded`: asked before
    /// anything is decided.
    fn is_crowded(&self) -> bool;

    /// Records an issuance durably. `Stale` if a subject of the grant, the policy, the keys or the
    /// downstreams changed after the grant's fence: nothing was recorded then.
    fn record(&self, grant: Grant, nonce: [u8; 8]) -> Answer<'_, Result<Recorded, LedgerError>>;

    /// Decides and commits a change, ahead of less urgent ones and of every issuance that waits.
    fn change(&self, change: Change) -> Answer<'_, Result<Committed, LedgerError>>;

    /// The entry at a position, if the ledger has come that far.
    fn find(&self, position: Position) -> Answer<'_, Result<Option<Stored>, LedgerError>>;

    /// At most `limit` entries from `from` on, in order.
    fn entries(&self, from: Position, limit: usize) -> Answer<'_, Result<Vec<Stored>, LedgerError>>;

    /// The first entry that was committed at `since` or later: none before it was. Where entries cannot be
    /// read it may be an earlier one. The position after the last if there is none.
    fn first_since(&self, since: Timestamp) -> Answer<'_, Result<Position, LedgerError>>;

    /// What the places of tokens in status lists are computed from: secret, and the same as long as there is
    /// this ledger.
    fn status_secret(&self) -> [u8; 32];

    /// Looks for issuances, the newest first.
    fn search(&self, search: Search) -> Answer<'_, Result<Found, LedgerError>>;

    /// The first cut of any of these numbers that stands above the position given with it, of all
    /// that were ever made.
    fn first_cut(&self, numbers: Vec<(Position, Position)>) -> Answer<'_, Result<Option<Position>, LedgerError>>;

    /// The first entry that says that everybody who follows for a downstream has confirmed a position, or a
    /// later one.
    fn confirmed(&self, downstream: Position, position: Position) -> Answer<'_, Result<Option<Position>, LedgerError>>;

    /// The entry that raised a finding which was changed, and the last of each sort that changed it, in order.
    fn of_finding(&self, number: Position) -> Answer<'_, Result<Vec<Stored>, LedgerError>>;

    /// The position of the cut that closed a task which is forgotten by [`Ledger::facts`].
    fn closed_task(&self, number: Position) -> Answer<'_, Result<Option<Position>, LedgerError>>;

    /// The position of the last entry that changed the facts, and each next one.
    fn watch(&self) -> watch::Receiver<Position>;

    /// Writes, syncs and commits something that changes nothing: whether it can commit now.
    fn probe(&self) -> Answer<'_, Result<(), LedgerError>>;

    /// Commits what waits, then refuses everything, and returns when the store is closed.
    fn close(&self) -> Answer<'_, ()>;
}
