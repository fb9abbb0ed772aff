//! What must not grow with the number of credentials: the time to revoke an owner, the time to
//! start, memory, and the list.
//!
//! Budget: an owner with 1,000,000 living credentials is revoked within 3 times what one with a
//! single one takes; a broker is ready within 2 s on 5,000,000 entries, stopped in order or killed;
//! it holds 1,000,000 living credentials within 150 MiB; the list that ends them has at most 1 KiB.
//!
//! The data is made through the broker itself, in batches over mutual TLS, always the same calls in
//! the same order. `cargo bench --features testing --bench scale` takes some minutes and some 2 GiB of disk, and prints
//! a table, then one line of JSON. `-- --quick` makes a hundredth of it, to see that it works.

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

mod broker;

use std::time::Duration;

use broker::{CROWDED, LONELY, Subject};

/// How often the crowded owner is filled and revoked; the median counts.
const ROUNDS: u64 = 3;
/// How often the lonely owner is revoked beside each.
const BESIDE: usize = 7;

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let (living, entries) = if quick { (10_000, 50_000) } else { (1_000_000, 5_000_000) };
    let mut subject = Subject::start();
    let (mut lonely, mut crowded) = (Vec::new(), Vec::new());
    let (mut resident, mut list) = (0.0_f64, 0);
    for _ in 0..ROUNDS {
        subject.issue(CROWDED, living);
        resident = resident.max(subject.resident_mib());
        for _ in 0..BESIDE {
            subject.issue(LONELY, 1);
            lonely.push(subject.revoke(LONELY, 1));
        }
        crowded.push(subject.revoke(CROWDED, living));
        list = list.max(subject.list_bytes());
        subject.reinstate_all();
    }
    let head = subject.head();
    subject.issue(CROWDED, entries.max(head) - head);
    let head = subject.head();
    let stopped = subject.start_after_stop();
    let killed = subject.start_after_kill();
    let (lonely, crowded) = (median(lonely), median(crowded));
    println!("revoke an owner with 1 living credential      {:>9.2} ms", millis(lonely));
    println!("revoke an owner with {living:>9} of them        {:>9.2} ms   ratio {:.2}, bar 3", millis(crowded), ratio(crowded, lonely));
    println!("resident with {living:>9} living               {resident:>9.1} MiB  bar 150");
    println!("list that ends them                           {list:>9} B    bar 1024");
    println!("ready on {head:>9} entries, stopped in order  {:>9.0} ms   bar 2000", millis(stopped));
    println!("ready on {head:>9} entries, killed            {:>9.0} ms   bar 2000", millis(killed));
    let json = serde_json::json!({
        "living": living, "entries": head, "revoke_one_ms": millis(lonely), "revoke_all_ms": millis(crowded),
        "revoke_ratio": ratio(crowded, lonely), "resident_mib": resident, "list_bytes": list,
        "start_ms": millis(stopped), "start_after_kill_ms": millis(killed),
    });
    println!("{json}");
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e5).round() / 1e2
}

fn ratio(one: Duration, other: Duration) -> f64 {
    one.as_secs_f64() / other.as_secs_f64()
}
