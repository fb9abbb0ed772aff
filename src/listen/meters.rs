//! What a listener counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::Connections;
use crate::model::Timestamp;

/// How many refusals are told in the log within a second; the counters have all.
const TOLD: u64 = 20;

/// The counters of one listener. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meters {
    /// Connections whose handshake succeeded.
    pub(super) accepted: Counter,
    /// Connections whose handshake did not.
    pub(super) refused: Counter,
    /// Handshakes that made room for others.
    pub(super) shed: Counter,
    told: Arc<Told>,
}

/// How many refusals were told, in which second.
#[derive(Debug, Default)]
struct Told {
    second: AtomicU64,
    lines: AtomicU64,
}

impl Meters {
    /// Shows the counters, and how many connections are open, in `registry`, whose prefix names
    /// the listener.
    pub(crate) fn register<P: Send + Sync + 'static>(&self, connections: &Connections<P>, registry: &mut Registry) {
        registry.register("handshakes", "Handshakes that succeeded", self.accepted.clone());
        registry.register("handshakes_refused", "Handshakes that failed or took too long", self.refused.clone());
        registry.register("handshakes_shed", "Handshakes that made room when too many were under way", self.shed.clone());
        registry.register_collector(Box::new(Open(connections.clone())));
    }
}

impl Meters {
    /// Whether another refusal may be told in the log: what strangers can do as often as they like
    /// must not fill the disk.
    pub(super) fn may_tell(&self, now: Timestamp) -> bool {
        if self.told.second.swap(now.seconds(), Ordering::Relaxed) != now.seconds() {
            self.told.lines.store(0, Ordering::Relaxed);
        }
        self.told.lines.fetch_add(1, Ordering::Relaxed) < TOLD
    }
}

struct Open<P>(Connections<P>);

impl<P> std::fmt::Debug for Open<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Open({})", self.0.len())
    }
}

impl<P: Send + Sync + 'static> Collector for Open<P> {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let open = ConstGauge::new(i64::try_from(self.0.len()).unwrap_or(i64::MAX));
        let encoder =
            encoder.encode_descriptor("connections", "Connections that are open", None, prometheus_client::metrics::MetricType::Gauge)?;
        open.encode(encoder)
    }
}
