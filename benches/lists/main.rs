//! What CRLs and status lists cost: to write, by the entry; to build, from a ledger with much alive; in memory; and what
//! a broker that builds them all the time issues meanwhile, and how soon a cut is rejected.
//!
//! Budget: a CRL of 100,000 dead certificates within 150 MiB resident; issuing keeps 90 % of its rate; from the return of a
//! revocation to a follower's rejection p99 of at most 50 ms, while they are built too.
//!
//! The data is made through the broker itself, always the same calls in the same order. `cargo bench --features testing --bench lists`
//! takes some minutes, and prints a table, then one line of JSON. `-- --quick` makes a hundredth of it, to see that it works.

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

#[path = "../follow/one.rs"]
#[expect(dead_code, reason = "the benchmark of following uses more of it")]
mod one;

mod subject;

use std::convert::Infallible;
use std::time::{Duration, Instant};

use curfew::formats::crl::{Crl, Revoked};
use curfew::formats::status_list::{StatusList, StatusListToken};
use curfew::model::{CredentialId, Position, Reason, Timestamp};

use subject::Subject;

/// How long each rate is measured, and how often, one after the other.
const SHARE: Duration = Duration::from_secs(10);
const ROUNDS: usize = 3;
/// During how many builds something is revoked all the time.
const BUILDS: usize = 3;
/// So many times as long while something is cut: after a build there is none for nine times as long as it took, and
/// what is measured is to have several of both in it.
const CYCLES: u32 = 6;

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let (living, dead, share, rounds, builds) =
        if quick { (10_000, 1000, SHARE / 10, 1, 2) } else { (1_000_000, 100_000, SHARE, ROUNDS, BUILDS) };
    let mut report = serde_json::Map::new();
    let mut say = |what: String, name: &str, value: f64, unit: &str| {
        println!("{what:<62} {value:>12.2} {unit}");
        report.insert(name.to_owned(), value.into());
    };

    let (time, bytes) = crl(dead);
    say(format!("CRL with {dead} entries, by the entry"), "crl_entry_ns", time.as_nanos() as f64 / dead as f64, "ns");
    say(format!("CRL with {dead} entries, by the entry"), "crl_entry_bytes", bytes as f64 / dead as f64, "B");
    for per_mille in [0, 1, 10, 100] {
        let (time, bytes) = status_list(per_mille);
        say(format!("status list of 2^20, {per_mille} in 1000 dead"), &format!("status_{per_mille}_ms"), millis(time), "ms");
        say(format!("status list of 2^20, {per_mille} in 1000 dead"), &format!("status_{per_mille}_bytes"), bytes as f64, "B");
    }

    let subject = Subject::start();
    subject.issue_tokens(living);
    say(format!("resident with {living} living"), "resident_living_mib", subject.resident_mib(), "MiB");
    say(format!("build over {living} living, nothing dead"), "build_living_ms", millis(subject.build()), "ms");
    subject.issue_certificates(dead);
    let (named, size) = subject.revoke_and_wait(dead);
    say(format!("from the revocation to a CRL with {dead} entries"), "crl_named_ms", millis(named), "ms");
    say(format!("CRL with {dead} entries"), "crl_bytes", size as f64, "B");
    say(format!("build over {living} living, {dead} certificates dead"), "build_dead_ms", millis(subject.build()), "ms");
    say(format!("resident with {dead} certificates dead"), "resident_dead_mib", subject.resident_mib(), "MiB");

    let (during, between) = subject.cut_while_building(builds);
    for (name, when, cuts) in [("between", "no list being built", between), ("during", "lists being built", during)] {
        say(format!("revocations, {when}"), &format!("{name}_cuts"), cuts.len() as f64, "");
        let calls: Vec<_> = cuts.iter().map(|cut| millis(cut.call())).collect();
        let rejected: Vec<_> = cuts.iter().map(|cut| millis(cut.until_rejected())).collect();
        for (percent, bar) in [(50, ""), (99, "; bar 50")] {
            say(
                format!("a call that revokes, {when}, p{percent}"),
                &format!("{name}_call_p{percent}_ms"),
                percentile(&calls, percent),
                "ms",
            );
            let what = format!("its return to a rejection, {when}, p{percent}{bar}");
            say(what, &format!("{name}_rejected_p{percent}_ms"), percentile(&rejected, percent), "ms");
        }
    }

    let (mut quiet, mut busy) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        quiet.push(subject.rate(share, false));
        busy.push(subject.rate(share * CYCLES, true));
    }
    let (quiet, busy) = (percentile(&quiet, 50), percentile(&busy, 50));
    say("tokens a second, while nothing is cut".to_owned(), "rate_quiet", quiet, "/s");
    say("tokens a second, while something is cut all the time".to_owned(), "rate_busy", busy, "/s");
    say("of its rate that issuing keeps; bar 90".to_owned(), "rate_kept_percent", 100.0 * busy / quiet, "%");
    println!("{}", serde_json::Value::Object(report));
}

/// Writes a CRL; how long it took but for the signature, and how long it is.
fn crl(entries: u64) -> (Duration, usize) {
    let at = Timestamp::from_seconds(1_790_000_000);
    let list = Crl {
        issuer: vec![0x30, 0],
        key_identifier: Some(vec![7; 20]),
        number: 1,
        this_update: at,
        next_update: at.plus(Duration::from_secs(600)),
    };
    let nonce = |position: u64| position.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
    let revoked = (1..=entries).map(|position| Revoked {
        id: CredentialId::new(Position::new(position + 1_000_000), nonce(position)),
        at,
        reason: Reason::CessationOfOperation,
    });
    let began = Instant::now();
    let der = list.encode(revoked, |_| Ok::<_, Infallible>(vec![0x30, 0])).expect("signs");
    (began.elapsed(), der.len())
}

/// Writes a status list in which so many of a thousand are dead; how long it took, and how long it is.
fn status_list(per_mille: u32) -> (Duration, usize) {
    let mut list = StatusList::all_valid();
    let scattered = |one: u32| one.wrapping_mul(2_654_435_761) >> 12;
    (0..(1 << 20) / 1000 * per_mille).for_each(|one| list.invalidate(scattered(one)));
    let token = StatusListToken {
        uri: "https://broker.example/v1/status/0".to_owned(),
        issued_at: Timestamp::from_seconds(1_790_000_000),
        expires_at: None,
        ttl: None,
        aggregation_uri: None,
        list,
    };
    let began = Instant::now();
    let text = token.encode("kid", |_| Ok::<_, Infallible>(vec![0; 64])).expect("signs");
    (began.elapsed(), text.len())
}

fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[(values.len() * percent / 100).min(values.len() - 1)]
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
