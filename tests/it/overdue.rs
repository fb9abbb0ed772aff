//! What should have ended by itself and is open still, since the store would not take the entry that says so: found by
//! the commands that people type, and over. Nothing is issued beyond such an end, whoever can or cannot write it.

use std::time::Duration;

use curfew::ambient::Clock;
use curfew::model::Timestamp;
use serde_json::{Value, json};

use crate::findings::{World, say};
use crate::harness::{AUDIENCE, Broker, REGISTRY};

const API: &str = "spiffe://example.org/payments/api";
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// The registry of the tests, where the workload is registered and the vendor has a contract until then.
fn registry(registered: Timestamp, contract: Timestamp) -> String {
    let row = "    owner: payments\n    purpose: Takes payments\n";
    let registry = REGISTRY.replace("2099-12-31T23:00:00Z", &contract.to_string());
    let registry = registry.replace(row, &format!("{row}    valid_until: {registered}\n"));
    assert!(registry.contains(&contract.to_string()) && registry.contains(&registered.to_string()));
    registry
}

/// The ledger of a broker that serves, as something else on its machine spoils and mends it.
struct Store(rusqlite::Connection);

impl Store {
    fn of(broker: &Broker) -> Self {
        Self(rusqlite::Connection::open(broker.dir().join("data/ledger.db")).unwrap())
    }

    /// It takes no entry that holds these words, and every other.
    fn refuses(&self, words: &str) {
        let holds = format!("instr(NEW.bytes, CAST('{words}' AS BLOB))");
        let trigger =
            format!("CREATE TRIGGER spoilt BEFORE INSERT ON entries_0 WHEN {holds} BEGIN SELECT RAISE(ABORT, 'a bad sector'); END");
        self.0.execute_batch(&trigger).unwrap();
    }

    fn takes_all(&self) {
        self.0.execute_batch("DROP TRIGGER spoilt").unwrap();
    }
}

/// A token that is asked for a minute before an end, and lives until then.
fn issued_before(world: &World, path: &str, (end, bound): (Timestamp, &str)) {
    world.clocks.set_to(end.minus(MINUTE));
    world.clocks.settles();
    let ask = ["token", "issue", "--environment", "production", "--audience", AUDIENCE, "--format", "json"];
    let issued = world.clocks.curfew(&world.clocks.broker.identity(path), ask).json();
    assert_eq!((&issued["bound_by"], &issued["expires_at"]), (&json!(bound), &json!(end.to_string())), "{issued}");
    std::fs::write(world.clocks.broker.scratch().join("token"), issued["token"].as_str().unwrap()).unwrap();
    assert_eq!(world.verdict("token", path, AUDIENCE), "");
}

/// It is rejected, and nothing is issued any more, for this reason.
fn is_over(world: &World, path: &str, reason: &str) {
    let verdict = world.verdict("token", path, AUDIENCE);
    assert!(verdict.contains("EXPIRED"), "{verdict}");
    let ask = ["token", "issue", "--environment", "production", "--audience", AUDIENCE];
    let refused = world.clocks.curfew(&world.clocks.broker.identity(path), ask).exits(2).stderr;
    assert!(refused.contains(reason), "{refused}");
}

#[test]
fn a_contract_and_a_registration_that_are_over_and_open_still_are_told_acted_on_and_settled() {
    let in_minutes = |minutes: u64| Timestamp::from_seconds(Clock::system().now().seconds() + minutes * 60);
    let (registered, contract) = (in_minutes(40), in_minutes(80));
    let settings = [("overdue", "report", "revoke"), ("grace", "7d", "2h")];
    let world = World::with(|broker| say(broker, settings), &registry(registered, contract));
    let store = Store::of(&world.clocks.broker);
    let failure = "what ends by itself cannot be ended";

    // The registration is over, and that cannot be written.
    issued_before(&world, "payments/api", (registered, "workload"));
    store.refuses("it was registered until");
    world.clocks.set_to(registered.plus(MINUTE));
    world.clocks.settles();
    world.clocks.broker.says(&[failure, "a bad sector"]);
    is_over(&world, "payments/api", "NO_LIFE_LEFT");
    assert_eq!(world.show(&["workload", "show", API])["standing"], "active");
    world.do_as_told(&["reconcile"]);
    let told = world.found(("overdue", API), "high", "revoke", &["workload_recorded"]);
    let detail = format!("{API} was registered until {registered}");
    assert_eq!(world.show(&["finding", "show", &told.to_string()])["detail"], json!(detail));

    // It is written as soon as it can be, and nothing is left to be done.
    store.takes_all();
    world.clocks.until(&["workload", "show", API], |workload| workload["standing"].as_str().unwrap().starts_with("offboard"));
    is_over(&world, "payments/api", "WORKLOAD_NOT_ACTIVE");
    world.do_as_told(&["reconcile"]);
    let settled = world.show(&["finding", "show", &told.to_string()]);
    assert!(settled["resolved_at"].is_string() && settled["acted"].is_null(), "{settled}");

    // The contract is over, that cannot be written for two hours, and what is configured is done.
    issued_before(&world, "acme/reporting", (contract, "contract"));
    store.refuses("the contract ended");
    world.clocks.set_to(contract.plus(MINUTE));
    world.clocks.settles();
    is_over(&world, "acme/reporting", "NO_LIFE_LEFT");
    world.do_as_told(&["reconcile"]);
    let told = world.found(("overdue", "acme"), "high", "revoke", &["owner_recorded"]);
    let shown = world.show(&["finding", "show", &told.to_string()]);
    assert_eq!(shown["detail"], json!(format!("the contract of acme ended at {contract}")));
    let due: Timestamp = shown["due"].as_str().unwrap().parse().unwrap();
    assert!(due >= contract.plus(MINUTE + 2 * HOUR));
    world.clocks.set_to(due.minus(MINUTE));
    world.clocks.settles();
    world.do_as_told(&["reconcile"]);
    assert_eq!(world.show(&["owner", "show", "acme"])["standing"], "active", "a minute before, it waits");
    world.clocks.set_to(due);
    world.clocks.settles();
    world.do_as_told(&["reconcile"]);
    is_over(&world, "acme/reporting", "OWNER_NOT_ACTIVE");
    world.was_done(told, "revoke");
    let cut = world.show(&["owner", "show", "acme"])["closed_position"].clone();

    // Nobody else's end has come, and nothing is written twice once all can be.
    store.takes_all();
    world.do_as_told(&["reconcile"]);
    assert_eq!(world.find("overdue", "acme"), None);
    world.token("other", "payments/settlement", AUDIENCE);
    let offboards = |entry: &Value| entry["event"] == "cut" && entry["summary"].as_str().unwrap().contains("offboard");
    let ended: Vec<_> = world.entries().into_iter().filter(offboards).collect();
    assert_eq!(ended.len(), 2, "{ended:?}");
    world.clocks.nothing_is_lost(&[cut.as_u64().unwrap()]);
}
