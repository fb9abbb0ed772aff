//! What the admin listener shows beside the counts of calls and connections.

use std::path::PathBuf;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use super::config::files;
use super::telemetry;
use crate::broker::Broker;
use crate::keys::Keyring;
use crate::ledger::{Ledger as _, SqliteLedger};
use crate::lists::Lists;
use crate::model::{KeyPurpose, KnownKey};
use crate::publish::Publisher;

/// What went wrong beside the calls. Each was logged as an error.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    pub(super) trust_bundles: Counter,
    pub(super) policies: Counter,
    pub(super) server_certificate: Counter,
    pub(super) deadlines: Counter,
    pub(super) high_water: Counter,
    pub(super) keys: Counter,
    pub(super) sources: Counter,
    pub(super) reconcile: Counter,
}

/// Shows ledger, policy, list and keys in the registry, and counts faults.
pub(super) fn register(registry: &mut Registry, observed: Observed) -> Faults {
    let faults = Faults::default();
    let counters = [
        ("trust_bundle_errors", "Trust bundles that could not be used; the last good ones stayed", &faults.trust_bundles),
        ("policy_reload_errors", "Policy sets that could not be used; the last good one stayed", &faults.policies),
        ("server_certificate_errors", "Server certificates that could not be made or read", &faults.server_certificate),
        ("high_water_errors", "Times that the high-water mark could not be moved on", &faults.high_water),
        ("key_errors", "Times that signing keys could not be made, changed or wiped", &faults.keys),
        ("source_errors", "Times that what a source says could not be applied", &faults.sources),
        ("reconcile_errors", "Times that what is registered could not be reconciled", &faults.reconcile),
        ("deadline_errors", "Times that what ends by itself could not be ended", &faults.deadlines),
    ];
    for (name, help, counter) in counters {
        registry.register(name, help, counter.clone());
    }
    registry.register_collector(Box::new(observed));
    faults
}

/// Read when it is asked for.
#[derive(Debug)]
pub(super) struct Observed {
    pub(super) ledger: Arc<SqliteLedger>,
    /// It had entries at the start, and no high-water mark.
    pub(super) unmarked: bool,
    pub(super) broker: Arc<Broker>,
    pub(super) publisher: Arc<Publisher>,
    pub(super) keyring: Arc<Keyring>,
    pub(super) lists: Arc<Lists>,
    /// Where the ledger is.
    pub(super) data_dir: PathBuf,
}

impl Observed {
    /// What reconciliation found.
    fn findings(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let (open, high, held) = self.broker.findings_count();
        for (name, help, value) in [
            ("findings_open", "Findings that are open", open),
            ("findings_high", "Findings that are open and matter most", high),
            ("reconcile_held", "Findings that were not acted on, since it would have been too much at once", held),
        ] {
            ConstGauge::new(count(value)).encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }
        Ok(())
    }

    /// Who follows the list.
    fn roll(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let roll = self.broker.roll_call();
        let (name, help) = ("follower_forks", "Times that a follower confirmed something of another history");
        ConstCounter::new(as_f64(roll.forks)).encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)?;
        for (name, help, value) in [
            ("followers", "Processes that follow the list and were handed one that is fresh", roll.fresh),
            ("followers_forked", "Followers whose last confirmation was of another history", roll.forked),
            ("downstreams_silent", "Downstreams whose named verifier follows nowhere", roll.silent),
        ] {
            ConstGauge::new(count(value)).encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }
        Ok(())
    }
}

impl Collector for Observed {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.roll(&mut encoder)?;
        self.findings(&mut encoder)?;
        let stats = self.ledger.stats();
        let head = self.ledger.head();
        let now = self.broker.clock().now();
        let (cuts, tasks, keys) = {
            let facts = self.ledger.facts();
            (facts.cuts().listed(now).count(), facts.tasks().filter(|task| task.closed.is_none()).count(), facts.signing_keys().clone())
        };
        let lists = self.lists.stats();
        let published = self.publisher.current();
        let age = published.as_ref().map_or(f64::INFINITY, |list| now.since(list.issued_at).as_secs_f64());
        let mut counter = |name, help, unit: Option<&Unit>, value: f64| {
            ConstCounter::new(value).encode(encoder.encode_descriptor(name, help, unit, MetricType::Counter)?)
        };
        counter("ledger_commits", "Transactions that committed", None, as_f64(stats.commits))?;
        counter("ledger_commit_errors", "Transactions that failed", None, as_f64(stats.failures))?;
        counter("ledger_entries", "Entries committed since the start", None, as_f64(stats.entries))?;
        counter("ledger_stale", "Issuances that were decided again because something had changed", None, as_f64(stats.stale))?;
        counter("ledger_commit_time", "Time spent in transactions", Some(&Unit::Seconds), stats.commit_time.as_secs_f64())?;
        counter("policy_errors", "Policies that could not be evaluated; each was a refusal", None, as_f64(self.broker.policy_errors()))?;
        counter("log_lines_dropped", "Log lines that nobody read in time", None, as_f64(telemetry::dropped_lines()))?;
        let (silent, unsigned) = self.keyring.trouble();
        counter("signing_errors", "Signatures that were not made by what holds a key", None, as_f64(unsigned))?;
        counter("list_builds", "Times that CRLs and status lists were built", None, as_f64(lists.builds))?;
        counter("list_build_errors", "Times that they could not be built; the last good ones stayed", None, as_f64(lists.failures))?;
        counter("list_differences", "Contradictions between what was published and the ledger", None, as_f64(lists.differences))?;
        let mut gauge = |name, help, unit: Option<&Unit>, value: f64| {
            ConstGauge::new(value).encode(encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?)
        };
        gauge("ledger_position", "Last position of the ledger", None, as_f64(head.position.get()))?;
        gauge("ledger_waiting", "Issuances that wait to be committed", None, count(stats.waiting))?;
        gauge("ledger_unreadable", "Entries that could not be read at the start", None, count(self.ledger.unreadable().len()))?;
        gauge("keys_silent", "Keys of a PKCS#11 module that does not answer", None, count(silent))?;
        gauge(
            "high_water_missing",
            "Whether there was no high-water mark beside the ledger at the start",
            None,
            f64::from(u8::from(self.unmarked)),
        )?;
        let (doubted, problems) = self.broker.sources_in_trouble();
        gauge("sources_doubted", "Sources that are not believed", None, count(doubted))?;
        gauge("source_problems", "Records of sources that are left as they were", None, count(problems))?;
        gauge("cuts_active", "Cuts in the revocation list", None, count(cuts))?;
        gauge("tasks_open", "Tasks that are open", None, count(tasks))?;
        gauge("watches", "Streams of the list that are open", None, count(self.broker.watches()))?;
        gauge("list_position", "Position that the published list covers", None, published.map_or(0.0, |list| as_f64(list.position.get())))?;
        gauge("list_age", "Age of the published list", Some(&Unit::Seconds), age)?;
        let help = "Age of the CRLs and status lists that are served";
        gauge("crl_age", help, Some(&Unit::Seconds), lists.age.map_or(f64::INFINITY, |age| age.as_secs_f64()))?;
        gauge("crl_withheld", "Issuing keys whose CRL is held back, since an entry cannot be read", None, as_f64(lists.withheld))?;
        gauge("lists_dead", "Dead credentials in CRLs and status lists", None, as_f64(lists.dead))?;
        gauge("lists_unreadable", "Entries that cannot be read among those that can be unexpired", None, as_f64(lists.unreadable))?;
        gauge("list_build_time", "How long the last build took", Some(&Unit::Seconds), lists.took.as_secs_f64())?;
        let issuer = keys.signing(KeyPurpose::Issuer);
        if let Some(ends) = issuer.and_then(KnownKey::ends) {
            let help = "When the certificate of the issuer ends, in Unix time";
            gauge("issuer_end", help, Some(&Unit::Seconds), as_f64(ends.seconds()))?;
        }
        let next = keys.waiting(KeyPurpose::Issuer).nth(1);
        let next = next.map_or(f64::INFINITY, |next| as_f64(self.broker.signs_from(next).seconds()));
        gauge("issuer_next", "When the next issuer begins to issue, in Unix time; never if none waits", Some(&Unit::Seconds), next)?;
        let missing = KeyPurpose::ALL.iter().filter(|purpose| keys.signing(**purpose).is_none());
        gauge("keys_missing", "Purposes for which no key signs", None, count(missing.count()))?;
        // What the operating system does not say is not shown.
        files::free_space(&self.data_dir)
            .map_or(Ok(()), |free| gauge("data_free", "Free disk space where the ledger is", Some(&Unit::Bytes), as_f64(free)))
    }
}

/// Metrics are floating-point numbers; beyond 2^53 the last digits are lost, which no one reads.
#[expect(clippy::cast_precision_loss, reason = "see above")]
const fn as_f64(count: u64) -> f64 {
    count as f64
}

fn count(count: usize) -> f64 {
    u64::try_from(count).map_or(f64::MAX, as_f64)
}
