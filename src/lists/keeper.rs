//! Keeps the lists fresh: built anew on each cut, and on a timer; one build at a time, the last good one stays.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::{Mutex, watch};

use super::build::{Recipe, Served};
use super::compare::{self, Difference};
use super::pass::{Pass, Terms};
use super::{Lifetimes, ListsError};
use crate::ambient::{Clock, Stopwatch};
use crate::formats::status_index::Indices;
use crate::formats::urls::Urls;
use crate::keys::Keyring;
use crate::ledger::Ledger;
use crate::model::{KeyPurpose, Position, Timestamp};

/// Between two builds at least: cuts that come meanwhile are taken together.
const PAUSE: Duration = Duration::from_secs(1);

/// How many times as long as a build took there is none: it has a tenth of a core at most.
const REST: u32 = 9;

/// How soon a build that failed is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// The native list, as it is published now.
type NativeList = Box<dyn Fn() -> Option<String> + Send + Sync>;

/// Who is told which position is covered by what is out, and since when.
type Told = Box<dyn Fn(Position, Timestamp) + Send + Sync>;

/// The lists, and what keeps them.
pub(crate) struct Lists {
    ledger: Arc<dyn Ledger>,
    recipe: Recipe,
    native: NativeList,
    out: Told,
    clock: Clock,
    served: ArcSwapOption<Served>,
    building: Mutex<()>,
    contradicted: AtomicBool,
    counts: Counts,
}

/// What the lists are made of.
pub(crate) struct Parts {
    /// What they are read from.
    pub(crate) ledger: Arc<dyn Ledger>,
    /// What signs them.
    pub(crate) keyring: Arc<Keyring>,
    /// Where they are found.
    pub(crate) urls: Urls,
    /// How long they are good.
    pub(crate) lifetimes: Lifetimes,
    /// The list that followers get: it is held against the ledger too.
    pub(crate) native: NativeList,
    /// Told of what is out: whether a revocation is enforced depends on it.
    pub(crate) out: Told,
    /// What time it is.
    pub(crate) clock: Clock,
}

impl fmt::Debug for Lists {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lists").field("keyring", &self.recipe.keyring).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Counts {
    builds: AtomicU64,
    failures: AtomicU64,
    differences: AtomicU64,
    dead: AtomicU64,
    unreadable: AtomicU64,
    millis: AtomicU64,
}

/// What is measured of the lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stats {
    /// Builds that were published.
    pub(crate) builds: u64,
    /// Builds that failed; the last good lists stayed.
    pub(crate) failures: u64,
    /// Contradictions that were found between what was published and the ledger.
    pub(crate) differences: u64,
    /// Credentials in the lists.
    pub(crate) dead: u64,
    /// Entries among the unexpired that cannot be read.
    pub(crate) unreadable: u64,
    /// Issuing keys whose CRL is held back because of such an entry.
    pub(crate) withheld: u64,
    /// How long the last build took.
    pub(crate) took: Duration,
    /// How old the lists are; nothing if there are none.
    pub(crate) age: Option<Duration>,
}

impl Lists {
    /// Nothing is built yet.
    pub(crate) fn new(parts: Parts) -> Self {
        let indices = Indices::new(&parts.ledger.status_secret());
        let (keyring, ledger) = (Arc::clone(&parts.keyring), Arc::clone(&parts.ledger));
        let token_key = Box::new(move || keyring.signing(KeyPurpose::Token, &ledger.facts()));
        Self {
            recipe: Recipe { token_key, keyring: parts.keyring, urls: parts.urls, indices, lifetimes: parts.lifetimes },
            ledger: parts.ledger,
            native: parts.native,
            out: parts.out,
            clock: parts.clock,
            served: ArcSwapOption::empty(),
            building: Mutex::new(()),
            contradicted: AtomicBool::new(false),
            counts: Counts::default(),
        }
    }

    /// The lists as they are served now.
    pub(crate) fn served(&self) -> Option<Arc<Served>> {
        self.served.load_full()
    }

    /// What the URLs in credentials begin with.
    pub(crate) const fn urls(&self) -> &Urls {
        &self.recipe.urls
    }

    /// What is measured.
    pub(crate) fn stats(&self) -> Stats {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let served = self.served();
        Stats {
            builds: read(&self.counts.builds),
            failures: read(&self.counts.failures),
            differences: read(&self.counts.differences),
            dead: read(&self.counts.dead),
            unreadable: read(&self.counts.unreadable),
            withheld: served.as_ref().map_or(0, |served| u64::try_from(served.withheld.len()).unwrap_or(u64::MAX)),
            took: Duration::from_millis(read(&self.counts.millis)),
            age: served.map(|served| self.clock.now().since(served.made.taken_at)),
        }
    }

    /// Whether others can rely on the lists.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let served = self.served().ok_or("no CRL and no status list is published yet")?;
        let Lifetimes { crl, status, .. } = self.recipe.lifetimes;
        if self.contradicted.load(Ordering::Relaxed) {
            return Err("what is published contradicts the ledger: the log says how");
        }
        if self.clock.now().since(served.made.taken_at) >= crl.min(status) {
            return Err("CRLs and status lists have ended: the log says why they are not built");
        }
        Ok(())
    }

    /// Builds everything anew, and publishes it if it says what the ledger says.
    ///
    /// # Errors
    /// If it cannot be built. What was published before stays.
    pub(crate) async fn build(self: &Arc<Self>) -> Result<(), ListsError> {
        let _one_at_a_time = self.building.lock().await;
        let stopwatch = Stopwatch::start();
        let Lifetimes { crl, status, .. } = self.recipe.lifetimes;
        let known = self.served().map_or(Position::ZERO, |served| served.made.position);
        let terms = Terms { clock: &self.clock, indices: &self.recipe.indices, grace: crl.max(status), known };
        let built = match Pass::over(&*self.ledger, terms).await {
            Ok(pass) => {
                let this = Arc::clone(self);
                tokio::task::spawn_blocking(move || this.publish(&pass)).await.unwrap_or(Err(ListsError::Stopped))
            }
            Err(error) => Err(error.into()),
        };
        let count = if built.is_ok() { &self.counts.builds } else { &self.counts.failures };
        count.fetch_add(1, Ordering::Relaxed);
        self.counts.millis.store(u64::try_from(stopwatch.elapsed().as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        built
    }

    fn publish(&self, pass: &Pass) -> Result<(), ListsError> {
        if let Some(first) = pass.unreadable.first() {
            tracing::error!(count = pass.unreadable.len(), %first, "entries cannot be read that may be dead credentials: status lists name them as dead");
        }
        self.counts.unreadable.store(u64::try_from(pass.unreadable.len()).unwrap_or(u64::MAX), Ordering::Relaxed);
        let last = self.served();
        // First what others hold now, by what the ledger says now.
        let mut differences = last.as_deref().map(|last| compare::served(last, pass)).unwrap_or_default();
        if let Some(list) = (self.native)() {
            // Of now, and so not before those in the list; copied, since a commit would wait for whoever reads them.
            let cuts = self.ledger.facts().cuts().clone();
            differences.extend(compare::native(&list, &cuts));
        }
        self.tell(&differences);
        let served = self.recipe.build(pass, last.as_deref())?;
        for (key, entry) in &served.withheld {
            tracing::error!(%key, %entry, "the CRL is held back: an entry cannot be read that may be a dead certificate of this key");
        }
        if let Some(difference) = compare::served(&served, pass).into_iter().next() {
            self.tell(std::slice::from_ref(&difference));
            return Err(ListsError::Contradiction(difference));
        }
        let certificates = u64::try_from(pass.certificates.len()).unwrap_or(u64::MAX);
        self.counts.dead.store(pass.dead_tokens.saturating_add(certificates), Ordering::Relaxed);
        let position = served.made.position;
        self.served.store(Some(Arc::new(served)));
        // Of a key whose CRL is held back the last one was made before now: it ends no later than any other from before.
        (self.out)(position, self.clock.now());
        Ok(())
    }

    /// Says each contradiction. Not ready until a comparison finds none.
    fn tell(&self, differences: &[Difference]) {
        self.contradicted.store(!differences.is_empty(), Ordering::Relaxed);
        self.counts.differences.fetch_add(u64::try_from(differences.len()).unwrap_or(u64::MAX), Ordering::Relaxed);
        for difference in differences {
            tracing::error!(%difference, "what is published contradicts the ledger");
        }
    }

    /// Builds on each cut and on the timer, until the ledger is closed; at once if nothing is built yet.
    pub(crate) async fn keep(self: Arc<Self>) {
        let mut changes = self.ledger.watch();
        let mut failed = None;
        loop {
            let (from, until) = self.due(failed);
            tokio::select! {
                () = self.clock.sleep_within(from, until) => {}
                goes_on = self.outdated(&mut changes) => if !goes_on { return },
            }
            let stopwatch = Stopwatch::start();
            failed = self.build().await.err().map(|error| {
                tracing::error!(%error, "CRLs and status lists are not built; the last good ones stay");
                self.clock.now()
            });
            let pause = PAUSE.max(stopwatch.elapsed() * REST);
            let from = self.clock.now();
            self.clock.sleep_within(from, from.plus(pause)).await;
        }
    }

    /// From when to when the lists are waited with. It begins where they do, so that a clock that is set, which
    /// makes lists that have ended or have not begun, ends it.
    fn due(&self, failed: Option<Timestamp>) -> (Timestamp, Timestamp) {
        let interval = self.recipe.lifetimes.interval;
        let soon = TRY_AGAIN.min(interval);
        match (failed, self.served()) {
            (Some(at), _) => (at, at.plus(soon)),
            (None, Some(served)) => {
                let is_sure = !self.contradicted.load(Ordering::Relaxed);
                (served.made.taken_at, served.made.taken_at.plus(if is_sure { interval } else { soon }))
            }
            (None, None) => (Timestamp::EPOCH, Timestamp::EPOCH),
        }
    }

    /// Returns once something was cut, or a key came into use, that the lists do not say; false if the ledger
    /// is closed.
    async fn outdated(&self, changes: &mut watch::Receiver<Position>) -> bool {
        loop {
            changes.mark_unchanged();
            let covered = self.served().map_or(Position::ZERO, |served| served.made.position);
            let is_outdated = {
                let facts = self.ledger.facts();
                facts.cuts().iter().any(|cut| cut.position > covered) || facts.signing_keys().changed() > covered
            };
            if is_outdated {
                return true;
            }
            if changes.changed().await.is_err() {
                return false;
            }
        }
    }
}

#[cfg(test)]
impl Lists {
    /// Serves other lists, as if they were those that are served now.
    pub(crate) fn serve_instead(&self, other: &Served) {
        let made = self.served().expect("built").made;
        let mut served = Served { made, ..other.clone() };
        for crl in served.crls.values_mut() {
            *crl = Arc::new(super::build::ServedCrl { made, ..super::build::ServedCrl::clone(crl) });
        }
        self.served.store(Some(Arc::new(served)));
    }
}
