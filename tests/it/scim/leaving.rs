//! A client deletes somebody who answers for a team, or for a service: that is told at once and by itself, nothing is
//! done before the grace is over, and then both are suspended, and a verifier rejects what was issued.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use super::{USER, ask, source};
use crate::findings::{REPORTS, World, reports};
use crate::harness::{AUDIENCE, REGISTRY};
use crate::leaving::suspend_what_nobody_answers_for;

const LEAD: &str = "head-of-payments@example.org";
const OPERATOR: &str = "kim@example.org";

#[test]
fn what_those_answered_for_whom_a_client_deletes_is_told_at_once_and_suspended_by_itself_when_the_grace_is_over() {
    let (token, block) = source("entra");
    let owners = format!("business_owner: cto@example.org\n    technical_owner: {OPERATOR}");
    let configure = |broker: &crate::harness::Broker| {
        suspend_what_nobody_answers_for(broker);
        let config = fs::read_to_string(broker.config()).unwrap();
        fs::write(broker.config(), config + &block).unwrap();
    };
    let world = World::with(configure, &format!("{}\n{}", REGISTRY.trim_end(), reports(&owners)));
    let broker = &world.clocks.broker;
    let scim = |method: &str, path: &str, body: &Value, status: u16| {
        let answer = ask(broker, &token, (method, path), body);
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
        serde_json::from_str::<Value>(&answer.body).unwrap_or_default()
    };
    let create = |name: &str| {
        let made = scim("POST", "/Users", &json!({ "schemas": [USER], "userName": name, "active": true }), 201);
        format!("/Users/{}", made["id"].as_str().unwrap())
    };
    let [lead, operator, _] = [LEAD, OPERATOR, "cto@example.org"].map(create);
    assert_eq!(world.show(&["reconcile", "--dry-run"])["steps"], json!([]));

    let missed = [(&lead, "payments"), (&operator, "downstream reports-api")].map(|(user, about)| {
        scim("DELETE", user, &Value::Null, 204);
        scim("GET", user, &Value::Null, 404);
        world.is_missed(about, "person_ended")
    });
    let credentials = [("api", "payments/api", AUDIENCE), ("report", "platform/ci", REPORTS), ("ci", "platform/ci", AUDIENCE)];
    world.comes(missed[0].1.minus(Duration::from_secs(60)));
    for (name, path, audience) in credentials {
        world.token(name, path, audience);
        assert_eq!(world.verdict(name, path, audience), "");
    }

    world.comes(missed[1].1);
    world.is_suspended(&["owner", "show", "payments"], missed[0].0);
    world.is_suspended(&["downstream", "show", "reports-api"], missed[1].0);
    let verdicts = credentials.map(|(name, path, audience)| world.verdict(name, path, audience));
    assert!(verdicts[0].contains("REVOKED") && verdicts[1].contains("REVOKED") && verdicts[2].is_empty(), "{verdicts:?}");
    let issue = |path: &str, audience: &str| {
        let ask = ["token", "issue", "--environment", "production", "--audience", audience];
        world.clocks.curfew(&broker.identity(path), ask)
    };
    assert!(issue("payments/api", AUDIENCE).exits(2).stderr.contains("OWNER_NOT_ACTIVE"));
    assert!(issue("platform/ci", REPORTS).exits(2).stderr.contains("DOWNSTREAM_NOT_ACTIVE"));
    issue("platform/ci", AUDIENCE).done();

    // Whom a client makes anew opens nothing: a person does, and what died stays dead.
    create(LEAD);
    issue("payments/api", AUDIENCE).exits(2);
    world.do_as_told(&["owner", "reinstate", "payments", "--note", "the lead is back"]);
    issue("payments/api", AUDIENCE).done();
    assert!(world.verdict("api", "payments/api", AUDIENCE).contains("REVOKED"));
    world.clocks.nothing_is_lost(&[missed[1].0]);
}
