//! The story, step by step. Each step fails unless what was promised happens.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use super::Telling;
use crate::ambient::{Ambient, Stopwatch};
use crate::app::config::Config;
use crate::cli::call::answer;
use crate::cli::sample::{self, Sample};
use crate::cli::session::Session;
use crate::cli::{cert, owner, token, verify, wire};
use crate::client::{Client, Failure, Follower, Following, api};
use crate::keys::identity::Identity;
use crate::verify::{Presented, Rejected, Settings};

/// The cast, as `docs/samples/registry.yaml` has it.
const OWNER: &str = "payments";
const API: &str = "/payments/api";
const WORKER: &str = "/payments/settlement";
const OTHER: &str = "/acme/reporting";
const ENVIRONMENT: &str = "production";
const AUDIENCE: &str = "https://ledger.example.org";

/// How long it may take until everybody has confirmed; it takes milliseconds, and as long as a broker that has just begun
/// does not know whether there are others.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a step says of itself, with what the next ones need of it.
type Told<T> = anyhow::Result<(T, Vec<String>)>;

/// A credential in somebody's hands.
struct Held {
    /// What it is, and of which workload.
    name: &'static str,
    /// Whether it dies with the owner.
    dies: bool,
    what: What,
}

enum What {
    Token { text: String, presented: Presented },
    Certificate { leaf: CertificateDer<'static> },
}

/// The services that accept credentials. Each follows the list under its own identity and asks nobody.
struct Services {
    ledger: Follower,
    mesh: Follower,
}

pub(super) async fn play(session: &Session, telling: &mut Telling) -> anyhow::Result<()> {
    let sample = telling.step("A broker starts, with keys and a ledger of its own", start(session)).await?;
    let played = revoked(session, &sample, telling).await;
    played.with_context(|| sample.last_words())
}

async fn revoked(session: &Session, sample: &Sample, telling: &mut Telling) -> anyhow::Result<()> {
    let administrator = sample.connect(&sample.administrator()?).await?;
    let [api, worker, other] = [API, WORKER, OTHER].map(|path| sample.identity(session, path));
    let (api, worker, other) = (api?, worker?, other?);

    telling.step("The administrator records who and what there is", register(sample, &administrator)).await?;
    let held = [
        telling.step("payments/api gets a token", get_token(sample, &api, "the token of payments/api", true)).await?,
        telling
            .step(
                "payments/settlement, of the same owner, gets a certificate",
                get_certificate(session, sample, &worker, "the certificate of payments/settlement", true),
            )
            .await?,
        telling
            .step("acme/reporting, of another owner, gets a token", get_token(sample, &other, "the token of acme/reporting", false))
            .await?,
    ];
    let services =
        telling.step("The services that accept them follow, and check all three offline", accept(session, sample, &held)).await?;
    telling.step("What would end with payments?", preview(&administrator)).await?;
    telling.step("curfew owner revoke payments, until it is enforced everywhere", revoke(&administrator)).await?;
    telling.step("The services check again", async { reject(&services, &held) }).await?;
    telling.step("payments/api asks again, and is refused", refused(sample, &api)).await
}

async fn start(session: &Session) -> Told<Sample> {
    let sample = Sample::start(session, &sample::short_waits()).await?;
    let what = format!("gRPC on {}, lists and keys on {}, health on http://{}", sample.listens.grpc, sample.url(), sample.listens.admin);
    Ok((sample, vec![what]))
}

async fn register(sample: &Sample, administrator: &Client) -> Told<()> {
    let applied = sample.register(administrator).await?;
    let count = |subject: &str| applied.changes.iter().filter(|change| change.subject == subject && change.action == "add").count();
    let what = format!(
        "{} owners, {} workloads, {} environments, {} downstream services; ledger position {}",
        count("owner"),
        count("workload"),
        count("environment"),
        count("downstream"),
        applied.position
    );
    Ok(((), vec![what]))
}

fn request() -> token::Args {
    token::Args { environment: ENVIRONMENT.to_owned(), audience: AUDIENCE.to_owned(), ..token::Args::default() }
}

fn issued(issuance: &api::Issuance) -> String {
    let expires = wire::instant(issuance.expires_at).unwrap_or_default();
    let bound = wire::bound(issuance.bound_by).unwrap_or_default();
    format!("recorded at position {}, then signed; good until {expires} ({bound})", issuance.position)
}

async fn get_token(sample: &Sample, identity: &Identity, name: &'static str, dies: bool) -> Told<Held> {
    let answer = token::issue(&sample.connect(identity).await?, request()).await?;
    let what = issued(&answer.issuance.unwrap_or_default());
    let presented = verify::presented_by(&CertificateDer::from_pem_slice(identity.certificate.as_bytes())?)?;
    Ok((Held { name, dies, what: What::Token { text: answer.token, presented } }, vec![what]))
}

async fn get_certificate(session: &Session, sample: &Sample, identity: &Identity, name: &'static str, dies: bool) -> Told<Held> {
    let args = cert::Args { environment: ENVIRONMENT.to_owned(), ..cert::Args::default() };
    let answer = cert::issue(&sample.connect(identity).await?, args, &session.entropy).await?;
    let leaf = CertificateDer::from_pem_slice(answer.chain.as_bytes())?;
    Ok((Held { name, dies, what: What::Certificate { leaf } }, vec![issued(&answer.issuance)]))
}

impl Services {
    async fn start(session: &Session, sample: &Sample) -> anyhow::Result<Self> {
        let (ledger, mesh) =
            tokio::try_join!(follow(session, sample, "/ledger/verifier", "ledger-1"), follow(session, sample, "/mesh/verifier", "mesh-1"))?;
        Ok(Self { ledger, mesh })
    }

    fn check(&self, held: &Held) -> Result<(), Rejected> {
        match &held.what {
            What::Token { text, presented } => self.ledger.token(text, *presented).map(|_| ()),
            What::Certificate { leaf } => self.mesh.certificate(leaf).map(|_| ()),
        }
    }
}

async fn follow(session: &Session, sample: &Sample, path: &str, name: &str) -> anyhow::Result<Follower> {
    let connect = sample.reached_by(&sample.identity(session, path)?)?;
    let max_staleness = Config::load(&sample.made.config())?.windows().max_staleness;
    let settings = Settings { max_staleness, ..Settings::new(AUDIENCE.parse()?) };
    let ambient = Ambient { clock: session.clock.clone(), entropy: session.entropy.clone() };
    Ok(Follower::start(move || Ok(connect.clone()), Following { settings, instance: name.parse()?, ambient }).await?)
}

async fn accept(session: &Session, sample: &Sample, held: &[Held]) -> Told<Services> {
    let services = Services::start(session, sample).await?;
    let watch = Stopwatch::start();
    for one in held {
        services.check(one).with_context(|| one.name)?;
    }
    let each = watch.elapsed().as_micros() / u128::try_from(held.len().max(1))?;
    Ok((services, vec![format!("ledger-1 takes the tokens, mesh-1 the certificate; a check takes {each} µs and asks nobody")]))
}

async fn preview(administrator: &Client) -> Told<()> {
    let found = owner::preview(administrator, OWNER.to_owned()).await?;
    let living = found.living.unwrap_or_default();
    ensure!(living.total == 2, "two credentials should be alive, and {} are", living.total);
    let kinds: Vec<String> = living.by_kind.iter().map(|kind| format!("{} {}", kind.count, kind.name)).collect();
    let last = wire::instant(living.last_expiry).unwrap_or_default();
    let what = format!("{}, the last until {last}; accepted by {}", kinds.join(", "), living.downstreams.join(", "));
    Ok(((), vec![what]))
}

async fn revoke(administrator: &Client) -> Told<()> {
    let request = api::RevokeByOwnerRequest {
        owner: OWNER.to_owned(),
        reason: api::RevocationReason::CessationOfOperation.into(),
        note: "the demo ends this owner".to_owned(),
        ..api::RevokeByOwnerRequest::default()
    };
    let revoked = owner::revoke(administrator, request).await?;
    let ended = revoked.ended.unwrap_or_default().total;
    ensure!(revoked.position > 0 && ended == 2, "two credentials should have ended, and {ended} did");
    let standing = wire::standing(revoked.standing).unwrap_or_default();
    let mut what = vec![format!(
        "committed at position {}: everything of payments before it is dead ({ended}); payments is {standing}",
        revoked.position
    )];
    what.extend(enforced(administrator, revoked.position).await?);
    what.push("a broker that has just begun waits for those whom it may not know yet: 5 s here, a minute by default".to_owned());
    Ok(((), what))
}

/// Waits until nothing is accepted anywhere any more; who has confirmed it, by downstream.
async fn enforced(administrator: &Client, position: u64) -> anyhow::Result<Vec<String>> {
    let request = api::FollowEnforcementRequest { position, timeout: Some(wire::sent_duration(PATIENCE)) };
    let mut stream = answer(administrator.revocations().follow_enforcement(request)).await?;
    while let Some(told) = stream.message().await.map_err(Failure::from)? {
        if told.stage() == api::EnforcementStage::Enforced {
            ensure!(told.downstreams.len() == 2, "two services accepted what ended, and {} are named", told.downstreams.len());
            return told.downstreams.iter().map(confirmed).collect();
        }
    }
    bail!("it is not enforced after {} s", PATIENCE.as_secs())
}

fn confirmed(at: &api::DownstreamEnforcement) -> anyhow::Result<String> {
    let word = wire::enforcement_state(at.state).unwrap_or_default();
    ensure!(word == "confirmed" && !at.confirmed.is_empty(), "nobody confirmed for {}: {word}", at.name);
    Ok(format!("{}: {} has confirmed that it rejects all of it", at.name, at.confirmed.join(", ")))
}

fn reject(services: &Services, held: &[Held]) -> Told<()> {
    let mut what = Vec::new();
    for one in held {
        match services.check(one) {
            Err(rejected @ Rejected::Revoked { .. }) if one.dies => what.push(format!("{}: rejected, {rejected}", one.name)),
            Ok(()) if !one.dies => what.push(format!("{}: accepted, as before", one.name)),
            Ok(()) => bail!("{} is still accepted", one.name),
            Err(rejected) => bail!("{}: {rejected}", one.name),
        }
    }
    Ok(((), what))
}

async fn refused(sample: &Sample, identity: &Identity) -> Told<()> {
    let Err(error) = token::issue(&sample.connect(identity).await?, request()).await else {
        bail!("a token was issued under a revoked owner")
    };
    let failure = error.downcast::<Failure>()?;
    ensure!(failure.reason.as_deref() == Some("OWNER_NOT_ACTIVE"), "it was refused for another reason: {failure}");
    Ok(((), vec![format!("OWNER_NOT_ACTIVE: {failure}")]))
}
