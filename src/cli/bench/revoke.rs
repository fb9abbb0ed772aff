//! `curfew bench revoke`: from the return of the call to the rejection, by kind of verifier.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::future::try_join_all;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use super::report::Report;
use super::verifiers::{self, AUDIENCE, FOLLOWER, Held, Verifier};
use crate::ambient::{Ambient, Stopwatch};
use crate::app::config::{Config, Span};
use crate::cli::sample::{self, Sample};
use crate::cli::session::Session;
use crate::cli::{cert, init, owner, token, verify};
use crate::client::{Client, api};
use crate::formats::claims::{TokenClaims, TokenKind};
use crate::formats::jws::{self, MAX_TOKEN};

/// How long a verifier may take to reject: it takes a second or two at most.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two revocations at most: how long lists are not built again after one was, so that revocations fall
/// anywhere in it.
const PAUSE: u64 = 1000;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// How many owners are revoked, one after the other.
    #[arg(long, value_name = "NUMBER", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rounds: u32,
    /// How often CRL and status list are fetched.
    #[arg(long, value_name = "DURATION", default_value = "100ms")]
    fetch_every: Span,
}

/// The broker that is measured, and who asks it.
struct Bench<'a> {
    session: &'a Session,
    sample: Sample,
    administrator: Client,
    verifiers: Vec<Verifier>,
}

/// What was measured, round by round: the calls, and for each verifier when it rejected.
#[derive(Default)]
struct Times {
    calls: Vec<Duration>,
    rejected: Vec<Vec<Duration>>,
}

impl Args {
    pub(in crate::cli) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let stopped = sample::stopped()?;
        tokio::select! {
            measured = self.measure(session) => session.print(&measured?, Report::LAYOUT),
            () = stopped => anyhow::bail!("stopped"),
        }
    }

    async fn measure(&self, session: &Session) -> anyhow::Result<Report> {
        let fetch_every = self.fetch_every.duration();
        anyhow::ensure!(!fetch_every.is_zero(), "--fetch-every: write more than 0ms");
        // Who closed standard error does not want to know.
        let _ = writeln!(std::io::stderr(), "curfew: revokes {} owners, one after the other; each takes a second or two", self.rounds);
        let sample = Sample::start(session, init::CONFIG).await?;
        let config = Config::load(&sample.made.config())?;
        let administrator = sample.connect(&sample.administrator()?).await?;
        Sample::apply(&administrator, PathBuf::from("bench"), registry(self.rounds)).await?;
        let (verifiers, mut informing) = verifiers::all(session, &sample, fetch_every).await?;
        let bench = Bench { session, sample, administrator, verifiers };
        let measured = tokio::select! {
            measured = bench.rounds(self.rounds) => measured,
            ended = informing.join_next() => match ended {
                Some(ended) => match ended? { Err(error) => Err(error), Ok(never) => match never {} },
                None => Err(anyhow::anyhow!("nobody is informed")),
            },
        };
        let Times { calls, rejected } = measured.with_context(|| bench.sample.last_words())?;
        let rejected = bench.verifiers.iter().zip(rejected).map(|(verifier, times)| (verifier.name, verifier.credential, times));
        Ok(Report::new(&config, fetch_every, &calls, &rejected.collect::<Vec<_>>()))
    }
}

fn name(round: u32) -> String {
    format!("bench-{round}")
}

/// So many owners with a workload each, and those who accept their credentials.
fn registry(owners: u32) -> String {
    let mut text = format!(
        "environments: [{{name: production}}]
downstreams:
  - {{name: follower, accepts: [tokens], audiences: ['{AUDIENCE}'], environments: [production], verifier_kind: follower, verifier: 'spiffe://{domain}{FOLLOWER}'}}
  - {{name: status-list, accepts: [tokens], audiences: ['{AUDIENCE}'], environments: [production], verifier_kind: status_list}}
  - {{name: crl, accepts: [certificates], environments: [production], verifier_kind: crl}}
owners:
",
        domain = init::DOMAIN
    );
    // Writing to a string cannot fail.
    for name in (1..=owners).map(name) {
        let people = "business_owner: bench@example.org, technical_owner: bench@example.org";
        let _ = writeln!(text, "  - {{id: {name}, kind: team, {people}}}");
    }
    text.push_str("workloads:\n");
    for name in (1..=owners).map(name) {
        let id = format!("spiffe://{}/{name}", init::DOMAIN);
        let _ = writeln!(text, "  - {{spiffe_id: '{id}', owner: {name}, purpose: is revoked, environments: [production]}}");
    }
    text
}

impl Bench<'_> {
    async fn rounds(&self, rounds: u32) -> anyhow::Result<Times> {
        let mut times = Times { calls: Vec::new(), rejected: vec![Vec::new(); self.verifiers.len()] };
        let ambient = Ambient { clock: self.session.clock.clone(), entropy: self.session.entropy.clone() };
        for owner in (1..=rounds).map(name) {
            let held = self.issue(&owner).await?;
            for verifier in &self.verifiers {
                anyhow::ensure!(verifier.accepts(&held)?, "the verifier `{}` rejects what is alive", verifier.name);
            }
            ambient.clock.sleep(Duration::from_millis(ambient.chance() % PAUSE)).await;
            let (call, rejected) = tokio::select! {
                round = self.round(owner, &held) => round?,
                () = ambient.clock.sleep(PATIENCE) => anyhow::bail!("what was revoked is still accepted after {} s", PATIENCE.as_secs()),
            };
            times.calls.push(call);
            times.rejected.iter_mut().zip(rejected).for_each(|(times, time)| times.push(time));
        }
        Ok(times)
    }

    /// Revokes an owner: how long the call took, and how long after its return each verifier rejected what is held.
    async fn round(&self, owner: String, held: &Held) -> anyhow::Result<(Duration, Vec<Duration>)> {
        let watch = Stopwatch::start();
        let request = api::RevokeByOwnerRequest {
            owner,
            reason: api::RevocationReason::CessationOfOperation.into(),
            ..api::RevokeByOwnerRequest::default()
        };
        let called = async {
            owner::revoke(&self.administrator, request).await?;
            anyhow::Ok(watch.elapsed())
        };
        let rejects = async |verifier: &Verifier| {
            verifier.rejects(held).await?;
            anyhow::Ok(watch.elapsed())
        };
        let (call, rejected) = tokio::try_join!(called, try_join_all(self.verifiers.iter().map(rejects)))?;
        // Some have the list before the call has returned.
        Ok((call, rejected.into_iter().map(|at| at.saturating_sub(call)).collect()))
    }

    /// A token and a certificate of an owner's workload.
    async fn issue(&self, owner: &str) -> anyhow::Result<Held> {
        let identity = self.sample.identity(self.session, &format!("/{owner}"))?;
        let client = self.sample.connect(&identity).await?;
        let environment = || "production".to_owned();
        let ask = token::Args { environment: environment(), audience: AUDIENCE.to_owned(), ..token::Args::default() };
        let token = token::issue(&client, ask).await?.token;
        let ask = cert::Args { environment: environment(), ..cert::Args::default() };
        let issued = cert::issue(&client, ask, &self.session.entropy).await?;
        let claims = TokenClaims::decode(TokenKind::AccessToken, &jws::parse(&token, MAX_TOKEN)?.payload)?;
        Ok(Held {
            token,
            presented: verify::presented_by(&CertificateDer::from_pem_slice(identity.certificate.as_bytes())?)?,
            status: claims.status.context("the token is in no status list")?,
            certificate: CertificateDer::from_pem_slice(issued.chain.as_bytes())?,
        })
    }
}
