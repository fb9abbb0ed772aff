//! What runs beside the listeners: deadlines, the list, trust bundles, connections of the dead, and
//! what an operator's signals ask for.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;

use super::config::Config;
use super::error::ServeError;
use super::metrics::Faults;

use super::server_identity::ServerIdentity;
use super::sources;
use crate::ambient::Clock;
use crate::broker::Broker;
use crate::grpc::{Issuer, Peer, Trust, TrustBundles};
use crate::listen::Connections;
use crate::model::TrustDomain;
use crate::policy::{Engine, Problem};
use crate::publish::Publisher;

/// How soon trust bundles are looked at again, and how soon a chore that failed is tried again.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// What the chores work on.
#[derive(Debug)]
pub(super) struct Upkeep {
    pub(super) config: Config,
    pub(super) broker: Arc<Broker>,
    pub(super) publisher: Arc<Publisher>,
    pub(super) trust: Arc<Trust>,
    pub(super) connections: Connections<Peer>,
    pub(super) clock: Clock,
    pub(super) faults: Faults,
}

/// The signals that an operator sends.
#[derive(Debug)]
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    pub(super) fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Returns when the process is to stop; runs `reload` at each SIGHUP until then.
    pub(super) async fn until_stop<F: Future<Output = ()>>(&mut self, reload: impl Fn() -> F) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hang_up.recv() => reload().await,
            }
        }
    }
}

/// The policies of the configuration, validated.
pub(super) fn compile(config: &Config) -> Result<Engine, ServeError> {
    let words = |problems: Vec<Problem>| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n  ");
    Engine::compile(config.policies()?).map_err(|problems| ServeError::Policy(words(problems)))
}

/// The trust bundles as their files are now.
pub(super) fn bundles(config: &Config) -> Result<TrustBundles, ServeError> {
    parse(config.trust_bundles()?)
}

fn parse(texts: BTreeMap<TrustDomain, String>) -> Result<TrustBundles, ServeError> {
    TrustBundles::parse(texts.into_iter().map(|(domain, text)| (domain, text.into_bytes())).collect()).map_err(ServeError::start)
}

/// Trust in the bundles of the configuration, and in what the broker issued itself.
pub(super) fn trust(config: &Config, broker: &Broker) -> Result<Trust, ServeError> {
    Trust::new(config.trust_domain().clone(), &issuers(broker), bundles(config)?).map_err(ServeError::start)
}

/// The issuers of ours whose certificates are believed.
fn issuers(broker: &Broker) -> Vec<Issuer> {
    broker.issuers().into_iter().map(|(number, certificate)| Issuer { number, certificate }).collect()
}

impl Upkeep {
    /// Starts every chore. They end when the set is dropped.
    pub(super) fn start(self: &Arc<Self>, identity: ServerIdentity) -> JoinSet<()> {
        let mut chores = JoinSet::new();
        let publisher = Arc::clone(&self.publisher);
        chores.spawn(async move { publisher.keep_publishing().await });
        let broker = Arc::clone(&self.broker);
        chores.spawn(async move { broker.keep_telling_refusals().await });
        let broker = Arc::clone(&self.broker);
        chores.spawn(async move { broker.keep_confirming().await });
        let (broker, errors) = (Arc::clone(&self.broker), self.faults.reconcile.clone());
        chores.spawn(async move {
            let failed = || {
                errors.inc();
            };
            broker.keep_reconciling(failed).await;
        });
        chores.spawn(identity.keep(self.faults.clone()));
        for source in &self.config.sources {
            let (broker, clock, faults) = (Arc::clone(&self.broker), self.clock.clone(), self.faults.clone());
            chores.spawn(sources::keep(source.clone(), broker, clock, faults));
        }
        chores.spawn(Arc::clone(self).keep_ends());
        chores.spawn(Arc::clone(self).keep_bundles());
        chores.spawn(Arc::clone(self).keep_keys());
        chores.spawn(Arc::clone(self).close_the_dead());
        chores
    }

    /// Reads policies and trust bundles again. What is bad never replaces what is good.
    pub(super) async fn reload(self: Arc<Self>) {
        tracing::info!("reading policies and trust bundles again");
        if let Err(error) = self.reload_policies().await {
            tracing::error!(%error, "the policies in force stay");
            self.faults.policies.inc();
        }
        if let Err(error) = bundles(&self.config).and_then(|bundles| self.put_in_force(bundles)) {
            tracing::error!(%error, "the trust bundles in force stay");
            self.faults.trust_bundles.inc();
        }
    }

    /// Trusts other authorities, and closes the connections of those that none of them vouches for.
    fn put_in_force(&self, bundles: TrustBundles) -> Result<(), ServeError> {
        self.trust.replace(bundles).map_err(ServeError::start)?;
        self.close_the_disbelieved();
        Ok(())
    }

    fn close_the_disbelieved(&self) {
        let now = self.clock.now();
        let closed = self.connections.close_where(|peer| peer.believed(now).is_err());
        if closed > 0 {
            tracing::warn!(closed, "closed connections whose certificates nobody vouches for any more");
        }
    }

    async fn reload_policies(&self) -> Result<(), ServeError> {
        let engine = compile(&self.config)?;
        Broker::put_in_force(&**self.broker.ledger(), &engine).await.map_err(ServeError::start)
    }

    /// Closes tasks at their deadlines, and offboards owners and workloads at their ends. When the ledger
    /// cannot commit it tries again: nothing lives beyond such an end, so what is late is the entry.
    async fn keep_ends(self: Arc<Self>) {
        while let Err(error) = self.broker.keep_ends().await {
            tracing::error!(%error, "what ends by itself cannot be ended");
            self.faults.deadlines.inc();
            self.clock.sleep(LOOK_AGAIN).await;
        }
    }

    /// Puts trust bundles in force when their files change.
    async fn keep_bundles(self: Arc<Self>) {
        let mut known = self.config.trust_bundles().ok();
        loop {
            self.clock.sleep(LOOK_AGAIN).await;
            let read = self.config.trust_bundles().map_err(ServeError::from);
            if read.as_ref().ok().is_some_and(|texts| Some(texts) == known.as_ref()) {
                continue;
            }
            let replaced = read.and_then(|texts| {
                known = Some(texts.clone());
                self.put_in_force(parse(texts)?)
            });
            match replaced {
                Ok(()) => tracing::info!("the trust bundles have changed"),
                Err(error) => {
                    tracing::error!(%error, "the trust bundles in force stay");
                    self.faults.trust_bundles.inc();
                }
            }
        }
    }

    /// Makes, changes and wipes signing keys when it is time, and believes the issuers that there are.
    async fn keep_keys(self: Arc<Self>) {
        let mut changes = self.broker.ledger().watch();
        loop {
            let again = self.broker.tend_keys().await.unwrap_or_else(|error| {
                tracing::error!(%error, "the signing keys could not be looked after; it is tried again");
                self.faults.keys.inc();
                Some(self.clock.now().plus(LOOK_AGAIN))
            });
            match self.trust.follow(&issuers(&self.broker)) {
                Ok(true) => self.close_the_disbelieved(),
                Ok(false) => {}
                Err(error) => {
                    tracing::error!(%error, "the issuers that are believed stay");
                    self.faults.keys.inc();
                }
            }
            let again = again.map_or(LOOK_AGAIN, |again| again.since(self.clock.now()).min(LOOK_AGAIN));
            tokio::select! {
                () = self.clock.sleep(again) => {}
                changed = changes.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Closes connections whose certificate is dead, and those of subjects that were closed since the
    /// last look. Each of their calls is refused by itself; this frees what they hold.
    async fn close_the_dead(self: Arc<Self>) {
        let mut changes = self.broker.ledger().watch();
        let mut since = *changes.borrow_and_update();
        while changes.changed().await.is_ok() {
            // What closes while this looks is after `next`, so that the next look finds it.
            let next = *changes.borrow_and_update();
            let closed = self.connections.close_where(|peer| self.broker.dismisses(peer.caller(), since));
            if closed > 0 {
                tracing::info!(closed, "closed connections of what was revoked");
            }
            since = next;
        }
    }
}
