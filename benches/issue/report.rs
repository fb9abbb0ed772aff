//! The figures: medians over the rounds, and their ratios to the floor.

use std::fmt::Write as _;
use std::time::Duration;

use crate::load::Sample;

/// One round with so many calls in flight: the parts of the floor and the loads, in microseconds of CPU.
#[derive(Debug)]
pub(crate) struct Round {
    pub signature: f64,
    pub signing_request: f64,
    pub row: f64,
    pub empty_call: Sample,
    pub token: Sample,
    pub certificate: Sample,
}

/// Everything that was measured.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rounds: Vec<(usize, Round)>,
    /// Resident memory of the broker at the end.
    pub resident_mib: f64,
    /// Mean entries a commit, by the broker's own count.
    pub mean_batch: f64,
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

impl Round {
    fn sample(&self, what: &str) -> &Sample {
        match what {
            "token" => &self.token,
            "certificate" => &self.certificate,
            _ => &self.empty_call,
        }
    }

    fn floor(&self, what: &str) -> f64 {
        let request = if what == "certificate" { self.signing_request } else { 0.0 };
        self.empty_call.cpu_micros + self.signature + self.row + request
    }
}

impl Report {
    /// Adds one round.
    pub(crate) fn add(&mut self, in_flight: usize, round: Round) {
        self.rounds.push((in_flight, round));
    }

    /// The median over the rounds with so many in flight.
    fn figure(&self, in_flight: usize, figure: impl Fn(&Round) -> f64) -> f64 {
        median(self.rounds.iter().filter(|(of, _)| *of == in_flight).map(|(_, round)| figure(round)).collect())
    }

    /// The median over all rounds.
    fn part(&self, figure: impl Fn(&Round) -> f64) -> f64 {
        median(self.rounds.iter().map(|(_, round)| figure(round)).collect())
    }

    fn cpu(&self, what: &str, in_flight: usize) -> f64 {
        self.figure(in_flight, |round| round.sample(what).cpu_micros)
    }

    fn rate(&self, what: &str, in_flight: usize) -> f64 {
        self.figure(in_flight, |round| round.sample(what).rate)
    }

    fn percentile(&self, what: &str, in_flight: usize, percent: usize) -> f64 {
        self.figure(in_flight, |round| {
            let latencies = &round.sample(what).latencies;
            let place = (latencies.len() * percent / 100).min(latencies.len() - 1);
            latencies.get(place).map_or(0.0, Duration::as_secs_f64) * 1e3
        })
    }

    fn ratio(&self, what: &str, in_flight: usize) -> f64 {
        self.figure(in_flight, |round| round.sample(what).cpu_micros / round.floor(what))
    }

    /// The figures as a table.
    pub(crate) fn table(&self) -> String {
        let mut table = String::new();
        let mut line = |text: String| writeln!(table, "{text}").expect("a text grows");
        line(format!(
            "floor, µs of CPU: signature {:.1}, signing request {:.1}, row at 64 {:.1}",
            self.part(|round| round.signature),
            self.part(|round| round.signing_request),
            self.part(|round| round.row)
        ));
        line(format!(
            "{:<12} {:>9} {:>9} {:>9} {:>7} {:>9} {:>8} {:>8}",
            "", "in flight", "CPU µs", "floor µs", "ratio", "calls/s", "p50 ms", "p99 ms"
        ));
        for what in ["empty call", "token", "certificate"] {
            for in_flight in [1, 64, 256] {
                let (floor, ratio) = match what {
                    "empty call" => (String::new(), String::new()),
                    _ => {
                        (format!("{:.1}", self.figure(in_flight, |round| round.floor(what))), format!("{:.2}", self.ratio(what, in_flight)))
                    }
                };
                line(format!(
                    "{what:<12} {in_flight:>9} {:>9.1} {floor:>9} {ratio:>7} {:>9.0} {:>8.2} {:>8.2}",
                    self.cpu(what, in_flight),
                    self.rate(what, in_flight),
                    self.percentile(what, in_flight, 50),
                    self.percentile(what, in_flight, 99),
                ));
            }
        }
        line(format!("mean batch {:.1}, resident {:.1} MiB", self.mean_batch, self.resident_mib));
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
                put(format!("{what}_rate_{in_flight}"), self.rate(what, in_flight));
                put(format!("{what}_p50_ms_{in_flight}"), self.percentile(what, in_flight, 50));
                put(format!("{what}_p99_ms_{in_flight}"), self.percentile(what, in_flight, 99));
            }
        }
        for in_flight in [1, 64, 256] {
            put(format!("empty_call_cpu_us_{in_flight}"), self.cpu("empty call", in_flight));
        }
        put("signature_us".to_owned(), self.part(|round| round.signature));
        put("signing_request_us".to_owned(), self.part(|round| round.signing_request));
        put("row_us".to_owned(), self.part(|round| round.row));
        put("mean_batch".to_owned(), self.mean_batch);
        put("resident_mib".to_owned(), self.resident_mib);
        serde_json::Value::Object(json).to_string()
    }
}
