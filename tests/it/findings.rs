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
pub(crate) const REPORTS: &str = "https://reports.example.org";

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

/// Says so of reconciliation, in place of what the configuration says: name, before and after.
pub(crate) fn say<'a>(broker: &Broker, settings: impl IntoIterator<Item = (&'a str, &'a str, &'a str)>) {
    let mut config = fs::read_to_string(broker.config()).unwrap();
    for (name, before, after) in settings {
        let line = format!("{name} = \"{before}\"");
        assert!(config.contains(&line), "no {line} in the configuration");
        config = config.replace(&line, &format!("{name} = \"{after}\""));
    }
    fs::write(broker.config(), config).unwrap();
}

/// Hours in place of days, and something done about all of which something can be done.
fn configure(broker: &Broker) {
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
    say(broker, actions.map(|(kind, action)| (kind, "report", action)).into_iter().chain(times));
    let config = fs::read_to_string(broker.config()).unwrap();
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
    let reports = reports("technical_owner: ops@example.org");
    let registry = REGISTRY.replace("2099-12-31T23:00:00Z", &soon).replace("downstreams:\n", sync);
    assert!(registry.contains(&soon) && registry.contains(sync));
    format!("{}\n{reports}", registry.trim_end())
}

/// What the registry says of the service that answers to it, and runs by this person.
pub(crate) fn reports(technical_owner: &str) -> String {
    format!(
        "  - name: reports-api
    {technical_owner}
    accepts: [tokens]
    audiences: [\"{REPORTS}\"]
    environments: [production]
    verifier_kind: none
"
    )
}

/// A broker whose clock is driven, looked at by an administrator.
pub(crate) struct World {
    pub(crate) clocks: clocks::World,
    administrator: Identity,
}

impl World {
    /// One that is configured like this and knows this registry.
    pub(crate) fn with(configure: impl FnOnce(&Broker), registry: &str) -> Self {
        let clocks = clocks::World::configured(configure);
        let administrator = clocks.broker.administrator();
        clocks.broker.apply(registry);
        Self { clocks, administrator }
    }

    pub(crate) fn show(&self, words: &[&str]) -> Value {
        self.clocks.show(words)
    }

    /// What the ledger says, entry by entry.
    pub(crate) fn entries(&self) -> Vec<Value> {
        self.show(&["ledger", "list", "--limit", "1000"])["entries"].as_array().unwrap().clone()
    }

    pub(crate) fn do_as_told(&self, words: &[&str]) {
        self.clocks.curfew(&self.administrator, words).done();
    }

    /// The open finding of a kind about something, if there is one.
    pub(crate) fn find(&self, kind: &str, about: &str) -> Option<Value> {
        let open = self.show(&["finding", "list"])["findings"].clone();
        open.as_array().unwrap().iter().find(|one| one["kind"] == kind && one["about"] == about).cloned()
    }

    /// It is open: so bad, shown by entries of these kinds, and acted on in two hours if that is configured.
    #[track_caller]
    pub(crate) fn found(&self, (kind, about): (&str, &str), severity: &str, action: &str, evidence: &[&str]) -> u64 {
        let found = self.find(kind, about).unwrap_or_else(|| panic!("no {kind} about {about}: {}", self.show(&["finding", "list"])));
        assert_eq!((&found["severity"], &found["action"], &found["acted"]), (&json!(severity), &json!(action), &Value::Null), "{found}");
        let entries = self.entries();
        let event = |position: &Value| entries.iter().find(|entry| entry["position"] == *position).unwrap()["event"].clone();
        assert_eq!(found["evidence"].as_array().unwrap().iter().map(event).collect::<Vec<_>>(), evidence, "{found}");
        let seen: Timestamp = found["first_seen"].as_str().unwrap().parse().unwrap();
        let due = (action != "report").then(|| seen.plus(std::time::Duration::from_secs(2 * 3600)).to_string());
        assert_eq!(found["due"].as_str(), due.as_deref(), "{found}");
        assert_eq!(found["last_seen"], found["first_seen"]);
        found["finding"].as_u64().unwrap()
    }

    /// What was to be done about it was done, and by a cut that names it; it is so no longer by that.
    #[track_caller]
    pub(crate) fn was_done(&self, number: u64, action: &str) {
        self.do_as_told(&["reconcile"]);
        let found = self.show(&["finding", "show", &number.to_string()]);
        assert_eq!((&found["acted"], &found["due"]), (&json!(action), &Value::Null), "{found}");
        let entries = self.entries();
        let note = format!("finding {number}: {}", found["kind"].as_str().unwrap());
        let cuts = entries.iter().filter(|entry| entry["event"] == "cut");
        let cut = cuts.filter(|cut| cut["summary"].as_str().unwrap().contains(&note)).collect::<Vec<_>>();
        assert_eq!(cut.len(), 1, "{note}: {cut:?}");
        assert!(cut[0]["position"].as_u64() < found["acted_position"].as_u64(), "{cut:?} {found}");
        assert!(found["resolved_at"].is_string() && found["resolved_position"].as_u64() > found["acted_position"].as_u64(), "{found}");
        assert_eq!(found["resolved_note"], Value::Null, "{found}");
    }

    /// A token in a file of that name, for whoever it is.
    pub(crate) fn token(&self, name: &str, path: &str, audience: &str) {
        let ask = ["token", "issue", "--environment", "production", "--audience", audience, "--field", "token"];
        let token = self.clocks.curfew(&self.clocks.broker.identity(path), ask).done();
        fs::write(self.clocks.broker.scratch().join(name), token.trim()).unwrap();
    }

    /// What a service says of it: nothing if it takes it.
    pub(crate) fn verdict(&self, name: &str, path: &str, audience: &str) -> String {
        let certificate = self.clocks.broker.identity(path).certificate;
        let checked = ["token", name, "--audience", audience, "--presented", certificate.to_str().unwrap()];
        self.clocks.verdict_on(&checked).unwrap_or_default()
    }

    /// The clock of the broker, and of whoever talks to it, is so many hours ahead.
    pub(crate) fn hours(&self, hours: i64) {
        self.clocks.set(hours * HOUR);
        self.clocks.settles();
    }
}

/// The findings of the first evening.
struct Told {
    orphan: u64,
    ghost: u64,
    ownerless: u64,
    shared: u64,
    stranger: u64,
    expiring: u64,
}

const ASK: [&str; 6] = ["token", "issue", "--environment", "production", "--audience", AUDIENCE];

impl World {
    fn begin() -> Self {
        let world = Self::with(configure, &registry());
        world.clocks.until(&["source", "show", "clusters"], |source| source["records"] == 1);
        world
    }

    /// One asks and is never seen again, one is known to nobody, one is in two hands, and a team goes.
    fn evening(&self) -> Told {
        let broker = &self.clocks.broker;
        self.clocks.curfew(&broker.identity("payments/settlement"), ASK).done();
        assert!(self.clocks.curfew(&broker.identity("payments/new"), ASK).exits(2).stderr.contains("IDENTITY_UNKNOWN"));
        let (sync, out) = (broker.identity("acme/sync"), broker.scratch().join("copied"));
        let copy = ["identity", "new", "spiffe://example.org/acme/sync", "--dir"];
        run(program().args(copy).arg(broker.dir()).arg("--out").arg(&out)).done();
        for holder in [&sync, &Identity::at(&out), &sync] {
            self.clocks.curfew(holder, ASK).done();
        }
        self.do_as_told(&["owner", "revoke", "platform", "--reason", "cessation-of-operation", "--wait", "published"]);
        let unregistered = ("unregistered", "spiffe://example.org/payments/new");
        // Its refusal is told within a second.
        eventually(PATIENCE, || {
            self.do_as_told(&["reconcile"]);
            self.find(unregistered.0, unregistered.1)
        });
        Told {
            orphan: self.found(("orphan", "spiffe://example.org/platform/ci"), "high", "revoke", &["cut"]),
            ghost: self.found(("ghost", "spiffe://example.org/acme/reporting"), "high", "revoke", &["workload_recorded"]),
            ownerless: self.found(("ownerless", "downstream reports-api"), "medium", "suspend", &["downstream_recorded"]),
            shared: self.found(("shared", "spiffe://example.org/acme/sync"), "medium", "suspend", &["credential_issued"; 3]),
            stranger: self.found(unregistered, "medium", "report", &["requests_refused"]),
            expiring: self.found(("expiring", "acme"), "low", "report", &["owner_recorded"]),
        }
    }

    /// What is due is done; a moment before, all of it was accepted.
    fn three_hours_later(&self, told: &Told) {
        self.hours(3);
        let living = [("reporting", "acme/reporting", AUDIENCE), ("sync", "acme/sync", AUDIENCE), ("report", "payments/api", REPORTS)];
        for (name, path, audience) in living {
            self.token(name, path, audience);
            assert_eq!(self.verdict(name, path, audience), "");
        }
        self.token("api", "payments/api", AUDIENCE);
        self.do_as_told(&["reconcile"]);
        for (name, path, audience) in living {
            assert!(self.verdict(name, path, audience).contains("REVOKED"), "{name}");
        }
        assert_eq!(self.verdict("api", "payments/api", AUDIENCE), "", "nobody else's");
        for (number, action) in [(told.orphan, "revoke"), (told.ghost, "revoke"), (told.ownerless, "suspend"), (told.shared, "suspend")] {
            self.was_done(number, action);
        }
        self.do_as_told(&["owner", "reinstate", "platform", "--note", "it is back"]);
        let orphan = self.clocks.curfew(&self.clocks.broker.identity("platform/ci"), ASK).exits(2);
        assert!(orphan.stderr.contains("WORKLOAD_NOT_ACTIVE"), "it is closed by itself: {orphan:?}");
    }

    fn waive(&self, finding: u64, time: &str) {
        self.do_as_told(&["finding", "waive", &finding.to_string(), "--within", time, "--note", "it is renewed"]);
    }

    /// Its waiver is over; then it is waived anew.
    fn is_overdue(&self, waived: u64) {
        let told = self.found(("overdue", &format!("finding {waived}")), "high", "report", &["finding_raised", "finding_changed"]);
        self.waive(waived, "30d");
        self.do_as_told(&["reconcile"]);
        let settled = self.show(&["finding", "show", &told.to_string()]);
        assert!(settled["resolved_at"].is_string() && settled["acted"].is_null(), "{settled}");
    }

    /// Who was seen no more, and what is used no more, is suspended and revoked; the numbers of both findings.
    fn night(&self) -> [u64; 2] {
        self.hours(5);
        self.do_as_told(&["reconcile"]);
        let dormant = self.found(("dormant", "spiffe://example.org/payments/settlement"), "medium", "suspend", &["credential_issued"]);
        let idle = ("over-privileged", "spiffe://example.org/payments/api");
        let idle = self.found(idle, "low", "revoke", &["workload_recorded"]);
        self.hours(7);
        self.token("api", "payments/api", AUDIENCE);
        assert_eq!(self.verdict("api", "payments/api", AUDIENCE), "");
        self.do_as_told(&["reconcile"]);
        assert!(self.verdict("api", "payments/api", AUDIENCE).contains("REVOKED"));
        self.was_done(dormant, "suspend");
        self.was_done(idle, "revoke");
        // Nothing of it is alive, and nothing will be.
        let settlement = self.clocks.curfew(&self.clocks.broker.identity("payments/settlement"), ASK).exits(2);
        assert!(settlement.stderr.contains("WORKLOAD_NOT_ACTIVE"), "{settlement:?}");
        [dormant, idle]
    }
}

#[test]
fn each_kind_of_finding_is_told_with_what_shows_it_acted_on_when_it_is_due_and_shown_after_it_is_over() {
    let mut world = World::begin();
    let told = world.evening();
    world.waive(told.expiring, "1h");
    // A minute after a start a run comes that nobody asked for.
    world.clocks.broker.restart();
    world.clocks.is_served();
    world.three_hours_later(&told);
    world.is_overdue(told.expiring);
    let [dormant, idle] = world.night();

    // What a person settles says who and why, also when the broker has been away.
    world.do_as_told(&["finding", "resolve", &told.stranger.to_string(), "--note", "a typing error"]);
    world.clocks.broker.restart();
    world.clocks.is_served();
    let settled = world.show(&["finding", "show", &told.stranger.to_string()]);
    let by = (&settled["resolved_by"], &settled["resolved_note"]);
    assert_eq!(by, (&json!("spiffe://example.org/administrator"), &json!("a typing error")), "{settled}");
    assert_eq!(world.show(&["finding", "show", &dormant.to_string()])["acted"], "suspend");
    assert_eq!(world.show(&["finding", "show", &idle.to_string()])["acted"], "revoke");
    world.clocks.curfew(&world.administrator, ["finding", "show", "1"]).exits(2);
    world.clocks.nothing_is_lost(&[settled["resolved_position"].as_u64().unwrap()]);
}
