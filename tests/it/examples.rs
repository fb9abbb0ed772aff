//! The examples, run as their headers say.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use crate::harness::{AUDIENCE, Broker, Identity, Ran, eventually, run};

fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// An example as cargo builds it: beside the tests, with their features.
fn built(name: &str) -> PathBuf {
    let cargo = std::env::var_os("CARGO").expect("run by cargo");
    let mut command = Command::new(cargo);
    run(command.args(["build", "--quiet", "--locked", "--all-features", "--example", name]).current_dir(checkout())).done();
    let tests = std::env::current_exe().unwrap();
    tests.parent().unwrap().parent().unwrap().join("examples").join(name)
}

/// What is written in the header of an example, between `from` and `to`.
fn header(file: &str, from: &str, to: &str) -> String {
    let text = fs::read_to_string(checkout().join("examples").join(file)).unwrap();
    let text: String = text.lines().map(|line| format!("{}\n", line.trim_start_matches("//!").trim_start())).collect();
    text.split_once(from)
        .and_then(|(_, rest)| rest.split_once(to))
        .unwrap_or_else(|| panic!("{file} does not say how to run it"))
        .0
        .to_owned()
}

/// Runs what a header says, with the example that was built in place of `cargo run`.
fn as_written(name: &str, broker: &Broker, identity: &Identity, environment: &[(&str, &str)]) -> Ran {
    shell(&script(name, "```sh\n"), broker, identity, environment)
}

fn shell(script: &str, broker: &Broker, identity: &Identity, environment: &[(&str, &str)]) -> Ran {
    let mut command = Command::new("sh");
    command.args(["-euc", script]).current_dir(checkout()).envs(environment.iter().copied());
    command.env("CURFEW_ADDR", &broker.addresses().grpc).env("CURFEW_CACERT", broker.ca());
    run(command.env("CURFEW_CLIENT_CERT", &identity.certificate).env("CURFEW_CLIENT_KEY", &identity.key))
}

fn revoke(broker: &Broker) {
    let line = ["owner", "revoke", "payments", "--reason", "cessation-of-operation", "--wait", "published"];
    broker.curfew(&broker.administrator(), line).done();
}

#[test]
fn a_service_takes_the_token_of_a_workload_until_its_owner_is_revoked() {
    let broker = Broker::start();
    let (workload, verifier) = (broker.identity("payments/api"), broker.identity("ledger/verifier"));
    let token = as_written("workload", &broker, &workload, &[]).done();
    let certificate = workload.certificate.to_str().unwrap();
    let serve = |token: &str| as_written("service", &broker, &verifier, &[("TOKEN", token), ("CALLER_CERT", certificate)]).done();
    assert_eq!(serve(token.trim()), "yes: spiffe://example.org/payments/api\n");
    assert!(serve("garbage").starts_with("no: MALFORMED"));

    revoke(&broker);
    let rejected = serve(token.trim());
    assert!(rejected.starts_with("no: REVOKED"), "{rejected}");
    let refused = as_written("workload", &broker, &workload, &[]).exits(1);
    assert!(refused.stderr.contains("refused (OWNER_NOT_ACTIVE)") && refused.stdout.is_empty(), "{refused:?}");
}

/// A program that is run as a header says, between `from` and the end of that block, and asked something now and then.
struct Running {
    process: Child,
    stdout: BufReader<ChildStdout>,
}

impl Running {
    fn begin(script: &str, broker: &Broker, identity: &Identity, environment: &[(&str, &Path)]) -> Self {
        let mut command = Command::new("sh");
        command.args(["-euc", script]).envs(environment.iter().copied());
        command.env("CURFEW_ADDR", &broker.addresses().grpc).env("CURFEW_CACERT", broker.ca());
        command.env("CURFEW_CLIENT_CERT", &identity.certificate).env("CURFEW_CLIENT_KEY", &identity.key);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        Self { process, stdout }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line
    }

    /// What it says to a line.
    fn told(&mut self) -> String {
        writeln!(self.process.stdin.as_mut().unwrap(), "a call").unwrap();
        self.line()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = (self.process.kill(), self.process.wait());
    }
}

/// The block of a header after `from`, with the example that was built in place of `cargo run`.
fn script(name: &str, from: &str) -> String {
    let written = header(&format!("{name}.rs"), from, "```\n");
    let cargo = format!("cargo run --example {name} --features client --");
    assert!(written.contains(&cargo), "{written}");
    written.replace(&cargo, &format!("exec {}", built(name).display()))
}

/// A server certificate for localhost, and a port that is free.
struct Place {
    certificate: PathBuf,
    key: PathBuf,
    port: String,
}

impl Place {
    fn new(broker: &Broker) -> Self {
        let (certificate, key) = (broker.scratch().join("server.pem"), broker.scratch().join("server.key"));
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(&certificate, made.cert.pem()).unwrap();
        fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
        Self { certificate, key, port }
    }
}

#[test]
fn a_caller_has_a_token_at_hand_until_its_owner_is_revoked() {
    let broker = Broker::start();
    let workload = broker.identity("payments/api");
    let mut caller = Running::begin(&script("caller", "```sh\n"), &broker, &workload, &[]);
    let first = caller.told();
    let token = first.strip_prefix("authorization: Bearer ").unwrap_or_else(|| panic!("{first}"));
    let file = broker.scratch().join("token");
    fs::write(&file, token).unwrap();
    let check = ["verify", "token", file.to_str().unwrap(), "--audience", AUDIENCE, "--presented", workload.certificate.to_str().unwrap()];
    broker.curfew(&workload, check).done();
    assert_eq!(caller.told(), first, "it is kept");
    revoke(&broker);
    broker.curfew(&workload, check).exits(5);
    let refused = eventually(Duration::from_secs(10), || Some(caller.told()).filter(|line| *line != first));
    assert!(refused.starts_with("no token (OWNER_NOT_ACTIVE)"), "{refused}");
}

#[test]
fn a_service_of_grpc_knows_its_caller_by_a_certificate_until_the_owner_is_revoked() {
    let broker = Broker::start();
    let (caller, verifier) = (broker.identity("payments/api"), broker.identity("mesh/verifier"));
    let place = Place::new(&broker);
    let issuers = broker.scratch().join("issuers.pem");
    fs::write(&issuers, broker.curfew(&caller, ["keys", "issuers"]).done()).unwrap();
    let here = |from: &str| script("mesh", from).replace("8443", &place.port);
    let environment = [("SERVER_CERT", &*place.certificate), ("SERVER_KEY", &place.key), ("CLIENT_CA", &issuers)];
    let mut service = Running::begin(&here("```sh\n"), &broker, &verifier, &environment);
    assert!(service.line().starts_with("serving on"));
    let mut caller = Running::begin(&here("standard input:\n\n```sh\n"), &broker, &caller, &environment[..1]);
    // It says so a moment before it listens.
    eventually(Duration::from_secs(10), || (caller.told() == "served\n").then_some(()));
    assert_eq!(service.line(), "spiffe://example.org/payments/api calls\n");
    revoke(&broker);
    let refused = eventually(Duration::from_secs(10), || Some(caller.told()).filter(|line| line != "served\n"));
    assert!(refused.starts_with("not served: owner payments is closed to issuing"), "{refused}");
}

#[test]
fn what_the_pages_show_of_rust_stands_in_an_example() {
    let folder = fs::read_dir(checkout().join("examples")).unwrap().map(|entry| entry.unwrap().path());
    let examples: String =
        folder.filter(|path| path.extension().is_some_and(|it| it == "rs")).map(|path| fs::read_to_string(path).unwrap()).collect();
    let page = fs::read_to_string(checkout().join("docs/following.md")).unwrap();
    let mut shown = 0;
    for block in page.split("```rust,ignore\n").skip(1) {
        let (code, _) = block.split_once("```").unwrap();
        for line in code.lines().map(str::trim).filter(|line| !line.is_empty()) {
            assert!(examples.contains(line), "no example has `{line}`");
            shown += 1;
        }
    }
    assert!(shown > 10, "{shown} lines were found");
}

#[test]
fn a_guarded_service_lets_a_caller_through_until_its_owner_is_revoked() {
    let broker = Broker::start();
    let (caller, verifier) = (broker.identity("payments/api"), broker.identity("ledger/verifier"));
    let token = as_written("workload", &broker, &caller, &[]).done();
    let place = Place::new(&broker);
    let trusted = broker.dir().join("trust/example.org.pem");
    let environment = [("SERVER_CERT", &*place.certificate), ("SERVER_KEY", &place.key), ("CLIENT_CA", &trusted)];
    let script = script("guarded", "```sh\n").replace("8443", &place.port);
    let mut service = Running::begin(&script, &broker, &verifier, &environment);
    assert!(service.line().starts_with("serving on"));

    let call = header("guarded.rs", "And as a caller:\n\n```sh\n", "```\n");
    let ask = || {
        let mut command = Command::new("sh");
        command.args([
            "-euc",
            &call.replace("8443", &place.port).replace("curl ", "curl --silent --show-error --retry 5 --retry-connrefused "),
        ]);
        command.env("SERVER_CERT", &place.certificate).env("CALLER_CERT", &caller.certificate).env("CALLER_KEY", &caller.key);
        run(command.env("TOKEN", token.trim())).done()
    };
    assert_eq!(ask(), "hello, spiffe://example.org/payments/api\n");
    revoke(&broker);
    let refused = eventually(Duration::from_secs(10), || Some(ask()).filter(|answer| !answer.starts_with("hello")));
    assert!(refused.starts_with("REVOKED"), "{refused}");
}

#[test]
fn a_workload_in_python_gets_a_token_and_reads_the_reason_of_a_refusal() {
    let broker = Broker::start();
    let workload = broker.identity("payments/api");
    let python = std::env::var_os("CURFEW_TEST_PYTHON").expect("CURFEW_TEST_PYTHON is not set: run the tests with tests/run");
    let generated = tempfile::tempdir().unwrap();
    // The packages are those that tests/run has installed.
    let script: String =
        header("workload.py", "\n\n", "\"\"\"").lines().filter(|line| !line.contains("pip install")).collect::<Vec<_>>().join("\n");
    let script = format!("python() {{ \"{}\" -B \"$@\"; }}\n{script}", python.display());
    let issue = || shell(&script, &broker, &workload, &[("GENERATED", generated.path().to_str().unwrap())]);
    let token = issue().done();
    assert_eq!(token.trim().split('.').count(), 3, "{token}");
    let file = broker.scratch().join("token");
    fs::write(&file, token).unwrap();
    let check = ["verify", "token", file.to_str().unwrap(), "--audience", AUDIENCE, "--presented", workload.certificate.to_str().unwrap()];
    broker.curfew(&workload, check).done();
    revoke(&broker);
    let refused = issue().exits(1);
    assert!(refused.stderr.contains("no token (OWNER_NOT_ACTIVE)"), "{refused:?}");
}
