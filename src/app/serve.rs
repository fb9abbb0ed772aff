//! The composition: a configuration becomes a running broker.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic_health::ServingStatus;

use super::config::Config;
use super::error::ServeError;
use super::high_water::{self, Marking};
use super::metrics::{self, Observed};
use super::server_identity::{Making, ServerIdentity};
use super::upkeep::Upkeep;
use super::{key_files, upkeep};
use crate::ambient::{Clock, Entropy};
use crate::broker::{self, Broker, Followers, Provisioning};
use crate::formats::checkpoint;
use crate::grpc::{self, CallMeters, ClientVerifier, MutualTls, Peer};
use crate::http::{self, Admin, Https, Plain, SCIM_PATH, Scim};
use crate::keys::Keyring;
use crate::ledger::{Ledger, Options, Place, SqliteLedger};
use crate::listen::{self, Connections, Limits, Meters, Server};
use crate::lists::{self, Lists};
use crate::model::{Epoch, Position};
use crate::publish::{self, Publisher};

/// How long the start waits for the first CRLs and status lists.
const FIRST_LISTS: Duration = Duration::from_millis(500);

/// Where a broker listens, as bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// gRPC, mutual TLS.
    pub grpc: SocketAddr,
    /// What is signed or public, HTTPS.
    pub public: SocketAddr,
    /// Health and metrics, plain HTTP.
    pub admin: SocketAddr,
    /// CRLs and status lists, plain HTTP, if they are served so.
    pub lists: Option<SocketAddr>,
}

/// A broker that is open, and what goes with it.
struct Opened {
    ledger: Arc<SqliteLedger>,
    /// It had entries, and nothing to tell whether it went back.
    unmarked: bool,
    marking: Arc<Marking>,
    followers: Arc<Followers>,
    broker: Arc<Broker>,
    publisher: Arc<Publisher>,
    lists: Arc<Lists>,
    keyring: Arc<Keyring>,
}

impl Opened {
    /// Publishes what is so now. CRLs and status lists of a ledger with much alive take longer than anybody should
    /// wait: `/readyz` says no until they are there.
    async fn publish(&self, clock: &Clock) -> Result<(), ServeError> {
        self.publisher.publish().map_err(ServeError::start)?;
        tokio::select! {
            built = self.lists.build() => built.map_err(ServeError::start),
            () = clock.sleep(FIRST_LISTS) => Ok(()),
        }
    }

    /// What is measured.
    fn observed(&self, data_dir: PathBuf) -> Observed {
        Observed {
            ledger: Arc::clone(&self.ledger),
            unmarked: self.unmarked,
            broker: Arc::clone(&self.broker),
            publisher: Arc::clone(&self.publisher),
            keyring: Arc::clone(&self.keyring),
            lists: Arc::clone(&self.lists),
            data_dir,
        }
    }

    /// What answers those who provision, if anybody may.
    fn scim(&self, config: &Config) -> Option<Arc<Scim>> {
        let provisioning = Provisioning::new(Arc::clone(&self.broker), format!("{}{SCIM_PATH}", config.public_url));
        let scim = Scim { provisioning, clients: config.clients.clone() };
        (!scim.clients.is_empty()).then(|| Arc::new(scim))
    }

    /// What the admin listener tells.
    fn admin(&self, registry: Registry) -> Admin {
        Admin {
            ledger: Arc::clone(&self.ledger) as Arc<dyn Ledger>,
            publisher: Arc::clone(&self.publisher),
            lists: Arc::clone(&self.lists),
            unreadable: self.ledger.unreadable().len(),
            registry,
        }
    }
}

/// The listeners, bound.
struct Doors {
    grpc: TcpListener,
    public: TcpListener,
    admin: TcpListener,
    lists: Option<TcpListener>,
}

/// Runs a broker until it is told to stop (SIGTERM or SIGINT), then drains and closes it. `ready`
/// is called once, when all listeners are bound and the ledger can commit.
///
/// # Errors
/// If it cannot start.
pub async fn serve(config: Config, ready: impl FnOnce(&Addresses)) -> Result<(), ServeError> {
    let mut signals = upkeep::Signals::install().map_err(ServeError::start)?;
    let (clock, entropy) = (Clock::system(), Entropy::system());
    let doors = Doors::bind(&config).await?;
    let addresses = doors.addresses()?;
    let opened = open(&config, &clock, &entropy).await?;
    // Before anybody is let in: what was cut before the start is published.
    opened.publish(&clock).await?;

    let trust = Arc::new(upkeep::trust(&config, &opened.broker)?);
    let making = Making {
        config: config.clone(),
        broker: Arc::clone(&opened.broker),
        clock: clock.clone(),
        entropy: entropy.clone(),
        clients: Arc::new(ClientVerifier(Arc::clone(&trust))),
    };
    let identity = ServerIdentity::obtain(making).await?;

    let stop = CancellationToken::new();
    let mut registry = Registry::with_prefix("curfew");
    let calls = CallMeters::default();
    calls.register(registry.sub_registry_with_prefix("grpc"));
    let parts = grpc::Parts {
        broker: Arc::clone(&opened.broker),
        publisher: Arc::clone(&opened.publisher),
        entropy: entropy.clone(),
        meters: calls,
        stopping: stop.clone(),
    };
    let (router, health) = grpc::router(parts, config.limits.calls).map_err(ServeError::start)?;
    let connections: Connections<Peer> = Connections::default();
    let meters = Meters::default();
    meters.register(&connections, registry.sub_registry_with_prefix("grpc"));
    let listeners = TaskTracker::new();
    let mutual_tls = MutualTls { tls: identity.mutual.clone(), trust: Arc::clone(&trust), administrators: config.administrators.clone() };
    let server =
        Server { admit: mutual_tls, router, limits: limits(&config), connections: connections.clone(), meters, clock: clock.clone() };
    listeners.spawn(listen::serve(doors.grpc, server, stop.clone()));

    let public = http::public(Arc::clone(&opened.publisher), Arc::clone(&opened.lists), opened.scim(&config), stop.clone());
    let public = server_of(Https(identity.plain.clone()), public, &config, &clock);
    listeners.spawn(listen::serve(doors.public, measured(public, "public", &mut registry), stop.clone()));
    if let Some(door) = doors.lists {
        let lists = server_of(Plain, http::lists(Arc::clone(&opened.lists)), &config, &clock);
        listeners.spawn(listen::serve(door, measured(lists, "lists", &mut registry), stop.clone()));
    }

    let faults = metrics::register(&mut registry, opened.observed(config.data_dir.clone()));
    let admin = opened.admin(registry);
    // The admin listener goes last, so that it can say how the others end.
    let stop_admin = CancellationToken::new();
    let admin_task = tokio::spawn(listen::serve(doors.admin, server_of(Plain, http::admin(admin), &config, &clock), stop_admin.clone()));

    let marks = Arc::clone(&opened.marking).keep(Arc::clone(&opened.followers), faults.clone());
    let upkeep = Upkeep { config, broker: opened.broker, publisher: opened.publisher, trust, connections, clock, faults };
    let upkeep = Arc::new(upkeep);
    let mut chores = upkeep.start(identity);
    chores.spawn(marks);
    chores.spawn(opened.lists.keep());
    ready(&addresses);
    tracing::info!(grpc = %addresses.grpc, public = %addresses.public, admin = %addresses.admin, "ready");

    signals.until_stop(|| Arc::clone(&upkeep).reload()).await;
    tracing::info!("stopping: no new connections, requests under way may finish");
    health.set_service_status("", ServingStatus::NotServing).await;
    stop.cancel();
    listeners.close();
    listeners.wait().await;
    upkeep.broker.tell_all_refusals().await;
    opened.marking.close().await;
    stop_admin.cancel();
    let _ended = admin_task.await;
    chores.abort_all();
    tracing::info!("stopped");
    Ok(())
}

/// Opens the ledger, puts the policies of the configuration in force, and activates its keys.
async fn open(config: &Config, clock: &Clock, entropy: &Entropy) -> Result<Opened, ServeError> {
    let engine = upkeep::compile(config)?;
    let (material, keeper) = key_files::open(config, entropy)?;
    let epoch = Epoch(entropy.bytes().map_err(ServeError::start)?);
    let high_water = high_water::read(config)?;
    let unmarked = high_water.is_none();
    let options = Options { min_free_disk: config.min_free_disk, high_water, ..Options::new(config.trust_domain().clone(), epoch) };
    let ledger = open_ledger(config.ledger_file()?, options, clock.clone()).await?;
    let unmarked = unmarked && ledger.head().position > Position::BROKER;
    if unmarked {
        high_water::missed(config, ledger.head().position);
    }
    let shared: Arc<dyn Ledger> = Arc::clone(&ledger) as Arc<dyn Ledger>;
    Broker::put_in_force(&*shared, &engine).await.map_err(ServeError::start)?;
    let keyring = Arc::new(Broker::activate_keys(&*shared, material).await.map_err(ServeError::start)?);
    let settings = publish::Settings {
        issuer: config.public_url.clone(),
        origin: checkpoint::origin(config.trust_domain()),
        max_staleness: config.max_staleness,
        heartbeat: config.heartbeat,
        keys_refresh: config.keys_refresh(),
    };
    let followers = Arc::new(Followers::new(config.windows(), clock.now()));
    let publisher = Publisher::new(Arc::clone(&shared), Arc::clone(&keyring), settings, Arc::clone(&followers), clock.clone());
    let publisher = Arc::new(publisher);
    let (publishing, told) = (Arc::clone(&publisher), Arc::clone(&followers));
    let lists = Arc::new(Lists::new(lists::Parts {
        ledger: Arc::clone(&shared),
        keyring: Arc::clone(&keyring),
        urls: config.urls(),
        lifetimes: config.lists,
        native: Box::new(move || publishing.current().map(|list| list.jws.clone())),
        out: Box::new(move |position, out| told.stock_published(position, out)),
        clock: clock.clone(),
    }));
    let broker = Arc::new(Broker::new(broker::Parts {
        ledger: shared,
        engine,
        keyring: Arc::clone(&keyring),
        keeping: broker::Keeping { keeper: Arc::new(keeper), rotation: config.rotation.clone() },
        urls: config.urls(),
        administrators: config.administrators.clone(),
        quotas: config.limits.quotas,
        followers: Arc::clone(&followers),
        sources: config.declared_sources(),
        reconciling: config.reconciling.clone(),
        clock: clock.clone(),
        entropy: entropy.clone(),
    }));
    // Keys may have been put in the place of others. What fails is tried again while it runs.
    if let Err(error) = broker.tend_keys().await {
        tracing::error!(%error, "the signing keys could not be looked after");
    }
    let marking = Arc::new(Marking::new(config.clone(), Arc::clone(&ledger), clock.clone()));
    // So that a place where it cannot be written is found now.
    followers.marked(Some(marking.mark().await?));
    Ok(Opened { ledger, unmarked, marking, followers, broker, publisher, lists, keyring })
}

pub(super) async fn open_ledger(file: PathBuf, options: Options, clock: Clock) -> Result<Arc<SqliteLedger>, ServeError> {
    let opening = tokio::task::spawn_blocking(move || SqliteLedger::open(&Place::File(file), options, clock));
    opening.await.map_err(ServeError::start)?.map_err(ServeError::start)
}

fn limits(config: &Config) -> Limits {
    Limits {
        handshakes: config.limits.handshakes,
        handshake: config.limits.handshake_time,
        header_list: config.limits.headers,
        connections: config.limits.connections,
        peer_connections: config.limits.identity_connections,
        streams: config.limits.streams,
        http_1: false,
        drain: config.limits.drain,
        ..Limits::default()
    }
}

/// A listener for strangers.
fn server_of<A: listen::Admit>(admit: A, router: axum::Router, config: &Config, clock: &Clock) -> Server<A> {
    let limits = Limits { handshake: config.limits.handshake_time, ..http::limits() };
    Server { admit, router, limits, connections: Connections::default(), meters: Meters::default(), clock: clock.clone() }
}

/// The same, with its counters in the registry, under its name.
fn measured<A: listen::Admit>(server: Server<A>, name: &str, registry: &mut Registry) -> Server<A> {
    server.meters.register(&server.connections, registry.sub_registry_with_prefix(name));
    server
}

impl Doors {
    async fn bind(config: &Config) -> Result<Self, ServeError> {
        let bind = async |address| TcpListener::bind(address).await.map_err(|error| ServeError::Listen { address, error });
        let listen = &config.listen;
        let lists = match listen.lists {
            Some(address) => Some(bind(address).await?),
            None => None,
        };
        Ok(Self { grpc: bind(listen.grpc).await?, public: bind(listen.public).await?, admin: bind(listen.admin).await?, lists })
    }

    fn addresses(&self) -> Result<Addresses, ServeError> {
        let address = |door: &TcpListener| door.local_addr().map_err(ServeError::start);
        Ok(Addresses {
            grpc: address(&self.grpc)?,
            public: address(&self.public)?,
            admin: address(&self.admin)?,
            lists: self.lists.as_ref().map(address).transpose()?,
        })
    }
}
