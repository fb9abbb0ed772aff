//! What was measured, in milliseconds, beside what bounds it.

use std::time::Duration;

use serde::Serialize;

use crate::app::config::Config;
use crate::cli::output::Layout;
use crate::model::{CredentialKind, Windows};

/// All of it.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// `debug` or `release`: the one is some ten times as slow as the other.
    build: &'static str,
    rounds: usize,
    fetch_every_ms: f64,
    /// How long the revocations themselves took, from call to return.
    call: Spread,
    verifiers: Vec<Line>,
}

/// One kind of verifier.
#[derive(Debug, Serialize)]
struct Line {
    verifier: &'static str,
    credential: &'static str,
    #[serde(flatten)]
    rejected: Option<Spread>,
    at_most_s: u64,
    bounded_by: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Spread {
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
}

impl Report {
    pub(super) const LAYOUT: Layout = Layout::fields(&["build", "rounds", "fetch_every_ms", "call"])
        .and_rows("verifiers", &["verifier", "credential", "p50_ms", "p99_ms", "max_ms", "at_most_s", "bounded_by"]);

    /// What the calls took, and how long after their return each verifier rejected, by name and kind of credential.
    pub(super) fn new(
        config: &Config,
        fetch_every: Duration,
        calls: &[Duration],
        rejected: &[(&'static str, &'static str, Vec<Duration>)],
    ) -> Self {
        let mut verifiers: Vec<Line> = Vec::new();
        for (verifier, credential, times) in rejected {
            let (at_most, bounded_by) = bound(verifier, &config.windows());
            verifiers.push(Line { verifier, credential, rejected: Spread::of(times), at_most_s: at_most.as_secs(), bounded_by });
        }
        let life = CredentialKind::AccessToken.longest_life() + config.windows().skew;
        let bounded_by = "the life of a token: it asks for nothing else";
        verifiers.push(Line { verifier: "none", credential: "token", rejected: None, at_most_s: life.as_secs(), bounded_by });
        Self {
            build: if cfg!(debug_assertions) { "debug" } else { "release" },
            rounds: calls.len(),
            fetch_every_ms: millis(fetch_every),
            call: Spread::of(calls).unwrap_or(Spread { p50_ms: 0.0, p99_ms: 0.0, max_ms: 0.0 }),
            verifiers,
        }
    }
}

/// How long a verifier can go on accepting at most, if the broker is out of its reach, and what ends it.
fn bound(verifier: &str, windows: &Windows) -> (Duration, &'static str) {
    let (life, why) = match verifier {
        "crl" => (windows.crl, "lists.crl_lifetime, and how often the CRL is fetched"),
        "status_list" => (windows.status_list, "lists.status_lifetime; stock libraries keep a copy for lists.status_ttl"),
        _ => (windows.max_staleness, "max_staleness: without a fresh list it rejects everything"),
    };
    (life + windows.skew, why)
}

impl Spread {
    /// The nearest of the times at each rank; nothing of no times.
    fn of(times: &[Duration]) -> Option<Self> {
        let mut times = times.to_vec();
        times.sort_unstable();
        let rank = |percent: usize| times.get((times.len() * percent).div_ceil(100).saturating_sub(1)).copied().map(millis);
        Some(Self { p50_ms: rank(50)?, p99_ms: rank(99)?, max_ms: rank(100)? })
    }
}

/// To a hundredth.
fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e5).round() / 1e2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_times() {
        assert_eq!(Spread::of(&[]), None);
        let times: Vec<Duration> = (1..=200).rev().map(Duration::from_millis).collect();
        assert_eq!(Spread::of(&times), Some(Spread { p50_ms: 100.0, p99_ms: 198.0, max_ms: 200.0 }));
        let one = Duration::from_micros(1234);
        assert_eq!(Spread::of(&[one]), Some(Spread { p50_ms: 1.23, p99_ms: 1.23, max_ms: 1.23 }));
    }
}
