//! Keeps a verifier fresh: follows the list through a stream, and comes back whenever it is cut off.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tonic::Streaming;

use super::backoff::backoff;
use super::{Client, Config, Failure, api};
use crate::ambient::{Ambient, Clock};
use crate::model::{Instance, Position};
use crate::verify::{
    AcceptedCertificate, AcceptedToken, Applied, KeySet, ListRejected, Moment, Point, Presented, Rejected, Settings, Verifier,
};

/// How often the keys are fetched though nothing asks for them: the next one is published long before it signs.
const KEYS_EVERY: Duration = Duration::from_secs(60);

/// How soon they are fetched again because somebody came with a key that is not among them: anybody can.
const KEYS_AGAIN: Duration = Duration::from_secs(5);

/// Where the broker is and who calls it, each time that it is called: certificates are renewed.
pub type Connect = Arc<dyn Fn() -> Result<Config, Failure> + Send + Sync>;

/// How a service follows.
#[derive(Clone)]
pub struct Following {
    /// What it accepts, and how old its list may be.
    pub settings: Settings,
    /// Which of its processes this is; the same as long as the process lives, and no other's.
    pub instance: Instance,
    /// What time it is, and where chance comes from.
    pub ambient: Ambient,
}

/// How a follower is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// The position of the list in force.
    pub position: Option<Position>,
    /// How old that is.
    pub age: Option<Duration>,
    /// Whether anything is accepted by it.
    pub fresh: bool,
    /// Whether a list contradicted what was known. Nothing advances any more until the service is started anew, after
    /// somebody has asked the operator of the broker.
    pub forked: bool,
    /// Why it is not connected, or took no list, since the last one that it took.
    pub failure: Option<String>,
}

/// A verifier that is kept fresh until this is dropped.
#[derive(Debug)]
pub struct Follower {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    verifier: Verifier,
    connect: Connect,
    instance: Instance,
    ambient: Ambient,
    silence: Duration,
    /// Grows with each list that is applied.
    lists: watch::Sender<u64>,
    failure: Mutex<Option<String>>,
    keys_wanted: Notify,
    /// Why the broker does not let it follow, the last time that it did not.
    refused: watch::Sender<Option<Failure>>,
}

/// How a stream ended, or what became of an attempt to begin one.
enum Ended {
    /// In order, or after lists had come: the broker stops, or something on the way did.
    Cut(String),
    /// It came to nothing.
    Failed(Failure),
    /// What is known here is no point from which the broker can go on.
    Gap,
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Follower {
    /// Fetches the keys, begins to follow, and comes back with the first list applied. It goes on trying while the
    /// broker cannot be reached: put a time around it, or serve meanwhile and reject everything.
    ///
    /// # Errors
    /// If the configuration cannot be used, or the broker refuses this identity.
    pub async fn start(
        connect: impl Fn() -> Result<Config, Failure> + Send + Sync + 'static,
        following: Following,
    ) -> Result<Self, Failure> {
        let connect: Connect = Arc::new(connect);
        let Following { settings, instance, ambient } = following;
        let silence = settings.max_staleness / 2;
        let keys = first_keys(&connect, &ambient).await?;
        let shared = Arc::new(Shared {
            verifier: Verifier::new(settings, keys),
            connect,
            instance,
            ambient,
            silence,
            lists: watch::Sender::new(0),
            failure: Mutex::default(),
            keys_wanted: Notify::new(),
            refused: watch::Sender::new(None),
        });
        let (mut lists, mut refused) = (shared.lists.subscribe(), shared.refused.subscribe());
        let task = tokio::spawn(Arc::clone(&shared).run());
        let follower = Self { shared, task };
        let refused = tokio::select! {
            // The senders are in `shared`, so neither is gone.
            _applied = lists.wait_for(|lists| *lists > 0) => None,
            refused = refused.wait_for(Option::is_some) => refused.ok().and_then(|refused| refused.clone()),
        };
        refused.map_or(Ok(follower), Err)
    }

    /// What checks credentials. It is kept fresh as long as the follower lives.
    pub fn verifier(&self) -> &Verifier {
        &self.shared.verifier
    }

    /// Now, on both clocks: the same by which lists are aged.
    pub fn moment(&self) -> Moment {
        self.shared.moment()
    }

    /// How it is.
    pub fn health(&self) -> Health {
        let Shared { verifier, failure, .. } = &*self.shared;
        let moment = self.moment();
        Health {
            position: verifier.position(),
            age: verifier.age(moment),
            fresh: verifier.freshness(moment).is_ok(),
            forked: verifier.is_forked(),
            failure: failure.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// Changes with each list that is applied, for whoever has to look again.
    pub fn lists(&self) -> watch::Receiver<u64> {
        self.shared.lists.subscribe()
    }

    /// By which clock it goes.
    pub fn clock(&self) -> &Clock {
        &self.shared.ambient.clock
    }

    /// Checks a token. If it is signed by a key that is not known, the keys are fetched again, for the next one who
    /// comes with it.
    ///
    /// # Errors
    /// As [`Verifier::token`].
    pub fn token(&self, text: &str, presented: Presented) -> Result<AcceptedToken, Rejected> {
        self.checked(self.shared.verifier.token(text, presented, self.moment()))
    }

    /// Checks a certificate, DER; of an unknown issuer, as for a token.
    ///
    /// # Errors
    /// As [`Verifier::certificate`].
    pub fn certificate(&self, leaf: &[u8]) -> Result<AcceptedCertificate, Rejected> {
        self.checked(self.shared.verifier.certificate(leaf, self.moment()))
    }

    fn checked<T>(&self, checked: Result<T, Rejected>) -> Result<T, Rejected> {
        if matches!(checked, Err(Rejected::KeyUnknown)) {
            self.shared.keys_wanted.notify_one();
        }
        checked
    }
}

impl std::fmt::Debug for Following {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Following").field("settings", &self.settings).field("instance", &self.instance).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("instance", &self.instance).field("position", &self.verifier.position()).finish_non_exhaustive()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn moment(&self) -> Moment {
        Moment { wall: self.ambient.clock.now(), steady: self.ambient.clock.steady() }
    }

    /// Follows for ever.
    async fn run(self: Arc<Self>) {
        let mut failed = 0;
        let mut whole = false;
        loop {
            let before = *self.lists.borrow();
            let Err(ended) = self.follow(whole).await;
            failed = if *self.lists.borrow() == before { failed + 1 } else { 1 };
            whole = matches!(ended, Ended::Gap);
            let (why, at_least) = match ended {
                Ended::Cut(why) => (why, None),
                Ended::Failed(failure) => {
                    if failure.is_final() {
                        self.refused.send_replace(Some(failure.clone()));
                    }
                    (failure.message, failure.retry_after)
                }
                Ended::Gap => ("the broker does not know the position of this follower".to_owned(), None),
            };
            tracing::warn!(instance = %self.instance, why, "the revocation list is not followed at the moment");
            self.note(Some(why));
            let wait = backoff(failed, self.ambient.chance()).max(at_least.unwrap_or_default());
            self.ambient.clock.sleep(wait).await;
        }
    }

    fn note(&self, failure: Option<String>) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = failure;
    }

    /// Follows one stream to its end.
    async fn follow(&self, whole: bool) -> Result<Infallible, Ended> {
        let client = Client::connect((self.connect)()?).await?;
        let since = if whole { 0 } else { self.verifier.position().map_or(0, Position::get) };
        let ask = api::WatchRequest { since, instance: self.instance.to_string() };
        let mut stream = client.revocations().watch(ask).await.map_err(Failure::from)?.into_inner();
        tokio::select! {
            ended = self.read(&client, &mut stream) => ended,
            never = self.confirm(&client) => match never {},
        }
    }

    /// Applies what comes, to the end of the stream.
    async fn read(&self, client: &Client, stream: &mut Streaming<api::WatchResponse>) -> Result<Infallible, Ended> {
        let clock = &self.ambient.clock;
        let mut keys_fetched = clock.steady();
        let mut keys_every = KEYS_EVERY;
        loop {
            // The broker beats: where it is silent for long, there is nobody.
            let silence = clock.sleep(self.silence);
            tokio::pin!(silence);
            let answer = loop {
                tokio::select! {
                    answer = stream.message() => break answer.map_err(Failure::from)?,
                    () = &mut silence => return Err(Ended::Cut("the broker was silent for too long".to_owned())),
                    () = self.keys_wanted.notified() => keys_every = KEYS_AGAIN,
                }
            };
            let Some(answer) = answer else { return Err(Ended::Cut("the broker ended the stream".to_owned())) };
            self.take(&answer.list, client).await?;
            if clock.steady().saturating_sub(keys_fetched) >= keys_every {
                self.verifier.replace_keys(keys(client).await?);
                (keys_fetched, keys_every) = (clock.steady(), KEYS_EVERY);
            }
        }
    }

    /// Says to the broker what is applied, each time that this has come further. What cannot be said now is said with the
    /// next list, and holds up none.
    async fn confirm(&self, client: &Client) -> Infallible {
        let mut lists = self.lists.subscribe();
        let mut confirmed = None;
        loop {
            let point = self.verifier.point();
            if let Some(Point { epoch, position, root }) = point.filter(|_| point != confirmed) {
                let (root, epoch) = (root.to_vec(), epoch.0.to_vec());
                let ask = api::AcknowledgeRequest { instance: self.instance.to_string(), position: position.get(), root, epoch };
                match client.revocations().acknowledge(ask).await {
                    Ok(_taken) => confirmed = point,
                    Err(status) => {
                        tracing::warn!(instance = %self.instance, %position, why = status.message(), "what is applied is not confirmed");
                    }
                }
            }
            // The sender is in `self`, so it is not gone.
            let _changed = lists.changed().await;
        }
    }

    /// Applies a list.
    async fn take(&self, list: &str, client: &Client) -> Result<(), Ended> {
        // Its age counts from when it came.
        let moment = self.moment();
        let mut applied = self.verifier.apply(list, moment);
        if applied == Err(ListRejected::Key) {
            self.verifier.replace_keys(keys(client).await?);
            applied = self.verifier.apply(list, moment);
        }
        match applied {
            Ok(Applied::Advanced(_)) => {
                self.note(None);
                self.lists.send_modify(|lists| *lists += 1);
                Ok(())
            }
            Ok(Applied::Ignored) => Ok(()),
            // What it says is revoked is in force; staying connected brings the rest of that.
            Err(forked @ ListRejected::Fork(_)) => {
                tracing::error!(instance = %self.instance, error = %forked, "the revocation list is forked");
                self.note(Some(forked.to_string()));
                Ok(())
            }
            Err(ListRejected::Gap { .. }) => Err(Ended::Gap),
            Err(rejected) => Err(Ended::Cut(rejected.to_string())),
        }
    }
}

/// The keys, from the first connection that comes about.
async fn first_keys(connect: &Connect, ambient: &Ambient) -> Result<KeySet, Failure> {
    let mut failed = 0;
    loop {
        let fetched = async { keys(&Client::connect(connect()?).await?).await };
        let failure = match fetched.await {
            Ok(keys) => return Ok(keys),
            Err(failure) if failure.is_final() => return Err(failure),
            Err(failure) => failure,
        };
        failed += 1;
        tracing::warn!(why = failure.message, "the keys are not fetched yet");
        ambient.clock.sleep(backoff(failed, ambient.chance()).max(failure.retry_after.unwrap_or_default())).await;
    }
}

async fn keys(client: &Client) -> Result<KeySet, Failure> {
    let bundle = client.trust().get_bundle(api::GetBundleRequest {}).await?.into_inner();
    KeySet::from_json(&bundle.keys).map_err(|error| Failure::unusable(format!("the broker's keys: {error}")))
}
