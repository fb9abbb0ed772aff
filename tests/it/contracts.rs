//! A source moves the end of a contract, and the clock is driven past it: what would outlive the new end is dead at once,
//! what was issued since lives until then, and the owner is offboarded when it comes.

use std::fs;
use std::path::Path;
use std::time::Duration;

use curfew::ambient::Clock;
use curfew::model::Timestamp;

use crate::databases;
use crate::feeds::put;
use crate::findings::World;
use crate::harness::{AUDIENCE, REGISTRY, eventually};
use crate::postgres::Postgres;

/// A broker with the source `contracts`, which this table of the configuration declares.
fn with_source(table: &str, place: impl FnOnce(&Path)) -> World {
    let configure = |broker: &crate::harness::Broker| {
        let config = fs::read_to_string(broker.config()).unwrap();
        fs::write(broker.config(), format!("{config}\n{table}")).unwrap();
        place(&broker.dir());
    };
    let world = World::with(configure, REGISTRY);
    world.clocks.until(&["source", "show", "contracts"], |source| source["records"] == 1 && source["problem_count"] == 0);
    world
}

/// The contract of `payments`, which ended in 2099, ends in three minutes, says the source; and they pass.
fn is_cut_short(world: World, say: impl FnOnce(Timestamp)) {
    let api = "payments/api";
    world.token("long", api, AUDIENCE);
    assert_eq!(world.verdict("long", api, AUDIENCE), "");
    let end = Timestamp::from_seconds(Clock::system().now().seconds() + 180);
    say(end);
    eventually(Duration::from_secs(30), || world.verdict("long", api, AUDIENCE).contains("REVOKED").then_some(()));
    world.token("short", api, AUDIENCE);
    assert_eq!(world.verdict("short", api, AUDIENCE), "");
    assert_eq!(world.show(&["owner", "show", "payments"])["standing"], "active");

    world.clocks.set_to(end);
    world.clocks.settles();
    let ended = world.clocks.until(&["owner", "show", "payments"], |owner| owner["standing"].as_str().unwrap().starts_with("offboard"));
    assert!(world.verdict("short", api, AUDIENCE).contains("EXPIRED"));
    assert!(world.verdict("long", api, AUDIENCE).contains("REVOKED"));
    let ask = ["token", "issue", "--environment", "production", "--audience", AUDIENCE];
    assert!(world.clocks.curfew(&world.clocks.broker.identity(api), ask).exits(2).stderr.contains("OWNER_NOT_ACTIVE"));
    world.token("other", "platform/ci", AUDIENCE);
    let position = ended["closed_position"].as_u64().unwrap();
    let cut = world.entries().into_iter().find(|entry| entry["position"] == position).unwrap();
    assert!(cut["summary"].as_str().unwrap().contains(&format!("the contract ended at {end}")), "{cut}");
    world.clocks.nothing_is_lost(&[position]);
}

#[test]
fn a_contract_of_an_export_ends_its_owner_when_it_says() {
    let table = "[[source]]\nname = \"contracts\"\nkind = \"feed\"\npath = \"contracts.csv\"\nholds = [\"contracts\"]\nevery = \"1s\"\n\
                 delimiter = \";\"\ncolumns = { owner = \"Team\", end = \"Until\" }\n";
    let say = |folder: &Path, end: &str| put(folder, "contracts.csv", &format!("record;Team;Until\nC-1;payments;{end}\n"));
    let world = with_source(table, |folder| say(folder, "2099-12-31"));
    let folder = world.clocks.broker.dir();
    is_cut_short(world, |end| say(&folder, &end.to_string()));
}

#[test]
fn a_contract_of_the_hr_database_ends_its_owner_when_it_says() {
    let database = Postgres::start();
    database.sql(
        "CREATE TABLE contracts (nr char(8) PRIMARY KEY, vendor text, until timestamptz, day date);
         INSERT INTO contracts VALUES ('C-1', 'payments', '2099-12-31 12:00+02', '2099-12-31');
         GRANT SELECT ON contracts TO reader",
    );
    let query = "query = \"SELECT nr AS record, vendor AS owner, until AS \\\"end\\\" FROM contracts\"";
    let world = with_source(&databases::table(&database, "contracts", "contracts", query), databases::keep_password);
    is_cut_short(world, |end| drop(database.sql(&format!("UPDATE contracts SET until = '{end}'"))));
}
