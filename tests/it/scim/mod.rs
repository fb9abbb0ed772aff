//! Clients that provision over SCIM, as Entra and Okta send it and as nobody should; and the end of a
//! team, as a verifier sees it. The source is configured as its page says.

mod entra;
mod leaving;
mod okta;
mod owners;

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{AUDIENCE, Broker, REGISTRY, program, run};
use crate::https::{self, Answer};
use crate::outside::python;
use crate::process::get;

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// A broker with two sources, configured as the page says.
struct Provisioned {
    broker: Broker,
    token: String,
    other: String,
}

/// A token, and the block of the configuration that lets its holder provision.
fn source(name: &str) -> (String, String) {
    let made: Value = run(program().args(["source", "token", "--format", "json"])).json();
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/scim.md")).unwrap();
    let block = page.split("```toml").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let known = block.lines().find(|line| line.starts_with("token_hash")).unwrap();
    let hash = format!("token_hash = {}", made["token_hash"]);
    (made["token"].as_str().unwrap().to_owned(), block.replace(known, &hash).replace("\"entra\"", &format!("\"{name}\"")))
}

impl Provisioned {
    fn start() -> Self {
        Self::within("10%")
    }

    /// The same, where another share may end.
    fn within(share: &str) -> Self {
        Self::configured(share, |config| config)
    }

    /// The same, with a configuration that is changed.
    fn configured(share: &str, change: impl FnOnce(String) -> String) -> Self {
        let mut broker = Broker::prepare();
        let ((token, one), (other, two)) = (source("entra"), source("okta"));
        let blocks = format!("{one}{two}").replace("\"10%\"", &format!("\"{share}\""));
        let config = change(fs::read_to_string(broker.config()).unwrap());
        fs::write(broker.config(), format!("{config}{blocks}")).unwrap();
        broker.serve();
        Self { broker, token, other }
    }

    fn ask_as(&self, token: &str, method: &str, path: &str, body: &Value) -> Answer {
        ask(&self.broker, token, (method, path), body)
    }

    /// What is answered, if that is the status.
    #[track_caller]
    fn ask(&self, method: &str, path: &str, body: &Value, status: u16) -> Value {
        let answer = self.ask_as(&self.token, method, path, body);
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
        serde_json::from_str(&answer.body).unwrap_or_default()
    }

    #[track_caller]
    fn create(&self, path: &str, body: &Value) -> String {
        self.ask("POST", path, body, 201)["id"].as_str().unwrap().to_owned()
    }
}

/// What a client is answered that shows this token.
fn ask(broker: &Broker, token: &str, (method, path): (&str, &str), body: &Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let (bearer, length) = (format!("Bearer {token}"), body.len().to_string());
    let headers = [("Authorization", &*bearer), ("Content-Type", "application/scim+json"), ("Content-Length", &length)];
    https::send_body(broker, method, &format!("/scim/v2{path}"), (&headers, &body))
}

fn operations(operations: &Value) -> Value {
    json!({ "schemas": [PATCH], "Operations": operations })
}

/// The registry of the tests, with a workload of the owner `refunds`.
fn with_refunds() -> String {
    REGISTRY.replace(
        "workloads:\n",
        "workloads:\n  - spiffe_id: spiffe://example.org/refunds/api\n    owner: refunds\n    purpose: Pays back\n    environments: [production]\n",
    )
}

#[test]
fn a_team_is_dissolved_its_owner_offboards_and_a_verifier_rejects() {
    let world = Provisioned::start();
    let broker = &world.broker;
    let team = world.create("/Groups", &json!({ "schemas": [GROUP], "displayName": "Refunds" }));
    broker.apply(&with_refunds());
    let issue = ["token", "issue", "--environment", "production", "--audience", AUDIENCE, "--field", "token"];
    let workload = broker.identity("refunds/api");
    let token = broker.curfew(&workload, issue).done();
    let file = broker.scratch().join("token");
    fs::write(&file, token.trim()).unwrap();
    let verify = || {
        let certificate = workload.certificate.to_str().unwrap();
        broker.curfew(&workload, ["verify", "token", file.to_str().unwrap(), "--audience", AUDIENCE, "--presented", certificate])
    };
    verify().done();
    world.ask("DELETE", &format!("/Groups/{team}"), &Value::Null, 204);
    let refused = broker.curfew(&workload, issue);
    assert_eq!(refused.code, 2, "{refused:?}");
    let rejected = verify();
    assert_eq!(rejected.code, 5, "{rejected:?}");
}

#[test]
fn hr_deactivates_a_team_lead_and_the_team_is_suspended_when_the_grace_is_over() {
    let world = Provisioned::configured("10%", |config| {
        let changed = config.replace("ownerless = \"report\"", "ownerless = \"suspend\"").replace("grace = \"7d\"", "grace = \"0s\"");
        assert!(changed.contains("ownerless = \"suspend\"") && changed.contains("grace = \"0s\""));
        changed
    });
    let broker = &world.broker;
    broker.apply(REGISTRY);
    let lead = world.create("/Users", &json!({ "schemas": [USER], "userName": "head-of-payments@example.org", "active": true }));
    let issue = ["token", "issue", "--environment", "production", "--audience", AUDIENCE, "--field", "token"];
    let workload = broker.identity("payments/api");
    let file = broker.scratch().join("token");
    fs::write(&file, broker.curfew(&workload, issue).done().trim()).unwrap();
    let verify = || {
        let certificate = workload.certificate.to_str().unwrap();
        broker.curfew(&workload, ["verify", "token", file.to_str().unwrap(), "--audience", AUDIENCE, "--presented", certificate])
    };
    verify().done();
    let reconcile = || {
        let run = broker.curfew(&broker.administrator(), ["reconcile", "--format", "json"]).json();
        let steps = run["steps"].as_array().unwrap().clone();
        steps.iter().map(|step| format!("{} {}", step["step"], step["kind"]).replace('"', "")).collect::<Vec<_>>()
    };
    assert_eq!(reconcile(), [""; 0]);

    let set_active = |active: bool| {
        let change = operations(&json!([{ "op": "replace", "path": "active", "value": active }]));
        world.ask("PATCH", &format!("/Users/{lead}"), &change, 200);
    };
    set_active(false);
    verify().done();
    assert_eq!(reconcile(), ["raise ownerless"]);
    assert_eq!(reconcile(), ["suspend ownerless"]);
    assert_eq!(verify().code, 5);
    assert_eq!(broker.curfew(&workload, issue).code, 2);

    // Who comes back revives nothing: a person opens the team again.
    set_active(true);
    assert_eq!(reconcile(), ["resolve ownerless"]);
    assert_eq!(broker.curfew(&workload, issue).code, 2);
    broker.curfew(&broker.administrator(), ["owner", "reinstate", "payments", "--note", "the lead is back"]).done();
    broker.curfew(&workload, issue).done();
    assert_eq!(verify().code, 5, "what died stays dead");
}

#[test]
fn what_is_not_believed_is_shown_and_goes_on_once_a_person_let_it_through() {
    let world = Provisioned::start();
    let broker = &world.broker;
    let administrator = broker.administrator();
    let curfew = |command: &[&str]| broker.curfew(&administrator, command.iter().copied().chain(["--format", "json"]));
    let show = || curfew(&["source", "show", "entra"]).json();
    let group = |name: String| world.create("/Groups", &json!({ "schemas": [GROUP], "displayName": name }));
    let teams: Vec<String> = (0..8).map(|number| format!("/Groups/{}", group(format!("Team {number}")))).collect();
    let delete = |team: &str, status| drop(world.ask("DELETE", team, &Value::Null, status));
    assert_eq!((&show()["state"], &show()["records"]), (&json!("believed"), &json!(8)));
    teams[..3].iter().for_each(|team| delete(team, 204));
    delete(&teams[3], 503);
    let held = show();
    assert_eq!((&held["kind"], &held["state"], &held["ends"]), (&json!("scim"), &json!("not_believed"), &json!(4)));
    assert!(get(broker, "/metrics").1.contains("curfew_sources_doubted 1"));
    let other = curfew(&["source", "confirm", "entra", "--digest", &"0".repeat(64)]);
    assert_eq!(other.code, 2, "{other:?}");
    delete(&teams[3], 503);
    curfew(&["source", "confirm", "entra", "--digest", held["digest"].as_str().unwrap()]).done();
    assert_eq!(show()["state"], "believed");
    assert!(get(broker, "/metrics").1.contains("curfew_sources_doubted 0"));
    teams[3..6].iter().for_each(|team| delete(team, 204));
    delete(&teams[6], 503);
    assert_eq!(show()["state"], "not_believed", "as many again, and no more");
}

/// What shares all but a little with one of two tokens that are good.
fn nearly(token: &str, other: &str) -> Vec<String> {
    let changed = |at: usize| -> String {
        let change = |(index, c): (usize, char)| {
            if index != at {
                c
            } else if c == 'A' {
                'B'
            } else {
                'A'
            }
        };
        token.chars().enumerate().map(change).collect()
    };
    let half = token.len() / 2;
    let ((first, second), (_, of_other)) = (token.split_at(half), other.split_at(half));
    let (all_but_last, all_but_first) = (token.split_at(token.len() - 1).0, token.split_at(1).1);
    let mut nearly = [all_but_last, all_but_first, first, second].map(str::to_owned).to_vec();
    nearly.extend([format!("{token}A"), format!("A{token}"), format!("{token}{other}"), format!("{first}{of_other}")]);
    nearly.extend([0, half, token.len() - 1].map(changed));
    nearly.push(token.chars().map(|c| if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() }).collect());
    nearly
}

#[test]
fn who_is_no_client_learns_nothing_and_what_does_harm_is_refused() {
    let world = Provisioned::start();
    let id = world.create("/Users", &json!({ "schemas": [USER], "userName": "ada" }));
    let path = format!("/Users/{id}");
    for token in ["".to_owned(), "x".to_owned(), "a".repeat(8000)].into_iter().chain(nearly(&world.token, &world.other)) {
        let answer = world.ask_as(&token, "GET", &path, &Value::Null);
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, "Bearer realm=\"scim\""), "{token}");
    }
    let basic = format!("Basic {}", world.token);
    assert_eq!(https::send(&world.broker, "GET", "/scim/v2/Users", &[("Authorization", &basic)]).status, 401);
    for (method, body) in [("GET", Value::Null), ("DELETE", Value::Null), ("PUT", json!({ "schemas": [USER], "userName": "mine" }))] {
        assert_eq!(world.ask_as(&world.other, method, &path, &body).status, 404, "an id of another source");
    }
    let taken = world.ask_as(&world.other, "POST", "/Users", &json!({ "schemas": [USER], "userName": "Ada" }));
    assert_eq!(taken.status, 409);
    let huge = json!({ "schemas": [USER], "userName": "a".repeat(2 << 20) });
    assert_eq!(world.ask("POST", "/Users", &huge, 413)["status"], "413");
    let deep = format!("/Users?filter={}userName%20pr", "(".repeat(900));
    assert_eq!(world.ask("GET", &deep, &Value::Null, 400)["scimType"], "invalidFilter");
    let broad = format!("/Users?filter={}", ["userName%20pr"; 40].join("%20or%20"));
    assert_eq!(world.ask("GET", &broad, &Value::Null, 400)["scimType"], "invalidFilter");
    let nested = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    let bearer = format!("Bearer {}", world.token);
    let headers = [("Authorization", &*bearer), ("Content-Length", "10000")];
    assert_eq!(https::send_body(&world.broker, "POST", "/scim/v2/Users", (&headers, &nested)).status, 400);
    for (operation, word) in [
        (json!({ "op": "replace", "path": "shoeSize", "value": 46 }), "invalidPath"),
        (json!({ "op": "replace", "path": "emails[type eq \"work\"].value", "value": "x" }), "noTarget"),
        (json!({ "op": "replace", "path": "id", "value": "1" }), "mutability"),
    ] {
        assert_eq!(world.ask("PATCH", &path, &operations(&json!([operation])), 400)["scimType"], word);
    }
    let stale = [("Authorization", &*bearer), ("If-Match", "W/\"1\"")];
    assert_eq!(https::send(&world.broker, "DELETE", &format!("/scim/v2{path}"), &stale).status, 412);
    assert_eq!(world.ask("GET", &path, &Value::Null, 200)["userName"], "ada", "nothing of that changed anything");
    assert!(!world.broker.log().contains(&world.token), "no token is logged");
}

#[test]
fn a_client_that_wrote_too_much_is_told_so_and_a_start_forgets_nothing_of_it() {
    let mut broker = Broker::prepare();
    let (token, block) = source("entra");
    let config = fs::read_to_string(broker.config()).unwrap();
    assert!(block.contains("\"256MiB\""));
    fs::write(broker.config(), config + &block.replace("\"256MiB\"", "\"4KiB\"")).unwrap();
    broker.serve();
    let create = |broker: &Broker, name: &str| {
        let user = json!({ "schemas": [USER], "userName": name, "displayName": "x".repeat(1000) });
        ask(broker, &token, ("POST", "/Users"), &user)
    };
    let refused = ["one", "two", "three", "four"].iter().map(|name| create(&broker, name)).find(|answer| answer.status != 201).unwrap();
    assert_eq!(refused.status, 507, "{}", refused.body);
    assert!(refused.body.contains("max_bytes"), "{}", refused.body);
    let shown = broker.curfew(&broker.administrator(), ["source", "show", "entra", "--format", "json"]).json();
    assert_eq!((&shown["problem_count"], &shown["state"]), (&json!(1), &json!("believed")), "{shown}");
    broker.restart();
    assert_eq!(create(&broker, "four").status, 507);
    assert!(broker.stop().success());
    run(program().args(["ledger", "verify"]).arg(broker.dir().join("data/ledger.db"))).done();
}

#[test]
fn on_a_disk_that_is_nearly_full_nobody_new_is_provisioned_and_whoever_leaves_is_gone() {
    let mut broker = Broker::prepare();
    let (token, block) = source("entra");
    let config = fs::read_to_string(broker.config()).unwrap() + &block;
    fs::write(broker.config(), &config).unwrap();
    broker.serve();
    let user = |name: &str| json!({ "schemas": [USER], "userName": name });
    let known: Value = serde_json::from_str(&ask(&broker, &token, ("POST", "/Users"), &user("one")).body).unwrap();
    let full = config.replace("min_free_disk = \"256MiB\"", "min_free_disk = \"1000000GiB\"");
    assert_ne!(full, config);
    fs::write(broker.config(), full).unwrap();
    broker.restart();
    let refused = ask(&broker, &token, ("POST", "/Users"), &user("two"));
    assert_eq!(refused.status, 503, "{}", refused.body);
    let gone = ask(&broker, &token, ("DELETE", &format!("/Users/{}", known["id"].as_str().unwrap())), &json!({}));
    assert_eq!(gone.status, 204, "{}", gone.body);
}

#[test]
fn scim2_tester_finds_nothing_and_scim2_cli_works_with_it() {
    // It deletes most of what it creates.
    let world = Provisioned::within("100%");
    let told = json!({ "url": format!("{}/scim/v2", world.broker.public_url()), "token": world.token, "ca": world.broker.ca() });
    let file = world.broker.scratch().join("scim.json");
    fs::write(&file, told.to_string()).unwrap();
    let mut command: Command = python("scim.py");
    run(command.arg(&file)).done();
}
