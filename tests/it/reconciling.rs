//! Reconciliation by the commands that people type: what a run would do, what it did, and that it can be waived.

use std::fs;

use serde_json::json;

use crate::harness::{AUDIENCE, Broker, REGISTRY, program, run};
use crate::wire::Wire;

#[test]
fn a_run_is_read_before_it_acts_and_what_it_raised_is_waived_and_settled() {
    let mut broker = Broker::prepare();
    let config = fs::read_to_string(broker.config()).unwrap();
    // The contract of the vendor ends in 2099: told a hundred years before.
    let told = "announce = \"30d\"";
    assert!(config.contains(told), "no {told} in the configuration");
    fs::write(broker.config(), config.replace(told, "announce = \"36500d\"")).unwrap();
    broker.serve();
    broker.apply(REGISTRY);
    let administrator = broker.administrator();
    broker.curfew(&broker.identity("payments/api"), ["token", "issue", "--environment", "production", "--audience", AUDIENCE]).done();

    let dry = broker.curfew(&administrator, ["reconcile", "--dry-run", "--format", "json"]).json();
    let step = |run: &serde_json::Value| {
        let steps = run["steps"].as_array().unwrap();
        steps.iter().map(|step| format!("{} {} {}", step["step"], step["kind"], step["about"]).replace('"', "")).collect::<Vec<_>>()
    };
    assert_eq!(step(&dry), ["raise expiring acme"]);
    assert_eq!(broker.curfew(&administrator, ["finding", "list", "--format", "json"]).json()["findings"].as_array().unwrap().len(), 0);
    let done = broker.curfew(&administrator, ["reconcile", "--format", "json"]).json();
    assert_eq!((step(&done), done["workloads"].as_u64()), (step(&dry), Some(4)));

    let listed = broker.curfew(&administrator, ["finding", "list", "--format", "json"]).json();
    let number = listed["findings"][0]["finding"].as_u64().unwrap().to_string();
    broker.curfew(&administrator, ["finding", "waive", &number, "--within", "30d", "--note", "a long contract"]).done();
    // What is known of it holds across a restart.
    broker.restart();
    let shown = broker.curfew(&administrator, ["finding", "show", &number, "--format", "json"]).json();
    assert_eq!((shown["waived_note"].as_str(), shown["action"].as_str()), (Some("a long contract"), Some("report")));
    assert_eq!(shown["waived_by"].as_str(), Some("spiffe://example.org/administrator"));
    assert_eq!(step(&broker.curfew(&administrator, ["reconcile", "--format", "json"]).json()), [""; 0], "it is known");
    broker.curfew(&administrator, ["finding", "resolve", &number, "--note", "settled"]).done();
    let settled = broker.curfew(&administrator, ["finding", "show", &number, "--format", "json"]).json();
    assert_eq!((&settled["resolved_note"], &settled["waived_note"]), (&json!("settled"), &json!("a long contract")), "{settled}");
    assert_eq!(settled["resolved_by"].as_str(), Some("spiffe://example.org/administrator"));
    broker.curfew(&administrator, ["finding", "resolve", &number, "--note", "again"]).exits(2);
    let workload = broker.identity("payments/api");
    broker.curfew(&workload, ["reconcile"]).exits(2);
    assert!(broker.stop().success());
    run(program().args(["ledger", "verify"]).arg(broker.dir().join("data/ledger.db"))).done();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_that_asks_from_two_addresses_in_turn_is_found_and_the_addresses_are_told() {
    let mut broker = Broker::prepare();
    let config = fs::read_to_string(broker.config()).unwrap();
    let by_keys = "shared_by = [\"keys\"]";
    assert!(config.contains(by_keys), "no {by_keys} in the configuration");
    fs::write(broker.config(), config.replace(by_keys, "shared_by = [\"places\"]")).unwrap();
    broker.serve();
    broker.apply(REGISTRY);
    let administrator = broker.administrator();
    let (here, there) = (broker.addresses().grpc.clone(), Wire::from_place("127.0.0.2", &broker.addresses().grpc).await);
    let there = there.address.to_string();
    let ask = |path: &str, by: &str| {
        let issue = ["--addr", by, "token", "issue", "--environment", "production", "--audience", AUDIENCE, "--format", "json"];
        broker.curfew(&broker.identity(path), issue).json()
    };
    let reconcile = || broker.curfew(&administrator, ["reconcile", "--format", "json"]).json()["steps"].clone();

    let first = ask("payments/api", &here);
    let other = ask("payments/api", &there);
    // Others have an address each.
    for (path, by) in [("platform/ci", &here), ("payments/settlement", &there), ("platform/ci", &here), ("payments/settlement", &there)] {
        ask(path, by);
    }
    assert_eq!(reconcile(), json!([]), "it may have moved");
    let again = ask("payments/api", &here);
    let steps = reconcile();
    let detail = "spiffe://example.org/payments/api asks from 127.0.0.1 and 127.0.0.2 at the same time";
    assert_eq!(steps.as_array().map(Vec::len), Some(1), "{steps}");
    assert_eq!((&steps[0]["kind"], &steps[0]["detail"]), (&json!("shared"), &json!(detail)));
    let found = broker.curfew(&administrator, ["finding", "list", "--format", "json"]).json()["findings"][0].clone();
    assert_eq!((&found["kind"], &found["about"]), (&json!("shared"), &json!("spiffe://example.org/payments/api")), "{found}");
    assert_eq!(found["evidence"], json!([first["position"], other["position"], again["position"]]), "{found}");

    // The ledger says from where, and the token does not.
    let id = other["credential_id"].as_str().unwrap();
    assert_eq!(broker.curfew(&administrator, ["cred", "show", id, "--field", "asked_from"]).done().trim(), "127.0.0.2");
    let token = other["token"].as_str().unwrap();
    let claims = curfew::formats::jws::parse(token, 1 << 14).unwrap().payload;
    assert!(!String::from_utf8(claims).unwrap().contains("127.0.0.2"));
    assert!(broker.stop().success());
    let export = run(program().args(["ledger", "export"]).arg(broker.dir().join("data/ledger.db"))).done();
    let issued = export.lines().filter(|line| line.contains("\"credential_issued\"")).map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["fields"]["asked_from"].clone()
    });
    let at_once = ["127.0.0.1", "127.0.0.2", "127.0.0.1", "127.0.0.2", "127.0.0.1", "127.0.0.2", "127.0.0.1"];
    let told: Vec<_> = issued.collect();
    // The certificate of the broker itself comes first.
    assert_eq!((&told[0], &told[1..]), (&json!(null), at_once.map(|address| json!(address)).as_slice()));
}
