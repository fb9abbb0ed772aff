//! Each kind of finding on a real broker whose clock is driven, by the commands that people type: what shows it, when
//! what is due, what was done, and that a verifier rejects what died of it.

use std::fs;

use curfew::ambient::Clock;
use curfew::model::Timestamp;
use serde_json::{Value, json};

use crate::clocks;
use crate::harness::{AUDIENCE, Broker, Identity, REGISTRY, eventually, program, run};

const HOUR: i64 = 3600;
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// What `reports-api` answers to, which names nobody who answers for its purpose.
const REPORTS: &str = "https://reports.example.org";

/// An inventory of what the vendor runs.
const INVENTORY: &str = "
[[source]]
name = \"clusters\"
kind = \"feed\"
path = \"clusters.csv\"
holds = [\"inventory\"]
every = \"1s\"
covers = \"spiffe://example.org/acme/\"
";

/// Hours in place of days, and something done about all of which something can be done.
fn configure(broker: &Broker) {
    let mut config = fs::read_to_string(broker.config()).unwrap();
    let actions = [
        ("orphan", "revoke"),
        ("ghost", "revoke"),
        ("over_privileged", "revoke"),
        ("overdue", "revoke"),
        ("ownerless", "suspend"),
        ("shared", "suspend"),
        ("dormant", "suspend"),
    ];
    let times = [("dormant_after", "90d", "4h"), ("unused_after", "90d", "4h"), ("grace", "7d", "2h"), ("max_acted", "10%", "100%")];
    for (name, before, after) in actions.map(|(kind, action)| (kind, "report", action)).into_iter().chain(times) {
        let line = format!("{name} = \"{before}\"");
        assert!(config.contains(&line), "no {line} in the configuration");
        config = config.replace(&line, &format!("{name} = \"{after}\""));
    }
    fs::write(broker.config(), config + INVENTORY).unwrap();
    fs::write(broker.dir().join("clusters.csv"), "spiffe_id\nspiffe://example.org/acme/sync\n").unwrap();
}

/// The registry of the tests, where the contract of the vendor ends in ten days.
fn registry() -> String {
    let soon = Timestamp::from_seconds(Clock::system().now().seconds() + 10 * 24 * 3600).to_string();
    let sync = "  - spiffe_id: spiffe://example.org/acme/sync
    owner: acme
    purpose: Copies orders
    environments: [production]
downstreams:
";
    let reports = format!(
        "  - name: reports-api
    technical_owner: ops@example.org
    accepts: [tokens]
    audiences: [\"{REPORTS}\"]
    environments: [production]
    verifier_kind: none
"
    );
    let registry = REGISTRY.replace("2099-12-31T23:00:00Z", &soon).replace("downstreams:\n", sync);
    assert!(registry.contains(&soon) && registry.contains(sync));
    format!("{}\n{reports}", registry.trim_end())
}

struct World {
    clocks: clocks::World,
    administrator: Identity,
}

impl World {
    fn show(&self, words: &[&str]) -> Value {
        self.clocks.curfew(&self.administrator, words.iter().chain(&["--format", "json"])).json()
    }

    fn do_as_told(&self, words: &[&str]) {
        self.clocks.curfew(&self.administrator, words).done();
    }

    /// The open finding of a kind about something, if there is one.
    fn find(&self, kind: &str, about: &str) -> Option<Value> {
        let open = self.show(&["finding", "list"])["findings"].clone();
        open.as_array().unwrap().iter().find(|one| one["kind"] == kind && one["about"] == about).cloned()
    }

    /// It is open: so bad, shown by entries of these kinds, and acted on in two hours if that is configured.
    #[track_caller]
    fn found(&self, (kind, about): (&str, &str), severity: &str, action: &str, evidence: &[&str]) -> u64 {
        let found = self.find(kind, about).unwrap_or_else(|| panic!("no {kind} about {about}: {}", self.show(&["finding", "list"])));
        assert_eq!((&found["severity"], &found["action"], &found["acted"]), (&json!(severity), &json!(action), &Value::Null), "{found}");
        let entries = self.show(&["ledger", "list", "--limit", "1000"])["entries"].clone();
        let event =
            |position: &Value| entries.as_array().unwrap().iter().find(|entry| entry["position"] == *position).unwrap()["event"].clone();
        assert_eq!(found["evidence"].as_array().unwrap().iter().map(event).collect::<Vec<_>>(), evidence, "{found}");
        let seen: Timestamp = found["first_seen"].as_str().unwrap().parse().unwrap();
        let due = (action != "report").then(|| seen.plus(std::time::Duration::from_secs(2 * 3600)).to_string());
        assert_eq!(found["due"].as_str(), due.as_deref(), "{found}");
        assert_eq!(found["last_seen"], found["first_seen"]);
        found["finding"].as_u64().unwrap()
    }

    /// What was to be done about it was done, and by a cut that names it; it is so no longer by that.
    #[track_caller]
    fn was_done(&self, number: u64, action: &str) {
        self.do_as_told(&["reconcile"]);
        let found = self.show(&["finding", "show", &number.to_string()]);
        assert_eq!((&found["acted"], &found["due"]), (&json!(action), &Value::Null), "{found}");
        let entries = self.show(&["ledger", "list", "--limit", "1000"])["entries"].clone();
        let note = format!("finding {number}: {}", found["kind"].as_str().unwrap());
        let cuts = entries.as_array().unwrap().iter().filter(|entry| entry["event"] == "cut");
        let cut = cuts.filter(|cut| cut["summary"].as_str().unwrap().contains(&note)).collect::<Vec<_>>();
        assert_eq!(cut.len(), 1, "{note}: {cut:?}");
        assert!(cut[0]["position"].as_u64() < found["acted_position"].as_u64() && cut[0]["actor"].is_null(), "{cut:?} {found}");
        assert_eq!(found["resolved_by"], Value::Null, "{found}");
        assert!(found["resolved_at"].is_string() && found["resolved_position"].as_u64() > found["acted_position"].as_u64(), "{found}");
    }

    /// A token in a file of that name, for whoever it is.
    fn token(&self, name: &str, path: &str, audience: &str) {
        let ask = ["token", "issue", "--environment", "production", "--audience", audience, "--field", "token"];
        let token = self.clocks.curfew(&self.clocks.broker.identity(path), ask).done();
        fs::write(self.clocks.broker.scratch().join(name), token.trim()).unwrap();
    }

    /// What a service says of it: nothing if it takes it.
    fn verdict(&self, name: &str, path: &str, audience: &str) -> String {
        let certificate = self.clocks.broker.identity(path).certificate;
        let checked = ["token", name, "--audience", audience, "--presented", certificate.to_str().unwrap()];
        self.clocks.verdict_on(&checked).unwrap_or_default()
    }

    /// The clock of the broker, and of whoever talks to it, is so many hours ahead.
    fn hours(&self, hours: i64) {
        self.clocks.set(hours * HOUR);
        self.clocks.settles();
    }
}

#[test]
fn each_kind_of_finding_is_told_with_what_shows_it_acted_on_when_it_is_due_and_shown_after_it_is_over() {
    let clocks = clocks::World::configured(configure);
    let administrator = clocks.broker.administrator();
    let world = World { clocks, administrator };
    let broker = &world.clocks.broker;
    broker.apply(&registry());
    eventually(PATIENCE, || Some(world.show(&["source", "show", "clusters"])).filter(|source| source["records"] == 1));

    // Night falls: one is never seen again, one asks that nobody knows, one asks from two hands, and a team goes.
    let settlement = broker.identity("payments/settlement");
    let certificate = ["cert", "issue", "--environment", "production", "--ttl", "24h", "--out", "settlement"];
    world.clocks.curfew(&settlement, certificate).done();
    let ask = ["token", "issue", "--environment", "production", "--audience", AUDIENCE];
    assert!(world.clocks.curfew(&broker.identity("payments/new"), ask).exits(2).stderr.contains("IDENTITY_UNKNOWN"));
    let copied = Identity::at(&broker.scratch().join("copied"));
    run(program()
        .args(["identity", "new", "spiffe://example.org/acme/sync", "--dir"])
        .arg(broker.dir())
        .arg("--out")
        .arg(broker.scratch().join("copied")))
    .done();
    let sync = broker.identity("acme/sync");
    for holder in [&sync, &copied, &sync] {
        world.clocks.curfew(holder, ask).done();
    }
    world.do_as_told(&["owner", "revoke", "platform", "--reason", "cessation-of-operation", "--wait", "published"]);
    let unregistered = ("unregistered", "spiffe://example.org/payments/new");
    eventually(PATIENCE, || {
        world.do_as_told(&["reconcile"]);
        world.find(unregistered.0, unregistered.1)
    });
    let orphan = world.found(("orphan", "spiffe://example.org/platform/ci"), "high", "revoke", &["cut"]);
    let ghost = world.found(("ghost", "spiffe://example.org/acme/reporting"), "high", "revoke", &["workload_recorded"]);
    let ownerless = world.found(("ownerless", "downstream reports-api"), "medium", "suspend", &["downstream_recorded"]);
    let shared = world.found(("shared", "spiffe://example.org/acme/sync"), "medium", "suspend", &["credential_issued"; 3]);
    let stranger = world.found(unregistered, "medium", "report", &["requests_refused"]);
    let expiring = world.found(("expiring", "acme"), "low", "report", &["owner_recorded"]);
    let waive = |time: &str| world.do_as_told(&["finding", "waive", &expiring.to_string(), "--within", time, "--note", "it is renewed"]);
    waive("1h");

    // Three hours later what is due is done; a minute before, all of it was accepted.
    world.hours(3);
    let living = [("reporting", "acme/reporting", AUDIENCE), ("sync", "acme/sync", AUDIENCE), ("report", "payments/api", REPORTS)];
    for (name, path, audience) in living {
        world.token(name, path, audience);
        assert_eq!(world.verdict(name, path, audience), "");
    }
    world.token("api", "payments/api", AUDIENCE);
    world.do_as_told(&["reconcile"]);
    for (name, path, audience) in living {
        assert!(world.verdict(name, path, audience).contains("REVOKED"), "{name}");
    }
    assert_eq!(world.verdict("api", "payments/api", AUDIENCE), "", "nobody else's");
    for (number, action) in [(orphan, "revoke"), (ghost, "revoke"), (ownerless, "suspend"), (shared, "suspend")] {
        world.was_done(number, action);
    }
    world.do_as_told(&["owner", "reinstate", "platform", "--note", "it is back"]);
    let ci = broker.identity("platform/ci");
    assert!(world.clocks.curfew(&ci, ask).exits(2).stderr.contains("WORKLOAD_NOT_ACTIVE"), "its orphan is closed by itself");
    // The waiver is over.
    let overdue = format!("finding {expiring}");
    let told = world.found(("overdue", &overdue), "high", "report", &["finding_raised", "finding_changed"]);
    waive("30d");
    world.do_as_told(&["reconcile"]);
    assert_eq!(world.find("overdue", &overdue), None);
    let told = world.show(&["finding", "show", &told.to_string()]);
    assert!(told["resolved_at"].is_string() && told["acted"].is_null(), "{told}");

    // Who was seen no more, and what is used no more.
    world.hours(5);
    world.do_as_told(&["reconcile"]);
    let dormant = world.found(("dormant", "spiffe://example.org/payments/settlement"), "medium", "suspend", &["credential_issued"]);
    let idle = ("over-privileged", "spiffe://example.org/payments/api");
    let idle = world.found(idle, "low", "revoke", &["workload_recorded"]);
    world.hours(8);
    world.token("api", "payments/api", AUDIENCE);
    assert_eq!(world.verdict("api", "payments/api", AUDIENCE), "");
    assert_eq!(world.clocks.verdict_on(&["cert", "settlement.pem"]), None);
    world.do_as_told(&["reconcile"]);
    assert!(world.verdict("api", "payments/api", AUDIENCE).contains("REVOKED"));
    assert!(world.clocks.verdict_on(&["cert", "settlement.pem"]).unwrap_or_default().contains("REVOKED"));
    world.was_done(dormant, "suspend");
    world.was_done(idle, "revoke");

    // What a person settles says who and why, also when the broker has been away.
    world.do_as_told(&["finding", "resolve", &stranger.to_string(), "--note", "a typing error"]);
    let mut world = world;
    world.clocks.broker.restart();
    world.clocks.is_served();
    let settled = world.show(&["finding", "show", &stranger.to_string()]);
    let by = (&settled["resolved_by"], &settled["resolved_note"]);
    assert_eq!(by, (&json!("spiffe://example.org/administrator"), &json!("a typing error")), "{settled}");
    assert_eq!(world.show(&["finding", "show", &idle.to_string()])["acted"], "revoke");
    world.clocks.curfew(&world.administrator, ["finding", "show", "1"]).exits(2);
    world.clocks.nothing_is_lost(&[settled["resolved_position"].as_u64().unwrap()]);
}
