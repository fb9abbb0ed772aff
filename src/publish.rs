//! Publishing: on each change and on a heartbeat, the list is built, signed once, and handed out.
//!
//! It reads what is committed and holds nothing up: a revocation never waits for its list.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;

use crate::ambient::Clock;
use crate::formats::checkpoint::Checkpoint;
use crate::formats::jwk::Ed25519;
use crate::formats::keyset::Keys;
use crate::formats::list::List;
use crate::keys::Keyring;
use crate::ledger::Ledger;
use crate::model::{Cut, Position, Timestamp};

/// How many published points a delta can start from.
const POINTS: usize = 1024;

/// How lists are made.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// `iss` of the list.
    pub issuer: String,
    /// Name of the history in checkpoints.
    pub origin: String,
    /// How old a list may be before a verifier rejects everything; `exp` is `iat` plus this.
    pub max_staleness: Duration,
    /// How often a fresh list is signed when nothing changes.
    pub heartbeat: Duration,
}

/// One published list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Publication {
    /// The position that it covers.
    pub position: Position,
    /// The instant before the head was read.
    pub issued_at: Timestamp,
    /// The compact JWS.
    pub jws: String,
}

/// Why nothing could be published.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PublishError {
    /// The ledger is not open yet.
    #[error("the ledger has no epoch")]
    NoEpoch,
    /// The key did not sign.
    #[error("the list cannot be signed: {0}")]
    Sign(String),
}

/// What was published last, and what is needed to say what came since an earlier point.
#[derive(Debug, Default)]
struct Current {
    cuts: Vec<Cut>,
    unsigned: Option<List>,
    points: VecDeque<Position>,
    /// Deltas to the current list, by the point that they start from: each is signed once for all.
    deltas: BTreeMap<Position, Arc<Publication>>,
}

/// Builds, signs and hands out the list and the checkpoint.
#[derive(Debug)]
pub(crate) struct Publisher {
    ledger: Arc<dyn Ledger>,
    keyring: Arc<Keyring>,
    settings: Settings,
    clock: Clock,
    snapshot: ArcSwapOption<Publication>,
    current: Mutex<Current>,
}

impl Publisher {
    /// A publisher of what the ledger says; nothing is published yet.
    pub(crate) fn new(ledger: Arc<dyn Ledger>, keyring: Arc<Keyring>, settings: Settings, clock: Clock) -> Self {
        Self { ledger, keyring, settings, clock, snapshot: ArcSwapOption::empty(), current: Mutex::default() }
    }

    /// The whole list, as last published.
    pub(crate) fn current(&self) -> Option<Arc<Publication>> {
        self.snapshot.load_full()
    }

    /// What came after `since`, if that is a point at which a list was published not long ago; else
    /// the whole list.
    ///
    /// # Errors
    /// If the delta cannot be signed.
    pub(crate) fn since(&self, since: Position) -> Result<Option<Arc<Publication>>, PublishError> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(unsigned) = current.unsigned.as_ref().filter(|_| current.points.contains(&since)) else {
            return Ok(self.current());
        };
        if let Some(delta) = current.deltas.get(&since) {
            return Ok(Some(Arc::clone(delta)));
        }
        let cuts = current.cuts.iter().filter(|cut| cut.position > since).copied().collect();
        let delta = Arc::new(self.sign(&List { since: Some(since), cuts, ..unsigned.clone() })?);
        current.deltas.insert(since, Arc::clone(&delta));
        Ok(Some(delta))
    }

    /// Builds and signs the list as of now.
    ///
    /// # Errors
    /// If the ledger is not open, or the key does not sign. What was published before stays.
    pub(crate) fn publish(&self) -> Result<Arc<Publication>, PublishError> {
        // The clock is read first, so that every cut that was committed before `iat` is in; head
        // and cuts are of one moment, so that every cut up to `pos` is in and none above it.
        let now = self.clock.now();
        let (head, epoch, mut cuts) = {
            let facts = self.ledger.facts();
            let epoch = facts.epoch().ok_or(PublishError::NoEpoch)?;
            let cuts: Vec<Cut> = facts.cuts().iter().filter(|cut| cut.ends > now).copied().collect();
            (self.ledger.head(), epoch, cuts)
        };
        cuts.sort_unstable_by_key(|cut| cut.position);
        let list = List {
            issuer: self.settings.issuer.clone(),
            issued_at: now,
            expires_at: now.plus(self.settings.max_staleness),
            epoch,
            position: head.position,
            root: head.root,
            since: None,
            cuts: cuts.clone(),
        };
        let snapshot = Arc::new(self.sign(&list)?);
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        // Publications may be built side by side; an older one never replaces a newer one.
        if self.current().is_some_and(|known| (known.position, known.issued_at) > (snapshot.position, snapshot.issued_at)) {
            return Ok(snapshot);
        }
        current.cuts = cuts;
        current.unsigned = Some(list);
        current.deltas.clear();
        if current.points.back() != Some(&head.position) {
            current.points.push_back(head.position);
        }
        if current.points.len() > POINTS {
            current.points.pop_front();
        }
        self.snapshot.store(Some(Arc::clone(&snapshot)));
        Ok(snapshot)
    }

    fn sign(&self, list: &List) -> Result<Publication, PublishError> {
        let key = &self.keyring.list;
        let jws = list.encode(&key.kid, |input| key.sign(input)).map_err(|error| PublishError::Sign(error.to_string()))?;
        Ok(Publication { position: list.position, issued_at: list.issued_at, jws })
    }

    /// The signed checkpoint of the committed head.
    ///
    /// # Errors
    /// If the key does not sign.
    pub(crate) fn checkpoint(&self) -> Result<String, PublishError> {
        let head = self.ledger.head();
        let epoch = self.ledger.facts().epoch().ok_or(PublishError::NoEpoch)?;
        let checkpoint = Checkpoint { origin: self.settings.origin.clone(), size: head.position, root: head.root, epoch };
        let key = &self.keyring.checkpoint;
        let public = Ed25519::from_spki(key.public_key()).ok_or_else(|| PublishError::Sign("not an Ed25519 key".to_owned()))?;
        checkpoint.encode(&public, |text| key.sign(text)).map_err(|error| PublishError::Sign(error.to_string()))
    }

    /// The keys to verify with: those that are active, and neither cut nor ended.
    ///
    /// # Errors
    /// If the ledger is not open.
    pub(crate) fn keys(&self) -> Result<Keys, PublishError> {
        let now = self.clock.now();
        let facts = self.ledger.facts();
        let trust_domain = facts.trust_domain().ok_or(PublishError::NoEpoch)?.clone();
        let ended = |not_after: Option<Timestamp>| not_after.is_some_and(|end| end < now);
        let good = facts.keys().filter(|(number, key)| facts.cuts().get(*number).is_none() && !ended(key.not_after));
        let keys = good.map(|(number, key)| (number, key.as_ref().clone())).collect();
        Ok(Keys { trust_domain, issuer: self.settings.issuer.clone(), keys })
    }

    /// The last entry that changed which keys there are: never goes back.
    pub(crate) fn keys_changed(&self) -> Position {
        let facts = self.ledger.facts();
        let touched = facts.keys().map(|(number, _)| facts.cuts().get(number).map_or(number, |cut| cut.position.max(number)));
        touched.max().unwrap_or(Position::ZERO)
    }

    /// Publishes on each change of the ledger and on the heartbeat, until the ledger is closed.
    pub(crate) async fn keep_publishing(&self) {
        let mut changes = self.ledger.watch();
        loop {
            changes.mark_unchanged();
            if let Err(error) = self.publish() {
                tracing::error!(%error, "the revocation list could not be published");
            }
            let beat = self.clock.now().plus(self.settings.heartbeat);
            tokio::select! {
                () = self.clock.sleep_until(beat) => {}
                changed = changes.changed() => if changed.is_err() { return },
            }
        }
    }
}
