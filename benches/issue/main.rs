//! What one issuance costs the broker, as a ratio to a floor measured in the same run.
//!
//! Floor of a token: an empty unary call over mutual TLS + one ES256 signature + one bare row at
//! 64 rows a transaction. Floor of a certificate: the same and the check of a signing request.
//! Budget: 1.8 with 64 in flight on 4 connections, 1.6 with 256 on 8. All of it is CPU of the
//! server's process; the client runs on the same cores and is not counted.
//!
//! `cargo bench --features testing --bench issue` prints a table, then one line of JSON. `-- --quick` measures
//! shorter, to see that it works. `-- --profile token` (or `certificate`) only runs that load, with
//! 64 in flight, for 20 s, and says which process a profiler has to look at.

#![expect(
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a benchmark that cannot go on ends; it measures time and prints figures"
)]

use std::time::Duration;

#[path = "../../tests/it/harness.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod harness;

mod broker;
mod floor;
mod load;
mod process;
mod report;

use load::Load;

/// How often each measurement is made. A ratio is that of one round, so that a machine that drifts
/// drifts for both sides of it; the median of the rounds counts.
const ROUNDS: usize = 5;

/// Each load is as long as so many measurements of one part of the floor.
const PARTS: u32 = 8;

/// In flight, on so many connections.
const SHAPES: [(usize, usize); 3] = [(1, 1), (64, 4), (256, 8)];

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(place) = arguments.iter().position(|argument| argument == floor::SERVE) {
        floor::serve(&arguments[place + 1..]);
        return;
    }
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let length = if quick { Duration::from_millis(300) } else { Duration::from_secs(3) };
    let rounds = if quick { 1 } else { ROUNDS };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    if let Some(place) = arguments.iter().position(|argument| argument == "--profile") {
        return runtime.block_on(profile(&arguments[place + 1]));
    }
    let report = runtime.block_on(measure(length, rounds));
    println!("{}", report.table());
    println!("{}", report.json());
}

/// Keeps one load up for a profiler.
async fn profile(call: &str) {
    let broker = broker::Subject::start();
    let target = if call == "certificate" { broker.certificates() } else { broker.tokens() };
    println!("process {}", broker.process().0);
    let load = Load { in_flight: 64, connections: 4, length: Duration::from_secs(20) };
    let sample = load.run(&target, broker.process()).await;
    println!("{:.1} µs of CPU a {call}, {:.0} calls/s", sample.cpu_micros, sample.rate);
}

/// Measures everything in rounds.
async fn measure(length: Duration, rounds: usize) -> report::Report {
    let mut report = report::Report::default();
    let empty = floor::Server::start();
    let broker = broker::Subject::start();
    for _ in 0..rounds {
        for (in_flight, connections) in SHAPES {
            let load = Load { in_flight, connections, length };
            let part = length / PARTS;
            report.add(
                in_flight,
                report::Round {
                    signature: floor::signature(part),
                    signing_request: floor::signing_request(part),
                    row: floor::row(part),
                    empty_call: load.run(&empty.target(), empty.process()).await,
                    token: load.run(&broker.tokens(), broker.process()).await,
                    certificate: load.run(&broker.certificates(), broker.process()).await,
                },
            );
        }
    }
    (report.resident_mib, _) = broker.process().resident_mib();
    report.mean_batch = broker.mean_batch();
    report
}
