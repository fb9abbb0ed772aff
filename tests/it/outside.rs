//! Programs that nobody here wrote, held against a real broker: a Python gRPC client generated from
//! `proto/`, PyJWT, OpenSSL, pkilint, `spiffe`. The scripts are in `tests/outside`.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Map, Value, json};

use crate::harness::{AUDIENCE, Broker, Identity, run};

const CALLERS: [&str; 3] = ["payments/api", "payments/settlement", "acme/reporting"];

/// Runs a script of `tests/outside` against a broker of its own.
fn judge(script: &str) {
    judge_broker(&Broker::start(), &[script]);
}

/// Runs scripts of `tests/outside` against this broker.
pub(crate) fn judge_broker(broker: &Broker, scripts: &[&str]) {
    let files = |identity: Identity| json!({ "certificate": identity.certificate, "key": identity.key });
    let mut callers: Map<String, Value> = CALLERS.iter().map(|path| ((*path).to_owned(), files(broker.identity(path)))).collect();
    callers.insert("administrator".to_owned(), files(broker.administrator()));
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR"));
    let world = json!({
        "proto": checkout.join("proto"),
        "grpc": broker.addresses().grpc,
        "public": broker.public_url(),
        "url": "https://localhost:7480",
        "ca": broker.ca(),
        "callers": callers,
    });
    let file = broker.scratch().join("world.json");
    fs::write(&file, world.to_string()).unwrap();
    for script in scripts {
        run(python(script).arg(&file)).done();
    }
}

/// A script of `tests/outside`, to be run.
pub(crate) fn python(script: &str) -> Command {
    let python = std::env::var_os("CURFEW_TEST_PYTHON").expect("CURFEW_TEST_PYTHON is not set: run the tests with tests/run");
    let mut command = Command::new(python);
    // No byte code is left in the checkout.
    command.arg("-B").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/outside").join(script));
    command
}

#[test]
fn a_client_generated_from_the_protocol_does_the_whole_story() {
    judge("story.py");
}

#[test]
fn pyjwt_takes_tokens_and_refuses_their_distortions() {
    judge("tokens.py");
}

#[test]
fn certificates_stand_before_pkilint_openssl_and_spiffe() {
    judge("certificates.py");
}

#[test]
fn the_crl_stands_before_openssl_cryptography_pkilint_nginx_and_haproxy() {
    judge("crl.py");
}

#[test]
fn the_status_list_stands_before_zlib_pyjwt_a_sample_service_and_sd_jwt() {
    let broker = Broker::start();
    judge_broker(&broker, &["status.py"]);
    let modules = std::env::var_os("CURFEW_TEST_NODE").expect("CURFEW_TEST_NODE is not set: run the tests with tests/run");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/outside/status-list.mjs");
    run(Command::new("node").arg(script).arg(modules).arg(broker.scratch().join("status.json"))).done();
}

#[test]
fn an_auditor_computes_the_root_from_exported_entries() {
    let mut broker = Broker::start();
    let workload = broker.identity("payments/api");
    for _ in 0..5 {
        broker.curfew(&workload, ["token", "issue", "--environment", "production", "--audience", AUDIENCE]).done();
    }
    assert!(broker.stop().success());
    let (ledger, lines) = (broker.dir().join("data/ledger.db"), broker.scratch().join("entries.jsonl"));
    let curfew = |words: &[&std::ffi::OsStr]| broker.curfew(&broker.administrator(), words);
    curfew(&["ledger".as_ref(), "export".as_ref(), ledger.as_ref(), lines.as_ref()]).done();
    let verified = curfew(&["ledger".as_ref(), "verify".as_ref(), ledger.as_ref(), "--format".as_ref(), "json".as_ref()]).json();
    run(python("export.py").arg(&lines).arg(verified["root"].as_str().unwrap()).arg(verified["position"].to_string())).done();
    let one =
        curfew(&["ledger".as_ref(), "export".as_ref(), ledger.as_ref(), "--from".as_ref(), "2".as_ref(), "--to".as_ref(), "2".as_ref()]);
    let one: Value = serde_json::from_str(&one.done()).unwrap();
    assert_eq!(one["position"], 2);
    curfew(&["ledger".as_ref(), "export".as_ref(), ledger.as_ref(), lines.as_ref()]).exits(1);
}
