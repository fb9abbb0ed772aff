//! Records that come from a checkout that the broker watches, by the commands that people type, each ending with a
//! verifier that rejects.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{AUDIENCE, Broker, Identity, REGISTRY, eventually, program, run};
use crate::holder::Holder;
use crate::process::get;
use crate::service::Service;

const PATIENCE: Duration = Duration::from_secs(30);

/// The workload that most is about.
pub(crate) const API: &str = "spiffe://example.org/payments/api";

/// What the registry says of it.
const ROW: &str = "  - spiffe_id: spiffe://example.org/payments/api
    owner: payments
    purpose: Takes payments
    environments: [production, staging]
";

/// A source that reads a folder of its name.
pub(crate) fn folder(name: &str) -> String {
    format!(
        "\n[[source]]\nname = \"{name}\"\nkind = \"folder\"\npath = \"{name}\"\nevery = \"1s\"\n\
         holds = [\"owners\", \"environments\", \"workloads\", \"downstreams\"]\n"
    )
}

/// A broker with sources.
pub(crate) struct World {
    pub(crate) broker: Broker,
    pub(crate) administrator: Identity,
}

impl World {
    /// A source for each name, which reads a folder of the same name. The first says what the registry of the tests
    /// says.
    pub(crate) fn begin(sources: &[&str]) -> Self {
        let tables: String = sources.iter().map(|name| folder(name)).collect();
        let world = Self::with(&tables, |folder| {
            sources.iter().for_each(|name| fs::create_dir(folder.join(name)).unwrap());
            fs::write(folder.join(sources[0]).join("all.yaml"), REGISTRY).unwrap();
        });
        world.until(sources[0], |source| source["state"] == "believed");
        world
    }

    /// The sources of `tables`, whose files are put in the folder of the broker before it starts.
    pub(crate) fn with(tables: &str, place: impl FnOnce(&Path)) -> Self {
        let mut broker = Broker::prepare();
        let config = fs::read_to_string(broker.config()).unwrap();
        fs::write(broker.config(), format!("{config}\n{tables}")).unwrap();
        place(&broker.dir());
        let administrator = broker.administrator();
        broker.serve();
        Self { broker, administrator }
    }

    /// The entries of the ledger.
    pub(crate) fn entries(&self) -> Vec<Value> {
        self.show(&["ledger", "list", "--limit", "1000"])["entries"].as_array().unwrap().clone()
    }

    /// The code under which a verifier rejects a token, once it knows everything that there is now.
    pub(crate) fn rejects(&self, token: &str, holder: &Holder) -> Option<&'static str> {
        Service::covering(&self.broker, self.head()).token(token, holder.presented()).err().map(|error| error.code())
    }

    /// What a source reads.
    pub(crate) fn file(&self, source: &str) -> PathBuf {
        self.broker.dir().join(source).join("all.yaml")
    }

    /// What a command tells an administrator.
    pub(crate) fn show(&self, words: &[&str]) -> Value {
        self.broker.curfew(&self.administrator, words.iter().chain(&["--format", "json"])).json()
    }

    /// Looks at a source until it stands like this.
    pub(crate) fn until(&self, source: &str, seen: impl Fn(&Value) -> bool) -> Value {
        eventually(PATIENCE, || Some(self.show(&["source", "show", source])).filter(&seen))
    }

    /// Looks at a source until it is not believed, while the alarm is raised.
    pub(crate) fn until_doubted(&self, source: &str) -> Value {
        let doubted = self.until(source, |source| source["state"] == "not_believed");
        assert!(get(&self.broker, "/metrics").1.contains("curfew_sources_doubted 1"));
        doubted
    }

    /// A person confirms what was doubted, as it was seen.
    pub(crate) fn confirm(&self, doubted: &Value) {
        let (source, digest) = (doubted["name"].as_str().unwrap(), doubted["digest"].as_str().unwrap());
        self.broker.curfew(&self.administrator, ["source", "confirm", source, "--digest", digest]).done();
    }

    /// Looks at a workload until it is like this.
    pub(crate) fn until_workload(&self, id: &str, seen: impl Fn(&Value) -> bool) -> Value {
        eventually(PATIENCE, || Some(self.show(&["workload", "show", id])).filter(&seen))
    }

    /// The last position.
    pub(crate) fn head(&self) -> u64 {
        self.entries().last().unwrap()["position"].as_u64().unwrap()
    }

    /// A token for the ledger service in production.
    pub(crate) fn issue(&self, identity: &Identity) -> String {
        self.issue_in(identity, "production")
    }

    pub(crate) fn issue_in(&self, identity: &Identity, environment: &str) -> String {
        let ask = ["token", "issue", "--environment", environment, "--audience", AUDIENCE, "--field", "token"];
        self.broker.curfew(identity, ask).done().trim().to_owned()
    }

    /// The broker stops in order, and its ledger is whole.
    pub(crate) fn end(mut self) {
        assert!(self.broker.stop().success());
        run(program().args(["ledger", "verify"]).arg(self.broker.dir().join("data/ledger.db"))).done();
    }
}

#[test]
fn a_checkout_that_comes_out_empty_ends_nothing_until_a_person_confirms_it() {
    let world = World::begin(&["teams"]);
    let api = world.broker.identity("payments/api");
    let (token, holder) = (world.issue(&api), Holder::of(&api));
    let workload = world.show(&["workload", "show", API]);
    assert_eq!((workload["source"].as_str(), workload["record"].as_str()), (Some("teams"), Some(API)));

    fs::write(world.file("teams"), "workloads: []\n").unwrap();
    let doubted = world.until("teams", |source| source["state"] == "not_believed");
    let why = doubted["why"].as_str().unwrap();
    assert!(why.starts_with("it is empty, and "), "{why}");
    assert!(Service::of(&world.broker).token(&token, holder.presented()).is_ok());
    world.issue(&api);
    let listed = world.show(&["source", "list"]);
    assert_eq!(listed["sources"][0]["state"], "not_believed");

    // What is confirmed is exactly what was seen.
    let other = "0".repeat(64);
    world.broker.curfew(&world.administrator, ["source", "confirm", "teams", "--digest", &other]).exits(2);
    let digest = doubted["digest"].as_str().unwrap();
    world.broker.curfew(&world.administrator, ["source", "confirm", "teams", "--digest", digest]).done();
    world.until("teams", |source| source["state"] == "believed" && source["records"] == 0);
    let closed = world.show(&["owner", "show", "payments"])["closed_position"].as_u64().unwrap();
    let service = Service::covering(&world.broker, closed);
    assert_eq!(service.token(&token, holder.presented()).unwrap_err().code(), "REVOKED");
    let ask = ["token", "issue", "--environment", "production", "--audience", AUDIENCE];
    world.broker.curfew(&api, ask).exits(2);
    world.broker.says(&["the source is not believed", "a source changed a record"]);
    world.end();
}

#[test]
fn a_checkout_that_loses_a_file_ends_nothing_that_its_other_files_still_name() {
    let (environments, rest) = REGISTRY.split_once("owners:\n").unwrap();
    let (owners, services) = rest.split_once("workloads:\n").unwrap();
    let (owners, services) = (format!("owners:\n{owners}"), format!("workloads:\n{services}"));
    let world = World::with(&folder("teams"), |folder| {
        fs::create_dir(folder.join("teams")).unwrap();
        for (name, text) in [("environments", environments), ("owners", &owners), ("services", &services)] {
            fs::write(folder.join("teams").join(format!("{name}.yaml")), text).unwrap();
        }
    });
    let file = |name: &str| world.broker.dir().join("teams").join(format!("{name}.yaml"));
    let says = |name: &str, text: &str| {
        fs::write(world.broker.dir().join(name), text).unwrap();
        fs::rename(world.broker.dir().join(name), file(name)).unwrap();
    };
    world.until("teams", |source| source["state"] == "believed" && source["problem_count"] == 0);
    let api = world.broker.identity("payments/api");
    let (token, holder) = (world.issue(&api), Holder::of(&api));
    for (name, text, left) in [("environments", environments, "environment `production`"), ("owners", &owners, "owner `payments`")] {
        fs::remove_file(file(name)).unwrap();
        let told = world.until("teams", |source| source["problem_count"] != 0);
        let problem = format!("{left} is named by workload `{API}`, and recorded nowhere any more; left as it is");
        assert!(told["problems"].as_array().unwrap().iter().any(|told| *told == problem), "{told}");
        assert_eq!((&told["state"], told["records"].as_u64()), (&"believed".into(), Some(11)), "all of it stays");
        assert_eq!(world.rejects(&token, &holder), None);
        world.issue(&api);
        says(name, text);
        world.until("teams", |source| source["problem_count"] == 0);
    }

    // What nothing names any more has ended.
    says("services", &services.replace("[production, staging]", "[staging]").replace("[production]", "[staging]"));
    says("environments", "environments: [{name: staging}]\n");
    world.until("teams", |source| source["records"] == 10 && source["problem_count"] == 0);
    assert_eq!(world.rejects(&token, &holder), Some("REVOKED"));
    world.end();
}

/// As git-sync and Kubernetes put files in place: each is a link into a folder that another link is switched to.
#[test]
fn a_checkout_that_is_switched_while_it_is_read_is_one_change_and_nothing_ends_by_it() {
    let rest = REGISTRY.replace(ROW, "");
    let (nothing, row) = ("workloads: []\n", format!("workloads:\n{ROW}"));
    let place = |shown: &Path, revision: &str, files: [&str; 3]| {
        fs::create_dir(shown.join(revision)).unwrap();
        ["a", "b", "c"]
            .iter()
            .zip(files)
            .for_each(|(name, text)| fs::write(shown.join(revision).join(format!("{name}.yaml")), text).unwrap());
    };
    let switch = |shown: &Path, revision: &str| {
        symlink(revision, shown.join("..next")).unwrap();
        fs::rename(shown.join("..next"), shown.join("..data")).unwrap();
    };
    let world = World::with(&folder("teams"), |folder| {
        let shown = folder.join("teams");
        fs::create_dir(&shown).unwrap();
        place(&shown, "..one", [nothing, &rest, &row]);
        switch(&shown, "..one");
        ["a", "b", "c"].iter().for_each(|name| symlink(format!("..data/{name}.yaml"), shown.join(format!("{name}.yaml"))).unwrap());
    });
    world.until("teams", |source| source["records"] == 11);
    let api = world.broker.identity("payments/api");
    let (token, holder) = (world.issue(&api), Holder::of(&api));

    // The broker waits at the pipe, with the first file behind it and the third before it.
    let shown = world.broker.dir().join("teams");
    place(&shown, "..two", [nothing, "", &row]);
    let pipe = shown.join("..two/b.yaml");
    fs::remove_file(&pipe).unwrap();
    run(Command::new("mkfifo").arg(&pipe)).done();
    place(&shown, "..three", [&row, &rest.replace("Settles with the banks", "Settles"), nothing]);
    switch(&shown, "..two");
    let mut held = File::options().write(true).open(&pipe).unwrap();
    let head = world.head();
    switch(&shown, "..three");
    held.write_all(rest.as_bytes()).unwrap();
    drop(held);

    world.until_workload("spiffe://example.org/payments/settlement", |workload| workload["purpose"] == "Settles");
    let since: Vec<Value> = world.entries().into_iter().filter(|entry| entry["position"].as_u64() > Some(head)).collect();
    assert!(!since.iter().any(|entry| entry["summary"].as_str().unwrap().contains(API)), "{since:?}");
    assert_eq!(world.rejects(&token, &holder), None);
    world.end();
}

#[test]
fn of_two_sources_that_claim_one_workload_the_first_keeps_it_and_its_end_is_the_end() {
    let world = World::begin(&["assets", "cmdb"]);
    let api = world.broker.identity("payments/api");
    let (token, holder) = (world.issue(&api), Holder::of(&api));
    let claim = format!("workloads:\n  - {{spiffe_id: {API}, owner: payments, purpose: mine now, environments: [production]}}\n");
    fs::write(world.file("cmdb"), claim).unwrap();
    let told = world.until("cmdb", |source| source["problem_count"] == 1);
    let problem = told["problems"][0].as_str().unwrap();
    assert!(problem.contains(API) && problem.contains("is recorded by source assets"), "{problem}");
    assert_eq!(world.show(&["workload", "show", API])["source"], "assets");
    assert!(Service::of(&world.broker).token(&token, holder.presented()).is_ok());

    // A row that is wrong is named and stays as it is; the rest is applied.
    let wrong = REGISTRY.replace("owner: payments", "owner: nobody");
    assert_ne!(wrong, REGISTRY);
    fs::write(world.file("assets"), wrong).unwrap();
    let told = world.until("assets", |source| source["problem_count"] != 0);
    assert!(told["problems"][0].as_str().unwrap().contains("`nobody` is not declared"), "{told}");
    assert!(Service::of(&world.broker).token(&token, holder.presented()).is_ok());

    // The asset database says that the workload is gone: what was issued to it is dead, and the other may claim it.
    let without = REGISTRY.replace(ROW, "");
    assert_ne!(without, REGISTRY);
    fs::write(world.file("assets"), without).unwrap();
    world.until("cmdb", |source| source["records"] == 1);
    assert_eq!(world.show(&["workload", "show", API])["purpose"], "mine now");
    assert_eq!(world.rejects(&token, &holder), Some("REVOKED"));
    world.end();
}

#[test]
fn what_a_source_recorded_that_is_taken_out_goes_on_until_administrators_have_taken_it_over_and_end_it() {
    let mut world = World::begin(&["teams"]);
    let api = world.broker.identity("payments/api");
    let (token, holder) = (world.issue(&api), Holder::of(&api));
    let config = fs::read_to_string(world.broker.config()).unwrap();
    assert!(config.contains(&folder("teams")));
    fs::write(world.broker.config(), config.replace(&folder("teams"), "")).unwrap();
    assert!(world.broker.stop().success());
    world.broker.serve();
    let log = world.broker.says(&["the configuration does not declare a source any more"]);
    assert!(log.contains("records=11"), "{log}");
    world.broker.apply("workloads: []\n");
    assert_eq!((world.show(&["workload", "show", API])["source"].as_str(), world.rejects(&token, &holder)), (Some("teams"), None));

    world.broker.apply(REGISTRY);
    assert_eq!((world.show(&["workload", "show", API])["source"].as_str(), world.rejects(&token, &holder)), (None, None));
    world.issue(&api);
    let head = world.head();
    world.broker.apply(REGISTRY);
    assert!(!world.entries().iter().any(|entry| entry["position"].as_u64() > Some(head) && entry["event"] != "administrative_read"));
    world.broker.apply(&REGISTRY.replace(ROW, ""));
    assert_eq!(world.rejects(&token, &holder), Some("REVOKED"));
    world.broker.curfew(&api, ["token", "issue", "--environment", "production", "--audience", AUDIENCE]).exits(2);
    // What is no longer of it is warned of no longer.
    world.broker.restart();
    assert_eq!(world.show(&["source", "list"])["sources"].as_array().map(Vec::len), Some(0));
    world.end();
}
