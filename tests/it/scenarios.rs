//! What happens to owners, workloads and services, told by the commands that people type, each time ending with a
//! verifier that rejects.

use std::fs;
use std::time::Duration;

use curfew::ambient::Clock;
use curfew::model::Timestamp;
use serde_json::Value;

use crate::clocks;
use crate::harness::{AUDIENCE, REGISTRY, eventually};
use crate::holder::Holder;
use crate::service::Service;
use crate::sources::{API, World};

/// What follows of a registry when one line of one record is another.
fn changed(from: &str, to: &str) -> String {
    let changed = REGISTRY.replace(from, to);
    assert_ne!(changed, REGISTRY);
    changed
}

#[test]
fn a_team_is_dissolved_and_its_service_goes_on_once_the_new_team_has_accepted_it() {
    let mut world = World::begin(&["assets"]);
    let api = world.broker.identity("payments/api");
    let (token, holder) = (world.issue(&api), Holder::of(&api));
    assert!(Service::of(&world.broker).token(&token, holder.presented()).is_ok());

    // The team is gone: one of its services goes to the platform team, the other ends.
    let team = "  - id: payments
    kind: team
    business_owner: head-of-payments@example.org
    technical_owner: payments-oncall@example.org
";
    let settlement = "  - spiffe_id: spiffe://example.org/payments/settlement
    owner: payments
    purpose: Settles with the banks
    environments: [production]
";
    let dissolved = changed(team, "").replace(settlement, "").replace("owner: payments", "owner: platform");
    fs::write(world.file("assets"), dissolved).unwrap();
    let moved = world.until_workload(API, |workload| workload["owner"] == "platform");
    assert_eq!(moved["standing"], "awaits-owner", "{moved}");
    let service = Service::covering(&world.broker, world.head());
    assert_eq!(service.token(&token, holder.presented()).unwrap_err().code(), "REVOKED");
    let ask = ["token", "issue", "--environment", "production", "--audience", AUDIENCE];
    assert!(world.broker.curfew(&api, ask).exits(2).stderr.contains("WORKLOAD_AWAITS_OWNER"));
    assert_eq!(world.show(&["owner", "show", "payments"])["standing"], "offboarding");

    // It waits across a restart, and nobody but who may accepts it.
    world.broker.restart();
    let waiting = world.show(&["workload", "list", "--awaiting"]);
    let names: Vec<_> = waiting["workloads"].as_array().unwrap().iter().filter_map(|one| one["spiffe_id"].as_str()).collect();
    assert_eq!(names, [API]);
    assert!(world.broker.curfew(&api, ["workload", "accept", API]).exits(2).stderr.contains("WORKLOAD_AWAITS_OWNER"));
    let ci = world.broker.identity("platform/ci");
    assert!(world.broker.curfew(&ci, ["workload", "accept", API]).exits(2).stderr.contains("POLICY_DENIED"));
    world.broker.curfew(&world.administrator, ["workload", "accept", API, "--owner", "payments"]).exits(2);
    let accepted = world.show(&["workload", "accept", API, "--owner", "platform", "--note", "ours now"]);
    assert_eq!((accepted["owner"].as_str(), accepted["was_waiting"].as_bool()), (Some("platform"), Some(true)));
    assert_eq!(world.show(&["workload", "accept", API])["was_waiting"], false, "once");
    world.broker.restart();
    let again = world.issue(&api);
    let service = Service::covering(&world.broker, accepted["position"].as_u64().unwrap());
    assert!(service.token(&again, holder.presented()).is_ok());
    assert_eq!(service.token(&token, holder.presented()).unwrap_err().code(), "REVOKED", "nothing of before comes back");
    world.end();
}

#[test]
fn a_service_and_an_environment_that_the_asset_database_no_longer_names_take_what_was_issued_for_them() {
    let world = World::begin(&["assets"]);
    let api = world.broker.identity("payments/api");
    let (token, holder) = (world.issue(&api), Holder::of(&api));
    let staging = world.issue_in(&api, "staging");

    // The environment is closed; what is issued for the other one lives on.
    let closed = changed("  - name: staging\n", "").replace("[production, staging]", "[production]");
    fs::write(world.file("assets"), &closed).unwrap();
    world.until_workload(API, |workload| workload["environments"] == serde_json::json!(["production"]));
    let service = Service::covering(&world.broker, world.head());
    assert_eq!(service.token(&staging, holder.presented()).unwrap_err().code(), "REVOKED");
    assert!(service.token(&token, holder.presented()).is_ok());

    // The service is decommissioned.
    let (before, rest) = closed.split_once("  - name: ledger-api").unwrap();
    let (_, mesh) = rest.split_once("  - name: mesh").unwrap();
    fs::write(world.file("assets"), format!("{before}  - name: mesh{mesh}")).unwrap();
    world.until("assets", |source| source["state"] == "believed" && source["records"] == 9);
    let service = Service::covering(&world.broker, world.head());
    assert_eq!(service.token(&token, holder.presented()).unwrap_err().code(), "REVOKED");
    let ask = ["token", "issue", "--environment", "production", "--audience", AUDIENCE];
    assert!(world.broker.curfew(&api, ask).exits(2).stderr.contains("AUDIENCE_UNKNOWN"));
    world.end();
}

/// How long until the contract of the vendor ends, in seconds.
const UNTIL_NIGHT: i64 = 40 * 60;

/// A contract ends while nobody looks on; the broker runs at that moment, or is away and comes back after it.
fn a_contract_ends(away: bool) {
    let mut world = clocks::World::new();
    let now = Clock::system().now().seconds();
    let end = Timestamp::from_seconds(now + u64::try_from(UNTIL_NIGHT).unwrap()).to_string();
    world.broker.apply(&changed("2099-12-31T23:00:00Z", &end));
    let (acme, administrator) = (world.broker.identity("acme/reporting"), world.broker.administrator());
    let issue = ["token", "issue", "--environment", "production", "--audience", AUDIENCE, "--format", "json"];

    // A minute before, what is issued ends with the contract.
    world.set(UNTIL_NIGHT - 60);
    world.settles();
    let token = world.curfew(&acme, issue).json();
    fs::write(world.broker.scratch().join("token"), token["token"].as_str().unwrap()).unwrap();
    assert_eq!((token["expires_at"].as_str(), token["bound_by"].as_str()), (Some(&*end), Some("contract")), "{token}");
    assert_eq!(world.verdict_of("token", &acme), None);
    if away {
        assert!(world.broker.stop().success());
    }
    world.set(UNTIL_NIGHT + 5);
    if away {
        // Its server certificate begins now, by its clock alone.
        world.broker.serve();
        world.is_served();
    } else {
        world.settles();
    }
    let show = |world: &clocks::World| world.curfew(&administrator, ["owner", "show", "acme", "--format", "json"]).json();
    let ended = eventually(Duration::from_secs(30), || Some(show(&world)).filter(|owner| owner["standing"] != "active"));
    assert!(ended["standing"].as_str().unwrap().starts_with("offboard"), "{ended}");
    let rejected = world.verdict_of("token", &acme).unwrap_or_default();
    assert!(rejected.contains("EXPIRED") || rejected.contains("REVOKED"), "{rejected}");
    assert!(world.curfew(&acme, issue).exits(2).stderr.contains("OWNER_NOT_ACTIVE"));

    // By the broker itself, at the second.
    let entries = world.curfew(&administrator, ["ledger", "list", "--limit", "1000", "--format", "json"]).json();
    let position = ended["closed_position"].clone();
    let cut = entries["entries"].as_array().unwrap().iter().find(|entry| entry["position"] == position).unwrap().clone();
    assert_eq!(cut["actor"], Value::Null, "{cut}");
    assert!(cut["summary"].as_str().unwrap().contains(&format!("the contract ended at {end}")), "{cut}");
    let at: Timestamp = cut["time"].as_str().unwrap().parse().unwrap();
    let late = at.since(end.parse().unwrap());
    assert!(at >= end.parse().unwrap() && (away || late < Duration::from_secs(30)), "{cut}");
    // Nobody else's contract ended.
    world.curfew(&world.broker.identity("payments/api"), issue).done();
    world.nothing_is_lost(&[position.as_u64().unwrap()]);
}

#[test]
fn a_vendors_contract_ends_at_night() {
    a_contract_ends(false);
}

#[test]
fn a_vendors_contract_ends_while_the_broker_is_away() {
    a_contract_ends(true);
}
