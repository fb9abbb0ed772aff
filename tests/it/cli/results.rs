//! Results: the same in each format, under keys that stay, and with no secret in them but the one
//! that was asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use serde_json::Value;

use crate::feeds::put;
use crate::findings::say;
use crate::harness::{AUDIENCE, Broker, Identity, REGISTRY, eventually, run};

/// The keys of each command's result, as scripts rely on them. Keys are added, never changed.
const KEYS: &str = include_str!("../../golden/cli/keys.txt");

/// What names its members by data: a count by workload has workloads for keys.
const NAMED_BY_DATA: [&str; 3] = ["by_kind", "by_environment", "by_workload"];

const API: &str = "spiffe://example.org/payments/api";

/// A broker in which there is something of everything to show.
struct World {
    broker: Broker,
    administrator: Identity,
    workload: Identity,
    credential: String,
    task: String,
    /// Of what a source says that is not believed.
    digest: String,
    finding: u64,
    exception: String,
}

/// A source of workloads, and reconciliation to which a contract is near its end that ends in 2099.
fn declare(broker: &Broker) {
    let table = "[[source]]\nname = \"assets\"\nkind = \"feed\"\npath = \"assets.csv\"\nholds = [\"workloads\"]\nevery = \"1s\"\n\
                 defaults = { purpose = \"pays\", environments = \"production\" }\n";
    say(broker, [("announce", "30d", "36500d")]);
    let config = fs::read_to_string(broker.config()).unwrap();
    fs::write(broker.config(), format!("{config}\n{table}")).unwrap();
    let rows: String = (0..4).map(|number| format!("spiffe://example.org/assets/{number},platform\n")).collect();
    put(&broker.dir(), "assets.csv", &format!("spiffe_id,owner\n{rows}"));
}

impl World {
    fn new() -> Self {
        let mut broker = Broker::prepare();
        declare(&broker);
        broker.serve();
        broker.apply(REGISTRY);
        let (administrator, workload) = (broker.administrator(), broker.identity("payments/api"));
        let open = ["task", "open", "--environment", "production", "--purpose", "a job", "--within", "30m", "--field", "task"];
        let task = broker.curfew(&workload, open).done().trim().to_owned();
        let issue = ["token", "issue", "--environment", "production", "--audience", AUDIENCE, "--task", &task, "--field"];
        let credential = broker.curfew(&workload, issue.into_iter().chain(["credential_id"])).done().trim().to_owned();
        let token = broker.curfew(&workload, issue.into_iter().chain(["token"])).done();
        fs::write(broker.scratch().join("token"), token).unwrap();
        let certificate = ["cert", "issue", "--environment", "production", "--out", "mine"];
        broker.curfew(&workload, certificate).done();
        fs::write(broker.scratch().join("batch"), format!("{{\"environment\":\"production\",\"audience\":\"{AUDIENCE}\"}}\n")).unwrap();
        fs::write(broker.scratch().join("changed.yaml"), REGISTRY.replace("Takes payments", "Takes all payments")).unwrap();
        let request = ["exception", "request", "--environment", "production", "--purpose", "a migration", "--within", "1h", "--field"];
        let exception = broker.curfew(&workload, request.into_iter().chain(["exception"])).done().trim().to_owned();
        let show = |words: &[&str]| broker.curfew(&administrator, words.iter().chain(&["--format", "json"])).json();
        show(&["reconcile"]);
        let finding = show(&["finding", "list"])["findings"][0]["finding"].as_u64().unwrap();
        let until = |seen: &dyn Fn(&Value) -> bool| {
            eventually(Duration::from_secs(30), || Some(show(&["source", "show", "assets"])).filter(|source| seen(source)))
        };
        until(&|source| source["records"] == 4);
        put(&broker.dir(), "assets.csv", "spiffe_id,owner\n");
        let digest = until(&|source| source["state"] == "not_believed")["digest"].as_str().unwrap().to_owned();
        Self { broker, administrator, workload, credential, task, digest, finding, exception }
    }

    /// The commands, by the name of their result; what ends things comes last. Each is run in its turn.
    fn commands(&self) -> Vec<(&'static str, &Identity, String)> {
        [self.looking(), self.accounting(), self.ending()].concat()
    }

    /// What asks, makes and applies.
    fn looking(&self) -> Vec<(&'static str, &Identity, String)> {
        let Self { credential, task, .. } = self;
        let presented = self.workload.certificate.display();
        let config = self.broker.config();
        let (config, dir) = (config.display(), self.broker.dir());
        let (ours, policies) = (&self.administrator, dir.join("policies"));
        let (policies, dir) = (policies.display(), dir.display());
        vec![
            ("config check", ours, format!("config check --config {config}")),
            ("init", ours, "init new".to_owned()),
            ("identity new", ours, format!("identity new spiffe://example.org/new --dir {dir} --out new-identity")),
            ("whoami", &self.workload, "whoami".to_owned()),
            ("whoami", ours, "whoami".to_owned()),
            ("token issue", &self.workload, format!("token issue --environment production --audience {AUDIENCE}")),
            ("token batch", &self.workload, "token batch batch".to_owned()),
            ("cert issue", &self.workload, "cert issue --environment production --out other".to_owned()),
            ("verify token", ours, format!("verify token token --audience {AUDIENCE} --presented {presented}")),
            ("verify cert", ours, "verify cert mine.pem".to_owned()),
            ("cred show", ours, format!("cred show {credential}")),
            ("cred list", ours, "cred list".to_owned()),
            ("owner list", ours, "owner list".to_owned()),
            ("owner show", ours, "owner show payments".to_owned()),
            ("owner preview", ours, "owner preview payments".to_owned()),
            ("workload list", ours, "workload list".to_owned()),
            ("workload show", ours, format!("workload show {API}")),
            ("environment list", ours, "environment list".to_owned()),
            ("environment show", ours, "environment show production".to_owned()),
            ("downstream list", ours, "downstream list".to_owned()),
            ("downstream show", ours, "downstream show ledger-api".to_owned()),
            ("task list", ours, "task list".to_owned()),
            ("task show", ours, format!("task show {task}")),
            ("registry diff", ours, "registry diff changed.yaml".to_owned()),
            ("registry export", ours, "registry export".to_owned()),
            ("registry apply", ours, "registry apply changed.yaml".to_owned()),
            ("policy check", ours, format!("policy check {policies}")),
            ("policy apply", ours, format!("policy apply {policies}")),
            ("ledger list", ours, "ledger list --limit 1000".to_owned()),
            ("ledger checkpoint", ours, "ledger checkpoint".to_owned()),
        ]
    }

    /// What is done about sources, findings and exceptions.
    fn accounting(&self) -> Vec<(&'static str, &Identity, String)> {
        let Self { administrator: ours, digest, finding, exception, .. } = self;
        vec![
            ("source list", ours, "source list".to_owned()),
            ("source show", ours, "source show assets".to_owned()),
            ("source confirm", ours, format!("source confirm assets --digest {digest}")),
            ("source token", ours, "source token".to_owned()),
            ("finding list", ours, "finding list".to_owned()),
            ("finding show", ours, format!("finding show {finding}")),
            ("finding waive", ours, format!("finding waive {finding} --within 30d --note renewed")),
            ("finding resolve", ours, format!("finding resolve {finding} --note renewed")),
            // It is found anew.
            ("reconcile", ours, "reconcile --dry-run".to_owned()),
            ("reconcile", ours, "reconcile".to_owned()),
            ("exception request", &self.workload, "exception request --environment staging --purpose tests --within 1h".to_owned()),
            ("exception approve", ours, format!("exception approve {exception}")),
            ("exception list", ours, "exception list".to_owned()),
            ("exception show", ours, format!("exception show {exception}")),
            ("exception revoke", ours, format!("exception revoke {exception} --reason superseded --wait published")),
            ("workload accept", ours, format!("workload accept {API}")),
        ]
    }

    /// What ends things, and shows what has ended.
    fn ending(&self) -> Vec<(&'static str, &Identity, String)> {
        let Self { administrator: ours, credential, task, .. } = self;
        let ended = "--reason superseded --wait published";
        vec![
            ("task open", &self.workload, "task open --environment staging --purpose tests --within 5m".to_owned()),
            ("owner revoke", ours, format!("owner revoke payments {ended} --dry-run")),
            ("cred revoke", ours, format!("cred revoke {credential} {ended}")),
            ("task close", ours, format!("task close {task}")),
            ("downstream suspend", ours, format!("downstream suspend ledger-api {ended}")),
            ("downstream reinstate", ours, "downstream reinstate ledger-api --note back".to_owned()),
            ("environment suspend", ours, format!("environment suspend staging {ended}")),
            ("environment reinstate", ours, "environment reinstate staging --note back".to_owned()),
            ("workload suspend", ours, format!("workload suspend {API} {ended}")),
            ("workload reinstate", ours, format!("workload reinstate {API} --note back")),
            ("owner suspend", ours, format!("owner suspend payments {ended}")),
            ("owner reinstate", ours, "owner reinstate payments --note back".to_owned()),
            ("owner revoke", ours, format!("owner revoke payments {ended}")),
            ("cred show", ours, format!("cred show {credential}")),
            ("revocations get", ours, "revocations get".to_owned()),
            ("revocations followers", ours, "revocations followers".to_owned()),
        ]
    }

    fn run(&self, caller: &Identity, line: &str, more: &[&str]) -> crate::harness::Ran {
        self.broker.curfew(caller, words(line).into_iter().chain(more.iter().map(|word| (*word).to_owned())))
    }
}

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

/// The paths of all members, `[]` for the items of a list.
fn keys(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                found.insert(path.clone());
                if !NAMED_BY_DATA.contains(&key.as_str()) {
                    keys(value, &path, found);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| keys(item, &format!("{path}[]"), found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn keys_are_snake_case_and_those_that_were_there_stay() {
    let world = World::new();
    let mut found: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (name, caller, line) in world.commands() {
        let result = world.run(caller, &line, &["--format", "json"]).json();
        keys(&result, "", found.entry(name).or_default());
    }
    for path in found.values().flatten() {
        let snake = |key: &str| key.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        assert!(path.replace("[]", "").split('.').all(snake), "{path} is not in snake_case");
    }
    let written = |found: &BTreeMap<&str, BTreeSet<String>>| -> String {
        found.iter().map(|(name, keys)| format!("{name}: {}\n", keys.iter().cloned().collect::<Vec<_>>().join(" "))).collect()
    };
    for line in KEYS.lines() {
        let (name, keys) = line.split_once(": ").unwrap();
        let found = found.get(name).unwrap_or_else(|| panic!("`{name}` is not run here"));
        let lost: Vec<&str> = keys.split(' ').filter(|key| !found.contains(*key)).collect();
        assert!(lost.is_empty(), "`curfew {name}` has lost {lost:?}");
    }
    let known: BTreeSet<&str> = KEYS.lines().map(|line| line.split_once(": ").unwrap().0).collect();
    assert!(found.keys().all(|name| known.contains(name)), "write down the keys that scripts may rely on:\n{}", written(&found));
}

#[test]
fn each_format_says_the_same() {
    let world = World::new();
    let ours = &world.administrator;
    for line in ["owner show payments", "workload list", "cred show CREDENTIAL", "downstream list", "registry export"] {
        let line = line.replace("CREDENTIAL", &world.credential);
        let json = world.run(ours, &line, &["--format", "json"]).json();
        let yaml: Value = serde_saphyr::from_str(&world.run(ours, &line, &["--format", "yaml"]).done()).unwrap();
        assert_eq!(yaml, json, "{line}");
    }
    let shown = world.run(ours, "owner show payments", &["--format", "json"]).json();
    for (field, value) in [("id", "payments".to_owned()), ("number", shown["number"].to_string()), ("standing", "active".to_owned())] {
        for format in ["table", "json", "yaml"] {
            let alone = world.run(ours, "owner show payments", &["--field", field, "--format", format]).done();
            assert_eq!(alone, format!("{value}\n"), "--field {field} --format {format}");
        }
    }
    let rows = world.run(ours, "owner list", &["--field", "id"]).done();
    assert_eq!(rows.lines().collect::<Vec<_>>(), ["acme", "payments", "platform"]);
    let none = world.run(ours, "owner show payments", &["--field", "colour"]).exits(1);
    assert!(none.stdout.is_empty() && none.stderr.contains("colour"), "{none:?}");
    let table = world.run(ours, "owner list", &[]).done();
    assert!(table.lines().next().is_some_and(|head| head.starts_with("ID ")), "people get a table by default: {table}");
}

#[test]
fn the_format_of_the_environment_holds_unless_another_is_asked_for() {
    let world = World::new();
    let whoami = |arguments: &[&str]| {
        let mut command = crate::harness::program();
        command.arg("whoami").args(arguments).env("CURFEW_FORMAT", "json").env("CURFEW_ADDR", &world.broker.addresses().grpc);
        command.env("CURFEW_CACERT", world.broker.ca()).env("CURFEW_CLIENT_CERT", &world.administrator.certificate);
        run(command.env("CURFEW_CLIENT_KEY", &world.administrator.key)).done()
    };
    let told: Value = serde_json::from_str(&whoami(&[])).unwrap();
    assert_eq!(told["role"], "administrator");
    assert!(serde_json::from_str::<Value>(&whoami(&["--format", "table"])).is_err());
}

#[test]
fn a_secret_is_printed_only_where_it_is_the_result() {
    let world = World::new();
    let token = fs::read_to_string(world.broker.scratch().join("token")).unwrap();
    let signature = token.trim().rsplit('.').next().unwrap().to_owned();
    let mut lines = 0;
    for (name, caller, line) in world.commands() {
        let ran = world.run(caller, &line, &["--format", "json"]).exits(0);
        for output in [&ran.stdout, &ran.stderr] {
            assert!(!output.contains("PRIVATE KEY"), "`curfew {name}` shows a private key");
            assert!(!output.contains(&signature), "`curfew {name}` shows somebody's token");
            let issues = matches!(name, "token issue" | "token batch");
            assert!(issues || !output.contains("\"token\": \"ey"), "`curfew {name}` shows a token");
        }
        lines += ran.stdout.lines().count();
    }
    assert!(lines > 100, "{lines} lines were looked at");
    for key in ["mine.key", "other.key", "new-identity.key"] {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(world.broker.scratch().join(key)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{key}");
    }
}

#[test]
fn the_broker_s_own_certificate_is_listed_by_a_name() {
    let broker = Broker::start_empty();
    let listed = broker.curfew(&broker.administrator(), ["cred", "list", "--format", "json"]).json();
    let own = &listed["credentials"][0];
    assert_eq!((&own["owner"], &own["environment"]), (&Value::from("(broker)"), &Value::from("(broker)")), "{listed}");
}

#[test]
fn credentials_are_found_by_task_audience_and_kind() {
    let broker = Broker::start();
    let workload = broker.identity("payments/api");
    let opened = ["task", "open", "--environment", "production", "--purpose", "tests", "--within", "5m", "--field", "task"];
    let task = broker.curfew(&workload, opened).done().trim().to_owned();
    let issue = |more: &[&str]| {
        let line = [&["token", "issue", "--environment", "production", "--audience", AUDIENCE, "--field", "credential_id"], more].concat();
        broker.curfew(&workload, line).done().trim().to_owned()
    };
    let (plain, svid, of_task) = (issue(&[]), issue(&["--jwt-svid"]), issue(&["--task", &task]));
    let found = |filter: &[&str]| {
        let line = [&["cred", "list", "--owner", "payments", "--field", "credential_id"], filter].concat();
        broker.curfew(&broker.administrator(), line).done()
    };
    let lines = |ids: &[&str]| ids.iter().map(|id| format!("{id}\n")).collect::<String>();
    assert_eq!(found(&["--task", &task]), lines(&[&of_task]));
    assert_eq!(found(&["--kind", "jwt-svid"]), lines(&[&svid]));
    assert_eq!(found(&["--kind", "access-token"]), lines(&[&of_task, &plain]));
    assert_eq!(found(&["--audience", AUDIENCE]), lines(&[&of_task, &svid, &plain]));
    assert_eq!(found(&["--audience", "https://nobody.example.org"]), "");
}
