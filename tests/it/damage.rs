//! A damaged ledger, at the real process: it says so and serves, or says why it does not start.

use std::fs;
use std::time::Duration;

use crate::harness::{AUDIENCE, Broker, REGISTRY, Ran, eventually};
use crate::process::get;

const ISSUE: [&str; 6] = ["token", "issue", "--environment", "production", "--audience", AUDIENCE];

fn verify(broker: &Broker) -> Ran {
    let file = broker.dir().join("data/ledger.db");
    broker.curfew(&broker.administrator(), ["ledger".as_ref(), "verify".as_ref(), file.as_os_str()])
}

#[test]
fn whoever_verifies_without_a_terminal_is_told_in_one_line_how_much_there_was_and_how_fast() {
    let mut broker = Broker::start();
    broker.curfew(&broker.identity("payments/api"), ISSUE).done();
    assert!(broker.stop().success());
    let verified = verify(&broker).exits(0);
    let entries = verified.stdout.lines().find_map(|line| line.strip_prefix("entries")).expect(&verified.stdout).trim();
    assert!(entries.parse::<u64>().unwrap() > 10, "{entries}");
    let rate = verified.stderr.strip_prefix(&format!("verified {entries} entries, ")).and_then(|rest| rest.strip_suffix(" a second\n"));
    assert!(rate.expect(&verified.stderr).parse::<u64>().unwrap() > 0, "{}", verified.stderr);
}

#[test]
fn an_unreadable_entry_is_reported_and_everything_else_goes_on() {
    let mut broker = Broker::start();
    let workload = broker.identity("payments/api");
    broker.curfew(&workload, ISSUE).done();
    assert!(broker.stop().success());
    verify(&broker).done();
    // The copy from which the start takes the owner `acme`; the entry itself is left.
    let ledger = rusqlite::Connection::open(broker.dir().join("data/ledger.db")).unwrap();
    let spoilt = ledger.execute("UPDATE current SET bytes = x'ffff' WHERE instr(bytes, CAST('support@acme.example' AS BLOB))", []).unwrap();
    assert_eq!(spoilt, 1);
    ledger.close().unwrap();

    broker.serve();
    // A start waits for the first CRL for half a second, and is not ready before it is there.
    let body = eventually(Duration::from_secs(30), || {
        let (status, body) = get(&broker, "/readyz");
        status.ends_with("200 OK").then_some(body)
    });
    assert!(body.contains("1 entries that cannot be read"), "{body}");
    assert!(get(&broker, "/metrics").1.contains("\ncurfew_ledger_unreadable 1"));
    broker.says(&["unreadable"]);
    broker.curfew(&workload, ISSUE).done();
    broker.curfew(&broker.administrator(), ["owner", "revoke", "acme", "--reason", "cessation-of-operation", "--wait", "published"]).done();
    broker
        .curfew(&broker.administrator(), ["owner", "revoke", "payments", "--reason", "cessation-of-operation", "--wait", "published"])
        .done();
    broker.curfew(&workload, ISSUE).exits(2);
    assert!(broker.stop().success());
    assert!(verify(&broker).exits(5).stdout.contains("its copy in the compact table is unreadable"));
}

#[test]
fn a_ledger_that_is_none_any_more_is_refused_with_a_reason() {
    let mut broker = Broker::start();
    assert!(broker.stop().success());
    let file = broker.dir().join("data/ledger.db");
    let sound = fs::read(&file).unwrap();
    for (damaged, reason) in
        [(vec![0; sound.len()], "restore a backup"), (sound[..8192].to_vec(), "damaged"), (Vec::new(), "an older copy stands in its place")]
    {
        fs::write(&file, &damaged).unwrap();
        let said = broker.refuses_to_start();
        assert!(said.contains(reason), "{} bytes: {said}", damaged.len());
        for left in ["ledger.db-wal", "ledger.db-shm"] {
            let _ = fs::remove_file(broker.dir().join("data").join(left));
        }
    }
    fs::write(&file, sound).unwrap();
    broker.serve();
}

/// An issuer was changed, and a certificate of the old one cannot be read.
#[test]
fn a_crl_that_is_held_back_holds_up_no_revocation() {
    let mut broker = Broker::prepare();
    let config = fs::read_to_string(broker.config()).unwrap();
    let fields = [
        ("interval = \"2m\"", "interval = \"1s\""),
        ("crl_lifetime = \"10m\"", "crl_lifetime = \"3s\""),
        ("clock_skew = \"30s\"", "clock_skew = \"0s\""),
    ];
    let config = fields.iter().fold(config, |config, (from, to)| {
        assert!(config.contains(from), "no {from} in the configuration");
        config.replace(from, to)
    });
    fs::write(broker.config(), config).unwrap();
    broker.serve();
    let (services, mesh) = REGISTRY.split_once("- name: mesh").unwrap();
    broker.apply(&format!("{services}- name: mesh{}", mesh.replace("verifier_kind: follower", "verifier_kind: crl")));
    let certificate = |number: u32| {
        let out = broker.scratch().join(format!("certificate-{number}"));
        let line = ["cert", "issue", "--environment", "production", "--field", "position", "--out", out.to_str().unwrap()];
        broker.curfew(&broker.identity("payments/api"), line).done().trim().parse::<u64>().unwrap()
    };
    let (first, second) = (certificate(1), {
        broker.curfew(&broker.administrator(), ["keys", "rotate", "issuer"]).done();
        // By which the broker is known after the change.
        fs::write(broker.ca(), broker.curfew(&broker.administrator(), ["keys", "issuers"]).done()).unwrap();
        broker.curfew(&broker.administrator(), ["keys", "rotate", "issuer", "--now"]).done();
        certificate(2)
    });
    assert!(broker.stop().success());
    let ledger = rusqlite::Connection::open(broker.dir().join("data/ledger.db")).unwrap();
    ledger.execute_batch(&format!("DROP TRIGGER entries_0_update; UPDATE entries_0 SET bytes = x'ffff' WHERE position = {first}")).unwrap();
    ledger.close().unwrap();
    broker.serve();
    let line = ["owner", "revoke", "payments", "--reason", "superseded", "--timeout", "30s", "--format", "json"];
    let revoked = broker.curfew(&broker.administrator(), line).json();
    assert!(get(&broker, "/metrics").1.contains("\ncurfew_crl_withheld 1"), "that of the old issuer: {first} before {second}");
    let mesh = revoked["enforcement"].as_array().unwrap().iter().find(|at| at["downstream"] == "mesh").unwrap();
    assert_eq!((&revoked["stage"], &mesh["kind"], &mesh["state"]), (&"enforced".into(), &"crl".into(), &"stale".into()), "{revoked}");
}
