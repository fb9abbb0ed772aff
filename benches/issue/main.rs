//! What one issuance costs the broker, as a ratio to a floor measured in the same run.
//!
//! Floor of a token: an empty unary call over mutual TLS + one ES256 signature + one bare row at
//! 64 rows a transaction. Floor of a certificate: the same and the check of a signing request.
//! Budget: 1.8 with 64 in flight on 4 connections, 1.6 with 256 on 8. All of it is CPU of the
//! server's process; the client runs on the same cores and is not counted.
//!
//! `cargo bench --bench issue` prints a table, then one line of JSON. `-- --quick` measures
//! shorter, to see that it works.

use std::time::Duration;

#[path = "../../tests/it/harness.rs"]
mod harness;

mod broker;
mod floor;
mod load;
mod process;
mod report;

use load::{Load, Sample};

/// How often each measurement is made, interleaved with the others; the median counts.
const ROUNDS: usize = 3;

/// In flight, on so many connections.
const SHAPES: [(usize, usize); 2] = [(64, 4), (256, 8)];

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(place) = arguments.iter().position(|argument| argument == floor::SERVE) {
        floor::serve(&arguments[place + 1..]);
        return;
    }
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let length = if quick { Duration::from_millis(300) } else { Duration::from_secs(4) };
    let rounds = if quick { 1 } else { ROUNDS };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let report = runtime.block_on(measure(length, rounds));
    println!("{}", report.table());
    println!("{}", report.json());
}

/// Measures everything in rounds, so that a machine that drifts drifts for all.
async fn measure(length: Duration, rounds: usize) -> report::Report {
    let mut report = report::Report::new(floor::signature(length), floor::signing_request(length), floor::row(length));
    let empty = floor::Server::start().await;
    let broker = broker::Subject::start().await;
    for _ in 0..rounds {
        for (in_flight, connections) in SHAPES {
            let load = Load { in_flight, connections, length };
            report.add("empty call", load, run(load, &empty.target(), empty.process()).await);
            report.add("token", load, run(load, &broker.tokens(), broker.process()).await);
            report.add("certificate", load, run(load, &broker.certificates(), broker.process()).await);
        }
        let alone = Load { in_flight: 1, connections: 1, length };
        report.add("empty call", alone, run(alone, &empty.target(), empty.process()).await);
        report.add("token", alone, run(alone, &broker.tokens(), broker.process()).await);
        report.add("certificate", alone, run(alone, &broker.certificates(), broker.process()).await);
    }
    report.resident_bytes = broker.process().resident_bytes();
    report
}

async fn run(load: Load, target: &load::Target, process: &process::Process) -> Sample {
    load.run(target, process).await
}
