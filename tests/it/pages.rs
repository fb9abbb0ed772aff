//! The sources as their page configures them, all of them in one broker: what each says arrives, and ends when the
//! source says so. (The client of the page on SCIM is what `scim` provisions with.)

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::authority::Vouched;
use crate::exporter::Exporter;
use crate::feeds::put;
use crate::harness::{REGISTRY, program, run};
use crate::holder::Holder;
use crate::postgres::Postgres;
use crate::sources::World;

/// What is shown to the feed, and to the database.
const AUTHORIZATION: &str = "Bearer what the feed wants to see";
const PASSWORD: &str = "what the database wants to see";

/// A workload that a query names.
const SCAN: &str = "spiffe://example.org/platform/scan";

/// Every block of configuration of a page, as it stands there.
fn blocks(page: &str) -> String {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(page)).unwrap();
    page.split("```toml").skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// The names of the sources in it.
fn names(tables: &str) -> Vec<&str> {
    tables.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"')).collect()
}

/// The same where the systems of the page are on this machine: what stands there once is another thing here.
fn here(tables: String, changes: &[(&str, &str)]) -> String {
    changes.iter().fold(tables, |tables, (there, here)| {
        assert_eq!(tables.matches(there).count(), 1, "{there}");
        tables.replace(there, here)
    })
}

/// A database as the page asks it: over TLS with a password, and by its socket.
fn database() -> Postgres {
    let database = Postgres::start();
    database.sql(&format!("CREATE ROLE curfew LOGIN PASSWORD '{PASSWORD}'"));
    ["hr", "cmdb"].iter().for_each(|name| drop(database.sql(&format!("CREATE DATABASE {name}"))));
    database.sql_in(
        "hr",
        "CREATE TABLE staff (number int PRIMARY KEY, mail text, left_on date);
         INSERT INTO staff VALUES (1, 'head-of-payments@example.org', NULL), (2, 'gone@example.org', '2026-03-31');
         GRANT SELECT ON staff TO curfew",
    );
    database.sql_in(
        "cmdb",
        &format!(
            "CREATE TABLE services (identity text PRIMARY KEY, team text, environments text[], retires_at timestamptz, retired date);
             INSERT INTO services VALUES ('{SCAN}', 'platform', '{{production}}', '2099-12-31 12:00+00', NULL),
                 ('spiffe://example.org/platform/old', 'platform', '{{production}}', NULL, '2020-01-01');
             GRANT SELECT ON services TO curfew"
        ),
    );
    database
}

/// What the page says that is beside the configuration.
fn place(folder: &Path, vouched: &Vouched, database: &Postgres) {
    for name in ["teams", "export"] {
        fs::create_dir(folder.join(name)).unwrap();
    }
    put(folder, "teams/all.yaml", REGISTRY);
    put(folder, "export/contracts.csv", "Contract;Vendor;Until\nC-1;acme;2099-06-30\n");
    put(folder, "export/workloads.export", "spiffe_id,owner\nspiffe://example.org/platform/batch,platform\n");
    put(folder, "hr-ca.pem", &vouched.authority);
    fs::copy(database.authority(), folder.join("hr-db-ca.pem")).unwrap();
    for (name, secret) in [("hr.authorization", AUTHORIZATION), ("hr-db.password", PASSWORD)] {
        put(folder, name, &format!("{secret}\n"));
        run(Command::new("chmod").arg("600").arg(folder.join(name))).done();
    }
}

/// The sources of what was recorded, and the records there.
fn origins(entries: &str, event: &str) -> BTreeSet<String> {
    let entries = entries.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let origin = |entry: Value| {
        let origin = &entry["fields"]["origin"];
        format!("{} {}", origin["source"].as_str().unwrap(), origin["record"].as_str().unwrap())
    };
    entries.filter(|entry| entry["event"] == event).map(origin).collect()
}

#[test]
fn every_source_of_the_page_is_run_as_it_is_configured_there() {
    let (vouched, database) = (Vouched::new(), database());
    let people = Exporter::over_tls(
        r#"{"data": {"people": [{"mail": "cto@example.org", "employment": {"active": true}, "number": 7}]}}"#.to_owned(),
        &vouched,
    );
    let inventory = Exporter::over_tls(format!(r#"[{{"id": "{}"}}]"#, crate::sources::API), &vouched);
    let (hr, clusters) = (people.address.port(), inventory.address.port());
    let page = blocks("sources.md");
    let tables = here(
        page.clone(),
        &[
            ("https://hr.example.org/", &format!("https://localhost:{hr}/")),
            ("allow_private = false", "allow_private = true"),
            // Those who vouch for the machine's addresses do not vouch for this one.
            (
                "url = \"https://inventory.example.org/spiffe.json\"",
                &format!("url = \"https://localhost:{clusters}/spiffe.json\"\ncacert = \"hr-ca.pem\"\nallow_private = true"),
            ),
            ("hr-db.example.org/hr", &format!("localhost:{}/hr", database.port)),
            ("?host=/run/postgresql&", &format!("?host={}&port={}&", database.home().display(), database.port)),
        ],
    );
    let mut world = World::with(&tables, |folder| place(folder, &vouched, &database));
    // Others refer to owners of this one.
    world.until("teams", |source| source["state"] == "believed" && source["records"] == 11);
    world.broker.restart();
    let expected = [("teams", 11), ("hr", 1), ("contracts", 1), ("assets", 1), ("clusters", 1), ("staff", 2), ("cmdb", 1)];
    assert_eq!(names(&page), expected.map(|(name, _)| name), "each is run");
    for (name, records) in expected {
        let told = world.until(name, |source| source["state"] == "believed");
        assert_eq!((told["records"].as_u64(), told["problem_count"].as_u64()), (Some(records), Some(0)), "{told}");
    }
    assert_eq!(people.authorization().as_deref(), Some(AUTHORIZATION));
    assert_eq!(inventory.authorization(), None);
    let scan = world.show(&["workload", "show", SCAN]);
    assert_eq!((&scan["source"], &scan["purpose"]), (&"cmdb".into(), &"see the CMDB".into()));
    assert_eq!(scan["valid_until"], "2099-12-31T12:00:00Z");
    let batch = world.show(&["workload", "show", "spiffe://example.org/platform/batch"]);
    assert_eq!((&batch["source"], &batch["purpose"]), (&"assets".into(), &"see the asset database".into()));
    assert_eq!(world.show(&["owner", "show", "acme"])["source"], "teams");
    let identity = world.broker.identity("platform/scan");
    let (token, holder) = (world.issue(&identity), Holder::of(&identity));
    database.sql_in("cmdb", "UPDATE services SET retired = now()");
    world.broker.restart();
    world.until("cmdb", |source| source["why"].as_str().is_some_and(|why| why.starts_with("it is empty")));
    assert_eq!(world.rejects(&token, &holder), None);
    database.sql_in("cmdb", "INSERT INTO services VALUES ('spiffe://example.org/platform/new', 'platform', '{production}', NULL, NULL)");
    world.broker.restart();
    world.until("cmdb", |source| source["state"] == "believed");
    assert_eq!(world.rejects(&token, &holder), Some("REVOKED"));
    assert!(world.broker.stop().success());
    let entries = run(program().args(["ledger", "export"]).arg(world.broker.dir().join("data/ledger.db"))).done();
    for (event, known) in [("person_recorded", ["hr 7", "staff 1", "staff 2"].as_slice()), ("contract_recorded", &["contracts C-1"])] {
        assert_eq!(origins(&entries, event), known.iter().map(|origin| (*origin).to_owned()).collect(), "{event}");
    }
}
