//! Following through streams: how soon a follower rejects what was revoked, and what ten thousand of them cost.
//!
//! Budget: from the return of the call that revokes to the first rejection by a follower, p99 of at most 50 ms, on one
//! machine. Memory a follower, and the time until all of 10,000 have the list, are stated.
//!
//! The broker is a process of its own; the followers are in this one, 200 to a connection.
//! `cargo bench --features testing --bench follow` takes a quarter of a minute, and prints a table, then one line of JSON. `-- --quick` makes a
//! tenth of it, to see that it works.

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

#[path = "../../tests/it/harness.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod harness;

#[path = "../issue/process.rs"]
#[expect(dead_code, reason = "the benchmark of issuing uses more of it")]
mod process;

mod crowd;
mod one;

use std::time::Duration;

use crowd::Crowd;
use harness::{Broker, REGISTRY};

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let (revocations, followers, rounds) = if quick { (50, 1000, 5) } else { (500, 10_000, 20) };
    let broker = started(followers);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let alone = runtime.block_on(one::measure(&broker, revocations));
    let crowd = runtime.block_on(Crowd::gather(&broker, followers));
    let bytes = crowd.bytes_a_follower();
    let crowded = runtime.block_on(crowd.reach_all(&broker, rounds));
    let ended = crowd.ended();

    let (p50, p99) = (percentile(&alone, 50), percentile(&alone, 99));
    let (all50, all99) = (percentile(&crowded, 50), percentile(&crowded, 99));
    println!("return of the revocation to a follower's rejection   p50 {:>8.2} ms   p99 {:>8.2} ms   bar 50", millis(p50), millis(p99));
    println!("memory of the broker a follower, of {followers:>6}           {:>8.1} KiB", bytes / 1024.0);
    println!("return of the revocation until all have it           p50 {:>8.2} ms   p99 {:>8.2} ms", millis(all50), millis(all99));
    println!("streams that ended and were asked for again      {ended:>8}");
    let json = serde_json::json!({
        "revocations": revocations, "rejected_p50_ms": millis(p50), "rejected_p99_ms": millis(p99),
        "followers": followers, "bytes_a_follower": bytes.round(), "all_p50_ms": millis(all50), "all_p99_ms": millis(all99),
        "streams_ended": ended,
    });
    println!("{json}");
}

/// A broker that takes on so many streams of one identity.
fn started(followers: usize) -> Broker {
    let mut broker = Broker::prepare();
    let config = std::fs::read_to_string(broker.config()).expect("a configuration");
    assert!(config.contains("\nidentity_watches = 1024\n"), "no limit of watches in the configuration");
    let config = config.replace("identity_watches = 1024", &format!("identity_watches = {}", followers + 1));
    std::fs::write(broker.config(), config).expect("written");
    broker.serve();
    broker.apply(REGISTRY);
    broker
}

fn percentile(times: &[Duration], percent: usize) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    times[(times.len() * percent / 100).min(times.len() - 1)]
}

fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e5).round() / 1e2
}
