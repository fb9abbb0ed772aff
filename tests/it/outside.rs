//! Programs that nobody here wrote, held against a real broker: a Python gRPC client generated from
//! `proto/`, PyJWT, OpenSSL, pkilint, `spiffe`. The scripts are in `tests/outside`.

use std::fs;
use std::path::Path;
use std::process::Command;

use curfew::formats::jws;
use curfew::formats::status_list::{MAX_STATUS_LIST, StatusList, StatusListToken};
use curfew::model::Timestamp;
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

/// The same of a script that Node runs; the folder of what npm installed is its first argument.
pub(crate) fn node(script: &str) -> Command {
    let modules = std::env::var_os("CURFEW_TEST_NODE").expect("CURFEW_TEST_NODE is not set: run the tests with tests/run");
    let mut command = Command::new("node");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/outside").join(script)).arg(modules);
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
    run(node("status-list.mjs").arg(broker.scratch().join("status.json"))).done();
}

/// The lists of the draft (sections 4.1 and 4.2, and its test vectors), and the statuses in them that are not 0.
const VECTORS: &str = include_str!("../outside/status-vectors.json");

/// A list of one bit with these statuses, as the broker writes it.
fn written_by_us(vector: &Value) -> Value {
    let mut list = StatusList::all_valid();
    for entry in vector["statuses"].as_array().unwrap() {
        list.invalidate(entry[0].as_u64().unwrap().try_into().unwrap());
    }
    let at = Timestamp::from_seconds(1_790_000_000);
    let token = StatusListToken {
        uri: "https://broker.example/v1/status/0".to_owned(),
        issued_at: at,
        expires_at: None,
        ttl: None,
        aggregation_uri: None,
        list,
    };
    let signed = token.encode("kid", |_| Ok::<_, std::convert::Infallible>(vec![0; 64])).unwrap();
    let claims: Value = serde_json::from_slice(&jws::parse(&signed, MAX_STATUS_LIST).unwrap().payload).unwrap();
    assert_eq!(claims["status_list"]["bits"], 1);
    json!({ "lst": claims["status_list"]["lst"], "bits": 1, "size": vector["size"], "statuses": vector["statuses"] })
}

/// What we read in a list is what it is said to be.
fn read_by_us(vector: &Value, lst: &str) {
    let number = |value: &Value| u32::try_from(value.as_u64().unwrap()).unwrap();
    let list = StatusList::inflate(number(&vector["bits"]).try_into().unwrap(), lst).unwrap();
    let said: Vec<_> = vector["statuses"].as_array().unwrap().iter().map(|entry| (number(&entry[0]), number(&entry[1]))).collect();
    let read: Vec<_> = list.not_valid().map(|index| (index, u32::from(list.status(index).unwrap()))).collect();
    assert_eq!(read, said, "{} bits: {lst:.40}", vector["bits"]);
    let size = number(&vector["size"]);
    assert_eq!((list.status(size - 1).is_some(), list.status(size)), (true, None));
}

#[test]
fn zlib_sd_jwt_and_we_read_the_vectors_of_the_draft_and_each_other_alike() {
    let mut vectors: Vec<Value> = serde_json::from_str(VECTORS).unwrap();
    let bits: Vec<_> = vectors.iter().map(|vector| vector["bits"].as_u64().unwrap()).collect();
    assert_eq!(bits, [1, 2, 1, 2, 4, 8]);
    let ours = written_by_us(&vectors[2]);
    vectors.push(ours);
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("vectors.json");
    fs::write(&file, Value::from(vectors.clone()).to_string()).unwrap();
    // Each of them reads what all others have written.
    let zlib: Vec<String> = serde_json::from_str(&run(python("vectors.py").arg(&file)).done()).unwrap();
    let sd_jwt: Vec<String> = serde_json::from_str(&run(node("vectors.mjs").arg(&file)).done()).unwrap();
    assert_eq!((zlib.len(), sd_jwt.len()), (vectors.len(), vectors.len()));
    for ((vector, zlib), sd_jwt) in vectors.iter().zip(&zlib).zip(&sd_jwt) {
        for lst in [vector["lst"].as_str().unwrap(), zlib, sd_jwt] {
            read_by_us(vector, lst);
        }
    }
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
