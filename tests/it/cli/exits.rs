//! Exit codes, one by one. Scripts decide by them, so each says one thing.
//!
//! `offboarding` has those of a revocation that is waited for until it is enforced.

use std::fs;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::proxy::Proxy;
use crate::harness::{AUDIENCE, Broker, Identity, Ran, eventually, program, run};

const REVOKE: [&str; 9] = ["owner", "revoke", "payments", "--reason", "cessation-of-operation", "--format", "json", "--wait", "published"];

/// The program without a broker.
fn alone(arguments: &[&str]) -> Ran {
    run(program().args(arguments))
}

/// A failure says so to people, and only there.
#[track_caller]
fn fails(ran: Ran, code: i32, why: &str) -> Ran {
    let ran = ran.exits(code);
    assert!(ran.stderr.contains(why), "no `{why}` in {}", ran.stderr);
    ran
}

#[test]
fn what_was_asked_for_exits_0_and_says_nothing_on_standard_error() {
    let broker = Broker::start();
    let administrator = broker.administrator();
    for done in [
        alone(&["--help"]),
        alone(&["--version"]),
        broker.curfew(&administrator, ["whoami"]),
        broker.curfew(&administrator, ["owner", "preview", "payments"]),
        broker.curfew(&administrator, REVOKE),
        broker.curfew(&administrator, REVOKE),
    ] {
        let done = done.exits(0);
        assert!(!done.stdout.is_empty() && done.stderr.is_empty(), "{done:?}");
    }
}

#[test]
fn what_is_wrong_on_this_side_exits_1() {
    let broker = Broker::prepare();
    let reason = "--reason cessation-of-operation";
    for (line, why) in [
        ("", "Usage"),
        ("nonsense", "nonsense"),
        ("owner revoke payments", "--reason"),
        ("owner revoke payments --reason because", "cessation-of-operation"),
        (&format!("owner revoke {reason}"), "OWNER"),
        (&format!("owner revoke payments {reason} --max-affected many"), "many"),
        (&format!("owner revoke payments {reason} --timeout soon"), "soon"),
        ("cred show 17", "17"),
        ("task close none", "none"),
        ("whoami --format xml", "xml"),
        ("whoami --addr 127.0.0.1:1", "--cacert"),
        ("serve --config no/such/file", "no/such/file"),
        ("verify token no/such/file --audience https://a.example", "no/such/file"),
    ] {
        let ran = fails(alone(&line.split_whitespace().collect::<Vec<_>>()), 1, why);
        assert_eq!(ran.stdout, "", "{line}");
    }
    let administrator = broker.administrator();
    let call = |arguments: &[&str]| broker.curfew(&administrator, arguments);
    fails(call(&["whoami", "--addr", "127.0.0.1:1"]), 1, "cannot connect to the broker");
    fails(call(&["whoami", "--cacert", "no/such/file"]), 1, "no/such/file");
    fails(call(&["whoami", "--addr", "http://127.0.0.1:1"]), 1, "https");
}

#[test]
fn a_key_that_others_can_read_is_not_used() {
    let broker = Broker::start_empty();
    let administrator = broker.administrator();
    run(Command::new("chmod").arg("644").arg(&administrator.key)).done();
    fails(broker.curfew(&administrator, ["whoami"]), 1, "admin.key");
}

#[test]
fn what_the_broker_refuses_exits_2_with_its_reason_and_changes_nothing() {
    let broker = Broker::start();
    let (administrator, workload) = (broker.administrator(), broker.identity("payments/api"));
    let issue = |environment, audience| broker.curfew(&workload, ["token", "issue", "--environment", environment, "--audience", audience]);
    issue("production", AUDIENCE).done();
    let entries = || broker.curfew(&administrator, ["ledger", "list", "--limit", "1000", "--field", "event"]).done();
    let before = entries().lines().count();
    let revoke = |caller: &Identity, owner: &str, more: &[&str]| {
        broker.curfew(caller, [&["owner", "revoke", owner, "--reason", "superseded", "--wait", "published"], more].concat())
    };
    for (ran, why) in [
        (revoke(&administrator, "payment", &[]), "NOT_FOUND: "),
        (revoke(&administrator, "", &[]), "INVALID_ARGUMENT: "),
        (revoke(&administrator, " payments", &[]), "INVALID_ARGUMENT: "),
        (revoke(&administrator, "Payments", &[]), "INVALID_ARGUMENT: "),
        (revoke(&administrator, "payments' OR '1'='1", &[]), "INVALID_ARGUMENT: "),
        (revoke(&administrator, "%", &[]), "INVALID_ARGUMENT: "),
        (revoke(&administrator, "*", &[]), "INVALID_ARGUMENT: "),
        (revoke(&administrator, "payments", &["--max-affected", "0"]), "MAX_AFFECTED_EXCEEDED: "),
        (revoke(&workload, "acme", &[]), "POLICY_DENIED: "),
        (revoke(&broker.identity("nobody"), "acme", &[]), "IDENTITY_UNKNOWN: "),
        (issue("production", "https://elsewhere.example"), "AUDIENCE_UNKNOWN: "),
        (issue("nowhere", AUDIENCE), "ENVIRONMENT_UNKNOWN: "),
    ] {
        let ran = fails(ran, 2, &format!("curfew: {why}"));
        assert_eq!(ran.stdout, "");
    }
    // That it was refused is told, and who looked; nothing else.
    let after = entries();
    let told = ["requests_refused", "administrative_read"];
    assert!(after.lines().skip(before).all(|event| told.contains(&event)), "{after}");

    revoke(&administrator, "payments", &[]).done();
    fails(issue("production", AUDIENCE), 2, "curfew: OWNER_NOT_ACTIVE: ");
    let stranger = self_signed(&broker);
    fails(broker.curfew(&stranger, ["whoami"]), 2, "does not accept the client certificate");
}

/// An identity that no authority vouches for.
fn self_signed(broker: &Broker) -> Identity {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.subject_alt_names = vec![rcgen::SanType::URI("spiffe://example.org/payments/api".try_into().unwrap())];
    let identity = Identity::at(&broker.scratch().join("stranger"));
    fs::write(&identity.certificate, params.self_signed(&key).unwrap().pem()).unwrap();
    fs::write(&identity.key, key.serialize_pem()).unwrap();
    run(Command::new("chmod").arg("600").arg(&identity.key)).done();
    identity
}

/// Whether the owner is closed, asked over another connection.
fn is_closed(broker: &Broker) -> bool {
    let shown = broker.curfew(&broker.administrator(), ["owner", "show", "payments", "--format", "json"]).json();
    shown["closed_position"].is_u64()
}

#[test]
fn a_revocation_whose_list_is_not_seen_in_time_exits_3_and_says_where_it_stands() {
    let broker = Broker::start();
    let proxy = Proxy::before(&broker.addresses().grpc);
    let (administrator, address) = (broker.administrator(), proxy.address());
    let line = REVOKE.into_iter().chain(["--timeout", "1s", "--addr", &address]);
    let ran = std::thread::scope(|scope| {
        let running = scope.spawn(|| broker.curfew(&administrator, line));
        eventually(Duration::from_secs(30), || is_closed(&broker).then_some(()));
        // The program learns that it is committed, and can ask nothing more.
        proxy.withhold_calls();
        running.join().unwrap()
    });
    let ran = fails(ran, 3, "not seen published");
    let told: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((told["stage"].as_str(), told["repeated"].as_bool()), (Some("committed"), Some(false)), "{told}");
    assert!(ran.stderr.contains(&format!("revoked at position {}", told["position"])), "{}", ran.stderr);

    let again = broker.curfew(&administrator, REVOKE).json();
    assert_eq!((again["stage"].as_str(), &again["position"]), (Some("enforced"), &told["position"]), "{again}");
}

#[test]
fn what_is_not_valid_exits_5_and_says_why_on_both_outputs() {
    let broker = Broker::start();
    let workload = broker.identity("payments/api");
    let file = |name: &str, text: &str| {
        let path = broker.scratch().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let issued = broker.curfew(&workload, ["token", "issue", "--environment", "production", "--audience", AUDIENCE, "--field", "token"]);
    let token = file("token", &issued.done());
    let presented = workload.certificate.to_str().unwrap();
    let check_with = |presented: &str, token: &str, more: &[&str]| {
        let line = ["verify", "token", token, "--audience", AUDIENCE, "--presented", presented, "--format", "json"];
        broker.curfew(&workload, [&line, more].concat())
    };
    let check = |token: &str, more: &[&str]| check_with(presented, token, more);
    assert_eq!(check(&token, &[]).json()["valid"], true);
    let fetched = ["--field", "list"];
    let old = file("old.jws", &broker.curfew(&broker.administrator(), ["revocations", "get"].into_iter().chain(fetched)).done());
    let keys = file("keys.json", &crate::https::get(&broker, "/v1/keys").body);

    for (ran, code) in [
        (check(&file("garbage", "garbage"), &[]), "MALFORMED"),
        (check(&token, &["--environment", "staging"]), "ENVIRONMENT"),
        (check_with(broker.administrator().certificate.to_str().unwrap(), &token, &[]), "CERTIFICATE_MISMATCH"),
        (check(&token, &["--max-staleness", "0s"]), "LIST_STALE"),
    ] {
        let ran = ran.exits(5);
        let told: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!((&told["valid"], told["code"].as_str()), (&false.into(), Some(code)), "{told}");
        assert!(ran.stderr.starts_with("curfew: not valid: "), "{}", ran.stderr);
    }
    broker.curfew(&broker.administrator(), REVOKE).done();
    assert_eq!(serde_json::from_str::<Value>(&check(&token, &[]).exits(5).stdout).unwrap()["code"], "REVOKED");
    // A service that still has the list of before accepts it, for as long as that may be old.
    check(&token, &["--keys", &keys, "--list", &old]).done();
    let certificate = file("foreign.pem", &fs::read_to_string(&workload.certificate).unwrap());
    broker.curfew(&workload, ["verify", "cert", &certificate]).exits(5);
}

#[test]
fn a_connection_that_is_lost_after_sending_exits_6_and_repeating_it_is_safe() {
    let broker = Broker::start();
    let proxy = Proxy::before(&broker.addresses().grpc);
    let (administrator, address) = (broker.administrator(), proxy.address());
    let line = REVOKE.into_iter().chain(["--addr", &address]);
    let ran = std::thread::scope(|scope| {
        let running = scope.spawn(|| broker.curfew(&administrator, line));
        eventually(Duration::from_secs(30), || is_closed(&broker).then_some(()));
        proxy.cut();
        running.join().unwrap()
    });
    let ran = fails(ran, 6, "the outcome is unknown, repeat the call");
    assert_eq!(ran.stdout, "", "nothing is called done");

    let again = broker.curfew(&administrator, REVOKE).json();
    assert_eq!((&again["repeated"], again["stage"].as_str()), (&true.into(), Some("enforced")), "{again}");
}
