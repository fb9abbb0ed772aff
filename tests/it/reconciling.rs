//! Reconciliation by the commands that people type: what a run would do, what it did, and that it can be waived.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::feeds::{at_once, in_words, put, steps};
use crate::followers::metric;
use crate::harness::{AUDIENCE, Broker, REGISTRY, eventually, program, run};
use crate::holder::Holder;
use crate::sources::{API, World};
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
    assert_eq!(in_words(&dry), ["raise expiring acme"]);
    assert_eq!(broker.curfew(&administrator, ["finding", "list", "--format", "json"]).json()["findings"].as_array().unwrap().len(), 0);
    let done = broker.curfew(&administrator, ["reconcile", "--format", "json"]).json();
    assert_eq!((in_words(&done), done["workloads"].as_u64()), (in_words(&dry), Some(4)));

    let listed = broker.curfew(&administrator, ["finding", "list", "--format", "json"]).json();
    let number = listed["findings"][0]["finding"].as_u64().unwrap().to_string();
    broker.curfew(&administrator, ["finding", "waive", &number, "--within", "30d", "--note", "a long contract"]).done();
    // What is known of it holds across a restart.
    broker.restart();
    let shown = broker.curfew(&administrator, ["finding", "show", &number, "--format", "json"]).json();
    assert_eq!((shown["waived_note"].as_str(), shown["action"].as_str()), (Some("a long contract"), Some("report")));
    assert_eq!(shown["waived_by"].as_str(), Some("spiffe://example.org/administrator"));
    assert_eq!(in_words(&broker.curfew(&administrator, ["reconcile", "--format", "json"]).json()), [""; 0], "it is known");
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
        let line: Value = serde_json::from_str(line).unwrap();
        line["fields"]["asked_from"].clone()
    });
    let at_once = ["127.0.0.1", "127.0.0.2", "127.0.0.1", "127.0.0.2", "127.0.0.1", "127.0.0.2", "127.0.0.1"];
    let told: Vec<_> = issued.collect();
    // The certificate of the broker itself comes first.
    assert_eq!((&told[0], &told[1..]), (&json!(null), at_once.map(|address| json!(address)).as_slice()));
}

/// The workloads of the tests.
const WORKLOADS: [&str; 4] = ["acme/reporting", "payments/api", "payments/settlement", "platform/ci"];

/// What an inventory says that names these.
fn naming(workloads: &[&str]) -> String {
    let rows = workloads.iter().map(|name| format!("spiffe://example.org/{name}\n")).collect::<String>();
    format!("spiffe_id\n{rows}")
}

/// A broker with an inventory that names these, which revokes at once what is in none.
fn inventoried(workloads: &[&str], configure: impl FnOnce(&Path)) -> World {
    let table = "[[source]]\nname = \"clusters\"\nkind = \"feed\"\npath = \"clusters.csv\"\nholds = [\"inventory\"]\nevery = \"1s\"\n\
                 covers = \"spiffe://example.org/\"\n";
    let world = World::with(table, |folder| {
        at_once(folder, "ghost", "revoke");
        configure(folder);
        put(folder, "clusters.csv", &naming(workloads));
    });
    world.until("clusters", |source| source["records"] == workloads.len());
    world.broker.apply(REGISTRY);
    // It says nothing of what was recorded since it was read.
    let before = world.show(&["source", "show", "clusters"])["believed_at"].clone();
    world.until("clusters", |source| source["believed_at"] != before);
    world
}

/// What is said of each of these.
fn each(word: &str, workloads: &[&str]) -> Vec<String> {
    workloads.iter().map(|name| format!("{word} ghost spiffe://example.org/{name}")).collect()
}

/// The same in the order of their names.
fn sorted(mut words: Vec<String>) -> Vec<String> {
    words.sort();
    words
}

#[test]
fn a_run_that_would_end_too_much_ends_nothing_until_somebody_has_looked() {
    let world = inventoried(&["elsewhere/one"], |_| ());
    let identities = WORKLOADS.map(|name| world.broker.identity(name));
    let living = identities.each_ref().map(|identity| (world.issue(identity), Holder::of(identity)));
    let verdicts = || living.each_ref().map(|(token, holder)| world.rejects(token, holder));
    let held = || metric(&world.broker, "curfew_reconcile_held").to_string();
    assert_eq!(sorted(steps(&world)), each("raise", &WORKLOADS));
    assert_eq!(held(), "0");

    let dry = world.show(&["reconcile", "--dry-run"]);
    assert_eq!((sorted(in_words(&dry)), &dry["held"]), (each("held", &WORKLOADS), &json!(4)));
    assert_eq!(held(), "0");
    assert_eq!(sorted(steps(&world)), each("held", &WORKLOADS));
    assert_eq!(held(), "4");
    assert_eq!(verdicts(), [None; 4]);
    for identity in &identities {
        world.issue(identity);
    }

    // One is right as it is; three are few enough.
    let found = world.show(&["finding", "list"])["findings"].as_array().unwrap().clone();
    let number = found.iter().find(|found| found["about"] == API).unwrap()["finding"].to_string();
    world.broker.curfew(&world.administrator, ["finding", "waive", &number, "--within", "30d", "--note", "a laptop"]).done();
    assert_eq!(sorted(steps(&world)), each("revoke", &["acme/reporting", "payments/settlement", "platform/ci"]));
    assert_eq!(held(), "0");
    let dead = Some("REVOKED");
    assert_eq!(verdicts(), [dead, None, dead, dead]);
    for (name, identity) in WORKLOADS.iter().zip(&identities) {
        let ask = ["token", "issue", "--environment", "production", "--audience", AUDIENCE];
        world.broker.curfew(identity, ask).exits(if *name == "payments/api" { 0 } else { 2 });
    }
    world.end();
}

#[test]
fn a_run_that_nobody_asks_for_tells_what_is_found_and_does_what_is_due() {
    let world = inventoried(&WORKLOADS, |folder| {
        let mut config = fs::read_to_string(folder.join("curfew.toml")).unwrap();
        for (before, after) in
            [("[reconcile]\nevery = \"1h\"", "[reconcile]\nevery = \"1s\""), ("announce = \"30d\"", "announce = \"36500d\"")]
        {
            assert!(config.contains(before), "no {before} in the configuration");
            config = config.replace(before, after);
        }
        fs::write(folder.join("curfew.toml"), config).unwrap();
    });
    let patience = Duration::from_secs(30);
    let found = eventually(patience, || world.show(&["finding", "list"])["findings"].as_array().unwrap().first().cloned());
    assert_eq!((&found["kind"], &found["about"], &found["action"]), (&json!("expiring"), &json!("acme"), &json!("report")), "{found}");
    let api = world.broker.identity("payments/api");
    let (token, holder) = (world.issue(&api), Holder::of(&api));
    assert_eq!(world.rejects(&token, &holder), None);

    put(&world.broker.dir(), "clusters.csv", &naming(&["acme/reporting", "payments/settlement", "platform/ci"]));
    world.until_workload(API, |workload| workload["standing"] != "active");
    assert_eq!(world.rejects(&token, &holder), Some("REVOKED"));
    let raised = |entry: &&Value| entry["event"] == "finding_raised" && entry["summary"].as_str().unwrap().contains("ghost");
    let number = world.entries().iter().find(raised).unwrap()["position"].to_string();
    let settled = eventually(patience, || Some(world.show(&["finding", "show", &number])).filter(|found| found["resolved_at"].is_string()));
    assert_eq!((&settled["about"], &settled["acted"], &settled["resolved_by"]), (&json!(API), &json!("revoke"), &Value::Null), "{settled}");
    let done = ["finding_raised", "cut", "finding_changed"];
    let by: Vec<_> = world
        .entries()
        .iter()
        .filter(|entry| done.iter().any(|event| entry["event"] == *event))
        .map(|entry| entry["actor"].clone())
        .collect();
    assert_eq!(by, vec![Value::Null; 5], "two raised, one cut, acted and resolved: all by the broker itself");
    world.end();
}
