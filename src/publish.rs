//! Publishing: on each change and on a heartbeat, the list is built, signed once, and handed out.
//!
//! It reads what is committed and holds nothing up: a revocation never waits for its list.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OnceCell, watch};
use tokio::task::spawn_blocking;

use crate::ambient::Clock;
use crate::broker::{Followers, Point};
use crate::formats::checkpoint::Checkpoint;
use crate::formats::jwk::Ed25519;
use crate::formats::keyset::Keys;
use crate::formats::list::List;
use crate::keys::{Keyring, SigningKey};
use crate::ledger::Ledger;
use crate::model::{Cut, KeyPurpose, Position, PublicKey, Timestamp};

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
    /// How soon to look for keys again.
    pub keys_refresh: Duration,
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
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PublishError {
    /// The ledger is not open yet.
    #[error("the ledger has no epoch")]
    NoEpoch,
    /// The key did not sign.
    #[error("the list cannot be signed: {0}")]
    Sign(String),
}

/// What came since one point, once somebody has asked for it: signed once for all who ask.
type Delta = Arc<OnceCell<Result<Arc<Publication>, PublishError>>>;

/// What was published last, and what is needed to say what came since an earlier point.
#[derive(Debug, Default)]
struct Current {
    /// Which of all that were begun it is.
    order: u64,
    unsigned: Option<Arc<List>>,
    /// Where lists were published, ascending.
    points: VecDeque<Position>,
    /// Where the clock was set back last. That brings cuts back into the list which a delta from there, or
    /// from before, would not say.
    set_back: Option<Position>,
    /// Deltas to the current list, by the point that they start from.
    deltas: BTreeMap<Position, Delta>,
}

/// Builds, signs and hands out the list and the checkpoint.
#[derive(Debug)]
pub(crate) struct Publisher {
    ledger: Arc<dyn Ledger>,
    keyring: Arc<Keyring>,
    settings: Settings,
    /// Told of each list that is out, before it is handed to anybody.
    followers: Arc<Followers>,
    clock: Clock,
    newest: watch::Sender<Option<Arc<Publication>>>,
    current: Mutex<Current>,
    begun: AtomicU64,
}

impl Publisher {
    /// A publisher of what the ledger says; nothing is published yet.
    pub(crate) fn new(ledger: Arc<dyn Ledger>, keyring: Arc<Keyring>, settings: Settings, followers: Arc<Followers>, clock: Clock) -> Self {
        let (newest, current) = (watch::Sender::new(None), Mutex::default());
        Self { ledger, keyring, settings, followers, clock, newest, current, begun: AtomicU64::new(0) }
    }

    /// By which clock lists are made.
    pub(crate) const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// How old a list may be before a verifier rejects everything.
    pub(crate) const fn max_staleness(&self) -> Duration {
        self.settings.max_staleness
    }

    /// The whole list, as last published.
    pub(crate) fn current(&self) -> Option<Arc<Publication>> {
        self.newest.borrow().clone()
    }

    /// The whole list as last published, and each next one: who looks late sees the newest only.
    pub(crate) fn follow(&self) -> watch::Receiver<Option<Arc<Publication>>> {
        self.newest.subscribe()
    }

    /// What came after `since`, if that is a point at which a list was published not long ago; the whole list
    /// if it is not, or none is given.
    ///
    /// Each delta is signed once, however many ask for it, and a key that takes its time holds up
    /// nobody but them.
    ///
    /// # Errors
    /// If the delta cannot be signed. It is tried again for the next list.
    pub(crate) async fn since(&self, since: Option<Position>) -> Result<Option<Arc<Publication>>, PublishError> {
        let Some(since) = since else { return Ok(self.current()) };
        let (list, delta) = {
            let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(list) = current.unsigned.clone().filter(|_| current.points.binary_search(&since).is_ok()) else {
                return Ok(self.current());
            };
            (list, Arc::clone(current.deltas.entry(since).or_default()))
        };
        if let Some(signed) = delta.get() {
            return signed.clone().map(Some);
        }
        let key = self.signing(KeyPurpose::List)?;
        // In a task of its own: a stream that is asked no more half way, since its follower does not read, would hold up all
        // others that wait for the same delta.
        let signing = async move {
            let signing = || async {
                let signed = spawn_blocking(move || sign(&key, &list.after(since)).map(Arc::new)).await;
                signed.map_err(|error| PublishError::Sign(error.to_string())).flatten()
            };
            delta.get_or_init(signing).await.clone()
        };
        let signed = tokio::spawn(signing).await;
        signed.map_err(|error| PublishError::Sign(error.to_string())).flatten().map(Some)
    }

    /// Builds and signs the list as of now.
    ///
    /// # Errors
    /// If the ledger is not open, or the key does not sign. What was published before stays.
    pub(crate) fn publish(&self) -> Result<Arc<Publication>, PublishError> {
        // The clock is read first, so that every cut that was committed before `iat` is in; head
        // and cuts are of one moment, so that every cut up to `pos` is in and none above it.
        let order = self.begun.fetch_add(1, Ordering::SeqCst);
        let now = self.clock.now();
        let (head, epoch, mut cuts) = {
            let facts = self.ledger.facts();
            let epoch = facts.epoch().ok_or(PublishError::NoEpoch)?;
            let cuts: Vec<Cut> = facts.cuts().listed(now).copied().collect();
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
            cuts,
        };
        let snapshot = Arc::new(sign(&*self.signing(KeyPurpose::List)?, &list)?);
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        // Publications may be built side by side; an older one never replaces a newer one. Which is
        // older is not for the clock to say, for it may have been set back.
        if self.current().is_some_and(|known| (known.position, current.order) > (snapshot.position, order)) {
            return Ok(snapshot);
        }
        if current.unsigned.as_ref().is_some_and(|known| known.issued_at > now) {
            current.points.clear();
            current.set_back = Some(head.position);
        }
        current.order = order;
        current.unsigned = Some(Arc::new(list));
        current.deltas.clear();
        if current.set_back < Some(head.position) && current.points.back() != Some(&head.position) {
            current.points.push_back(head.position);
        }
        if current.points.len() > POINTS {
            current.points.pop_front();
        }
        // By the clock as it is now: a list that does not cover this position was begun before.
        self.followers.published(Point { position: head.position, root: head.root, out: self.clock.now().max(now) });
        self.newest.send_replace(Some(Arc::clone(&snapshot)));
        Ok(snapshot)
    }

    /// The key that signs now. What it signs is good, whatever was committed since it was asked for.
    fn signing(&self, purpose: KeyPurpose) -> Result<Arc<SigningKey>, PublishError> {
        self.keyring.signing(purpose, &self.ledger.facts()).map_err(|error| PublishError::Sign(error.to_string()))
    }

    /// The signed checkpoint of the committed head.
    ///
    /// # Errors
    /// If the key does not sign.
    pub(crate) fn checkpoint(&self) -> Result<String, PublishError> {
        let head = self.ledger.head();
        let epoch = self.ledger.facts().epoch().ok_or(PublishError::NoEpoch)?;
        let checkpoint = Checkpoint { origin: self.settings.origin.clone(), size: head.position, root: head.root, epoch };
        let key = self.signing(KeyPurpose::Checkpoint)?;
        let public = Ed25519::from_spki(key.public_key()).ok_or_else(|| PublishError::Sign("not an Ed25519 key".to_owned()))?;
        checkpoint.encode(&public, |text| key.sign(text)).map_err(|error| PublishError::Sign(error.to_string()))
    }

    /// The keys to verify with: those that sign, those that will, and those of which something may be good
    /// that they signed.
    ///
    /// # Errors
    /// If the ledger is not open.
    pub(crate) fn keys(&self) -> Result<Keys, PublishError> {
        self.numbered_keys().map(|(_, keys)| keys)
    }

    /// The same, with a number that grows whenever they change: by an entry, or because one has ended.
    ///
    /// # Errors
    /// If the ledger is not open.
    pub(crate) fn numbered_keys(&self) -> Result<(u64, Keys), PublishError> {
        let now = self.clock.now();
        let facts = self.ledger.facts();
        let trust_domain = facts.trust_domain().ok_or(PublishError::NoEpoch)?.clone();
        let known = facts.signing_keys();
        let ended = u64::try_from(known.iter().filter(|key| key.has_ended(now)).count()).unwrap_or(u64::MAX);
        let believed = known.iter().filter(|key| key.is_believed(now));
        let keys = believed.map(|key| (key.number, PublicKey { not_after: key.ends(), ..key.record.as_ref().clone() })).collect();
        let keys = Keys { trust_domain, issuer: self.settings.issuer.clone(), keys };
        Ok((known.changed().get().saturating_add(ended), keys))
    }

    /// How soon to look for keys again: often enough to find one well before it signs.
    pub(crate) const fn keys_refresh(&self) -> Duration {
        self.settings.keys_refresh
    }

    /// Publishes on each change of the ledger and on the heartbeat, until the ledger is closed.
    pub(crate) async fn keep_publishing(self: Arc<Self>) {
        let mut changes = self.ledger.watch();
        loop {
            changes.mark_unchanged();
            // A key that takes its time must not take a thread on which calls are answered.
            let publisher = Arc::clone(&self);
            match spawn_blocking(move || publisher.publish().map(drop)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(%error, "the revocation list could not be published"),
                Err(error) => tracing::error!(%error, "the revocation list could not be published"),
            }
            tokio::select! {
                () = self.clock.sleep(self.settings.heartbeat) => {}
                changed = changes.changed() => if changed.is_err() { return },
            }
        }
    }
}

fn sign(key: &SigningKey, list: &List) -> Result<Publication, PublishError> {
    let jws = list.encode(&key.kid, |input| key.sign(input)).map_err(|error| PublishError::Sign(error.to_string()))?;
    Ok(Publication { position: list.position, issued_at: list.issued_at, jws })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::ambient::{Entropy, ManualClock};
    use crate::broker::Broker;
    use crate::keys::Material;
    use crate::ledger::{Change, Options, Place, Present, SqliteLedger, Urgency};
    use crate::model::{Closing, CutMade, Epoch, Event, Reason, TrustDomain, Windows};
    use crate::verify::{Applied, KeySet, ListRejected, Moment, RevocationState};

    const START: Timestamp = Timestamp::from_seconds(1_800_000_000);
    const HOUR: Duration = Duration::from_secs(3600);

    struct World {
        ledger: Arc<dyn Ledger>,
        publisher: Publisher,
        hand: ManualClock,
        keys: KeySet,
    }

    impl World {
        async fn new() -> Self {
            let (clock, hand) = Clock::manual(START);
            let domain: TrustDomain = "example.org".parse().expect("a domain");
            let options = Options::new(domain.clone(), Epoch([7; 16]));
            let ledger: Arc<dyn Ledger> = SqliteLedger::open(&Place::Memory, options, clock.clone()).expect("opened");
            let material = Material::generate(&domain, &Entropy::system(), START).expect("keys");
            let keyring = Arc::new(Broker::activate_keys(&*ledger, material).await.expect("activated"));
            let settings = Settings {
                issuer: "https://curfew.example.org".to_owned(),
                origin: "example.org/curfew".to_owned(),
                max_staleness: Duration::from_secs(30),
                heartbeat: Duration::from_secs(2),
                keys_refresh: Duration::from_secs(60),
            };
            let followers = Arc::new(Followers::new(Windows::of_lists(settings.max_staleness), START));
            let publisher = Publisher::new(Arc::clone(&ledger), keyring, settings, followers, clock);
            let keys = KeySet::from_json(&publisher.keys().expect("open").to_json().expect("written")).expect("usable");
            Self { ledger, publisher, hand, keys }
        }

        /// Cuts something under which the last expires in five minutes.
        async fn cut(&self) -> Position {
            let plan = Box::new(|_: &Present<'_>| {
                let (number, ends) = (Position::BROKER, Some(START.plus(Duration::from_secs(420))));
                Ok(vec![Event::Cut(CutMade {
                    number,
                    reason: Reason::Superseded,
                    ends,
                    closing: Closing::Nothing,
                    note: None,
                    concerns: None,
                    source: None,
                })])
            });
            let change = Change { urgency: Urgency::First, actor: None, request_id: None, plan };
            self.ledger.change(change).await.expect("committed").last
        }

        fn is_listed(&self) -> bool {
            self.publisher.current.lock().expect("whole").unsigned.as_ref().is_some_and(|list| !list.cuts.is_empty())
        }
    }

    fn moment(seconds: u64) -> Moment {
        let passed = Duration::from_secs(seconds);
        Moment { wall: START.plus(passed), steady: passed }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_list_covers_whatever_was_committed_before_its_instant() {
        let world = Arc::new(World::new().await);
        let done = Arc::new(AtomicBool::new(false));
        let publishing = spawn_blocking({
            let (world, done) = (Arc::clone(&world), Arc::clone(&done));
            move || {
                let mut made = Vec::new();
                while !done.load(Ordering::SeqCst) {
                    made.push(world.publisher.publish().expect("published"));
                }
                made
            }
        });
        let mut committed = Vec::new();
        for _ in 0..1000 {
            committed.push((world.cut().await, world.publisher.clock().now()));
            world.hand.advance(Duration::from_millis(1));
        }
        done.store(true, Ordering::SeqCst);
        let made = publishing.await.expect("done");
        assert!(made.len() > 100, "{}", made.len());
        for list in made {
            let before = committed.iter().take_while(|(_, at)| *at < list.issued_at).last();
            assert!(before.is_none_or(|(position, _)| list.position >= *position), "{list:?} does not cover {before:?}");
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_delta_is_signed_once_for_all_who_start_at_one_place() {
        let world = Arc::new(World::new().await);
        let first = world.publisher.publish().expect("published").position;
        world.cut().await;
        world.publisher.publish().expect("published");
        let asking: Vec<_> = (0..100)
            .map(|_| {
                let world = Arc::clone(&world);
                tokio::spawn(async move { world.publisher.since(Some(first)).await.expect("signed").expect("published") })
            })
            .collect();
        let mut deltas = Vec::new();
        for asked in asking {
            deltas.push(asked.await.expect("answered"));
        }
        assert!(deltas.iter().all(|delta| Arc::ptr_eq(delta, &deltas[0])), "a signature of ECDSA is never the same twice");
    }

    #[tokio::test]
    async fn a_follower_goes_on_when_the_broker_s_clock_ran_ahead_and_was_set_back() {
        let world = World::new().await;
        let position = world.cut().await;
        let mut follower = RevocationState::default();
        let first = world.publisher.publish().expect("published");
        assert_eq!(follower.apply(&first.jws, &world.keys, moment(0)), Ok(Applied::Advanced(position)));

        world.hand.set(START.plus(HOUR));
        let ahead = world.publisher.publish().expect("published");
        assert!(!world.is_listed(), "it ended by that clock");
        // One that begins on a machine with the same clock knows nothing of the cut.
        let mut late = RevocationState::default();
        let there = Moment { wall: START.plus(HOUR), ..moment(1) };
        assert_eq!(late.apply(&ahead.jws, &world.keys, there), Ok(Applied::Advanced(position)));
        assert!(late.cuts().get(Position::BROKER).is_none());
        assert_eq!(follower.apply(&ahead.jws, &world.keys, moment(1)), Err(ListRejected::Future(START.plus(HOUR))));

        world.hand.set(START.plus(Duration::from_secs(2)));
        let back = world.publisher.publish().expect("published");
        assert_eq!(world.publisher.current().map(|current| current.issued_at), Some(START.plus(Duration::from_secs(2))));
        assert_eq!(*back, *world.publisher.current().expect("published"), "an hour earlier, and yet the latest");
        assert!(world.is_listed());
        assert_eq!(follower.apply(&back.jws, &world.keys, moment(2)), Ok(Applied::Advanced(position)));
        assert!(!follower.is_forked() && follower.cuts().get(Position::BROKER).is_some());
        let since = world.publisher.since(Some(position)).await.expect("signed").expect("published");
        assert_eq!(late.apply(&since.jws, &world.keys, moment(2)), Ok(Applied::Advanced(position)));
        assert!(late.cuts().get(Position::BROKER).is_some(), "no delta leaves out what came back");
    }
}
