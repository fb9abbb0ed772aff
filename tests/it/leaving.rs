//! Somebody leaves who answers for one workload alone: that is told at once and by itself, nothing is done before the
//! grace is over, and then the workload is suspended, and a verifier rejects what was issued to it.

use std::fs;

use curfew::model::Timestamp;
use serde_json::{Value, json};

use crate::feeds::put;
use crate::findings::{World, say};
use crate::harness::{AUDIENCE, Broker, REGISTRY};

const STAFF: &str = "
[[source]]
name = \"staff\"
kind = \"feed\"
path = \"staff.csv\"
holds = [\"people\"]
every = \"1s\"
";

/// A run comes each second, and what nobody answers for is suspended two hours after it was told.
pub(crate) fn suspend_what_nobody_answers_for(broker: &Broker) {
    say(broker, [("every", "1h", "1s"), ("ownerless", "report", "suspend"), ("grace", "7d", "2h")]);
}

impl World {
    /// It is told by itself that nobody answers for something, with the entry that shows it: which finding, and when
    /// something is done.
    pub(crate) fn is_missed(&self, about: &str, evidence: &str) -> (u64, Timestamp) {
        let of_it = |listed: &Value| listed["findings"].as_array().unwrap().iter().any(|found| found["about"] == about);
        self.clocks.until(&["finding", "list"], of_it);
        let number = self.found(("ownerless", about), "medium", "suspend", &[evidence]);
        (number, self.show(&["finding", "show", &number.to_string()])["due"].as_str().unwrap().parse().unwrap())
    }

    /// The clock shows this.
    pub(crate) fn comes(&self, time: Timestamp) {
        self.clocks.set_to(time);
        self.clocks.settles();
    }

    /// Something is suspended, by itself, since this was found.
    pub(crate) fn is_suspended(&self, show: &[&str], finding: u64) {
        self.clocks.until(show, |shown| shown["standing"] == "suspended");
        self.was_done(finding, "suspend");
        let note = format!("finding {finding}: ownerless");
        let cut =
            self.entries().into_iter().find(|entry| entry["summary"].as_str().is_some_and(|summary| summary.contains(&note))).unwrap();
        assert_eq!(cut["actor"], Value::Null, "{cut}");
    }
}

#[test]
fn a_workload_whose_own_people_leave_is_told_at_once_and_suspended_by_itself_when_the_grace_is_over() {
    let row = |what: &str| format!("    purpose: {what}\n");
    let named = |registry: &str, what: &str, contact: &str| registry.replace(&row(what), &format!("{}    {contact}\n", row(what)));
    let registry = named(REGISTRY, "Takes payments", "technical_owner: ada@example.org");
    let registry = named(&registry, "Settles with the banks", "business_owner: bob@example.org");
    let world = World::with(
        |broker| {
            suspend_what_nobody_answers_for(broker);
            let config = fs::read_to_string(broker.config()).unwrap();
            fs::write(broker.config(), config + STAFF).unwrap();
            put(&broker.dir(), "staff.csv", "id,active\nada@example.org,yes\nbob@example.org,yes\neve@example.org,yes\n");
        },
        &registry,
    );
    let broker = &world.clocks.broker;
    world.clocks.until(&["source", "show", "staff"], |source| source["records"] == 3);
    let theirs = [("api", "payments/api"), ("settlement", "payments/settlement")];
    let shown = theirs.map(|(_, path)| world.show(&["workload", "show", &format!("spiffe://example.org/{path}")]));
    assert_eq!((&shown[0]["technical_owner"], &shown[1]["business_owner"]), (&json!("ada@example.org"), &json!("bob@example.org")));
    assert_eq!(world.show(&["reconcile", "--dry-run"])["steps"], json!([]));

    // One is inactive, one is named no longer.
    put(&broker.dir(), "staff.csv", "id,active\nada@example.org,no\neve@example.org,yes\n");
    let missed = [("payments/api", "person_recorded"), ("payments/settlement", "person_ended")]
        .map(|(path, evidence)| world.is_missed(&format!("spiffe://example.org/{path}"), evidence));
    let (first, last) = (missed[0].1.min(missed[1].1), missed[0].1.max(missed[1].1));
    world.comes(first.minus(std::time::Duration::from_secs(60)));
    for (name, path) in theirs.into_iter().chain([("ci", "platform/ci")]) {
        world.token(name, path, AUDIENCE);
        assert_eq!(world.verdict(name, path, AUDIENCE), "");
    }

    world.comes(last);
    let ask = ["token", "issue", "--environment", "production", "--audience", AUDIENCE];
    for ((name, path), (finding, _)) in theirs.into_iter().zip(missed) {
        world.is_suspended(&["workload", "show", &format!("spiffe://example.org/{path}")], finding);
        assert!(world.verdict(name, path, AUDIENCE).contains("REVOKED"), "{name}");
        assert!(world.clocks.curfew(&broker.identity(path), ask).exits(2).stderr.contains("WORKLOAD_NOT_ACTIVE"));
    }
    // Of their team somebody answers still, and for everybody else.
    assert_eq!(world.show(&["owner", "show", "payments"])["standing"], "active");
    assert_eq!(world.verdict("ci", "platform/ci", AUDIENCE), "");

    // Who comes back opens nothing: a person does, and what died stays dead.
    put(&broker.dir(), "staff.csv", "id,active\nada@example.org,yes\neve@example.org,yes\n");
    world.clocks.until(&["source", "show", "staff"], |source| source["records"] == 2 && source["state"] == "believed");
    world.clocks.curfew(&broker.identity("payments/api"), ask).exits(2);
    world.do_as_told(&["workload", "reinstate", "spiffe://example.org/payments/api", "--note", "she is back"]);
    world.clocks.curfew(&broker.identity("payments/api"), ask).done();
    assert!(world.verdict("api", "payments/api", AUDIENCE).contains("REVOKED"));
    world.clocks.nothing_is_lost(&[missed[1].0]);
}
