//! Programs that nobody here wrote, held against a real broker: a Python gRPC client generated from
//! `proto/`, PyJWT, OpenSSL, pkilint, `spiffe`. The scripts are in `tests/outside`.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Map, Value, json};

use crate::harness::{Broker, Identity, run};

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
        "ca": broker.ca(),
        "callers": callers,
    });
    let file = broker.scratch().join("world.json");
    fs::write(&file, world.to_string()).unwrap();
    let python = std::env::var_os("CURFEW_TEST_PYTHON").expect("CURFEW_TEST_PYTHON is not set: run the tests with tests/run");
    for script in scripts {
        // No byte code is left in the checkout.
        run(Command::new(&python).arg("-B").arg(checkout.join("tests/outside").join(script)).arg(&file)).done();
    }
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
