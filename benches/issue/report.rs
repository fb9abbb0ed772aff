//! The figures: medians over the rounds, and their ratios to the floor.

use std::fmt::Write as _;
use std::time::Duration;

use crate::load::{Load, Sample};

/// Everything that was measured.
#[derive(Debug)]
pub(crate) struct Report {
    signature: f64,
    signing_request: f64,
    row: f64,
    samples: Vec<(&'static str, Load, Sample)>,
    /// Resident memory of the broker at the end.
    pub resident_bytes: u64,
    /// Mean entries a commit, by the broker's own count.
    pub mean_batch: f64,
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

impl Report {
    /// A report over the costs of the parts, in microseconds of CPU.
    pub(crate) fn new(signature: f64, signing_request: f64, row: f64) -> Self {
        Self { signature, signing_request, row, samples: Vec::new(), resident_bytes: 0, mean_batch: 0.0 }
    }

    /// Adds one measurement.
    pub(crate) fn add(&mut self, what: &'static str, load: Load, sample: Sample) {
        self.samples.push((what, load, sample));
    }

    fn figure(&self, what: &str, in_flight: usize, figure: impl Fn(&Sample) -> f64) -> f64 {
        let samples = self.samples.iter().filter(|(name, load, _)| *name == what && load.in_flight == in_flight);
        median(samples.map(|(_, _, sample)| figure(sample)).collect())
    }

    fn cpu(&self, what: &str, in_flight: usize) -> f64 {
        self.figure(what, in_flight, |sample| sample.cpu_micros)
    }

    fn percentile(&self, what: &str, in_flight: usize, percent: usize) -> f64 {
        self.figure(what, in_flight, |sample| {
            let place = (sample.latencies.len() * percent / 100).min(sample.latencies.len() - 1);
            sample.latencies.get(place).map_or(0.0, Duration::as_secs_f64) * 1e3
        })
    }

    fn floor(&self, what: &str, in_flight: usize) -> f64 {
        let request = if what == "certificate" { self.signing_request } else { 0.0 };
        self.cpu("empty call", in_flight) + self.signature + self.row + request
    }

    fn ratio(&self, what: &str, in_flight: usize) -> f64 {
        self.cpu(what, in_flight) / self.floor(what, in_flight)
    }

    /// The figures as a table.
    pub(crate) fn table(&self) -> String {
        let mut table = String::new();
        let mut line = |text: String| writeln!(table, "{text}").expect("a text grows");
        line(format!(
            "floor, µs of CPU: signature {:.1}, signing request {:.1}, row at 64 {:.1}",
            self.signature, self.signing_request, self.row
        ));
        line(format!(
            "{:<12} {:>9} {:>9} {:>9} {:>7} {:>9} {:>8} {:>8}",
            "", "in flight", "CPU µs", "floor µs", "ratio", "calls/s", "p50 ms", "p99 ms"
        ));
        for what in ["empty call", "token", "certificate"] {
            for in_flight in [1, 64, 256] {
                let (floor, ratio) = match what {
                    "empty call" => (String::new(), String::new()),
                    _ => (format!("{:.1}", self.floor(what, in_flight)), format!("{:.2}", self.ratio(what, in_flight))),
                };
                line(format!(
                    "{what:<12} {in_flight:>9} {:>9.1} {floor:>9} {ratio:>7} {:>9.0} {:>8.2} {:>8.2}",
                    self.cpu(what, in_flight),
                    self.figure(what, in_flight, |sample| sample.rate),
                    self.percentile(what, in_flight, 50),
                    self.percentile(what, in_flight, 99),
                ));
            }
        }
        line(format!("mean batch {:.1}, resident {:.1} MiB", self.mean_batch, self.resident_bytes as f64 / 1_048_576.0));
        table
    }

    /// The figures as one line of JSON.
    pub(crate) fn json(&self) -> String {
        let mut json = serde_json::Map::new();
        let mut put = |name: String, figure: f64| drop(json.insert(name, serde_json::json!((figure * 1000.0).round() / 1000.0)));
        for what in ["token", "certificate"] {
            for in_flight in [64, 256] {
                put(format!("{what}_ratio_{in_flight}"), self.ratio(what, in_flight));
            }
            for in_flight in [1, 64, 256] {
                put(format!("{what}_cpu_us_{in_flight}"), self.cpu(what, in_flight));
                put(format!("{what}_rate_{in_flight}"), self.figure(what, in_flight, |sample| sample.rate));
                put(format!("{what}_p50_ms_{in_flight}"), self.percentile(what, in_flight, 50));
                put(format!("{what}_p99_ms_{in_flight}"), self.percentile(what, in_flight, 99));
            }
        }
        for in_flight in [1, 64, 256] {
            put(format!("empty_call_cpu_us_{in_flight}"), self.cpu("empty call", in_flight));
        }
        put("signature_us".to_owned(), self.signature);
        put("signing_request_us".to_owned(), self.signing_request);
        put("row_us".to_owned(), self.row);
        put("mean_batch".to_owned(), self.mean_batch);
        put("resident_mib".to_owned(), self.resident_bytes as f64 / 1_048_576.0);
        serde_json::Value::Object(json).to_string()
    }
}
