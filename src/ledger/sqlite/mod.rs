//! The ledger in one SQLite file: write-ahead log, every commit synchronous, one writer thread
//! with group commit, a few readers.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot, watch};

use self::faults::Faults;
use self::index::Index;
pub(crate) use self::open_error::OpenError;
use self::queue::{Issuance, Pending, Queue};
use self::start::State;
use self::stats::{Counts, Stats};
use self::store::Store;
use self::writer::{Forgot, Writer};
use super::{Answer, Change, Committed, Found, Head, HighWater, Ledger, LedgerError, Recorded, Search, Stored, Unreadable, Urgency, codec};
use crate::ambient::Clock;
use crate::model::{Census, Epoch, Event, Facts, Living, Position, Timestamp, TrustDomain, Whose};
use crate::policy::Grant;

mod counters_row;
pub(super) mod current;
mod faults;
mod index;
mod lane;
mod open_error;
mod queue;
pub(super) mod rows;
mod seek;
pub(super) mod start;
mod stats;
pub(super) mod store;
#[cfg(test)]
mod tests;
mod writer;

/// Where a ledger is kept.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) enum Place {
    /// In a file, with its write-ahead log and a lock beside it.
    File(PathBuf),
    /// In memory: gone when it is closed.
    #[default]
    Memory,
}

/// How a ledger is opened.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// The domain whose identities it issues; a ledger of another domain is refused.
    pub trust_domain: TrustDomain,
    /// The epoch of a ledger that is made now; one that is there keeps its own.
    pub epoch: Epoch,
    /// How far the ledger is known to have come; one that has not is refused.
    pub high_water: Option<HighWater>,
    /// Positions in a segment of a ledger that is made now.
    pub segment_size: u64,
    /// Issuances in one commit.
    pub most_batch: usize,
    /// How long a commit waits for as many issuances as the last one had.
    pub linger: Duration,
    /// Issuances that may wait.
    pub most_issuances: usize,
    /// Changes that may wait.
    pub most_changes: usize,
    /// Bytes of disk below which nothing is issued.
    pub min_free_disk: u64,
    /// Entries after which the counters of the living are kept, to be replayed at a start after a crash.
    pub keep_counters_every: u64,
    /// Entries that are replayed at most where the kept counters are lost. The counters then say that
    /// they may be low, until what is older has expired.
    pub most_replayed: u64,
    /// How writes fail, in tests.
    pub faults: Faults,
}

impl Options {
    /// What is good for production.
    pub(crate) fn new(trust_domain: TrustDomain, epoch: Epoch) -> Self {
        Self {
            trust_domain,
            epoch,
            high_water: None,
            segment_size: 1 << 20,
            most_batch: 512,
            linger: Duration::from_millis(2),
            most_issuances: 8192,
            most_changes: 1024,
            min_free_disk: 256 << 20,
            keep_counters_every: 1 << 16,
            most_replayed: 1 << 20,
            faults: Faults::default(),
        }
    }
}

/// A ledger in one SQLite file. Dropping it commits what waits, like [`Ledger::close`].
#[derive(Debug)]
pub(crate) struct SqliteLedger {
    shared: Arc<Shared>,
    unreadable: Vec<Unreadable>,
    status_secret: [u8; 32],
    thread: Mutex<Option<JoinHandle<()>>>,
    /// One search at a time: it looks at many rows, and must leave threads to who looks for one, as
    /// revoking a credential does.
    searching: Arc<Semaphore>,
}

/// What the writer moves and everybody reads.
#[derive(Debug)]
struct Shared {
    facts: RwLock<Facts>,
    living: RwLock<Living>,
    head: RwLock<Head>,
    changed: watch::Sender<Position>,
    closed: watch::Sender<bool>,
    queue: Queue,
    store: Store,
    index: Index,
    counts: Counts,
}

impl SqliteLedger {
    /// Opens the ledger, and makes it if there is none. Reads the compact tables, so it blocks.
    ///
    /// # Errors
    /// If it is in use, of another trust domain, damaged, or cannot be read or written.
    pub(crate) fn open(place: &Place, options: Options, clock: Clock) -> Result<Arc<Self>, OpenError> {
        let store = Store::open(place, options.segment_size, options.faults.clone())?;
        let status_secret =
            store.write(|connection| Ok(start::status_secret(connection))).map_err(|error| OpenError::Store(error.to_string()))??;
        let segments = store.segments;
        let now = clock.now();
        let state = store
            .write(|connection| Ok(State::load(connection, segments, options.most_replayed, now)))
            .map_err(|error| OpenError::Store(error.to_string()))??;
        let State { facts, living, counted, tip, unreadable } = state;
        if let Some(mark) = &options.high_water {
            let check = |connection: &mut rusqlite::Connection| Ok(mark.check(connection, segments, facts.epoch(), &tip));
            store.write(check).map_err(|error| OpenError::Store(error.to_string()))??;
        }
        for unreadable in &unreadable {
            tracing::error!(%unreadable, "the ledger starts without it");
        }
        let shared = Arc::new(Shared {
            changed: watch::Sender::new(facts.changed()),
            facts: RwLock::new(facts),
            living: RwLock::new(living),
            head: RwLock::new(tip.head()),
            closed: watch::Sender::new(false),
            queue: Queue::new(&options),
            store,
            index: Index::beside(place),
            counts: Counts::default(),
        });
        let count_after = options.keep_counters_every;
        let forgot = Forgot::default();
        let mut writer = Writer { shared: Arc::clone(&shared), options, clock, tip, suspect: false, forgot, counted, count_after };
        writer.found()?;
        Index::start(&shared);
        let thread = std::thread::Builder::new().name("ledger".to_owned()).spawn(move || writer.run());
        let thread = thread.map_err(|error| OpenError::Store(error.to_string()))?;
        let (thread, searching) = (Mutex::new(Some(thread)), Arc::new(Semaphore::new(1)));
        Ok(Arc::new(Self { shared, unreadable, status_secret, thread, searching }))
    }

    /// What could not be read at the start.
    pub(crate) fn unreadable(&self) -> &[Unreadable] {
        &self.unreadable
    }

    /// What was committed since the start.
    pub(crate) fn stats(&self) -> Stats {
        self.shared.counts.stats(self.shared.queue.len())
    }

    /// How far the ledger has come, as committed: to be kept outside of the store.
    pub(crate) fn high_water(&self) -> Answer<'_, Result<HighWater, LedgerError>> {
        let wrong = |what: &str| LedgerError::Unavailable(what.to_owned());
        self.read(move |shared| {
            let epoch = shared.facts().epoch().ok_or_else(|| wrong("it has no epoch"))?;
            let head = shared.store.read(rows::head)?.ok_or_else(|| wrong("it has no head"))?;
            HighWater::of(epoch, &head).map_err(wrong)
        })
    }

    /// Reads in the store, off the async threads.
    fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T, LedgerError> + Send + 'static,
    ) -> Answer<'_, Result<T, LedgerError>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let done = tokio::task::spawn_blocking(move || work(&shared)).await;
            done.unwrap_or_else(|error| Err(LedgerError::Unavailable(error.to_string())))
        })
    }
}

impl Writer {
    /// Makes the first entry of an empty ledger; checks that any other is of this trust domain.
    fn found(&mut self) -> Result<(), OpenError> {
        let wanted = self.options.trust_domain.clone();
        if self.tip.position() == Position::ZERO {
            let opened = Event::LedgerOpened { epoch: self.options.epoch, trust_domain: wanted };
            let change = Change { urgency: Urgency::Ordinary, actor: None, request_id: None, plan: Box::new(|_| Ok(vec![opened])) };
            return self.change(change).map(drop).map_err(|error| OpenError::Store(error.to_string()));
        }
        let found = self.shared.facts().trust_domain().cloned();
        let found = found.ok_or_else(|| OpenError::Damaged("the entry that opened it cannot be read".to_owned()))?;
        if found == wanted { Ok(()) } else { Err(OpenError::TrustDomain { found, wanted }) }
    }
}

impl Shared {
    fn facts(&self) -> RwLockReadGuard<'_, Facts> {
        self.facts.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn facts_mut(&self) -> RwLockWriteGuard<'_, Facts> {
        self.facts.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn living(&self) -> RwLockReadGuard<'_, Living> {
        self.living.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn living_mut(&self) -> RwLockWriteGuard<'_, Living> {
        self.living.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn head(&self) -> Head {
        *self.head.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_head(&self, head: Head) {
        *self.head.write().unwrap_or_else(PoisonError::into_inner) = head;
    }
}

impl Ledger for SqliteLedger {
    fn facts(&self) -> RwLockReadGuard<'_, Facts> {
        self.shared.facts()
    }

    fn head(&self) -> Head {
        self.shared.head()
    }

    fn census(&self, whose: Whose, now: Timestamp) -> Census {
        self.shared.living().census(whose, now)
    }

    fn living_at_most(&self, workload: Position) -> u64 {
        self.shared.living().at_most(workload)
    }

    fn is_crowded(&self) -> bool {
        self.shared.queue.is_full()
    }

    fn record(&self, grant: Grant, nonce: [u8; 8]) -> Answer<'_, Result<Recorded, LedgerError>> {
        Box::pin(async move {
            let (answer, recorded) = oneshot::channel();
            self.shared.queue.push_issuance(Issuance { grant, nonce, answer })?;
            recorded.await.unwrap_or_else(|_| Err(gone()))
        })
    }

    fn change(&self, change: Change) -> Answer<'_, Result<Committed, LedgerError>> {
        Box::pin(async move {
            let (answer, committed) = oneshot::channel();
            self.shared.queue.push_change(Pending { change, answer })?;
            committed.await.unwrap_or_else(|_| Err(gone()))
        })
    }

    fn probe(&self) -> Answer<'_, Result<(), LedgerError>> {
        Box::pin(async move {
            // Through the writer, which may hang or be gone, then to the disk.
            let nothing = Change { urgency: Urgency::First, actor: None, request_id: None, plan: Box::new(|_| Ok(Vec::new())) };
            self.change(nothing).await?;
            self.read(|shared| shared.store.probe()).await
        })
    }

    fn find(&self, position: Position) -> Answer<'_, Result<Option<Stored>, LedgerError>> {
        if position == Position::ZERO || position > self.head().position {
            return Box::pin(std::future::ready(Ok(None)));
        }
        self.read(move |shared| {
            let bytes = shared.store.read(|connection| rows::find(connection, shared.store.segments, position))?;
            Ok(bytes.map(|bytes| stored(position, bytes)))
        })
    }

    fn entries(&self, from: Position, limit: usize) -> Answer<'_, Result<Vec<Stored>, LedgerError>> {
        let range = (from.max(Position::BROKER), self.head().position);
        self.read(move |shared| {
            let mut found = Vec::new();
            if limit > 0 {
                shared.store.read(|connection| {
                    rows::walk(connection, shared.store.segments, range, |position, bytes| {
                        found.push(stored(position, bytes));
                        found.len() < limit
                    })
                })?;
            }
            Ok(found)
        })
    }

    fn first_since(&self, since: Timestamp) -> Answer<'_, Result<Position, LedgerError>> {
        let last = self.head().position;
        self.read(move |shared| seek::first_since(shared, since, last))
    }

    fn status_secret(&self) -> [u8; 32] {
        self.status_secret
    }

    fn search(&self, search: Search) -> Answer<'_, Result<Found, LedgerError>> {
        let Some(last) = search.before.get().checked_sub(1).map(|last| last.min(self.head().position.get())) else {
            return Box::pin(std::future::ready(Ok(Found::default())));
        };
        Box::pin(async move {
            let turn = Arc::clone(&self.searching).acquire_owned().await.map_err(|_closed| gone())?;
            // Kept until it is done, though nobody may wait for it any more.
            let work = move |shared: &Shared| (seek::search(shared, &search, Position::new(last)), turn).0;
            self.read(work).await
        })
    }

    fn first_cut(&self, numbers: Vec<(Position, Position)>) -> Answer<'_, Result<Option<Position>, LedgerError>> {
        self.read(move |shared| {
            shared.store.read(|connection| {
                let mut first: Option<Position> = None;
                for (number, above) in numbers {
                    let cut = current::cut_above(connection, number, above)?;
                    first = first.into_iter().chain(cut).min();
                }
                Ok(first)
            })
        })
    }

    fn confirmed(&self, downstream: Position, position: Position) -> Answer<'_, Result<Option<Position>, LedgerError>> {
        self.read(move |shared| shared.store.read(|connection| current::confirmed(connection, downstream, position)))
    }

    fn of_finding(&self, number: Position) -> Answer<'_, Result<Vec<Stored>, LedgerError>> {
        self.read(move |shared| {
            let found = shared.store.read(|connection| current::of_finding(connection, shared.store.segments, number))?;
            Ok(found.into_iter().map(|(position, bytes)| stored(position, bytes)).collect())
        })
    }

    fn closed_task(&self, number: Position) -> Answer<'_, Result<Option<Position>, LedgerError>> {
        self.read(move |shared| shared.store.read(|connection| current::closed_task(connection, number)))
    }

    fn watch(&self) -> watch::Receiver<Position> {
        self.shared.changed.subscribe()
    }

    fn close(&self) -> Answer<'_, ()> {
        self.shared.queue.close();
        let mut closed = self.shared.closed.subscribe();
        Box::pin(async move {
            // The sender lives as long as `self`.
            drop(closed.wait_for(|closed| *closed).await);
        })
    }
}

impl Drop for SqliteLedger {
    fn drop(&mut self) {
        self.shared.queue.close();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The last handle may have been in a plan, and so in that thread.
        let other = thread.filter(|thread| thread.thread().id() != std::thread::current().id());
        drop(other.map(JoinHandle::join));
    }
}

fn stored(position: Position, bytes: Vec<u8>) -> Stored {
    let entry = codec::decode(position, &bytes);
    Stored { position, bytes, entry }
}

fn gone() -> LedgerError {
    LedgerError::Unavailable("it was closed before the request was committed".to_owned())
}
