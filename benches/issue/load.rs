//! A closed loop: so many calls in flight on so many connections, for so long.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use curfew::client::{Client, Config, api};

use crate::harness::AUDIENCE;
use crate::process::Process;

/// How hard and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    /// Calls under way at any moment.
    pub in_flight: usize,
    /// Connections that they share.
    pub connections: usize,
    /// How long is measured.
    pub length: Duration,
}

/// What is called, and where.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// The server, and who calls it.
    pub server: Config,
    /// What is asked of it.
    pub call: Call,
}

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    /// A token.
    Token(api::IssueTokenRequest),
    /// A certificate.
    Certificate(api::IssueCertificateRequest),
}

/// The token that is asked for.
pub(crate) fn token_request() -> api::IssueTokenRequest {
    api::IssueTokenRequest {
        kind: api::CredentialKind::AccessToken.into(),
        environment: "production".to_owned(),
        audience: AUDIENCE.to_owned(),
        scopes: vec!["entries:read".to_owned()],
        ..api::IssueTokenRequest::default()
    }
}

/// What was measured.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// CPU of the server a call.
    pub cpu_micros: f64,
    /// Calls a second.
    pub rate: f64,
    /// Latencies, ascending.
    pub latencies: Vec<Duration>,
}

/// Of the length, how much is run before anything is counted.
const WARM_UP: u32 = 4;

impl Load {
    /// Runs the load and measures the server's process over its middle.
    pub(crate) async fn run(self, target: &Target, process: &Process) -> Sample {
        let counting = Arc::new(AtomicBool::new(false));
        let stop = Arc::new(AtomicBool::new(false));
        let mut callers = Vec::new();
        for connection in 0..self.connections {
            let client = Client::connect(target.server.clone()).await.expect("the server answers");
            let here = self.in_flight / self.connections + usize::from(connection < self.in_flight % self.connections);
            for _ in 0..here {
                callers.push(tokio::spawn(caller(client.clone(), target.call.clone(), Arc::clone(&counting), Arc::clone(&stop))));
            }
        }
        tokio::time::sleep(self.length / WARM_UP).await;
        let (cpu, start) = (process.cpu_seconds(), Instant::now());
        counting.store(true, Ordering::Relaxed);
        tokio::time::sleep(self.length).await;
        counting.store(false, Ordering::Relaxed);
        let (cpu, wall) = (process.cpu_seconds() - cpu, start.elapsed());
        stop.store(true, Ordering::Relaxed);
        let mut latencies = Vec::new();
        for caller in callers {
            latencies.extend(caller.await.expect("a caller ends well"));
        }
        latencies.sort();
        let calls = latencies.len() as f64;
        Sample { cpu_micros: cpu * 1e6 / calls, rate: calls / wall.as_secs_f64(), latencies }
    }
}

/// One caller: calls until told to stop, and gives the latencies of the calls that counted.
async fn caller(client: Client, call: Call, counting: Arc<AtomicBool>, stop: Arc<AtomicBool>) -> Vec<Duration> {
    let mut credentials = client.credentials();
    let mut latencies = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let start = Instant::now();
        match &call {
            Call::Token(request) => drop(credentials.issue_token(request.clone()).await.expect("a token")),
            Call::Certificate(request) => drop(credentials.issue_certificate(request.clone()).await.expect("a certificate")),
        }
        if counting.load(Ordering::Relaxed) {
            latencies.push(start.elapsed());
        }
    }
    latencies
}
