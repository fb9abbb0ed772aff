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
use crate::sources::{API, World, folder};

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

/// What the page on policies says of sources that move workloads.
fn moving() -> String {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/policy.md")).unwrap();
    let (_, rest) = page.split_once("A source moves workloads between teams at once").unwrap();
    rest.split("```cedar").nth(1).and_then(|rest| rest.split("```").next()).unwrap().to_owned()
}

#[test]
fn a_service_goes_to_another_team_at_once_where_policy_lets_its_source_move_it_and_to_a_vendor_it_does_not() {
    let world = World::with(&folder("assets"), |folder| {
        fs::write(folder.join("policies/moving.cedar"), moving()).unwrap();
        fs::create_dir(folder.join("assets")).unwrap();
        fs::write(folder.join("assets/all.yaml"), REGISTRY).unwrap();
    });
    world.until("assets", |source| source["state"] == "believed");
    let api = world.broker.identity("payments/api");
    let (old, holder) = (world.issue(&api), Holder::of(&api));
    assert_eq!(world.rejects(&old, &holder), None);

    let row = "    owner: payments\n    purpose: Takes payments";
    let to = |owner: &str| changed(row, &row.replace("payments\n", &format!("{owner}\n")));
    fs::write(world.file("assets"), to("platform")).unwrap();
    let moved = world.until_workload(API, |workload| workload["owner"] == "platform");
    assert_eq!(moved["standing"], "active", "{moved}");
    assert_eq!(world.rejects(&old, &holder), Some("REVOKED"));
    let new = world.issue(&api);
    assert_eq!(world.rejects(&new, &holder), None);
    assert_eq!(world.show(&["workload", "list", "--awaiting"])["workloads"], serde_json::json!([]));
    assert_eq!(world.show(&["workload", "accept", API])["was_waiting"], false);

    // It is the new team's: what ends the old one leaves it alone, and what ends the new one ends it.
    let revoke = |owner: &str| {
        let ended = ["owner", "revoke", owner, "--reason", "cessation-of-operation", "--wait", "published", "--format", "json"];
        world.broker.curfew(&world.administrator, ended).json()["ended"]["total"].clone()
    };
    assert_eq!(revoke("payments"), 0);
    assert_eq!(world.rejects(&new, &holder), None);
    let newer = world.issue(&api);
    assert_eq!(revoke("platform"), 2);
    assert_eq!([&old, &new, &newer].map(|token| world.rejects(token, &holder)), [Some("REVOKED"); 3]);
    world.broker.curfew(&world.administrator, ["owner", "reinstate", "platform", "--note", "it was the wrong one"]).done();
    world.issue(&api);

    fs::write(world.file("assets"), to("acme")).unwrap();
    let moved = world.until_workload(API, |workload| workload["owner"] == "acme");
    assert_eq!(moved["standing"], "awaits-owner", "{moved}");
    let ask = ["token", "issue", "--environment", "production", "--audience", AUDIENCE];
    assert!(world.broker.curfew(&api, ask).exits(2).stderr.contains("WORKLOAD_AWAITS_OWNER"));
    world.end();
}

#[test]
fn an_administrator_moves_a_service_to_another_team_and_it_goes_on_there_at_once() {
    let world = World::with("", |_| ());
    world.broker.apply(REGISTRY);
    let api = world.broker.identity("payments/api");
    let (old, holder) = (world.issue(&api), Holder::of(&api));
    let row = "    owner: payments\n    purpose: Takes payments";
    let moved = world.broker.scratch().join("moved.yaml");
    fs::write(&moved, changed(row, &row.replace("payments\n", "platform\n"))).unwrap();
    let apply = ["registry", "apply", moved.to_str().unwrap(), "--format", "json"];
    assert!(world.broker.curfew(&world.administrator, apply).exits(2).stderr.contains("--allow-end"), "it leaves something behind");
    assert_eq!(world.rejects(&old, &holder), None);
    let applied = world.broker.curfew(&world.administrator, apply.iter().chain(&["--allow-end", "1"])).json();
    let told: Vec<_> = applied["changes"].as_array().unwrap().iter().map(|change| (&change["action"], &change["name"])).collect();
    assert_eq!(told, [(&"move".into(), &API.into())], "{applied}");
    assert_eq!(world.rejects(&old, &holder), Some("REVOKED"));
    let new = world.issue(&api);
    assert_eq!(world.rejects(&new, &holder), None);
    let shown = world.show(&["workload", "show", API]);
    assert_eq!((&shown["owner"], &shown["standing"]), (&"platform".into(), &"active".into()), "{shown}");
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

/// What ends by itself at some time, and how that is told.
struct Ending {
    /// What the registry says of it, with a time of never.
    says: [&'static str; 2],
    /// What a credential says that is bounded by it.
    bound: &'static str,
    /// What is told of it: a command, what the entry says of the end, and why nothing is issued any more.
    show: [&'static str; 3],
    note: &'static str,
    refusal: &'static str,
    /// A workload that ends by it, and one that does not.
    path: &'static str,
    other: &'static str,
}

const CONTRACT: Ending = Ending {
    says: ["contract_end: 2099-12-31T23:00:00Z", "contract_end: "],
    bound: "contract",
    show: ["owner", "show", "acme"],
    note: "the contract ended at ",
    refusal: "OWNER_NOT_ACTIVE",
    path: "acme/reporting",
    other: "payments/api",
};

const REGISTRATION: Ending = Ending {
    says: ["purpose: Takes payments", "purpose: Takes payments\n    valid_until: "],
    bound: "workload",
    show: ["workload", "show", API],
    note: "it was registered until ",
    refusal: "WORKLOAD_NOT_ACTIVE",
    path: "payments/api",
    other: "payments/settlement",
};

/// Something ends at night, while nobody looks on; the broker runs at that moment, or is away and comes back after it.
fn ends_by_itself(ending: &Ending, away: bool) {
    let mut world = clocks::World::new();
    let end = Timestamp::from_seconds(Clock::system().now().seconds() + 40 * 60);
    let workload = world.broker.identity(ending.path);
    let issue = ["token", "issue", "--environment", "production", "--audience", AUDIENCE, "--format", "json"];
    let certify = ["cert", "issue", "--environment", "production", "--out", "own", "--format", "json"];
    let is_bounded = |issued: &Value| {
        let told = (issued["expires_at"].as_str(), issued["bound_by"].as_str());
        assert_eq!(told, (Some(&*end.to_string()), Some(ending.bound)), "{issued}");
    };
    let keep = |name: &str, token: &Value| fs::write(world.broker.scratch().join(name), token["token"].as_str().unwrap()).unwrap();

    // What was issued while there was no such end is dead once there is one.
    keep("early", &world.curfew(&workload, issue).json());
    assert_eq!(world.verdict_of("early", &workload), None);
    let [before, after] = ending.says;
    world.broker.apply(&changed(before, &format!("{after}{end}")));
    eventually(Duration::from_secs(30), || world.verdict_of("early", &workload).filter(|verdict| verdict.contains("REVOKED")));
    is_bounded(&world.curfew(&workload, certify).json());
    assert_eq!(world.verdict_on(&["cert", "own.pem"]), None);

    // A minute before, what is issued ends with it.
    world.set_to(end.minus(Duration::from_secs(60)));
    world.settles();
    let token = world.curfew(&workload, issue).json();
    is_bounded(&token);
    keep("token", &token);
    assert_eq!((world.verdict_of("token", &workload), world.verdict_on(&["cert", "own.pem"])), (None, None));
    if away {
        assert!(world.broker.stop().success());
    }
    world.set_to(end);
    if away {
        // Its server certificate begins now, by its clock alone.
        world.broker.serve();
        world.is_served();
    } else {
        world.settles();
    }
    world.until(&ending.show, |shown| shown["standing"].as_str().unwrap().starts_with("offboard"));
    for rejected in [world.verdict_of("token", &workload), world.verdict_on(&["cert", "own.pem"])].map(Option::unwrap_or_default) {
        assert!(rejected.contains("EXPIRED") || rejected.contains("REVOKED"), "{rejected}");
    }
    assert!(world.curfew(&workload, issue).exits(2).stderr.contains(ending.refusal));

    // By the broker itself, at the second, once.
    let entries = world.show(&["ledger", "list", "--limit", "1000"])["entries"].as_array().unwrap().clone();
    let cuts: Vec<_> = entries.iter().filter(|entry| entry["event"] == "cut" && entry["actor"] == Value::Null).collect();
    assert_eq!(cuts.len(), 1, "{cuts:?}");
    assert!(cuts[0]["summary"].as_str().unwrap().contains(&format!("{}{end}", ending.note)), "{cuts:?}");
    let at: Timestamp = cuts[0]["time"].as_str().unwrap().parse().unwrap();
    assert!(at >= end && (away || at.since(end) < Duration::from_secs(10)), "{cuts:?}");
    // Nobody else has ended.
    world.curfew(&world.broker.identity(ending.other), issue).done();
    world.nothing_is_lost(&[cuts[0]["position"].as_u64().unwrap()]);
}

#[test]
fn a_vendors_contract_ends_at_night() {
    ends_by_itself(&CONTRACT, false);
}

#[test]
fn a_vendors_contract_ends_while_the_broker_is_away() {
    ends_by_itself(&CONTRACT, true);
}

#[test]
fn a_workload_ends_at_night_when_it_was_registered_until_then() {
    ends_by_itself(&REGISTRATION, false);
}

#[test]
fn a_workload_that_was_registered_until_a_moment_at_which_the_broker_is_away_has_ended_when_it_is_back() {
    ends_by_itself(&REGISTRATION, true);
}
