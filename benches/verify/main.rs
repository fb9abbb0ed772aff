//! What the offline check of a token costs, as a ratio to one ES256 signature check in the same run.
//!
//! Budget, with 10,000 active cuts: the whole check within 1.2 signature checks, and the look-up of
//! the cuts within 250 ns. CPU of this process; the rounds are interleaved, and medians count.
//!
//! `cargo bench --bench verify` prints a table, then one line of JSON. `-- --quick` measures shorter,
//! to see that it works.

#![expect(
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark that cannot go on ends; it measures time and prints figures"
)]

use std::time::{Duration, Instant};

mod service;

use service::{CUTS, Service};

/// How often each measurement is made, interleaved with the others; the median counts.
const ROUNDS: usize = 9;

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let length = if quick { Duration::from_millis(20) } else { Duration::from_millis(500) };
    let service = Service::new();
    let mut figures: [Vec<f64>; 4] = Default::default();
    for _ in 0..ROUNDS {
        figures[0].push(micros(length, || service.check_signature()));
        figures[1].push(micros(length, || service.check_token()));
        figures[2].push(micros(length, || service.check_dead_token()));
        figures[3].push(micros(length, || service.look_up_cuts()));
    }
    let [signature, token, dead, look_up] = figures.map(median);
    println!("{CUTS} active cuts");
    println!("one ES256 signature check {signature:>9.2} µs");
    println!("whole check, accepted     {token:>9.2} µs   ratio {:.2}, bar 1.2", token / signature);
    println!("whole check, revoked      {dead:>9.2} µs   ratio {:.2}", dead / signature);
    println!("look-up of the cuts       {:>9.0} ns   bar 250 ns", look_up * 1e3);
    let json = serde_json::json!({
        "signature_us": signature, "token_us": token, "token_ratio": token / signature,
        "dead_ratio": dead / signature, "look_up_ns": look_up * 1e3,
    });
    println!("{json}");
}

/// CPU of one `work`, in microseconds.
fn micros(length: Duration, mut work: impl FnMut()) -> f64 {
    work();
    let (cpu, start, mut done) = (cpu_seconds(), Instant::now(), 0_u64);
    while start.elapsed() < length {
        (0..64).for_each(|_| work());
        done += 64;
    }
    (cpu_seconds() - cpu) * 1e6 / done as f64
}

fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
