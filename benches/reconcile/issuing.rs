//! What issuing costs a broker with a large registry, against one with a single workload: CPU of the process for
//! one token, with as many calls in flight.

use std::time::{Duration, Instant};

use curfew::client::{Client, api};

use crate::harness::{AUDIENCE, Broker};
use crate::process::Process;

/// Calls in flight.
const IN_FLIGHT: usize = 64;
/// How long each is measured, and how often, one after the other: such a machine drifts within minutes.
const SHARE: Duration = Duration::from_secs(2);
const ROUNDS: usize = 21;

/// A broker, and a workload that asks it.
pub(crate) struct Asked {
    process: Process,
    client: Client,
}

impl Asked {
    pub(crate) async fn of(broker: &Broker, workload: &str) -> Self {
        Self { process: Process(broker.process_id()), client: broker.client(&broker.identity(workload)).await }
    }

    /// Microseconds of CPU for one token.
    async fn cpu_of_a_token(&self) -> f64 {
        let (before, until) = (self.process.cpu_seconds(), Instant::now() + SHARE);
        let callers: Vec<_> = (0..IN_FLIGHT).map(|_| tokio::spawn(issue_until(self.client.clone(), until))).collect();
        let mut issued = 0.0;
        for caller in callers {
            issued += caller.await.expect("a caller ends well");
        }
        (self.process.cpu_seconds() - before) * 1e6 / issued
    }
}

/// CPU of a token at the one and at the other, and the median of their ratios within a round.
pub(crate) async fn compare(few: &Asked, many: &Asked) -> (f64, f64, f64) {
    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        // Whoever goes second has a warmer machine: they take turns.
        rounds.push(if round % 2 == 0 {
            (few.cpu_of_a_token().await, many.cpu_of_a_token().await)
        } else {
            let many = many.cpu_of_a_token().await;
            (few.cpu_of_a_token().await, many)
        });
    }
    rounds.sort_by(|(few, many), (other_few, other_many)| (many / few).total_cmp(&(other_many / other_few)));
    let (few, many) = rounds[ROUNDS / 2];
    (few, many, many / few)
}

async fn issue_until(client: Client, until: Instant) -> f64 {
    let ask = api::IssueTokenRequest { environment: "production".to_owned(), audience: AUDIENCE.to_owned(), ..Default::default() };
    let mut issued = 0.0;
    while Instant::now() < until {
        client.credentials().issue_token(ask.clone()).await.expect("issued");
        issued += 1.0;
    }
    issued
}
