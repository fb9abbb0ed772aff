//! An exception by the commands that people type, and a verifier that rejects what was issued by one that was revoked.

use std::fs;

use crate::harness::{AUDIENCE, Broker, REGISTRY, program, run};
use crate::holder::Holder;
use crate::service::Service;

/// Nobody is permitted a token; administrators do the rest.
const STRICT: &str = r#"
permit (principal is Curfew::Administrator, action, resource);
permit (principal is Curfew::Workload, action == Curfew::Action::"RequestException", resource is Curfew::Workload)
when { resource == principal };
"#;

#[test]
fn what_an_exception_allowed_is_rejected_once_it_is_revoked() {
    let mut broker = Broker::prepare();
    let policies = broker.dir().join("policies");
    fs::remove_dir_all(&policies).unwrap();
    fs::create_dir(&policies).unwrap();
    fs::write(policies.join("strict.cedar"), STRICT).unwrap();
    broker.serve();
    broker.apply(REGISTRY);
    let (administrator, api) = (broker.administrator(), broker.identity("payments/api"));
    let issue = ["token", "issue", "--environment", "production", "--audience", AUDIENCE, "--format", "json"];
    assert!(broker.curfew(&api, issue).exits(2).stderr.contains("POLICY_DENIED"));

    let request =
        ["exception", "request", "--environment", "production", "--audience", AUDIENCE, "--purpose", "a migration", "--within", "1h"];
    let number = broker.curfew(&api, request.into_iter().chain(["--field", "exception"])).done().trim().to_owned();
    assert!(broker.curfew(&api, issue).exits(2).stderr.contains("POLICY_DENIED"), "nobody has approved it");
    let approved = broker.curfew(&administrator, ["exception", "approve", &number, "--note", "agreed", "--format", "json"]).json();
    assert_eq!(
        (approved["state"].as_str(), approved["requested_by"].as_str()),
        (Some("active"), Some("spiffe://example.org/payments/api"))
    );

    let token = broker.curfew(&api, issue).json();
    let presented = Holder::of(&api).presented();
    let text = token["token"].as_str().unwrap();
    assert!(Service::of(&broker).token(text, presented).is_ok());
    let uses = broker.curfew(&administrator, ["cred", "list", "--exception", &number, "--format", "json"]).json();
    assert_eq!(uses["credentials"][0]["credential_id"], token["credential_id"]);
    assert_eq!(uses["credentials"].as_array().unwrap().len(), 1);
    let shown = broker.curfew(&administrator, ["cred", "show", token["credential_id"].as_str().unwrap(), "--format", "json"]).json();
    assert_eq!(shown["exception"].as_u64().map(|exception| exception.to_string()), Some(number.clone()));

    // It holds across a restart, and so does its end.
    broker.restart();
    assert_eq!(broker.curfew(&administrator, ["exception", "show", &number, "--field", "state"]).done().trim(), "active");
    broker.curfew(&api, issue).done();
    let revoke = ["exception", "revoke", &number, "--reason", "privilege-withdrawn", "--wait", "published", "--format", "json"];
    let revoked = broker.curfew(&administrator, revoke).json();
    assert_eq!(revoked["ended"]["total"].as_u64(), Some(2));
    let service = Service::covering(&broker, revoked["position"].as_u64().unwrap());
    assert_eq!(service.token(text, presented).unwrap_err().code(), "REVOKED");
    broker.restart();
    let listed = broker.curfew(&administrator, ["exception", "list", "--format", "json"]).json();
    assert_eq!(listed["exceptions"][0]["state"].as_str(), Some("revoked"));
    assert!(broker.curfew(&api, issue).exits(2).stderr.contains("POLICY_DENIED"));
    assert!(broker.stop().success());
    run(program().args(["ledger", "verify"]).arg(broker.dir().join("data/ledger.db"))).done();
}
