//! The examples, run as their headers say.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
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
    let script = header(&format!("{name}.rs"), "```sh\n", "```\n");
    let cargo = format!("cargo run --example {name} --features client --");
    assert!(script.contains(&cargo), "{script}");
    shell(&script.replace(&cargo, built(name).to_str().unwrap()), broker, identity, environment)
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

#[test]
fn a_caller_has_a_token_at_hand_until_its_owner_is_revoked() {
    let broker = Broker::start();
    let workload = broker.identity("payments/api");
    let written = header("caller.rs", "```sh\n", "```\n");
    let cargo = "cargo run --example caller --features client --";
    assert!(written.contains(cargo), "{written}");
    let script = written.replace(cargo, &format!("exec {}", built("caller").display()));
    let mut command = Command::new("sh");
    command.args(["-euc", &script]).env("CURFEW_ADDR", &broker.addresses().grpc).env("CURFEW_CACERT", broker.ca());
    command.env("CURFEW_CLIENT_CERT", &workload.certificate).env("CURFEW_CLIENT_KEY", &workload.key);
    let mut caller = Ended(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap());
    let (mut stdin, mut stdout) = (caller.0.stdin.take().unwrap(), BufReader::new(caller.0.stdout.take().unwrap()));
    let mut header = || {
        let mut line = String::new();
        writeln!(stdin, "a call").unwrap();
        stdout.read_line(&mut line).unwrap();
        line
    };
    let first = header();
    let token = first.strip_prefix("authorization: Bearer ").unwrap_or_else(|| panic!("{first}"));
    let file = broker.scratch().join("token");
    fs::write(&file, token).unwrap();
    let check = ["verify", "token", file.to_str().unwrap(), "--audience", AUDIENCE, "--presented", workload.certificate.to_str().unwrap()];
    broker.curfew(&workload, check).done();
    assert_eq!(header(), first, "it is kept");
    revoke(&broker);
    broker.curfew(&workload, check).exits(5);
    let refused = eventually(Duration::from_secs(10), || Some(header()).filter(|line| *line != first));
    assert!(refused.starts_with("no token (OWNER_NOT_ACTIVE)"), "{refused}");
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
    let scratch = broker.scratch();
    let certificate = scratch.join("server.pem");
    let key = scratch.join("server.key");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(&certificate, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();

    let written = header("guarded.rs", "```sh\n", "```\n");
    let cargo = "cargo run --example guarded --features client --";
    assert!(written.contains(cargo), "{written}");
    let script = written.replace(cargo, &format!("exec {}", built("guarded").display())).replace("8443", &port);
    let mut command = Command::new("sh");
    command.args(["-euc", &script]).env("CURFEW_ADDR", &broker.addresses().grpc).env("CURFEW_CACERT", broker.ca());
    command.env("CURFEW_CLIENT_CERT", &verifier.certificate).env("CURFEW_CLIENT_KEY", &verifier.key);
    command.env("SERVER_CERT", &certificate).env("SERVER_KEY", &key).env("CLIENT_CA", broker.dir().join("trust/example.org.pem"));
    let mut service = Ended(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(service.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("serving on"), "{line}");

    let call = header("guarded.rs", "And as a caller:\n\n```sh\n", "```\n");
    let ask = || {
        let mut command = Command::new("sh");
        command.args(["-euc", &call.replace("8443", &port).replace("curl ", "curl --silent --show-error --retry 5 --retry-connrefused ")]);
        command.env("SERVER_CERT", &certificate).env("CALLER_CERT", &caller.certificate).env("CALLER_KEY", &caller.key);
        run(command.env("TOKEN", token.trim())).done()
    };
    assert_eq!(ask(), "hello, spiffe://example.org/payments/api\n");
    revoke(&broker);
    let refused = eventually(Duration::from_secs(10), || Some(ask()).filter(|answer| !answer.starts_with("hello")));
    assert!(refused.starts_with("REVOKED"), "{refused}");
}

/// A process that ends with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ended = (self.0.kill(), self.0.wait());
    }
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
