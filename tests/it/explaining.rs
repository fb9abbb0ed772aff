//! What the command line tells of a decision, and of a credential to its end.

use serde_json::{Value, json};

use crate::harness::{AUDIENCE, Broker};

#[test]
fn a_decision_is_explained_before_it_is_asked_for_and_a_credential_is_told_to_its_end() {
    let broker = Broker::start();
    let (administrator, workload) = (broker.administrator(), broker.identity("payments/api"));
    let token = ["--environment", "production", "--audience", AUDIENCE, "--ttl", "2m"];
    let of_workload = ["policy", "explain", "--as", "spiffe://example.org/payments/api", "--format", "json"];
    let explained = broker.curfew(&administrator, of_workload.iter().chain(&token)).json();
    assert_eq!((&explained["allowed"], &explained["permits"]), (&json!(true), &json!(["tokens"])), "{explained}");
    assert_eq!((&explained["life_seconds"], &explained["bound_by"]), (&json!(120), &json!("requested")));
    let call = ["policy", "explain", "--call", "RevokeOwner", "--owner", "payments", "--format", "json"];
    let own = broker.curfew(&workload, call).json();
    assert_eq!((&own["allowed"], &own["reason"]), (&json!(false), &json!("POLICY_DENIED")), "{own}");
    broker.curfew(&workload, ["policy", "explain", "--as", "spiffe://example.org/acme/reporting", "--environment", "production"]).exits(2);

    let issued = broker.curfew(&workload, ["token", "issue", "--format", "json"].iter().chain(&token)).json();
    let id = issued["credential_id"].as_str().unwrap().to_owned();
    let show = || broker.curfew(&administrator, ["cred", "show", &id, "--format", "json"]).json();
    let alive = show();
    assert_eq!((&alive["state"], &alive["cut"], &alive["policies"]), (&json!("alive"), &Value::Null, &json!(["tokens"])), "{alive}");
    assert!(alive["business_owner"].is_string() && alive["technical_owner"].is_string(), "{alive}");
    broker
        .curfew(&administrator, ["owner", "revoke", "payments", "--reason", "key-compromise", "--note", "it leaked", "--wait", "committed"])
        .exits(0);
    let cut = show();
    let told = &cut["cut"];
    assert_eq!((&cut["state"], &told["subject"], &told["note"]), (&json!("cut"), &json!("owner"), &json!("it leaked")), "{cut}");
    assert_eq!(told["actor"], administrator_id(), "{cut}");
    let table = broker.curfew(&administrator, ["cred", "show", &id]).exits(0).stdout;
    assert!(table.contains("key-compromise") && table.contains("technical owner"), "{table}");
}

fn administrator_id() -> Value {
    json!("spiffe://example.org/administrator")
}
