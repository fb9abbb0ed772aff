//! The broker that is filled: a process of its own, with the default policies.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use curfew::client::{Client, Follower, api};
use curfew::formats::crl;
use curfew::verify::Presented;
use tokio::runtime::Runtime;

use crate::harness::{AUDIENCE, Broker, eventually};
use crate::one;
use crate::process::Process;

/// Calls under way.
const CALLERS: u64 = 8;
/// The most that one call may ask for.
const BATCH: u64 = 500;
/// Longer than anything takes here.
const PATIENCE: Duration = Duration::from_secs(120);

/// An owner with everything that lives, one with everything that dies, one that is revoked again and again.
const LIVING: &str = "payments/api";
const DYING: (&str, &str) = ("acme", "acme/reporting");
const OTHER: &str = "platform";
const OTHERS: &str = "platform/ci";

/// What the broker says of its builds.
const BUILDS: &str = "curfew_list_builds_total";
const BUILD_TIME: &str = "curfew_list_build_time_seconds";

pub(crate) struct Subject {
    broker: Broker,
    runtime: Runtime,
}

impl Subject {
    pub(crate) fn start() -> Self {
        let mut broker = Broker::prepare();
        let config = std::fs::read_to_string(broker.config()).expect("a configuration");
        let listening = config.replace("# lists = \"127.0.0.1:7481\"", "lists = \"127.0.0.1:0\"");
        std::fs::write(broker.config(), listening).expect("written");
        broker.serve();
        broker.apply(crate::harness::REGISTRY);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        Self { broker, runtime }
    }

    fn client(&self, workload: &str) -> Client {
        let identity = if workload == "administrator" { self.broker.administrator() } else { self.broker.identity(workload) };
        self.runtime.block_on(self.broker.client(&identity))
    }

    /// Issues so many tokens of the longest life.
    pub(crate) fn issue_tokens(&self, tokens: u64) {
        let client = self.client(LIVING);
        self.shared(tokens, |share| issue_tokens(client.clone(), share));
    }

    /// Issues so many certificates, all for one key.
    pub(crate) fn issue_certificates(&self, certificates: u64) {
        let client = self.client(DYING.1);
        let key = rcgen::KeyPair::generate().expect("a key");
        let csr = rcgen::CertificateParams::default().serialize_request(&key).expect("a request").der().to_vec();
        self.shared(certificates, |share| issue_certificates(client.clone(), csr.clone(), share));
    }

    fn shared<F: Future<Output = ()> + Send + 'static>(&self, all: u64, work: impl Fn(u64) -> F) {
        let shares = (0..CALLERS).map(|caller| all / CALLERS + u64::from(caller < all % CALLERS));
        let callers: Vec<_> = shares.map(|share| self.runtime.spawn(work(share))).collect();
        callers.into_iter().for_each(|caller| self.runtime.block_on(caller).expect("a caller ends well"));
    }

    /// Revokes the owner of the certificates; how long it is from the answer until the CRL names them all, and its size.
    pub(crate) fn revoke_and_wait(&self, certificates: u64) -> (Duration, usize) {
        let key = self.issuer();
        self.revoke(DYING.0);
        let began = Instant::now();
        let all = |der: &Vec<u8>| crl::revoked(der).is_some_and(|named| named.len() as u64 == certificates);
        let der = eventually(PATIENCE, || Some(get(self.lists(), &format!("/v1/crl/{key}.crl"))).filter(all));
        (began.elapsed(), der.len())
    }

    /// Has the lists built, by a cut that nothing dies of; how long that took, as the broker says.
    pub(crate) fn build(&self) -> Duration {
        let builds = self.metric(BUILDS);
        self.revoke(OTHER);
        self.reinstate(OTHER);
        eventually(PATIENCE, || (self.metric(BUILDS) > builds).then_some(()));
        Duration::from_secs_f64(self.metric(BUILD_TIME))
    }

    /// Tokens a second, one a call, while another owner is revoked all the time or not.
    pub(crate) fn rate(&self, share: Duration, cutting: bool) -> f64 {
        let (client, administrator) = (self.client(LIVING), self.client("administrator"));
        let until = Instant::now() + share;
        let callers: Vec<_> = (0..64).map(|_| self.runtime.spawn(issue_until(client.clone(), until))).collect();
        if cutting {
            self.runtime.block_on(cut_until(administrator, until));
        }
        let issued: u64 = callers.into_iter().map(|caller| self.runtime.block_on(caller).expect("a caller ends well")).sum();
        issued as f64 / share.as_secs_f64()
    }

    /// Revokes an owner, again and again, until lists were built so many times: how long each call took and how long after
    /// its return a follower rejected what was issued under the owner, while lists were built, and while none were.
    pub(crate) fn cut_while_building(&self, builds: usize) -> (Vec<Cut>, Vec<Cut>) {
        let follower = self.runtime.block_on(one::follower(&self.broker));
        let presented = one::presented(&self.broker.identity(OTHERS));
        let (workload, administrator) = (self.client(OTHERS), self.client("administrator"));
        let (mut during, mut between, mut cuts) = (Vec::new(), Vec::new(), Vec::new());
        let mut before = self.metric(BUILDS);
        for _ in 0..builds {
            while self.metric(BUILDS) <= before {
                cuts.push(self.runtime.block_on(cut(&follower, presented, (&workload, &administrator))));
            }
            before = self.metric(BUILDS);
            let began = Instant::now() - Duration::from_secs_f64(self.metric(BUILD_TIME));
            // That in which it ended, and that in which it began, are of neither sort.
            cuts.pop();
            during.extend(cuts.iter().filter(|cut| cut.began >= began));
            between.extend(cuts.iter().filter(|cut| cut.rejected < began));
            cuts.clear();
        }
        (during, between)
    }

    pub(crate) fn resident_mib(&self) -> f64 {
        Process(self.broker.process_id()).resident_mib().0
    }

    fn revoke(&self, owner: &str) {
        let client = self.client("administrator");
        self.runtime.block_on(client.owners().revoke_by_owner(revocation(owner))).expect("a cut");
    }

    fn reinstate(&self, owner: &str) {
        let client = self.client("administrator");
        self.runtime.block_on(client.owners().reinstate(reinstatement(owner))).expect("reinstated");
    }

    /// The number of the issuing key, as `/v1/crl` has it: the third entry of a ledger is its activation.
    fn issuer(&self) -> u64 {
        (1..20).find(|key| crl::revoked(&get(self.lists(), &format!("/v1/crl/{key}.crl"))).is_some()).expect("an issuer")
    }

    fn lists(&self) -> &str {
        self.broker.addresses().lists.as_ref().expect("it listens there")
    }

    fn metric(&self, name: &str) -> f64 {
        let text = String::from_utf8(get(&self.broker.addresses().admin, "/metrics")).expect("text");
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).expect("a metric");
        line.parse().expect("a number")
    }
}

fn revocation(owner: &str) -> api::RevokeByOwnerRequest {
    let reason = api::RevocationReason::CessationOfOperation.into();
    api::RevokeByOwnerRequest { owner: owner.to_owned(), reason, ..Default::default() }
}

fn reinstatement(owner: &str) -> api::OwnersReinstateRequest {
    api::OwnersReinstateRequest { owner: owner.to_owned(), note: "the next round".to_owned() }
}

/// One revocation of the owner that is revoked again and again.
#[derive(Clone, Copy)]
pub(crate) struct Cut {
    began: Instant,
    returned: Instant,
    rejected: Instant,
}

impl Cut {
    pub(crate) fn call(&self) -> Duration {
        self.returned - self.began
    }

    pub(crate) fn until_rejected(&self) -> Duration {
        self.rejected.saturating_duration_since(self.returned)
    }
}

async fn cut(follower: &Follower, presented: Presented, (workload, administrator): (&Client, &Client)) -> Cut {
    administrator.owners().reinstate(reinstatement(OTHER)).await.expect("reinstated");
    let (token, _) = one::issue(workload).await;
    assert!(follower.token(&token, presented).is_ok(), "it is alive");
    let began = Instant::now();
    let returned = async {
        administrator.owners().revoke_by_owner(revocation(OTHER)).await.expect("a cut");
        Instant::now()
    };
    let (returned, rejected) = tokio::join!(returned, one::rejected(follower, &token, presented));
    Cut { began, returned, rejected }
}

fn ask() -> api::IssueTokenRequest {
    api::IssueTokenRequest {
        environment: "production".to_owned(),
        audience: AUDIENCE.to_owned(),
        ttl: Some(prost_types::Duration { seconds: 900, nanos: 0 }),
        ..Default::default()
    }
}

async fn issue_tokens(client: Client, mut tokens: u64) {
    while tokens > 0 {
        let now = tokens.min(BATCH);
        let requests = vec![ask(); usize::try_from(now).expect("a batch")];
        client.credentials().batch_issue_tokens(api::BatchIssueTokensRequest { requests }).await.expect("an answer");
        tokens -= now;
    }
}

async fn issue_certificates(client: Client, csr: Vec<u8>, certificates: u64) {
    let ask = api::IssueCertificateRequest { csr, environment: "production".to_owned(), ..Default::default() };
    for _ in 0..certificates {
        client.credentials().issue_certificate(ask.clone()).await.expect("issued");
    }
}

async fn issue_until(client: Client, until: Instant) -> u64 {
    let mut issued = 0;
    while Instant::now() < until {
        client.credentials().issue_token(ask()).await.expect("issued");
        issued += 1;
    }
    issued
}

async fn cut_until(client: Client, until: Instant) {
    while Instant::now() < until {
        client.owners().revoke_by_owner(revocation(OTHER)).await.expect("a cut");
        client.owners().reinstate(reinstatement(OTHER)).await.expect("reinstated");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Gets something over plain HTTP.
fn get(address: &str, path: &str) -> Vec<u8> {
    let mut tcp = TcpStream::connect(address).expect("it listens");
    write!(tcp, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("sent");
    let mut answer = Vec::new();
    tcp.read_to_end(&mut answer).expect("an answer");
    let head = answer.windows(4).position(|end| end == b"\r\n\r\n").expect("a head");
    answer.split_off(head + 4)
}
