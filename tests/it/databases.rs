//! Records that come from a real PostgreSQL, by the commands that people type, each ending with a verifier that rejects.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::feeds::{at_once, steps, without_workloads};
use crate::harness::{AUDIENCE, REGISTRY, eventually, run};
use crate::holder::Holder;
use crate::postgres::{Postgres, READER};
use crate::sources::World;

const PATIENCE: Duration = Duration::from_secs(30);
const API: &str = "spiffe://example.org/payments/api";

/// A source with a query, over TLS.
pub(crate) fn table(database: &Postgres, name: &str, holds: &str, rest: &str) -> String {
    format!(
        "[[source]]\nname = \"{name}\"\nkind = \"sql\"\nurl = \"postgresql://{}@localhost:{}/postgres\"\nholds = [\"{holds}\"]\n\
         password_file = \"reader.password\"\ncacert = \"{}\"\nevery = \"1s\"\n{rest}\n",
        READER.0,
        database.port,
        database.authority().display()
    )
}

/// A broker with these sources, which acts on what nobody answers for without a time of grace.
fn world(tables: &str) -> World {
    World::with(tables, |folder| {
        at_once(folder, "ownerless", "suspend");
        keep_password(folder);
    })
}

/// Puts the password of the reader where those sources look for it.
pub(crate) fn keep_password(folder: &Path) {
    let password = folder.join("reader.password");
    fs::write(&password, format!("{}\n", READER.1)).unwrap();
    run(Command::new("chmod").arg("600").arg(&password)).done();
}

#[test]
fn what_the_hr_database_says_is_so_until_it_cannot_be_asked() {
    let mut database = Postgres::start();
    database.sql(
        "CREATE DOMAIN mail AS varchar(200); CREATE TYPE state AS ENUM ('active', 'inactive');
         CREATE TABLE staff (nr int PRIMARY KEY, mail mail, state state NOT NULL, team text);
         CREATE TABLE contracts (nr char(8) PRIMARY KEY, vendor text, until timestamptz, day date);
         INSERT INTO staff VALUES (1, 'ada@example.org', 'active'), (2, 'bob@example.org', 'active'), (3, 'kim@example.org', 'active');
         INSERT INTO contracts VALUES ('C-1', 'payments', '2099-12-31 12:00+02', '2099-12-31');
         GRANT SELECT ON staff, contracts TO reader",
    );
    let people = "query = \"SELECT nr AS record, mail AS id, state FROM staff ORDER BY random()\"\ncolumns = { active = \"state\" }";
    let contracts = "query = \"SELECT nr AS record, vendor AS owner, until AS \\\"end\\\" FROM contracts\"";
    let tables = table(&database, "staff", "people", people) + &table(&database, "contracts", "contracts", contracts);
    let world = world(&tables);
    world.broker.apply(REGISTRY);
    world.until("staff", |source| source["records"] == 3);
    world.until("contracts", |source| source["records"] == 1 && source["problem_count"] == 0);
    let api = world.broker.identity("payments/api");
    let (token, holder) = (world.issue(&api), Holder::of(&api));

    // Inserted, changed, deleted. However the rows come, what is the same is no change.
    database.sql("INSERT INTO staff VALUES (4, 'eve@example.org', 'inactive'); UPDATE staff SET state = 'inactive' WHERE nr = 2");
    world.until("staff", |source| source["records"] == 4);
    database.sql("DELETE FROM staff WHERE nr = 3");
    world.until("staff", |source| source["records"] == 3);
    let heads = || world.entries().iter().filter(|entry| entry["event"].as_str().is_some_and(|event| event.starts_with("person_"))).count();
    let before = heads();
    let believed = world.until("staff", |source| source["state"] == "believed");
    world.until("staff", |source| source["believed_at"].as_str() > believed["believed_at"].as_str());
    assert_eq!((before, heads()), (6, 6), "three and one recorded, one changed, one ended");

    // A database that is gone, or a query that fails, is not an empty one.
    database.kill();
    let doubted = world.until("contracts", |source| source["state"] == "not_believed");
    assert!(!doubted.to_string().contains(READER.1), "{doubted}");
    assert_eq!(world.rejects(&token, &holder), None);
    database.serve();
    world.until("contracts", |source| source["state"] == "believed");
    database.sql("ALTER TABLE contracts RENAME TO elsewhere");
    let doubted = world.until("contracts", |source| source["state"] == "not_believed");
    assert_eq!(doubted["why"].as_str(), Some("the database says: relation \"contracts\" does not exist (42P01)"));
    database.sql("ALTER TABLE elsewhere RENAME TO contracts");
    world.until("contracts", |source| source["state"] == "believed");

    // The contract is over.
    database.sql("UPDATE contracts SET until = now()");
    eventually(PATIENCE, || Some(world.show(&["owner", "show", "payments"])).filter(|owner| owner["standing"] != "active"));
    assert_eq!(world.rejects(&token, &holder), Some("REVOKED"));
    world.broker.curfew(&api, ["token", "issue", "--environment", "production", "--audience", AUDIENCE]).exits(2);
    assert!(!world.broker.log().contains(READER.1));
    world.end();
}

#[test]
fn rows_of_workloads_are_judged_one_by_one_and_what_is_deleted_is_dead() {
    let database = Postgres::start();
    database.sql(&format!(
        "CREATE TABLE assets (id text, team text, environments text[], until timestamptz, cost numeric, seen timestamp);
         INSERT INTO assets VALUES ('{API}', 'payments', ARRAY['production', 'staging'], NULL, 1.5, now()),
             ('spiffe://example.org/payments/one', 'payments', ARRAY['production'], '2099-12-31 12:00+00', 2, now()),
             ('spiffe://example.org/payments/two', 'payments', ARRAY['production'], 'infinity', 2, now()),
             ('spiffe://example.org/payments/three', 'payments', ARRAY['nowhere'], NULL, 2, now());
         GRANT SELECT, DELETE ON assets TO reader"
    ));
    let query = |what: &str| {
        format!(
            "query = \"{what}\"\ncolumns = {{ spiffe_id = \"id\", owner = \"team\", valid_until = \"until\" }}\ndefaults = {{ purpose = \"pays\" }}"
        )
    };
    let deleting = "DELETE FROM assets RETURNING *";
    let tables = table(&database, "assets", "workloads", &query("SELECT id, team, environments, until FROM assets"))
        + &table(&database, "seen", "workloads", &query("SELECT id, team, environments, seen AS until FROM assets"))
        + &table(&database, "cost", "workloads", &query("SELECT id, team, environments, cost AS until FROM assets"))
        + &table(&database, "deleting", "workloads", &query(deleting))
        + &table(&database, "several", "workloads", &query("SELECT 1; DELETE FROM assets"))
        + &table(&database, "spoilt", "workloads", &query("SELECT id, team, environments, id::timestamptz AS until FROM assets"))
        + &table(&database, "slow", "workloads", &format!("timeout = \"1s\"\n{}", query("SELECT pg_sleep(60), * FROM assets")))
        + &table(&database, "stranger", "workloads", &query("SELECT * FROM assets"))
            .replace(&database.authority().display().to_string(), "../broker/trust/example.org.pem");
    let world = world(&tables);
    world.broker.apply(&without_workloads());
    let told = world.until("assets", |source| source["problem_count"] == 2);
    let problems = told["problems"].to_string();
    assert!(problems.contains("payments/two`: valid_until: it is no instant of ours; write NULL for no end"), "{problems}");
    assert!(problems.contains("payments/three`: environments: `nowhere` is not declared"), "{problems}");
    assert_eq!(told["records"], 2);
    for (name, why) in [
        ("seen", "the column `until` is of the type timestamp, which no field can be: write until AT TIME ZONE 'UTC' in the query"),
        ("cost", "the column `until` is of the type numeric, which no field can be: write until::text in the query"),
        ("deleting", "the database says: cannot execute DELETE in a read-only transaction (25006)"),
        ("several", "the database says: cannot insert multiple commands into a prepared statement (42601)"),
        // Its own words repeat the value of a row.
        ("spoilt", "the database cannot make of a value what the query wants (22007); what it says of that is in its own log"),
    ] {
        assert_eq!(world.until(name, |source| source["state"] == "not_believed")["why"].as_str(), Some(why), "{name}");
    }
    let why = world.until("slow", |source| source["state"] == "not_believed")["why"].to_string();
    assert!(why.contains("within 1 s") || why.contains("statement timeout"), "{why}");
    let why = world.until("stranger", |source| source["state"] == "not_believed")["why"].to_string();
    assert!(why.contains("certificate"), "{why}");

    let api = world.broker.identity("payments/api");
    let (token, holder) = (world.issue(&api), Holder::of(&api));
    database.sql(&format!("DELETE FROM assets WHERE id = '{API}'"));
    world.until("assets", |source| source["records"] == 1);
    assert_eq!(world.rejects(&token, &holder), Some("REVOKED"));
    world.broker.curfew(&api, ["token", "issue", "--environment", "production", "--audience", AUDIENCE]).exits(2);
    world.end();
}

#[test]
fn a_staff_table_that_comes_out_empty_ends_nobody_until_a_person_confirms_it() {
    let database = Postgres::start();
    database.sql(
        "CREATE TABLE staff (mail text PRIMARY KEY);
         INSERT INTO staff VALUES ('head-of-payments@example.org'), ('payments-oncall@example.org');
         GRANT SELECT ON staff TO reader",
    );
    let world = world(&table(&database, "staff", "people", "query = \"SELECT mail AS id FROM staff\""));
    world.broker.apply(REGISTRY);
    world.until("staff", |source| source["records"] == 2);
    let api = world.broker.identity("payments/api");
    let (token, holder) = (world.issue(&api), Holder::of(&api));
    assert_eq!(steps(&world), [""; 0]);

    database.sql("DELETE FROM staff");
    let doubted = world.until_doubted("staff");
    assert_eq!(doubted["why"], "it is empty, and 2 of its records are known");
    assert_eq!((&doubted["ends"], &doubted["records"]), (&2.into(), &2.into()));
    assert_eq!(steps(&world), [""; 0], "who is not believed to be gone is missed nowhere");
    assert_eq!(world.rejects(&token, &holder), None);
    world.issue(&api);

    // It is meant: nobody answers for payments any more.
    world.confirm(&doubted);
    world.until("staff", |source| source["state"] == "believed" && source["records"] == 0);
    assert_eq!(steps(&world), ["raise ownerless payments"]);
    assert_eq!(world.rejects(&token, &holder), None);
    assert_eq!(steps(&world), ["suspend ownerless payments"]);
    assert_eq!(world.show(&["owner", "show", "payments"])["standing"], "suspended");
    assert_eq!(world.rejects(&token, &holder), Some("REVOKED"));
    world.broker.curfew(&api, ["token", "issue", "--environment", "production", "--audience", AUDIENCE]).exits(2);
    world.end();
}

#[test]
fn what_was_issued_for_a_service_that_is_decommissioned_in_the_asset_database_is_dead() {
    let database = Postgres::start();
    database.sql(&format!(
        "CREATE TABLE services (name text PRIMARY KEY, takes text[], audiences text[], environments text[], checks text);
         INSERT INTO services VALUES ('ledger-api', '{{tokens}}', '{{{AUDIENCE}}}', '{{production,staging}}', 'follower'),
             ('mesh', '{{certificates}}', NULL, '{{production}}', 'follower');
         GRANT SELECT ON services TO reader"
    ));
    let query = "query = \"SELECT * FROM services\"\ncolumns = { accepts = \"takes\", verifier_kind = \"checks\" }";
    let world = world(&table(&database, "assets", "downstreams", query));
    let (others, _) = REGISTRY.split_once("downstreams:\n").unwrap();
    world.broker.apply(others);
    world.until("assets", |source| source["records"] == 2 && source["problem_count"] == 0);
    assert_eq!(world.show(&["downstream", "show", "ledger-api"])["source"], "assets");
    let api = world.broker.identity("payments/api");
    let (token, holder) = (world.issue(&api), Holder::of(&api));
    assert_eq!(world.rejects(&token, &holder), None);

    database.sql("DELETE FROM services WHERE name = 'ledger-api'");
    world.until("assets", |source| source["records"] == 1);
    assert_eq!(world.rejects(&token, &holder), Some("REVOKED"));
    world.broker.curfew(&api, ["token", "issue", "--environment", "production", "--audience", AUDIENCE]).exits(2);
    world.end();
}
