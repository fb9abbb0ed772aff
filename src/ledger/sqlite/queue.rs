//! What waits to be committed: administrators' changes, then what ends something, then other changes, then
//! issuances. Each lane is bounded by itself, so that none can fill another.
//!
//! Requests that wait while a commit is under way form the next batch. Where a commit served many,
//! the next waits a little for the same many to come again, at most [`Options::linger`]; a
//! lone request never waits, and nothing waits once a change is there.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::Options;
use super::lane::Lane;
use crate::ledger::{Change, Committed, LedgerError, Recorded, Urgency};
use crate::policy::Grant;

/// How often an idle writer looks after what expires by itself.
const TICK: Duration = Duration::from_secs(1);

/// How many changes of others than administrators are committed in one go, each by itself; of those that
/// can be postponed one at least.
const MOST_ORDINARY: usize = 8;

/// An issuance that waits.
#[derive(Debug)]
pub(super) struct Issuance {
    pub(super) grant: Grant,
    pub(super) nonce: [u8; 8],
    pub(super) answer: oneshot::Sender<Result<Recorded, LedgerError>>,
}

/// A change that waits.
pub(super) struct Pending {
    pub(super) change: Change,
    pub(super) answer: oneshot::Sender<Result<Committed, LedgerError>>,
}

/// What the writer does next.
#[derive(Default)]
pub(super) struct Work {
    /// The most urgent first.
    pub(super) changes: Vec<Pending>,
    pub(super) issuances: Vec<Issuance>,
}

/// The lanes.
#[derive(Debug)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    wake: Condvar,
    /// Whether no more issuances may wait: known without the lock, which all who issue would take for it.
    full: AtomicBool,
    most_changes: usize,
    most_issuances: usize,
    most_batch: usize,
    linger: Duration,
}

struct Waiting {
    first: VecDeque<Pending>,
    ordinary: Lane,
    postponable: Lane,
    issuances: VecDeque<Issuance>,
    /// How many issuances are worth a wake-up; the writer is awake if it is none.
    worth: Option<usize>,
    closed: bool,
}

impl Queue {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            waiting: Mutex::new(Waiting {
                first: VecDeque::new(),
                ordinary: Lane::default(),
                postponable: Lane::default(),
                issuances: VecDeque::new(),
                worth: None,
                closed: false,
            }),
            wake: Condvar::new(),
            full: AtomicBool::new(options.most_issuances == 0),
            most_changes: options.most_changes,
            most_issuances: options.most_issuances,
            most_batch: options.most_batch.max(1),
            linger: options.linger,
        }
    }

    pub(super) fn push_issuance(&self, issuance: Issuance) -> Result<(), LedgerError> {
        let mut waiting = self.open()?;
        if waiting.issuances.len() >= self.most_issuances {
            return Err(LedgerError::Overloaded);
        }
        waiting.issuances.push_back(issuance);
        self.full.store(waiting.issuances.len() >= self.most_issuances, Ordering::Relaxed);
        let enough = waiting.worth.is_some_and(|worth| waiting.issuances.len() >= worth);
        self.wake_if(waiting, enough);
        Ok(())
    }

    pub(super) fn push_change(&self, change: Pending) -> Result<(), LedgerError> {
        let mut waiting = self.open()?;
        let most = self.most_changes;
        match change.change.urgency {
            Urgency::First if waiting.first.len() >= most => return Err(LedgerError::Overloaded),
            Urgency::First => waiting.first.push_back(change),
            Urgency::Ordinary => waiting.ordinary.push(change, most)?,
            Urgency::Postponable => waiting.postponable.push(change, most)?,
        }
        let asleep = waiting.worth.is_some();
        self.wake_if(waiting, asleep);
        Ok(())
    }

    /// Takes nothing more; what waits is still committed.
    pub(super) fn close(&self) {
        let mut waiting = self.locked();
        waiting.closed = true;
        self.wake_if(waiting, true);
    }

    /// Drops what waits, unanswered: nobody will commit it.
    pub(super) fn abandon(&self) {
        let mut waiting = self.locked();
        waiting.closed = true;
        waiting.first.clear();
        waiting.ordinary = Lane::default();
        waiting.postponable = Lane::default();
        waiting.issuances.clear();
    }

    /// How many issuances wait.
    pub(super) fn len(&self) -> usize {
        self.locked().issuances.len()
    }

    /// Whether no more issuances may wait.
    pub(super) fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// Waits for work; none once the queue is closed and empty. `last` is how many issuances the
    /// last batch had.
    pub(super) fn next(&self, last: usize) -> Option<Work> {
        let waiting = self.locked();
        // As many as came again or came anew while the last batch was committed.
        let expected = (last + waiting.issuances.len()).min(self.most_batch);
        let mut waiting = if expected > 1 { self.wait(waiting, expected, self.linger) } else { waiting };
        if waiting.is_empty() {
            waiting = self.wait(waiting, 1, TICK);
        }
        if waiting.closed && waiting.is_empty() {
            return None;
        }
        let batch = waiting.issuances.len().min(self.most_batch);
        self.full.store(waiting.issuances.len() - batch >= self.most_issuances, Ordering::Relaxed);
        let Waiting { first, ordinary, postponable, issuances, .. } = &mut *waiting;
        let mut changes: Vec<_> = first.drain(..).collect();
        // Few at a time, so that an administrator waits for few.
        let before = changes.len();
        changes.extend(std::iter::from_fn(|| ordinary.pop()).take(MOST_ORDINARY));
        let room = (MOST_ORDINARY + before - changes.len()).max(1);
        changes.extend(std::iter::from_fn(|| postponable.pop()).take(room));
        Some(Work { changes, issuances: issuances.drain(..batch).collect() })
    }

    /// Waits until `worth` issuances are there, or a change, or the time is over.
    fn wait<'a>(&self, mut waiting: MutexGuard<'a, Waiting>, worth: usize, most: Duration) -> MutexGuard<'a, Waiting> {
        let short = |waiting: &mut Waiting| waiting.issuances.len() < worth && !waiting.has_changes() && !waiting.closed;
        waiting.worth = Some(worth);
        let (mut waiting, _) = self.wake.wait_timeout_while(waiting, most, short).unwrap_or_else(PoisonError::into_inner);
        waiting.worth = None;
        waiting
    }

    fn wake_if(&self, mut waiting: MutexGuard<'_, Waiting>, wake: bool) {
        if wake {
            waiting.worth = None;
            drop(waiting);
            self.wake.notify_one();
        }
    }

    fn open(&self) -> Result<MutexGuard<'_, Waiting>, LedgerError> {
        let waiting = self.locked();
        if waiting.closed { Err(LedgerError::Unavailable("it is closed".to_owned())) } else { Ok(waiting) }
    }

    fn locked(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn is_empty(&self) -> bool {
        !self.has_changes() && self.issuances.is_empty()
    }

    fn has_changes(&self) -> bool {
        !self.first.is_empty() || !self.ordinary.is_empty() || !self.postponable.is_empty()
    }
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Waiting({} first, {} ordinary, {} postponable, {} issuances)",
            self.first.len(),
            self.ordinary.len(),
            self.postponable.len(),
            self.issuances.len()
        )
    }
}
