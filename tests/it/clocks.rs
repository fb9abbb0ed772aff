//! The clock of a whole process is wrong: libfaketime moves the wall clock of a real broker, and of the
//! commands that talk to it, by an hour and back, and back across an expiry.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use curfew::ambient::Clock;
use curfew::formats::jws;
use curfew::formats::list::{List, MAX_LIST};
use curfew::model::Timestamp;
use serde_json::Value;

use crate::harness::{AUDIENCE, Broker, Identity, REGISTRY, Ran, eventually, program, run};
use crate::https;
use crate::process::get;

/// How long something that happens by itself may take.
const PATIENCE: Duration = Duration::from_secs(30);

const HOUR: i64 = 3600;

/// A broker whose wall clock is set by hand. What measures durations is left alone, as it is by a clock that
/// is set.
pub(crate) struct World {
    pub(crate) broker: Broker,
    fake: Vec<String>,
}

impl World {
    /// One that knows the registry of the tests.
    pub(crate) fn new() -> Self {
        Self::configured(|_| {})
    }

    /// The same, configured before it starts.
    pub(crate) fn configured(configure: impl FnOnce(&Broker)) -> Self {
        let broker = Broker::prepare();
        configure(&broker);
        let mut world = Self { fake: Vec::new(), broker };
        // Debian's folder is named for the machine.
        let library = run(Command::new("sh").args(["-c", "ls /usr/lib/*/faketime/libfaketimeMT.so.1"])).done();
        let preload = format!("LD_PRELOAD={}", library.trim());
        let file = format!("FAKETIME_TIMESTAMP_FILE={}", world.hand().display());
        world.fake = ["env", &preload, &file, "FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1"].map(str::to_owned).to_vec();
        world.set(0);
        let through: Vec<&str> = world.fake.iter().map(String::as_str).collect();
        world.broker.serve_through(&through);
        world.broker.serve();
        world.broker.apply(REGISTRY);
        world
    }

    /// The file that says how far the clock is off.
    fn hand(&self) -> PathBuf {
        self.broker.scratch().join("offset")
    }

    /// It shows this time or a little more, and goes on.
    pub(crate) fn set_to(&self, time: Timestamp) {
        let (now, time) = (Clock::system().now().millis(), time.millis());
        self.set(i64::try_from(time).unwrap().saturating_sub_unsigned(now).div_euclid(1000) + 1);
    }

    /// The clock is so many seconds ahead of the right time from now on.
    pub(crate) fn set(&self, ahead: i64) {
        // Replaced whole: it may be read at any moment.
        let new = self.broker.scratch().join("offset.new");
        fs::write(&new, format!("{ahead:+}\n")).unwrap();
        fs::rename(new, self.hand()).unwrap();
    }

    /// The program as `caller` runs it, by the same clock.
    pub(crate) fn curfew<A: AsRef<OsStr>>(&self, caller: &Identity, arguments: impl IntoIterator<Item = A>) -> Ran {
        let mut command = self.by_its_clock(program().get_program());
        command.args(arguments).current_dir(self.broker.scratch());
        command.env("CURFEW_ADDR", &self.broker.addresses().grpc).env("CURFEW_URL", self.broker.public_url());
        command.env("CURFEW_CACERT", self.broker.ca());
        run(command.env("CURFEW_CLIENT_CERT", &caller.certificate).env("CURFEW_CLIENT_KEY", &caller.key))
    }

    /// What a command tells an administrator.
    pub(crate) fn show(&self, words: &[&str]) -> Value {
        self.curfew(&self.broker.administrator(), words.iter().chain(&["--format", "json"])).json()
    }

    /// The same, once it is like this.
    #[track_caller]
    pub(crate) fn until(&self, words: &[&str], seen: impl Fn(&Value) -> bool) -> Value {
        eventually(PATIENCE, || Some(self.show(words)).filter(&seen))
    }

    /// Another program, to be run by the same clock.
    pub(crate) fn by_its_clock(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("env");
        command.args(self.fake.iter().skip(1)).arg(program);
        command
    }

    fn workload(&self) -> Identity {
        self.broker.identity("payments/api")
    }

    /// A token that lives for `life`, in a file of that name; what is said of it.
    fn token(&self, name: &str, life: &str, more: &[&str]) -> Value {
        let ask = ["token", "issue", "--environment", "production", "--audience", AUDIENCE, "--ttl", life, "--format", "json"];
        let issued = self.curfew(&self.workload(), ask.iter().chain(more)).json();
        fs::write(self.broker.scratch().join(name), issued["token"].as_str().unwrap()).unwrap();
        issued
    }

    /// What a service says of a token that fetches keys and list now: nothing if it takes it.
    fn verdict(&self, name: &str) -> Option<String> {
        self.verdict_of(name, &self.workload())
    }

    /// The same of a token that somebody else presents.
    pub(crate) fn verdict_of(&self, name: &str, holder: &Identity) -> Option<String> {
        let certificate = &holder.certificate;
        self.verdict_on(&["token", name, "--audience", AUDIENCE, "--presented", certificate.to_str().unwrap()])
    }

    /// The same of whatever is checked.
    pub(crate) fn verdict_on(&self, checked: &[&str]) -> Option<String> {
        let check = [&["verify"], checked, &["--format", "json"]].concat();
        // A list from before the clock was set is no list; the next comes with the next beat.
        let ran = eventually(PATIENCE, || {
            let ran = self.curfew(&self.workload(), &check);
            (ran.code != 1).then_some(ran)
        });
        match ran.code {
            0 => None,
            5 => Some(ran.stdout + &ran.stderr),
            _ => panic!("{ran:?}"),
        }
    }

    #[track_caller]
    fn rejects(&self, name: &str, reason: &str) {
        let verdict = self.verdict(name).unwrap_or_default();
        assert!(verdict.contains(reason), "{name} is not rejected as {reason}: {verdict}");
    }

    fn revoke_owner(&self, owner: &str) -> u64 {
        let line = ["owner", "revoke", owner, "--reason", "superseded", "--wait", "published", "--format", "json"];
        self.curfew(&self.broker.administrator(), line).json()["position"].as_u64().unwrap()
    }

    /// The broker is ready, and its list was made just now by its own clock.
    fn is_well(&self) {
        let ahead: i64 = fs::read_to_string(self.hand()).unwrap().trim().parse().unwrap();
        eventually(PATIENCE, || {
            let answer = https::get(&self.broker, "/v1/revocations");
            let list = jws::parse(&answer.body, MAX_LIST).unwrap();
            let made: i64 = List::decode(&list.payload).unwrap().issued_at.seconds().try_into().unwrap();
            let now: i64 = Clock::system().now().seconds().try_into().unwrap();
            let fresh = (now + ahead - made).abs() <= 5;
            (fresh && get(&self.broker, "/readyz").0.ends_with("200 OK")).then_some(())
        });
    }

    /// The same, and whoever goes by the same clock is served: a server certificate that begins in the future
    /// is replaced by itself.
    pub(crate) fn settles(&self) {
        self.is_well();
        self.is_served();
    }

    /// Whoever goes by the same clock is served.
    pub(crate) fn is_served(&self) {
        let administrator = self.broker.administrator();
        eventually(PATIENCE, || (self.curfew(&administrator, ["whoami"]).code == 0).then_some(()));
    }

    /// Everything stands in the ledger, and holds together.
    pub(crate) fn nothing_is_lost(mut self, positions: &[u64]) {
        self.set(0);
        assert!(self.broker.stop().success(), "{}", self.broker.log());
        let ledger = self.broker.dir().join("data/ledger.db");
        let verified = run(program().args(["ledger", "verify"]).arg(&ledger).args(["--format", "json"])).json();
        let entries = verified["entries"].as_u64().unwrap();
        assert!(positions.iter().all(|position| *position <= entries), "{verified}");
        assert!(!self.broker.log().contains("panicked"), "{}", self.broker.log());
    }
}

#[test]
fn an_hour_ahead_and_back_lets_nothing_live_longer_and_loses_nothing() {
    let world = World::new();
    world.token("before", "5m", &[]);
    assert_eq!(world.verdict("before"), None);

    world.set(HOUR);
    world.settles();
    world.rejects("before", "EXPIRED");
    let ahead = world.token("ahead", "5m", &[]);
    assert_eq!(world.verdict("ahead"), None);
    let cut = world.revoke_owner("acme");

    world.set(0);
    world.settles();
    // Its issuance is in the future for whoever has the right time, and it ends no later than it says.
    world.rejects("ahead", "NOT_YET");
    assert_eq!(world.verdict("before"), None, "five minutes are not over");
    let after = world.token("after", "5m", &[]);
    assert_eq!(world.verdict("after"), None);
    assert!(after["position"].as_u64() > ahead["position"].as_u64());
    let lives = |issued: &Value| issued["expires_at"].as_str().unwrap().to_owned();
    assert!(lives(&after) < lives(&ahead), "by the clock as it is now, not as it was: {after} {ahead}");
    let ask = ["token", "issue", "--environment", "production", "--audience", AUDIENCE];
    let refused = world.curfew(&world.broker.identity("acme/reporting"), ask).exits(2).stderr;
    assert!(refused.contains("OWNER_NOT_ACTIVE"), "what was revoked an hour ahead stays revoked: {refused}");
    let second = world.revoke_owner("payments");
    for name in ["before", "after"] {
        world.rejects(name, "REVOKED");
    }

    // Nobody's certificate is good yet by this clock, but the list goes on.
    world.set(-HOUR);
    world.is_well();
    world.nothing_is_lost(&[cut, second, after["position"].as_u64().unwrap()]);
}

#[test]
fn a_step_back_across_an_expiry_revives_nothing_that_was_ended_and_hides_nothing_that_lives() {
    let world = World::new();
    let open = ["task", "open", "--environment", "production", "--purpose", "a job", "--within", "60s", "--field", "task"];
    let task = world.curfew(&world.workload(), open).done().trim().to_owned();
    world.token("tasked", "1m", &["--task", &task]);
    let short = world.token("short", "1m", &[]);
    world.set(120);
    world.rejects("short", "EXPIRED");
    // The deadline has come by this clock; it is closed by an entry.
    let administrator = world.broker.administrator();
    let show = ["task", "show", &task, "--format", "json"];
    eventually(PATIENCE, || (!world.curfew(&administrator, show).json()["closed_position"].is_null()).then_some(()));

    world.set(0);
    world.settles();
    let refused =
        world.curfew(&world.workload(), ["token", "issue", "--environment", "production", "--audience", AUDIENCE, "--task", &task]);
    assert!(refused.exits(2).stderr.contains("TASK_CLOSED"), "what was closed stays closed");
    // It lives again by the right time, and what ends everything ends it.
    assert_eq!(world.verdict("short"), None);
    let cut = world.revoke_owner("payments");
    world.rejects("short", "REVOKED");
    world.rejects("tasked", "REVOKED");
    world.nothing_is_lost(&[cut, short["position"].as_u64().unwrap()]);
}

#[test]
fn a_broker_that_starts_an_hour_behind_its_ledger_serves_and_revokes() {
    let mut world = World::new();
    world.set(HOUR);
    world.settles();
    let ahead = world.token("ahead", "5m", &[]);
    world.set(0);
    world.broker.restart();
    world.settles();
    let after = world.token("after", "5m", &[]);
    assert!(after["position"].as_u64() > ahead["position"].as_u64());
    assert_eq!(world.verdict("after"), None);
    let cut = world.revoke_owner("payments");
    world.rejects("after", "REVOKED");
    world.set(HOUR);
    world.settles();
    // Where the clock shows the time of its issuance, it is dead all the same.
    world.rejects("ahead", "REVOKED");
    world.nothing_is_lost(&[cut]);
}

#[test]
fn a_server_certificate_that_begins_in_the_future_is_replaced_when_the_clock_is_set_back() {
    let mut world = World::new();
    world.set(HOUR);
    world.broker.restart();
    world.set(0);
    world.is_served();
    world.settles();
    world.nothing_is_lost(&[]);
}
