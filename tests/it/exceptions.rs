//! An exception by the commands that people type: who approves it, what it lets through, and a verifier that rejects
//! what was issued by one that was revoked, or that is over by a clock that is driven.

use std::fs;

use curfew::ambient::Clock;
use curfew::model::Timestamp;

use crate::clocks::World;
use crate::harness::{AUDIENCE, Broker, Identity, REGISTRY, program, run};
use crate::holder::Holder;
use crate::service::Service;

/// Nobody is permitted a token; workloads ask for exceptions and approve them for themselves; administrators do the rest.
const STRICT: &str = r#"
permit (principal is Curfew::Administrator, action, resource);
permit (
  principal is Curfew::Workload,
  action in [Curfew::Action::"RequestException", Curfew::Action::"ApproveException"],
  resource is Curfew::Workload
)
when { resource == principal };
"#;

const API: &str = "spiffe://example.org/payments/api";

/// These policies and no others.
fn be_strict(broker: &Broker) {
    let policies = broker.dir().join("policies");
    fs::remove_dir_all(&policies).unwrap();
    fs::create_dir(&policies).unwrap();
    fs::write(policies.join("strict.cedar"), STRICT).unwrap();
}

#[test]
fn what_an_exception_allowed_is_rejected_once_it_is_revoked() {
    let mut broker = Broker::prepare();
    be_strict(&broker);
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
    assert_eq!((approved["state"].as_str(), approved["requested_by"].as_str()), (Some("active"), Some(API)));

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

#[test]
fn who_asked_for_an_exception_does_not_approve_it_though_policy_lets_them() {
    let mut broker = Broker::prepare();
    be_strict(&broker);
    broker.serve();
    broker.apply(REGISTRY);
    let (administrator, api) = (broker.administrator(), broker.identity("payments/api"));
    for (who, other, environment) in [(&administrator, &api, "production"), (&api, &administrator, "staging")] {
        let place = ["--environment", environment, "--audience", AUDIENCE];
        let request = ["exception", "request", "--workload", API, "--purpose", "a migration", "--within", "1h", "--field", "exception"];
        let number = broker.curfew(who, request.iter().chain(&place)).done().trim().to_owned();
        let refused = broker.curfew(who, ["exception", "approve", &number]).exits(2).stderr;
        assert!(refused.contains("OWN_EXCEPTION"), "{refused}");
        assert_eq!(broker.curfew(&administrator, ["exception", "show", &number, "--field", "state"]).done().trim(), "requested");
        let issue = || broker.curfew(&api, ["token", "issue"].iter().chain(&place));
        assert!(issue().exits(2).stderr.contains("POLICY_DENIED"), "nothing is allowed by it");
        broker.curfew(other, ["exception", "approve", &number]).done();
        issue().done();
    }
}

#[test]
fn an_exception_lets_through_what_it_is_for_and_is_over_by_itself_with_what_was_issued_by_it() {
    let world = World::configured(be_strict);
    let (administrator, api) = (world.broker.administrator(), world.broker.identity("payments/api"));
    let (read, write) = ("entries:read", "entries:write");
    let request = ["exception", "request", "--environment", "production", "--audience", AUDIENCE, "--scope", read];
    let until = Timestamp::from_seconds(Clock::system().now().seconds() + 600).to_string();
    let why = ["--purpose", "a migration", "--until", &until, "--field", "exception"];
    let number = world.curfew(&api, request.iter().chain(&why)).done().trim().to_owned();
    world.curfew(&administrator, ["exception", "approve", &number]).done();

    let issue = |who: &Identity, environment: &str, scopes: &[&str]| {
        let ask = ["token", "issue", "--environment", environment, "--audience", AUDIENCE, "--ttl", "15m", "--format", "json"];
        let scopes = scopes.iter().flat_map(|scope| ["--scope", *scope]);
        world.curfew(who, ask.into_iter().chain(scopes))
    };
    let denied = |who: &Identity, environment: &str, scopes: &[&str]| {
        let refused = issue(who, environment, scopes).exits(2).stderr;
        assert!(refused.contains("POLICY_DENIED"), "{environment} {scopes:?}: {refused}");
    };
    let issued = issue(&api, "production", &[read]).json();
    assert_eq!((issued["bound_by"].as_str(), issued["expires_at"].as_str()), (Some("exception"), Some(&*until)));
    fs::write(world.broker.scratch().join("token"), issued["token"].as_str().unwrap()).unwrap();
    assert_eq!(world.verdict_of("token", &api), None);
    issue(&api, "production", &[]).done();
    denied(&world.broker.identity("payments/settlement"), "production", &[read]);
    denied(&api, "production", &[write]);
    denied(&api, "production", &[read, write]);
    denied(&api, "staging", &[read]);

    let shown = || world.curfew(&administrator, ["exception", "show", &number, "--format", "json"]).json();
    assert_eq!((&shown()["state"], &shown()["living"]), (&"active".into(), &2.into()));
    // Without its end the token would live for some minutes more.
    world.set(11 * 60);
    world.settles();
    denied(&api, "production", &[read]);
    let verdict = world.verdict_of("token", &api).unwrap_or_default();
    assert!(verdict.contains("EXPIRED"), "{verdict}");
    assert_eq!((&shown()["state"], &shown()["living"]), (&"expired".into(), &0.into()));
    let refused = world.curfew(&administrator, ["exception", "approve", &number]).exits(2).stderr;
    assert!(refused.contains("EXCEPTION_OVER"), "{refused}");
    world.nothing_is_lost(&[issued["position"].as_u64().unwrap()]);
}
