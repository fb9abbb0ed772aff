//! Reconciliation by the commands that people type: what a run would do, what it did, and that it can be waived.

use std::fs;

use crate::harness::{AUDIENCE, Broker, REGISTRY, program, run};

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
    broker.curfew(&administrator, ["finding", "show", &number]).exits(2);
    let workload = broker.identity("payments/api");
    broker.curfew(&workload, ["reconcile"]).exits(2);
    assert!(broker.stop().success());
    run(program().args(["ledger", "verify"]).arg(broker.dir().join("data/ledger.db"))).done();
}
