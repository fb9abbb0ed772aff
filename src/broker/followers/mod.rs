//! Who follows the list, which list was handed to whom, and what each confirmed. Memory only: what
//! matters for good is an entry of the ledger.
//!
//! A follower is a process: an identity and the name that the process chose for itself. Each speaks
//! for itself alone, so one replica never speaks for ten.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::Error;
use super::error::Limit;
use crate::model::{Denial, DenialCode, Epoch, Instance, Position, SpiffeId, Timestamp, Windows};

mod confirm;
mod mark;
mod roll;
mod track;

pub(crate) use confirm::Confirmation;
#[cfg(test)]
pub(crate) use roll::Roll;
pub(crate) use roll::{FollowerState, FollowerStory, SilentDownstream};
pub(in crate::broker) use track::{Seen, Tracked};

/// How many followers are told apart, and how many of one identity.
const MOST: usize = 50_000;
const MOST_OF_ONE: usize = 20_000;

/// How long who fell silent is remembered, beyond the life of the last list that it was handed.
const REMEMBERED: Duration = Duration::from_secs(600);

/// How many published points are remembered, to hold against what followers confirm.
const POINTS: usize = 4096;

/// A list as it was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    /// The position that it covers.
    pub position: Position,
    /// The root of the tree there.
    pub root: [u8; 32],
    /// When it was signed and could be handed out.
    pub out: Timestamp,
}

/// The last list that a follower was handed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handed {
    /// The position that it covers.
    pub position: Position,
    /// Its `iat`.
    pub issued_at: Timestamp,
}

/// One process that follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Process {
    handed: Option<Handed>,
    /// The highest position that it confirmed, and when.
    confirmed: Option<(Position, Timestamp)>,
    /// What it confirmed of another history, if nothing of this one since.
    forked: Option<Position>,
    /// When it was heard of last.
    seen: Timestamp,
}

impl Process {
    /// From when on nothing depends on it.
    fn forgotten(&self, windows: &Windows) -> Timestamp {
        let held = self.handed.map_or(Timestamp::EPOCH, |handed| handed.issued_at.plus(windows.list()));
        self.seen.plus(REMEMBERED).max(held)
    }
}

/// The followers of one identity; without a name stand those that gave none.
type Processes = BTreeMap<Option<Instance>, Process>;

/// The memory of who follows.
#[derive(Debug)]
pub(crate) struct Followers {
    windows: Windows,
    /// When this memory began: who was handed what before that is not known.
    began: Timestamp,
    memory: Mutex<Memory>,
    /// Somebody confirmed something, or a cut is followed.
    heard: Notify,
    /// Grows with whatever may change how a cut stands.
    changed: watch::Sender<u64>,
    mark: mark::Mark,
}

#[derive(Debug, Default)]
struct Memory {
    points: VecDeque<Point>,
    /// What CRLs and status lists covered when they were out, and when that was.
    stock: VecDeque<(Position, Timestamp)>,
    identities: BTreeMap<SpiffeId, Processes>,
    count: usize,
    /// The cuts that are followed.
    cuts: BTreeMap<Position, Tracked>,
    /// Up to where all are.
    followed: Position,
    /// How often something of another history was confirmed.
    forks: u64,
    swept: Timestamp,
}

/// Why a confirmation does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mismatch {
    Epoch,
    Beyond,
    Root,
}

impl Followers {
    /// A memory that begins at `began`, empty.
    pub(crate) fn new(windows: Windows, began: Timestamp) -> Self {
        Self { windows, began, memory: Mutex::default(), heard: Notify::new(), changed: watch::Sender::new(0), mark: mark::Mark::default() }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long verifiers may go on with what they have.
    pub(crate) const fn windows(&self) -> &Windows {
        &self.windows
    }

    /// A list is out. Told by whoever publishes, before anybody is handed it.
    pub(crate) fn published(&self, point: Point) {
        let mut memory = self.memory();
        if memory.points.back().is_some_and(|last| last.position >= point.position) {
            return;
        }
        memory.points.push_back(point);
        if memory.points.len() > POINTS {
            memory.points.pop_front();
        }
        for cut in memory.cuts.range_mut(..=point.position).map(|(_, cut)| cut) {
            cut.out.get_or_insert(point.out);
        }
        drop(memory);
        self.stir();
    }

    /// CRLs and status lists are out that cover everything up to a position.
    pub(crate) fn stock_published(&self, position: Position, out: Timestamp) {
        let mut memory = self.memory();
        if memory.stock.back().is_some_and(|(last, _)| *last >= position) {
            return;
        }
        memory.stock.push_back((position, out));
        if memory.stock.len() > POINTS {
            memory.stock.pop_front();
        }
        for cut in memory.cuts.range_mut(..=position).map(|(_, cut)| cut) {
            cut.stock_out.get_or_insert(out);
        }
        drop(memory);
        self.stir();
    }

    /// When this memory began.
    pub(in crate::broker) const fn began(&self) -> Timestamp {
        self.began
    }

    /// Returns when a confirmation came, or a cut is followed, since the last time.
    pub(in crate::broker) async fn heard(&self) {
        self.heard.notified().await;
    }

    /// What changes whenever a cut may stand otherwise than before.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn stir(&self) {
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// A list is about to be handed to a process. To be told before it is sent.
    ///
    /// # Errors
    /// If more follow than are told apart: who is not remembered is not handed anything.
    pub(crate) fn handed(&self, (identity, name): (&SpiffeId, Option<&Instance>), handed: Handed, now: Timestamp) -> Result<(), Error> {
        let mut memory = self.memory();
        let instance = memory.instance((identity, name), &self.windows, now)?;
        // A clock that was set back must not make an older list end earlier than it does.
        let issued_at = instance.handed.map_or(handed.issued_at, |known| known.issued_at.max(handed.issued_at));
        instance.handed = Some(Handed { issued_at, ..handed });
        instance.seen = now;
        Ok(())
    }

    /// Takes down what a process has applied, if it is of this history, which is at `head` in `epoch`.
    fn confirm(
        &self,
        (identity, name): (&SpiffeId, Instance),
        confirmation: &Confirmation,
        (epoch, head): (Epoch, Position),
        now: Timestamp,
    ) -> Result<(), Error> {
        let position = confirmation.position;
        let mut memory = self.memory();
        let known = memory.points.binary_search_by_key(&position, |point| point.position);
        let known = known.ok().and_then(|index| memory.points.get(index)).map(|point| point.root);
        let mismatch = if confirmation.epoch != epoch {
            Some(Mismatch::Epoch)
        } else if position > head {
            Some(Mismatch::Beyond)
        } else {
            known.filter(|root| *root != confirmation.root).map(|_| Mismatch::Root)
        };
        let instance = memory.instance((identity, Some(&name)), &self.windows, now)?;
        instance.seen = now;
        if let Some(mismatch) = mismatch {
            instance.forked = Some(position);
            memory.forks += 1;
            drop(memory);
            self.stir();
            tracing::error!(follower = %identity, instance = %name, %position, ?mismatch, "a follower has another history than this ledger");
            return Err(Denial::new(DenialCode::HistoryDiffers, mismatch.words(position, head)).into());
        }
        if known.is_none() {
            let text = format!("no list up to {position} was published lately");
            return Err(Denial::new(DenialCode::PositionUnknown, text).into());
        }
        instance.forked = None;
        if instance.confirmed.is_none_or(|(confirmed, _)| confirmed < position) {
            instance.confirmed = Some((position, now));
            drop(memory);
            self.heard.notify_one();
            self.stir();
        }
        Ok(())
    }
}

impl Memory {
    /// The process with this name, new if it was not known.
    fn instance(
        &mut self,
        (identity, name): (&SpiffeId, Option<&Instance>),
        windows: &Windows,
        now: Timestamp,
    ) -> Result<&mut Process, Error> {
        let known = self.identities.get(identity).is_some_and(|instances| instances.contains_key(&name.cloned()));
        if !known {
            let full = |memory: &Self| memory.count >= MOST || memory.identities.get(identity).is_some_and(|of| of.len() >= MOST_OF_ONE);
            if full(self) || now.since(self.swept) >= REMEMBERED {
                self.sweep(windows, now);
            }
            if full(self) {
                return Err(Limit::Followers.after(REMEMBERED));
            }
            self.count += 1;
        }
        Ok(self.identities.entry(identity.clone()).or_default().entry(name.cloned()).or_default())
    }

    /// Forgets those that fell silent.
    fn sweep(&mut self, windows: &Windows, now: Timestamp) {
        self.identities.retain(|_, instances| {
            instances.retain(|_, instance| instance.forgotten(windows) > now);
            !instances.is_empty()
        });
        self.count = self.identities.values().map(BTreeMap::len).sum();
        self.swept = now;
    }
}

impl Mismatch {
    fn words(self, position: Position, head: Position) -> String {
        match self {
            Self::Epoch => "what was confirmed is of another epoch: this ledger began anew, or is not the one that is followed".to_owned(),
            Self::Beyond => format!(
                "position {position} was confirmed, and this ledger ends at {head}: it has lost entries, or is not the one that is followed"
            ),
            Self::Root => format!("the ledger has another root at {position} than was confirmed: the two are not of one history"),
        }
    }
}
