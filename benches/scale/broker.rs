//! The broker that is filled: a process of its own, with the default policies.

use std::time::{Duration, Instant};

use curfew::client::{Client, api};
use tokio::runtime::Runtime;

use crate::harness::{AUDIENCE, Broker, Identity};
use crate::process::Process;

/// An owner with one living credential, and its workload.
pub(crate) const LONELY: (&str, &str) = ("platform", "platform/ci");
/// An owner with many, and its workload.
pub(crate) const CROWDED: (&str, &str) = ("payments", "payments/api");

/// The most that one call may ask for.
const BATCH: u64 = 500;
/// Calls under way, so that batches meet in a commit.
const CALLERS: u64 = 4;

pub(crate) struct Subject {
    broker: Broker,
    runtime: Runtime,
    administrator: Identity,
    workloads: Vec<(&'static str, Identity)>,
}

impl Subject {
    pub(crate) fn start() -> Self {
        let broker = Broker::start();
        let workloads = [LONELY, CROWDED].map(|(_, workload)| (workload, broker.identity(workload))).into();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        Self { administrator: broker.administrator(), workloads, runtime, broker }
    }

    /// Issues so many tokens, of the longest life, to the workload of an owner.
    pub(crate) fn issue(&self, (_, workload): (&str, &str), tokens: u64) {
        let identity = &self.workloads.iter().find(|(name, _)| *name == workload).expect("a workload").1;
        let client = self.runtime.block_on(self.broker.client(identity));
        let shares = (0..CALLERS).map(|caller| tokens / CALLERS + u64::from(caller < tokens % CALLERS));
        let callers: Vec<_> = shares.map(|share| self.runtime.spawn(issue(client.clone(), share))).collect();
        callers.into_iter().for_each(|caller| self.runtime.block_on(caller).expect("a caller ends well"));
    }

    /// Revokes an owner that has so many living credentials; how long the call took.
    pub(crate) fn revoke(&self, (owner, _): (&str, &str), living: u64) -> Duration {
        let client = self.client();
        self.runtime.block_on(async {
            let mut owners = client.owners();
            let ask = api::RevokeByOwnerRequest {
                owner: owner.to_owned(),
                reason: api::RevocationReason::CessationOfOperation.into(),
                ..Default::default()
            };
            let look = api::PreviewRevocationRequest { owner: owner.to_owned() };
            let preview = owners.preview_revocation(look).await.expect("a preview").into_inner();
            let before = preview.living.expect("a census").total;
            assert_eq!(before, living, "alive under {owner}");
            let began = Instant::now();
            owners.revoke_by_owner(ask).await.expect("a cut");
            let took = began.elapsed();
            if living == 1 {
                self.reinstate(&client, owner).await;
            }
            took
        })
    }

    pub(crate) fn reinstate_all(&self) {
        let client = self.client();
        for (owner, _) in [LONELY, CROWDED] {
            self.runtime.block_on(self.reinstate(&client, owner));
        }
    }

    async fn reinstate(&self, client: &Client, owner: &str) {
        let ask = api::OwnersReinstateRequest { owner: owner.to_owned(), note: "the next round".to_owned() };
        client.owners().reinstate(ask).await.expect("reinstated");
    }

    /// Bytes of the whole signed list.
    pub(crate) fn list_bytes(&self) -> usize {
        let client = self.client();
        self.runtime.block_on(async {
            let list = client.revocations().get_list(api::GetListRequest::default()).await.expect("a list");
            list.into_inner().list.len()
        })
    }

    /// The last position, as the checkpoint says it on its second line.
    pub(crate) fn head(&self) -> u64 {
        let client = self.client();
        let checkpoint = self.runtime.block_on(async { client.ledger().get_checkpoint(api::GetCheckpointRequest {}).await });
        let checkpoint = checkpoint.expect("a checkpoint").into_inner().checkpoint;
        checkpoint.lines().nth(1).and_then(|size| size.parse().ok()).expect("a size")
    }

    pub(crate) fn resident_mib(&self) -> f64 {
        Process(self.broker.process_id()).resident_mib().0
    }

    /// From the start of the process until it is ready, after it was stopped in order.
    pub(crate) fn start_after_stop(&mut self) -> Duration {
        assert!(self.broker.stop().success(), "{}", self.broker.log());
        self.start_again()
    }

    /// The same after SIGKILL.
    pub(crate) fn start_after_kill(&mut self) -> Duration {
        self.broker.kill();
        self.start_again()
    }

    fn start_again(&mut self) -> Duration {
        let began = Instant::now();
        self.broker.serve();
        began.elapsed()
    }

    fn client(&self) -> Client {
        self.runtime.block_on(self.broker.client(&self.administrator))
    }
}

async fn issue(client: Client, mut tokens: u64) {
    let mut credentials = client.credentials();
    let request = api::IssueTokenRequest {
        environment: "production".to_owned(),
        audience: AUDIENCE.to_owned(),
        ttl: Some(prost_types::Duration { seconds: 600, nanos: 0 }),
        ..Default::default()
    };
    while tokens > 0 {
        let now = tokens.min(BATCH);
        let requests = vec![request.clone(); usize::try_from(now).expect("a batch")];
        let answer = credentials.batch_issue_tokens(api::BatchIssueTokensRequest { requests }).await.expect("an answer").into_inner();
        let issued = answer.tokens.iter().filter(|token| matches!(token.outcome, Some(api::batched_token::Outcome::Issued(_))));
        assert_eq!(u64::try_from(issued.count()).expect("a batch"), now, "each item of a batch is issued");
        tokens -= now;
    }
}
