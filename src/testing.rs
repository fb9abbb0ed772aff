//! For tests of programs that embed Curfew: a real broker in the process of the test, with its
//! ledger in memory, authorities that are thrown away, and a clock that is moved by hand.
//!
//! It serves the whole gRPC API over mutual TLS on loopback, under the default policies, so what
//! holds with it holds with `curfew serve`. Use it as a dev-dependency with the feature `testing`.
//!
//! ```
//! use std::time::Duration;
//!
//! use curfew::client::{Client, api};
//! use curfew::testing::Broker;
//! use curfew::verify::{KeySet, Presented, Settings, Verifier};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let broker = Broker::start(
//!     r"
//! environments: [{name: production}]
//! owners: [{id: payments, kind: team, business_owner: pat@example.org, technical_owner: sam@example.org}]
//! workloads:
//!   - {spiffe_id: spiffe://example.org/payments/api, owner: payments, purpose: pays, environments: [production]}
//! downstreams:
//!   - {name: ledger, accepts: [tokens], audiences: ['https://ledger.example.org'], environments: [production], verifier_kind: follower}
//! ",
//! )
//! .await?;
//! let workload = broker.identity("/payments/api")?;
//! let request = api::IssueTokenRequest {
//!     environment: "production".into(),
//!     audience: "https://ledger.example.org".into(),
//!     ..Default::default()
//! };
//! let token = Client::connect(workload.config).await?.credentials().issue_token(request).await?.into_inner().token;
//!
//! let service = Verifier::new(Settings::new("https://ledger.example.org".parse()?), KeySet::from_json(&broker.keys()?)?);
//! service.apply(&broker.list()?, broker.moment())?;
//! let presented = Presented::Certificate(workload.fingerprint);
//! assert!(service.token(&token, presented, broker.moment()).is_ok());
//!
//! broker.advance(Duration::from_secs(31));
//! let rejected = service.token(&token, presented, broker.moment()).expect_err("its list is too old");
//! assert_eq!(rejected.code(), "LIST_STALE");
//! # Ok(())
//! # }
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::ambient::{Ambient, Clock, Entropy, ManualClock};
use crate::app::server_identity;
use crate::broker::{self, Checked, Keeping, Quotas};
use crate::client::Config;
use crate::directory::{Names, yaml};
use crate::formats::checkpoint;
use crate::formats::svid::Svid;
use crate::formats::urls::Urls;
use crate::grpc::{self, Bounds, CallMeters, ClientVerifier, InFlight, Issuer, MutualTls, Trust, TrustBundles};
use crate::keys::identity::IdentityCa;
use crate::keys::rotation::Rotation;
use crate::keys::{Keeper, KeyError, Material, PrivateKey};
use crate::ledger::{Ledger, Options, Place, SqliteLedger};
use crate::listen::{self, Alpn, Connections, Limits, Meters, Server, Tls, server_config};
use crate::model::{Epoch, KeyPurpose, PublicKey, SpiffeId, Timestamp, TrustDomain, Windows};
use crate::policy::{Caller, Engine};
use crate::publish::{self, Publisher};
use crate::verify::{MAX_STALENESS, Moment};

/// The trust domain of every identity here.
const DOMAIN: &str = "example.org";

/// The path of the one administrator.
const ADMINISTRATOR: &str = "/administrator";

/// How long identities live: no test is longer.
const LIFE: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// What a call may take.
const BOUNDS: Bounds =
    Bounds { message: 1 << 20, call: Duration::from_secs(30), in_flight: InFlight { each: 32 << 20, all: 128 << 20, longest: 16 << 20 } };

/// No test meets them by chance.
const QUOTAS: Quotas = Quotas {
    workload_rate: 1_000_000,
    owner_rate: 1_000_000,
    administrator_rate: 1_000_000,
    source_rate: 1_000_000,
    workload_live: 1_000_000,
    owner_tasks: 1000,
    workload_exceptions: 20,
    exception_life: crate::model::LONGEST_EXCEPTION,
    identity_watches: 100_000,
    watches: 100_000,
};

/// Why there is no broker, or it cannot do something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Failed(String);

fn failed(error: impl fmt::Display) -> Failed {
    Failed(error.to_string())
}

/// A client certificate, in use.
#[derive(Clone, Debug)]
pub struct Identity {
    /// How its holder connects to the broker.
    pub config: Config,
    /// SHA-256 of the certificate, DER: what the holder's tokens are bound to.
    pub fingerprint: [u8; 32],
}

/// A broker that serves until it is dropped. Its clock stands still until [`Broker::advance`].
#[derive(Debug)]
pub struct Broker {
    address: SocketAddr,
    /// What clients trust it by, PEM.
    ca: String,
    publisher: Arc<Publisher>,
    identities: IdentityCa,
    entropy: Entropy,
    clock: Clock,
    hand: ManualClock,
    started: Timestamp,
    _serving: JoinSet<()>,
}

impl Broker {
    /// Starts a broker of the trust domain `example.org` that knows a registry, YAML as in
    /// `docs/registry.md`. Its clock begins at the real time, because TLS clients go by that.
    ///
    /// # Errors
    /// If the registry is not good, or the machine gives no port or no random bytes.
    pub async fn start(registry: &str) -> Result<Self, Failed> {
        let (entropy, started) = (Entropy::system(), Clock::system().now());
        let (clock, hand) = Clock::manual(started);
        let domain: TrustDomain = DOMAIN.parse().map_err(failed)?;
        let identities = IdentityCa::generate(&domain, &entropy, started).map_err(failed)?;
        let material = Material::generate(&domain, &entropy, started).map_err(failed)?;
        let ca = material.to_texts().into_iter().find_map(|key| key.certificate).unwrap_or_default();
        let (broker, publisher) = open(&domain, material, &clock, &entropy).await?;
        let administrator = administrator(&identities, &domain, started, &entropy)?;
        let beside = Names::default();
        let document = yaml::read(&[(PathBuf::from("registry"), registry.to_owned())], &beside);
        let words = |problems: Vec<_>| failed(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
        broker.apply_registry(&administrator, Checked { document: document.map_err(words)?, beside }, 0).await.map_err(failed)?;
        publisher.publish().map_err(failed)?;

        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let server = server(&broker, &publisher, &identities, &clock).await?;
        let mut serving = JoinSet::new();
        serving.spawn(listen::serve(listener, server, CancellationToken::new()));
        let confirming = Arc::clone(&broker);
        serving.spawn(async move { confirming.keep_confirming().await });
        let (list, ends) = (Arc::clone(&publisher), broker);
        serving.spawn(async move { list.keep_publishing().await });
        serving.spawn(async move { while ends.keep_ends().await.is_err() {} });
        Ok(Self { address, ca, publisher, identities, entropy, clock, hand, started, _serving: serving })
    }

    /// A new identity of `path` in the trust domain, such as `/payments/api`, as a PKI of the
    /// outside would give it.
    ///
    /// # Errors
    /// If `path` is not the path of a SPIFFE ID.
    pub fn identity(&self, path: &str) -> Result<Identity, Failed> {
        let id = DOMAIN.parse::<TrustDomain>().and_then(|domain| domain.id(path)).map_err(failed)?;
        let made = self.identities.issue(&id, self.started, self.started.plus(LIFE), &self.entropy).map_err(failed)?;
        let fingerprint = fingerprint(&made.certificate)?;
        let ca = self.ca.clone().into_bytes();
        let config = Config::new(self.address.to_string(), ca, made.certificate.into_bytes(), made.key.as_bytes().to_vec());
        Ok(Identity { config, fingerprint })
    }

    /// The administrator's identity: it may revoke, and apply registries and policies.
    ///
    /// # Errors
    /// If the machine gives no random bytes.
    pub fn administrator(&self) -> Result<Identity, Failed> {
        self.identity(ADMINISTRATOR)
    }

    /// The keys to verify with, as `/v1/keys` serves them.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn keys(&self) -> Result<String, Failed> {
        self.publisher.keys().map_err(failed)?.to_json().map_err(failed)
    }

    /// The signed list as of now, as `/v1/revocations` serves it: whatever was revoked is in it.
    ///
    /// # Errors
    /// If it cannot be signed.
    pub fn list(&self) -> Result<String, Failed> {
        Ok(self.publisher.publish().map_err(failed)?.jws.clone())
    }

    /// Now, on both clocks, for a verifier.
    pub fn moment(&self) -> Moment {
        Moment { wall: self.clock.now(), steady: self.clock.steady() }
    }

    /// The outside world by this broker's clock: for a follower, or a source of tokens.
    pub fn ambient(&self) -> Ambient {
        Ambient { clock: self.clock.clone(), entropy: self.entropy.clone() }
    }

    /// Moves both clocks forward.
    pub fn advance(&self, by: Duration) {
        self.hand.advance(by);
    }
}

/// Keys that end with the process.
#[derive(Debug)]
struct Unkept {
    domain: TrustDomain,
    entropy: Entropy,
}

impl Keeper for Unkept {
    fn make(&self, purpose: KeyPurpose, now: Timestamp) -> Result<PrivateKey, KeyError> {
        PrivateKey::generate(purpose, &self.domain, &self.entropy, now)
    }

    fn discard(&self, _key: &PublicKey) -> Result<(), KeyError> {
        Ok(())
    }
}

/// A broker over an empty ledger in memory, and what it signs with.
async fn open(
    domain: &TrustDomain,
    material: Material,
    clock: &Clock,
    entropy: &Entropy,
) -> Result<(Arc<broker::Broker>, Arc<Publisher>), Failed> {
    let options = Options::new(domain.clone(), Epoch(entropy.bytes().map_err(failed)?));
    let ledger: Arc<dyn Ledger> = SqliteLedger::open(&Place::Memory, options, clock.clone()).map_err(failed)?;
    let policies: Result<Vec<_>, Failed> =
        crate::policy::DEFAULT_PACK.iter().map(|(name, text)| Ok((name.parse().map_err(failed)?, (*text).to_owned()))).collect();
    let invalid = |problems: Vec<crate::policy::Problem>| failed(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
    let engine = Engine::compile(policies?).map_err(invalid)?;
    broker::Broker::put_in_force(&*ledger, &engine).await.map_err(failed)?;
    let keyring = Arc::new(broker::Broker::activate_keys(&*ledger, material).await.map_err(failed)?);
    let issuer = format!("https://curfew.{domain}");
    let settings = publish::Settings {
        issuer: issuer.clone(),
        origin: checkpoint::origin(domain),
        max_staleness: MAX_STALENESS,
        heartbeat: Duration::from_secs(2),
        keys_refresh: Duration::from_secs(60),
    };
    let followers = Arc::new(broker::Followers::new(Windows::of_lists(MAX_STALENESS), clock.now()));
    let publisher = Publisher::new(Arc::clone(&ledger), Arc::clone(&keyring), settings, Arc::clone(&followers), clock.clone());
    let publisher = Arc::new(publisher);
    let broker = Arc::new(broker::Broker::new(broker::Parts {
        ledger,
        engine,
        keyring,
        keeping: Keeping {
            keeper: Arc::new(Unkept { domain: domain.clone(), entropy: entropy.clone() }),
            rotation: Rotation::new(BTreeMap::new(), MAX_STALENESS),
        },
        urls: Urls { issuer: issuer.clone(), crl: issuer },
        administrators: [domain.id(ADMINISTRATOR).map_err(failed)?].into(),
        quotas: QUOTAS,
        reconciling: broker::Reconciling::default(),
        followers,
        sources: Vec::new(),
        clock: clock.clone(),
        entropy: entropy.clone(),
    }));
    Ok((broker, publisher))
}

/// The gRPC listener as `curfew serve` has it.
async fn server(
    broker: &Arc<broker::Broker>,
    publisher: &Arc<Publisher>,
    identities: &IdentityCa,
    clock: &Clock,
) -> Result<Server<MutualTls>, Failed> {
    let (domain, entropy): (TrustDomain, _) = (DOMAIN.parse().map_err(failed)?, Entropy::system());
    let bundles = TrustBundles::parse(vec![(domain.clone(), identities.certificate_pem().into_bytes())]).map_err(failed)?;
    let issuers: Vec<Issuer> = broker.issuers().into_iter().map(|(number, certificate)| Issuer { number, certificate }).collect();
    let trust = Arc::new(Trust::new(domain.clone(), &issuers, bundles).map_err(failed)?);
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let (chain, key, _) = server_identity::issue(broker, &domain, &names, &entropy).await.map_err(failed)?;
    let identity = listen::Identity::from_der(chain, key.to_vec());
    let tls = server_config(identity, Some(Arc::new(ClientVerifier(Arc::clone(&trust)))), Alpn::Http2, clock.clone()).map_err(failed)?;
    let parts = grpc::Parts {
        broker: Arc::clone(broker),
        publisher: Arc::clone(publisher),
        entropy,
        meters: CallMeters::default(),
        stopping: CancellationToken::new(),
    };
    let (router, _health) = grpc::router(parts, BOUNDS).map_err(failed)?;
    Ok(Server {
        admit: MutualTls { tls: Tls::new(tls), trust, administrators: [domain.id(ADMINISTRATOR).map_err(failed)?].into() },
        router,
        limits: Limits::default(),
        connections: Connections::default(),
        meters: Meters::default(),
        clock: clock.clone(),
    })
}

fn administrator(identities: &IdentityCa, domain: &TrustDomain, now: Timestamp, entropy: &Entropy) -> Result<Caller, Failed> {
    let spiffe_id: SpiffeId = domain.id(ADMINISTRATOR).map_err(failed)?;
    let made = identities.issue(&spiffe_id, now, now.plus(LIFE), entropy).map_err(failed)?;
    Ok(Caller { spiffe_id, fingerprint: fingerprint(&made.certificate)?, expires_at: now.plus(LIFE), issued_here: None, address: None })
}

fn fingerprint(certificate: &str) -> Result<[u8; 32], Failed> {
    let der = CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(failed)?;
    Ok(Svid::from_der(&der).map_err(failed)?.fingerprint)
}
