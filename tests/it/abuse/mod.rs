//! Abuse: strangers and callers who mean harm, on every port of a real broker. Whatever they do, its
//! memory stays within a bound, others are served, revocations are committed, and nothing panics.

mod connections;
mod flight;
mod inputs;
mod public;
mod streams;
mod wire;

use std::fs;
use std::time::Duration;

use curfew::client::{Client, api};
use tokio::time::timeout;

use crate::harness::{AUDIENCE, Broker, Identity};

/// How long whoever is not to blame may wait for an answer. This is a machine that does other
/// things too.
const PATIENCE: Duration = Duration::from_secs(20);

/// The most that a broker may have in memory, whatever is done to it here, in bytes.
const MOST_MEMORY: u64 = 256 << 20;

/// A broker under attack, and those who are not to blame.
pub(super) struct Attacked {
    pub(super) broker: Broker,
    pub(super) runtime: tokio::runtime::Runtime,
    /// The one who attacks, where that takes an identity.
    pub(super) attacker: Identity,
    other: Identity,
    administrator: Client,
}

impl Attacked {
    /// A broker whose configuration has these lines changed.
    pub(super) fn with(changes: &[(&str, &str)]) -> Self {
        let mut broker = Broker::prepare();
        let mut config = fs::read_to_string(broker.config()).unwrap();
        for (from, to) in changes {
            assert!(config.contains(from), "no `{from}` in the configuration");
            config = config.replace(from, to);
        }
        fs::write(broker.config(), config).unwrap();
        broker.serve();
        broker.apply(crate::harness::REGISTRY);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let administrator = runtime.block_on(broker.client(&broker.administrator()));
        let (attacker, other) = (broker.identity("payments/api"), broker.identity("acme/reporting"));
        Self { broker, runtime, attacker, other, administrator }
    }

    pub(super) fn new() -> Self {
        Self::with(&[])
    }

    pub(super) fn administrator(&self) -> Client {
        self.administrator.clone()
    }

    /// What the broker has in memory, in bytes.
    pub(super) fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.broker.process_id())).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        resident.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    /// Somebody new connects, gets a token, and an administrator revokes it; the broker has not grown
    /// beyond the bound.
    #[track_caller]
    pub(super) fn others_are_served(&self) {
        let served = async {
            let client = self.broker.client(&self.other).await;
            let ask = api::IssueTokenRequest { environment: "production".to_owned(), audience: AUDIENCE.to_owned(), ..Default::default() };
            let issued = client.credentials().issue_token(ask).await.unwrap().into_inner();
            let id = issued.issuance.unwrap().credential_id;
            let revoke = api::RevokeRequest {
                subject: Some(api::revoke_request::Subject::CredentialId(id)),
                reason: api::RevocationReason::Superseded.into(),
                ..Default::default()
            };
            self.administrator.revocations().revoke(revoke).await.unwrap().into_inner().position
        };
        let position = self.runtime.block_on(async { timeout(PATIENCE, served).await });
        assert!(position.expect("others are served in time") > 0);
        let memory = self.memory();
        assert!(memory <= MOST_MEMORY, "{} MiB in memory, more than {}", memory >> 20, MOST_MEMORY >> 20);
    }

    /// What must hold at the end.
    #[track_caller]
    pub(super) fn stands(mut self) {
        self.others_are_served();
        assert!(self.broker.stop().success(), "{}", self.broker.log());
        let log = self.broker.log();
        assert!(!log.contains("panicked"), "{log}");
        assert!(log.len() < 4 << 20, "{} bytes of log", log.len());
    }
}
