//! Records that other systems export, by the commands that people type, each ending with a verifier that rejects.

use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use crate::exporter::Exporter;
use crate::harness::{AUDIENCE, REGISTRY, eventually};
use crate::holder::Holder;
use crate::sources::World;

const API: &str = "spiffe://example.org/payments/api";

/// What an asset database exports: the workload of the tests and three others, without those that are gone.
fn assets(gone: &[&str]) -> String {
    let names = ["api", "one", "two", "three"].into_iter().filter(|name| !gone.contains(name));
    let row = |name: &str| {
        let id = format!("spiffe://example.org/payments/{name}");
        serde_json::json!({"id": id, "team": "payments", "what": "pays", "where": ["production"]})
    };
    serde_json::json!({"page": 1, "assets": names.map(row).collect::<Vec<_>>()}).to_string()
}

/// The registry of the tests without its workloads, which come from elsewhere.
pub(crate) fn without_workloads() -> String {
    let (before, rest) = REGISTRY.split_once("workloads:\n").unwrap();
    let (_, after) = rest.split_once("downstreams:\n").unwrap();
    format!("{before}downstreams:\n{after}")
}

#[test]
fn of_a_large_feed_the_log_says_how_far_its_reading_is() {
    let table = "[[source]]\nname = \"clusters\"\nkind = \"feed\"\npath = \"clusters.csv\"\nholds = [\"inventory\"]\nevery = \"1s\"\n";
    let rows = (0..100_000).map(|number| format!("spiffe://example.org/clusters/{number}\n"));
    let world = World::with(table, |dir| fs::write(dir.join("clusters.csv"), format!("spiffe_id\n{}", rows.collect::<String>())).unwrap());
    world.broker.says(&["reading{source=clusters}", "rows=100000"]);
}

#[test]
fn what_an_address_names_no_longer_is_dead_and_what_it_leaves_out_by_mistake_is_not() {
    let exporter = Exporter::of(assets(&[]));
    let table = format!(
        "[[source]]\nname = \"assets\"\nkind = \"feed\"\nurl = \"http://{}/all.json\"\nholds = [\"workloads\"]\nitems = \"assets\"\n\
         columns = {{ spiffe_id = \"id\", owner = \"team\", purpose = \"what\", environments = \"where\" }}\n\
         every = \"1s\"\nallow_http = true\nallow_private = true\n",
        exporter.address
    );
    let world = World::with(&table, |_| ());
    // Nobody records the team yet: nothing of it can be used.
    world.until("assets", |source| source["why"].as_str().is_some_and(|why| why.starts_with("nearly all of it is wrong: 4 records")));
    world.broker.apply(&without_workloads());
    world.until("assets", |source| source["records"] == 4 && source["problem_count"] == 0);
    let api = world.broker.identity("payments/api");
    let (token, holder) = (world.issue(&api), Holder::of(&api));
    // What is known is not sent again, and counts as heard.
    let heard = world.until("assets", |_| exporter.unchanged() > 0);
    world.until("assets", |source| source["believed_at"].as_str() > heard["believed_at"].as_str());

    // It flaps: empty, not even JSON, and back. Nothing ends.
    for _ in 0..3 {
        exporter.say(assets(&["api", "one", "two", "three"]));
        world.until("assets", |source| source["why"] == "it is empty, and 4 of its records are known");
        exporter.say("<html>maintenance</html>".to_owned());
        world.until("assets", |source| source["why"].as_str().is_some_and(|why| why.starts_with("expected value")));
    }
    exporter.say(assets(&[]));
    world.until("assets", |source| source["state"] == "believed");
    assert_eq!(world.rejects(&token, &holder), None);
    world.issue(&api);
    let told = world.entries().iter().filter(|entry| entry["event"] == "source_held").count();
    assert_eq!(told, 3, "each once, however often: all wrong, empty, not read");

    // A row that is wrong stays as it is; one that is gone is at an end.
    exporter.say(assets(&["three"]).replacen("\"payments\"", "\"nobody\"", 1));
    let told = world.until("assets", |source| source["records"] == 3 && source["problem_count"] == 1);
    let problem = told["problems"][0].as_str().unwrap();
    assert!(problem.starts_with(&format!("item 1: workload `{API}`: owner: `nobody` is not declared")), "{problem}");
    assert_eq!(world.rejects(&token, &holder), None);
    exporter.say(assets(&["api", "three"]));
    world.until("assets", |source| source["records"] == 2);
    assert_eq!(world.rejects(&token, &holder), Some("REVOKED"));
    world.broker.curfew(&api, ["token", "issue", "--environment", "production", "--audience", AUDIENCE]).exits(2);
    world.end();
}

#[test]
fn an_address_that_is_inside_or_leads_to_another_is_not_followed_and_its_source_says_so() {
    let inside = TcpListener::bind("127.0.0.1:0").unwrap();
    inside.set_nonblocking(true).unwrap();
    let port = inside.local_addr().unwrap().port();
    let person = r#"[{"id": "ada@example.org", "active": true}]"#;
    let moved = Exporter::moved(person.to_owned(), format!("http://127.0.0.1:{port}/people.json"));
    let feed = |name: &str, address: &str, more: &str| {
        format!(
            "[[source]]\nname = \"{name}\"\nkind = \"feed\"\nurl = \"http://{address}/people.json\"\nholds = [\"people\"]\n\
             every = \"1s\"\nallow_http = true\n{more}"
        )
    };
    let tables = [
        feed("named", &format!("localhost:{port}"), ""),
        feed("numbered", &format!("127.0.0.1:{port}"), ""),
        feed("moved", &moved.address.to_string(), "allow_private = true\n"),
    ];
    let world = World::with(&tables.concat(), |_| ());
    let is_inside = "which is not of the public network; write `allow_private = true` if that is right";
    let is_elsewhere = "it answers 302 Found, and nobody is followed elsewhere: write the address where it is";
    for (source, why) in [("named", is_inside), ("numbered", is_inside), ("moved", is_elsewhere)] {
        let told = world.until(source, |source| source["why"].is_string());
        assert!(told["why"].as_str().unwrap().ends_with(why), "{told}");
        assert_eq!((&told["state"], told["records"].as_u64()), (&"not_believed".into(), Some(0)), "{told}");
    }
    assert_eq!(inside.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "nobody came");
    world.end();
}

/// Configures that what is found is acted on without a time of grace.
pub(crate) fn at_once(folder: &Path, kind: &str, action: &str) {
    let config = fs::read_to_string(folder.join("curfew.toml")).unwrap();
    let (before, after) = (format!("{kind} = \"report\""), format!("{kind} = \"{action}\""));
    let changed = config.replace(&before, &after).replace("grace = \"7d\"", "grace = \"0s\"");
    assert!(changed.contains(&after) && changed.contains("grace = \"0s\""));
    fs::write(folder.join("curfew.toml"), changed).unwrap();
}

/// What a run of reconciliation does.
pub(crate) fn steps(world: &World) -> Vec<String> {
    in_words(&world.show(&["reconcile"]))
}

/// What a run does or would do: what, of which kind, about whom.
pub(crate) fn in_words(run: &serde_json::Value) -> Vec<String> {
    let steps = run["steps"].as_array().unwrap();
    steps.iter().map(|step| format!("{} {} {}", step["step"], step["kind"], step["about"]).replace('"', "")).collect()
}

/// Puts what an export says in its place.
pub(crate) fn put(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join("new"), text).unwrap();
    fs::rename(folder.join("new"), folder.join(name)).unwrap();
}

#[test]
fn an_export_that_shrinks_by_more_than_its_share_ends_nothing_until_a_person_confirms_it() {
    let table = "[[source]]\nname = \"assets\"\nkind = \"feed\"\npath = \"assets.csv\"\nholds = [\"workloads\"]\nevery = \"1s\"\n\
                 defaults = { purpose = \"pays\", environments = \"production\" }\n";
    let row = |name: &&str| format!("spiffe://example.org/payments/{name},payments\n");
    let rows = |names: &[&str]| format!("spiffe_id,owner\n{}", names.iter().map(row).collect::<String>());
    let world = World::with(table, |folder| put(folder, "assets.csv", &rows(&["api", "one", "two", "three", "four"])));
    world.broker.apply(&without_workloads());
    world.until("assets", |source| source["records"] == 5);
    let api = world.broker.identity("payments/api");
    let (token, holder) = (world.issue(&api), Holder::of(&api));

    put(&world.broker.dir(), "assets.csv", &rows(&["four"]));
    let doubted = world.until_doubted("assets");
    assert_eq!(doubted["why"], "it would end 4 of 5 records, and at most 10 in a hundred may end within a day");
    assert_eq!((&doubted["ends"], doubted["changes"].as_array().unwrap().len()), (&4.into(), 4));
    assert!(doubted["until"].is_null(), "time changes nothing: {doubted}");
    let first = &doubted["changes"][0];
    assert_eq!((&first["action"], &first["name"], &first["living"]), (&"end".into(), &API.into(), &1.into()), "{first}");
    assert_eq!(world.rejects(&token, &holder), None);
    world.issue(&api);

    world.confirm(&doubted);
    world.until("assets", |source| source["state"] == "believed" && source["records"] == 1);
    assert_eq!(world.rejects(&token, &holder), Some("REVOKED"));
    world.broker.curfew(&api, ["token", "issue", "--environment", "production", "--audience", AUDIENCE]).exits(2);
    world.end();
}

#[test]
fn an_export_that_loses_a_row_again_and_again_ends_no_more_than_a_day_may_until_a_person_confirms_it() {
    let table = "[[source]]\nname = \"assets\"\nkind = \"feed\"\npath = \"assets.csv\"\nholds = [\"workloads\"]\nevery = \"1s\"\n\
                 defaults = { purpose = \"pays\", environments = \"production\" }\n";
    let names = ["one", "two", "three", "api", "five"];
    let row = |name: &&str| format!("spiffe://example.org/payments/{name},payments\n");
    let without = |lost: usize| format!("spiffe_id,owner\n{}", names[lost..].iter().map(row).collect::<String>());
    let mut world = World::with(table, |folder| put(folder, "assets.csv", &without(0)));
    world.broker.apply(&without_workloads());
    world.until("assets", |source| source["records"] == 5);
    let [three, api, five] = ["three", "api", "five"].map(|name| {
        let identity = world.broker.identity(&format!("payments/{name}"));
        let (token, holder) = (world.issue(&identity), Holder::of(&identity));
        (identity, token, holder)
    });
    for lost in 1..=3 {
        put(&world.broker.dir(), "assets.csv", &without(lost));
        world.until("assets", |source| source["state"] == "believed" && source["records"] == 5 - lost);
    }
    assert_eq!(world.rejects(&three.1, &three.2), Some("REVOKED"));

    // A start forgets none of them.
    world.broker.restart();
    put(&world.broker.dir(), "assets.csv", &without(4));
    let doubted = world.until_doubted("assets");
    let why = "it would end 1 of 2 records besides those that ended before, and at most 10 in a hundred may end within a day";
    assert_eq!((&doubted["why"], &doubted["ends"]), (&why.into(), &4.into()), "{doubted}");
    assert!(doubted["until"].is_string(), "time lets it through too: {doubted}");
    assert_eq!((doubted["changes"].as_array().unwrap().len(), &doubted["changes"][0]["name"]), (1, &API.into()), "{doubted}");
    assert_eq!((world.rejects(&api.1, &api.2), world.rejects(&five.1, &five.2)), (None, None));
    world.issue(&api.0);

    world.confirm(&doubted);
    world.until("assets", |source| source["state"] == "believed" && source["records"] == 1);
    assert_eq!((world.rejects(&api.1, &api.2), world.rejects(&five.1, &five.2)), (Some("REVOKED"), None));
    world.broker.curfew(&api.0, ["token", "issue", "--environment", "production", "--audience", AUDIENCE]).exits(2);
    let told: Vec<_> =
        world.entries().iter().filter(|entry| entry["event"] == "source_ended").map(|entry| entry["summary"].clone()).collect();
    assert_eq!(told, ["source assets ended 1 of its records"; 3], "what is confirmed does not count");
    world.end();
}

#[test]
fn an_export_of_which_the_dates_or_the_words_break_ends_nobody_until_a_person_confirms_it() {
    let table = |name: &str, holds: &str| {
        format!("[[source]]\nname = \"{name}\"\nkind = \"feed\"\npath = \"{name}.csv\"\nholds = [\"{holds}\"]\nevery = \"1s\"\n")
    };
    let teams = |until: &str| {
        let row = |id: &str| format!("{id},team,head@example.org,oncall@example.org,{until}\n");
        let rows = ["payments", "platform", "acme", "one", "two"].map(row).concat();
        format!("id,kind,business_owner,technical_owner,contract_end\n{rows}")
    };
    let staff = |active: &str| {
        let rows = ["head", "oncall", "ada", "bob"].map(|name| format!("{name}@example.org,{active}\n")).concat();
        format!("id,active\n{rows}")
    };
    let world = World::with(&(table("teams", "owners") + &table("staff", "people")), |folder| {
        put(folder, "teams.csv", &teams("2099-12-31"));
        put(folder, "staff.csv", &staff("yes"));
    });
    world.until("teams", |source| source["records"] == 5);
    world.until("staff", |source| source["records"] == 4);
    let (environments, rest) = REGISTRY.split_once("owners:\n").unwrap();
    let (_, services) = rest.split_once("workloads:\n").unwrap();
    world.broker.apply(&format!("{environments}workloads:\n{services}"));
    let api = world.broker.identity("payments/api");
    let (token, holder) = (world.issue(&api), Holder::of(&api));

    put(&world.broker.dir(), "staff.csv", &staff("no"));
    let doubted = world.until_doubted("staff");
    assert_eq!(doubted["why"], "it would end 4 of 4 records, and at most 10 in a hundred may end within a day");
    put(&world.broker.dir(), "staff.csv", &staff("yes"));
    world.until("staff", |source| source["state"] == "believed");

    put(&world.broker.dir(), "teams.csv", &teams("2020-01-01"));
    let doubted = world.until_doubted("teams");
    assert_eq!(doubted["why"], "it would end 5 of 5 records, and at most 10 in a hundred may end within a day");
    let payments = doubted["changes"].as_array().unwrap().iter().find(|change| change["name"] == "payments").unwrap();
    assert_eq!((&payments["action"], &payments["living"]), (&"end".into(), &1.into()), "{payments}");
    assert_eq!(world.rejects(&token, &holder), None);
    world.issue(&api);

    world.confirm(&doubted);
    eventually(Duration::from_secs(30), || Some(world.show(&["owner", "show", "payments"])).filter(|owner| owner["standing"] != "active"));
    assert_eq!(world.rejects(&token, &holder), Some("REVOKED"));
    world.broker.curfew(&api, ["token", "issue", "--environment", "production", "--audience", AUDIENCE]).exits(2);
    world.end();
}

#[test]
fn a_downstream_whose_owner_is_in_no_list_of_people_is_found_and_dies_if_that_is_configured() {
    let table = "[[source]]\nname = \"staff\"\nkind = \"feed\"\npath = \"staff.csv\"\nholds = [\"people\"]\nevery = \"1s\"\n";
    let say = |folder: &Path, active: bool| {
        fs::write(folder.join("new.csv"), format!("id,active\nops@example.org,true\nlead@example.org,{active}\n")).unwrap();
        fs::rename(folder.join("new.csv"), folder.join("staff.csv")).unwrap();
    };
    let world = World::with(table, |folder| {
        at_once(folder, "ownerless", "suspend");
        say(folder, true);
    });
    world.broker.apply(&REGISTRY.replace("head-of-ledger@example.org", "lead@example.org"));
    world.until("staff", |source| source["records"] == 2);
    let api = world.broker.identity("payments/api");
    let (token, holder) = (world.issue(&api), Holder::of(&api));
    let steps = || steps(&world);
    assert_eq!(steps(), [""; 0]);
    let head = world.head();
    say(&world.broker.dir(), false);
    eventually(Duration::from_secs(30), || {
        Some(())
            .filter(|()| world.entries().iter().any(|entry| entry["position"].as_u64() > Some(head) && entry["event"] == "person_recorded"))
    });
    assert_eq!(steps(), ["raise ownerless downstream ledger-api"]);
    let found = world.show(&["finding", "list"])["findings"][0].clone();
    assert_eq!((found["about"].as_str(), found["action"].as_str()), (Some("downstream ledger-api"), Some("suspend")), "{found}");
    assert_eq!(world.rejects(&token, &holder), None);
    assert_eq!(steps(), ["suspend ownerless downstream ledger-api"]);
    assert_eq!(world.rejects(&token, &holder), Some("REVOKED"));
    assert_eq!(world.show(&["downstream", "show", "ledger-api"])["standing"], "suspended");
    let ask = ["token", "issue", "--environment", "production", "--audience", AUDIENCE];
    assert!(world.broker.curfew(&api, ask).exits(2).stderr.contains("DOWNSTREAM_NOT_ACTIVE"));

    // Who comes back opens nothing: a person does, and what died stays dead.
    say(&world.broker.dir(), true);
    assert_eq!(steps(), ["resolve ownerless downstream ledger-api"]);
    world.broker.curfew(&api, ask).exits(2);
    world.broker.curfew(&world.administrator, ["downstream", "reinstate", "ledger-api", "--note", "the lead is back"]).done();
    world.issue(&api);
    assert_eq!(world.rejects(&token, &holder), Some("REVOKED"));
    world.end();
}

#[test]
fn what_no_inventory_names_is_a_ghost_and_dies_if_that_is_configured() {
    let table = "[[source]]\nname = \"clusters\"\nkind = \"feed\"\npath = \"clusters.json\"\nholds = [\"inventory\"]\nevery = \"1s\"\n\
                 columns = { spiffe_id = \"id\" }\ncovers = \"spiffe://example.org/payments/\"\n";
    let say = |folder: &Path, names: &[&str]| {
        let rows: Vec<_> = names.iter().map(|name| serde_json::json!({"id": format!("spiffe://example.org/payments/{name}")})).collect();
        fs::write(folder.join("new.json"), serde_json::to_vec(&rows).unwrap()).unwrap();
        fs::rename(folder.join("new.json"), folder.join("clusters.json")).unwrap();
    };
    let mut world = World::with(table, |folder| {
        at_once(folder, "ghost", "revoke");
        say(folder, &["api", "settlement"]);
    });
    world.broker.apply(REGISTRY);
    world.until("clusters", |source| source["records"] == 2);
    let api = world.broker.identity("payments/api");
    let (token, holder) = (world.issue(&api), Holder::of(&api));
    assert_eq!(steps(&world), [""; 0]);
    say(&world.broker.dir(), &["settlement"]);
    world.until("clusters", |source| source["records"] == 1);
    assert_eq!(steps(&world), [format!("raise ghost {API}")]);
    // After a start it is told anew only once it was read again; what was told stays.
    fs::rename(world.broker.dir().join("clusters.json"), world.broker.dir().join("away.json")).unwrap();
    world.broker.restart();
    world.until("clusters", |source| source["state"] == "not_believed");
    assert_eq!(steps(&world), [""; 0]);
    assert_eq!(world.rejects(&token, &holder), None);
    say(&world.broker.dir(), &["settlement"]);
    world.until("clusters", |source| source["state"] == "believed");
    assert_eq!(steps(&world), [format!("revoke ghost {API}")]);
    assert_eq!(world.rejects(&token, &holder), Some("REVOKED"));
    world.broker.curfew(&api, ["token", "issue", "--environment", "production", "--audience", AUDIENCE]).exits(2);
    world.end();
}
