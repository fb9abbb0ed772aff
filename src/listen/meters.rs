//! What a listener counts.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::Connections;

/// The counters of one listener. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meters {
    /// Connections whose handshake succeeded.
    pub(super) accepted: Counter,
    /// Connections whose handshake did not.
    pub(super) refused: Counter,
}

impl Meters {
    /// Shows the counters, and how many connections are open, in `registry`, whose prefix names
    /// the listener.
    pub(crate) fn register<P: Send + Sync + 'static>(&self, connections: &Connections<P>, registry: &mut Registry) {
        registry.register("handshakes", "Handshakes that succeeded", self.accepted.clone());
        registry.register("handshakes_refused", "Handshakes that failed or took too long", self.refused.clone());
        registry.register_collector(Box::new(Open(connections.clone())));
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
