//! The broker that is measured: a process of its own, with the default policies.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use curfew::client::{Config, api};

use crate::floor::signing_request_der;
use crate::harness::Broker;
use crate::load::{Call, Target, token_request};
use crate::process::Process;

/// A running broker and who calls it.
pub(crate) struct Subject {
    broker: Broker,
    process: Process,
    caller: Config,
    signing_request: Vec<u8>,
}

impl Subject {
    /// Starts it, with a registry applied.
    pub(crate) fn start() -> Self {
        let broker = Broker::start();
        let process = Process(broker.process_id());
        let caller = broker.client_config(&broker.identity("payments/api"));
        Self { broker, process, caller, signing_request: signing_request_der() }
    }

    /// Its process.
    pub(crate) fn process(&self) -> &Process {
        &self.process
    }

    /// Asking for tokens.
    pub(crate) fn tokens(&self) -> Target {
        Target { server: self.caller.clone(), call: Call::Token(token_request()) }
    }

    /// Asking for certificates.
    pub(crate) fn certificates(&self) -> Target {
        let request = api::IssueCertificateRequest {
            csr: self.signing_request.clone(),
            environment: "production".to_owned(),
            ..api::IssueCertificateRequest::default()
        };
        Target { server: self.caller.clone(), call: Call::Certificate(request) }
    }

    /// Entries a commit, by its own count.
    pub(crate) fn mean_batch(&self) -> f64 {
        let metrics = self.metrics();
        let value = |name: &str| {
            let line = metrics.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name}"));
            line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok()).expect("a number")
        };
        value("curfew_ledger_entries_total ") / value("curfew_ledger_commits_total ")
    }

    fn metrics(&self) -> String {
        let mut stream = TcpStream::connect(&self.broker.addresses().admin).expect("the admin listener");
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n").expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the metrics");
        answer
    }
}
