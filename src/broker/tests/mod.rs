//! Behaviour at the broker's boundary: an in-memory ledger, the default policies, a manual clock.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use x509_parser::prelude::{FromDer, X509Certificate};

use super::{
    Broker, CertificateRequest, Checked, Declared, Error, Followers, Issuance, Keeping, Limits, Parts, Quotas, Reconciling, Target,
    TokenRequest, Withdrawal,
};
use crate::ambient::{Clock, Entropy, ManualClock};
use crate::directory::Subject;
use crate::formats::binding;
use crate::formats::urls::Urls;
use crate::keys::unkept::{Unkept, hundred_hours};
use crate::keys::{KeyText, Material, Private, Source};
use crate::ledger::{Ledger, Options, Place, SqliteLedger};
use crate::model::{
    CredentialKind, DenialCode, EnvironmentName, Epoch, KeyPurpose, OwnerId, PolicyName, Position, Reason, Share, Timestamp, TrustDomain,
    Windows,
};
use crate::policy::{Caller, Engine, OwnCertificate};

mod chains;
mod clock;
mod downstreams;
mod ends;
mod enforcing;
mod exceptions;
mod explaining;
mod following;
mod hanging;
mod hearing;
mod issuing;
mod keys;
mod lists;
mod moving;
mod quotas;
mod race;
mod reading;
mod reconciling;
mod refusing;
mod reporting;
mod revoking;
mod stories;
mod tasks;
mod telling;
mod trickling;

/// Where the manual clock stands at first.
pub(super) const START: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// The registry of every test.
const REGISTRY: &str = "
owners:
  - {id: payments, kind: team, business_owner: pat@example.org, technical_owner: tea@example.org}
  - {id: acme, kind: vendor, business_owner: pat@example.org, technical_owner: tea@example.org, contract_end: 2027-06-30T00:00:00Z}
environments:
  - {name: production}
  - {name: staging}
workloads:
  - {spiffe_id: spiffe://example.org/payments/api, owner: payments, purpose: takes payments, environments: [production, staging]}
  - {spiffe_id: spiffe://example.org/payments/batch, owner: payments, purpose: settles at night, environments: [production]}
  - {spiffe_id: spiffe://example.org/acme/sync, owner: acme, purpose: copies orders, environments: [production], valid_until: 2027-02-01T00:00:00Z}
downstreams:
  - {name: ledger, business_owner: pat@example.org, technical_owner: pat@example.org, accepts: [tokens], audiences: [https://ledger.example.org], environments: [production, staging], verifier_kind: follower}
  - {name: mesh, business_owner: pat@example.org, technical_owner: pat@example.org, accepts: [certificates], environments: [production], verifier_kind: follower}
";

/// What no test reaches by chance.
pub(super) const QUOTAS: Quotas = Quotas {
    workload_rate: 1_000_000,
    owner_rate: 1_000_000,
    administrator_rate: 1_000_000,
    source_rate: 1_000_000,
    workload_live: 1_000_000,
    owner_tasks: 100,
    workload_exceptions: 20,
    exception_life: crate::model::LONGEST_EXCEPTION,
    identity_watches: 10,
    watches: 10,
};

/// How it reconciles, and its sources.
type Settings = (Reconciling, Vec<Declared>);

/// A broker with everything that it needs.
pub(super) struct World {
    pub(super) broker: Arc<Broker>,
    pub(super) hand: ManualClock,
    pub(super) keeper: Arc<Unkept>,
}

impl World {
    /// A broker whose registry is applied.
    pub(super) async fn new() -> Self {
        Self::within(QUOTAS).await
    }

    /// The same, with other quotas.
    pub(super) async fn within(quotas: Quotas) -> Self {
        Self::keeping(quotas, |_| {}).await
    }

    /// The same, on a ledger with other options.
    pub(super) async fn keeping(quotas: Quotas, change: impl FnOnce(&mut Options)) -> Self {
        Self::made(Place::Memory, quotas, change, |_| {}, Settings::default()).await
    }

    /// The same, with keys that are held elsewhere.
    pub(super) async fn signing(elsewhere: impl Fn(&mut Source)) -> Self {
        Self::made(Place::Memory, QUOTAS, |_| {}, elsewhere, Settings::default()).await
    }

    /// The same, on a ledger in a file.
    pub(super) async fn kept(file: PathBuf) -> Self {
        Self::made(Place::File(file), QUOTAS, |_| {}, |_| {}, Settings::default()).await
    }

    /// The same, that reconciles by these settings.
    pub(super) async fn reconciling(settings: Reconciling) -> Self {
        Self::made(Place::Memory, QUOTAS, |_| {}, |_| {}, (settings, Vec::new())).await
    }

    /// The same, with a source.
    pub(super) async fn told_by(source: Declared, settings: Reconciling) -> Self {
        Self::made(Place::Memory, QUOTAS, |_| {}, |_| {}, (settings, vec![source])).await
    }

    async fn made(
        place: Place,
        quotas: Quotas,
        change: impl FnOnce(&mut Options),
        elsewhere: impl Fn(&mut Source),
        (reconciling, sources): Settings,
    ) -> Self {
        let (clock, hand) = Clock::manual(START);
        let entropy = Entropy::system();
        let domain: TrustDomain = "example.org".parse().unwrap();
        let mut options = Options::new(TrustDomain::clone(&domain), Epoch([7; 16]));
        change(&mut options);
        let ledger: Arc<dyn Ledger> = SqliteLedger::open(&place, options, clock.clone()).unwrap();
        let engine = Engine::compile(default_policies()).expect("the default pack is valid");
        Broker::put_in_force(&*ledger, &engine).await.unwrap();
        let texts = Material::generate(&domain, &entropy, START).unwrap().to_texts();
        let held = |text: KeyText| {
            let mut source = Source { purpose: text.purpose, private: Private::Pem(text.private), certificate: text.certificate };
            elsewhere(&mut source);
            source
        };
        let held = texts.into_iter().map(held).collect();
        let material = Material::open(&domain, held, &entropy).unwrap();
        let keyring = Arc::new(Broker::activate_keys(&*ledger, material).await.unwrap());
        let administrators = [administrator().spiffe_id].into();
        let url = "https://broker.example.org".to_owned();
        let urls = Urls { issuer: url.clone(), crl: url };
        let followers = Arc::new(Followers::new(Windows::of_lists(Duration::from_secs(30)), START));
        let keeper = Unkept::new(&domain);
        let keeping = Keeping { keeper: Arc::clone(&keeper) as _, rotation: hundred_hours() };
        let broker = Broker::new(Parts {
            ledger,
            engine,
            keyring,
            keeping,
            urls,
            administrators,
            quotas,
            followers,
            sources: std::iter::once(assets()).chain(sources).collect(),
            reconciling,
            clock,
            entropy,
        });
        let world = Self { broker: Arc::new(broker), hand, keeper };
        world.apply(REGISTRY, 0).await.unwrap();
        world
    }

    /// Applies a registry document.
    pub(super) async fn apply(&self, registry: &str, allow_end: usize) -> Result<(), Error> {
        let beside = self.broker.names_of_sources();
        let files = vec![("registry.yaml".into(), registry.to_owned())];
        let document = crate::directory::yaml::read(&files, &beside).expect("a valid document");
        self.broker.apply_registry(&administrator(), Checked { document, beside }, allow_end).await.map(|_| ())
    }

    /// A token for the ledger service in production.
    pub(super) async fn token(&self, caller: &Caller) -> Result<Issuance, Error> {
        self.token_in(caller, "production", None).await
    }

    /// A token for the ledger service.
    pub(super) async fn token_in(&self, caller: &Caller, environment: &str, task: Option<Position>) -> Result<Issuance, Error> {
        let ask = Self::ask(environment, task);
        self.broker.issue_token(caller, ask).await.map(|(_, issuance)| issuance)
    }

    /// How a token is asked for.
    pub(super) fn ask(environment: &str, task: Option<Position>) -> TokenRequest {
        TokenRequest {
            kind: CredentialKind::AccessToken,
            environment: environment.parse().unwrap(),
            audience: "https://ledger.example.org".parse().unwrap(),
            scopes: Vec::new(),
            task,
            ttl: None,
            bearer: false,
            purpose: None,
            request_id: None,
        }
    }

    /// A certificate, and the caller that uses it.
    pub(super) async fn certificate(
        &self,
        caller: &Caller,
        environment: &str,
        task: Option<Position>,
    ) -> Result<(Issuance, Caller), Error> {
        let key = rcgen::KeyPair::generate().unwrap();
        let request = rcgen::CertificateParams::default().serialize_request(&key).unwrap();
        let ask = CertificateRequest {
            csr: request.der().to_vec(),
            environment: environment.parse().unwrap(),
            task,
            ttl: None,
            purpose: None,
            request_id: None,
        };
        let (chain, issuance) = self.broker.issue_certificate(caller, ask).await?;
        let binding = binding(&chain[0]);
        let own = OwnCertificate {
            id: issuance.id,
            subjects: binding.subjects,
            key: self.broker.signing_key(KeyPurpose::Issuer).unwrap(),
            exception: binding.further.first().copied(),
        };
        Ok((issuance, Caller { expires_at: issuance.expires_at, issued_here: Some(own), ..caller.clone() }))
    }

    /// Revokes the owner as an administrator.
    pub(super) async fn revoke_owner(&self, owner: &str) -> Result<super::Revoked, Error> {
        self.broker.revoke(&administrator(), owner_named(owner), withdrawal()).await
    }

    /// Whether an active cut covers the credential.
    pub(super) async fn is_dead(&self, issuance: &Issuance) -> bool {
        self.broker.credential(&administrator(), issuance.id).await.unwrap().story.death.is_some()
    }

    /// The position of the last entry.
    pub(super) fn head(&self) -> Position {
        self.broker.ledger().head().position
    }
}

/// What a certificate of ours says that it stands on.
fn binding(certificate: &[u8]) -> binding::Binding {
    let (_, certificate) = X509Certificate::from_der(certificate).unwrap();
    let ours = certificate.extensions().iter().find(|extension| extension.oid.as_bytes() == binding::EXTENSION_OID_DER);
    binding::Binding::from_der(ours.expect("our extension").value).unwrap()
}

/// The default pack.
pub(super) fn default_policies() -> Vec<(PolicyName, String)> {
    crate::policy::DEFAULT_PACK.iter().map(|(name, text)| (name.parse().unwrap(), (*text).to_owned())).collect()
}

/// The source that the configuration declares.
fn assets() -> Declared {
    let holds = [Subject::Workload].into();
    Declared {
        name: "assets".parse().unwrap(),
        kind: crate::broker::SourceKind::Folder,
        holds,
        takes_over: false,
        max_ended: Share::percent(10),
        covers: None,
        is_complete: false,
    }
}

/// The administrator.
pub(super) fn administrator() -> Caller {
    caller("/admin")
}

/// A caller with a certificate from outside.
pub(super) fn caller(path: &str) -> Caller {
    Caller {
        spiffe_id: format!("spiffe://example.org{path}").parse().unwrap(),
        fingerprint: [9; 32],
        expires_at: START.plus(Duration::from_secs(365 * 24 * 60 * 60)),
        issued_here: None,
        address: None,
    }
}

/// The target that is an owner.
pub(super) fn owner_named(owner: &str) -> Target {
    Target::Owner(owner.parse::<OwnerId>().unwrap())
}

/// A plain revocation.
pub(super) fn withdrawal() -> Withdrawal {
    Withdrawal { reason: Reason::CessationOfOperation, note: None, suspend: false, limits: Limits::default() }
}

/// The code of a denial.
pub(super) fn denied<T: std::fmt::Debug>(outcome: Result<T, Error>) -> DenialCode {
    match outcome {
        Err(Error::Denied(denial)) => denial.code,
        other => panic!("not a denial: {other:?}"),
    }
}

/// An environment as a target.
pub(super) fn environment_named(name: &str) -> Target {
    Target::Environment(name.parse::<EnvironmentName>().unwrap())
}
