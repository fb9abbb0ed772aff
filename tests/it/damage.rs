//! A damaged ledger, at the real process: it says so and serves, or says why it does not start.

use std::fs;

use crate::harness::{AUDIENCE, Broker, Ran};
use crate::process::get;

const ISSUE: [&str; 6] = ["token", "issue", "--environment", "production", "--audience", AUDIENCE];

fn verify(broker: &Broker) -> Ran {
    let file = broker.dir().join("data/ledger.db");
    broker.curfew(&broker.administrator(), ["ledger".as_ref(), "verify".as_ref(), file.as_os_str()])
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
    let (status, body) = get(&broker, "/readyz");
    assert!(status.ends_with("200 OK") && body.contains("1 entries that cannot be read"), "{status} {body}");
    assert!(get(&broker, "/metrics").1.contains("\ncurfew_ledger_unreadable 1"));
    assert!(broker.log().contains("unreadable"), "{}", broker.log());
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
