//! Signing keys that change while a real broker runs: seen by PyJWT and jose, in the folder of the keys, and at the
//! next start, whatever was left half done.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use curfew::ambient::Clock;
use curfew::formats::jws::{self, MAX_TOKEN};
use curfew::model::Timestamp;
use serde_json::Value;

use crate::clocks::World;
use crate::harness::{AUDIENCE, Broker, Identity, eventually, program, run};
use crate::https;
use crate::outside::{judge_broker, node, python};

const PATIENCE: Duration = Duration::from_secs(30);

const BY_HAND: &str = "token = \"0s\", issuer = \"0s\", list = \"0s\", checkpoint = \"0s\"";

/// A broker that changes no key by itself, and lets one sign two seconds after it is announced.
fn start() -> Broker {
    let mut broker = Broker::prepare();
    let config = fs::read_to_string(broker.config()).unwrap();
    let fields = [
        ("announce = \"1d\"", "announce = \"2s\""),
        ("announce_issuer = \"30d\"", "announce_issuer = \"2s\""),
        ("token = \"30d\", issuer = \"270d\", list = \"90d\", checkpoint = \"365d\"", BY_HAND),
    ];
    let config = fields.iter().fold(config, |config, (from, to)| {
        assert!(config.contains(from), "no {from} in the configuration");
        config.replace(from, to)
    });
    fs::write(broker.config(), config).unwrap();
    broker.serve();
    broker.apply(crate::harness::REGISTRY);
    broker
}

impl Broker {
    fn keys(&self, words: &[&str]) -> Value {
        let words = ["keys"].iter().chain(words).chain(&["--format", "json"]);
        self.curfew(&self.administrator(), words).json()
    }

    /// Number and state of the keys of a purpose.
    fn states(&self, purpose: &str) -> Vec<(u64, String)> {
        let listed = self.keys(&["list"]);
        let keys = listed["keys"].as_array().unwrap().iter().filter(|key| key["purpose"] == purpose);
        keys.map(|key| (key["number"].as_u64().unwrap(), key["state"].as_str().unwrap().to_owned())).collect()
    }

    /// The files of the private keys of a purpose.
    fn private_keys(&self, purpose: &str) -> Vec<PathBuf> {
        let files = fs::read_dir(self.dir().join("keys")).unwrap().map(|entry| entry.unwrap().path());
        let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
        files.filter(|path| name(path).starts_with(purpose) && name(path).ends_with(".key")).collect()
    }

    fn issue(&self, workload: &Identity) -> String {
        self.curfew(workload, ["token", "issue", "--environment", "production", "--audience", AUDIENCE, "--field", "token"]).done()
    }

    fn verify_ledger(&self) {
        let ledger = self.dir().join("data/ledger.db");
        self.curfew(&self.administrator(), ["ledger".as_ref(), "verify".as_ref(), ledger.as_os_str()]).done();
    }
}

#[test]
fn pyjwt_goes_through_a_rotation_and_the_old_private_key_is_gone() {
    let mut broker = start();
    judge_broker(&broker, &["rotation.py"]);
    let left = eventually(PATIENCE, || <[PathBuf; 1]>::try_from(broker.private_keys("token")).ok());
    let [token] = &left;
    assert!(token.file_name().unwrap().to_string_lossy().starts_with("token-"), "{token:?}");
    assert_eq!(fs::metadata(token).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(broker.private_keys("issuer").len(), 2, "the old issuer signs its revocations until its last certificate has expired");
    // The same keys at the next start.
    let before = broker.states("token");
    broker.restart();
    assert_eq!(broker.states("token"), before);
    broker.issue(&broker.identity("payments/api"));
    assert!(broker.stop().success());
    broker.verify_ledger();
}

#[test]
fn the_file_of_a_change_that_was_cut_short_is_taken_up_or_wiped_at_the_next_start() {
    let mut broker = start();
    let first = broker.dir().join("keys/token.key");
    let old = fs::read(&first).unwrap();
    // The process ended after the file was made, and before its entry.
    assert!(broker.stop().success());
    let other = broker.scratch().join("other");
    run(program().arg("init").arg(&other)).done();
    let made = broker.dir().join("keys/token-made.key");
    fs::copy(other.join("keys/token.key"), &made).unwrap();
    // And while it was being written.
    fs::write(broker.dir().join("keys/token-half.key.next"), &old[..10]).unwrap();
    broker.serve();
    let [(signing, was), (next, waits)] = &*broker.states("token") else { panic!("the file was taken up") };
    assert_eq!((was.as_str(), waits.as_str()), ("signing", "announced"));
    eventually(PATIENCE, || (broker.states("token") == [(*signing, "retired".to_owned()), (*next, "signing".to_owned())]).then_some(()));
    eventually(PATIENCE, || (!first.exists()).then_some(()));
    // The process ended after the entry, and before the old key was wiped.
    assert!(broker.stop().success());
    fs::write(&first, &old).unwrap();
    fs::set_permissions(&first, fs::Permissions::from_mode(0o600)).unwrap();
    broker.serve();
    assert!(!first.exists(), "a key that is over is wiped before anybody is let in");
    broker.issue(&broker.identity("payments/api"));
    // With nothing but keys that are over it does not start.
    assert!(broker.stop().success());
    fs::rename(&made, broker.scratch().join("made")).unwrap();
    fs::write(&first, &old).unwrap();
    fs::set_permissions(&first, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(broker.refuses_to_start().contains("was retired at entry"));
    broker.verify_ledger();
}

#[test]
fn a_broker_that_is_killed_while_keys_change_goes_on_with_one_that_signs() {
    let mut broker = start();
    let workload = broker.identity("payments/api");
    for round in 0..crate::harness::rounds(4, 100) {
        let purpose = ["token", "list", "checkpoint", "token"][round % 4];
        let mut change = program();
        let administrator = broker.administrator();
        change.args(["keys", "rotate", purpose, "--now", "--addr", broker.addresses().grpc.as_str(), "--cacert"]).arg(broker.ca());
        change.arg("--cert").arg(&administrator.certificate).arg("--key").arg(&administrator.key);
        let mut change = change.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // As soon as anything of the change is on the disk.
        let files = broker.private_keys(purpose).len();
        eventually(PATIENCE, || (broker.private_keys(purpose).len() != files || change.try_wait().unwrap().is_some()).then_some(()));
        broker.kill();
        change.wait().unwrap();
        broker.serve();
        broker.issue(&workload);
        let states = broker.states(purpose);
        assert_eq!(states.iter().filter(|(_, state)| state == "signing").count(), 1, "{states:?}");
    }
    assert!(broker.stop().success());
    broker.verify_ledger();
}

#[test]
fn a_revoked_issuer_is_followed_by_another_and_nobody_is_locked_out() {
    let broker = start();
    let workload = broker.identity("payments/api");
    let line = ["cert", "issue", "--environment", "production", "--out"].map(str::to_owned);
    let own = broker.scratch().join("own");
    broker.curfew(&workload, line.iter().cloned().chain([own.display().to_string()])).done();
    let own = Identity::at(&own);
    broker.curfew(&own, ["whoami"]).done();
    // The next one is announced, so that this client knows the broker after the change.
    broker.keys(&["rotate", "issuer"]);
    let issuers = broker.curfew(&broker.administrator(), ["keys", "issuers"]).done();
    assert_eq!(issuers.matches("BEGIN CERTIFICATE").count(), 2);
    fs::write(broker.ca(), &issuers).unwrap();
    // As keys and bundle have them.
    let certificates = issuers.replace("-----BEGIN CERTIFICATE-----", "").replace('\n', "");
    let certificates: Vec<&str> = certificates.split("-----END CERTIFICATE-----").filter(|one| !one.is_empty()).collect();
    let published =
        || DOCUMENTS[1..].iter().map(|path| https::get(&broker, path).body).map(|body| [0, 1].map(|one| body.contains(certificates[one])));
    assert!(published().all(|both| both == [true, true]));
    let (number, _) = broker.states("issuer").remove(0);
    let revoked = broker.keys(&["revoke", &number.to_string(), "--note", "it was stolen", "--wait", "published"]);
    assert_eq!((&revoked["stage"], &revoked["repeated"]), (&"published".into(), &false.into()));
    assert_eq!(broker.states("issuer").iter().map(|(_, state)| state.as_str()).collect::<Vec<_>>(), ["revoked", "signing"]);
    assert_ne!(broker.curfew(&own, ["whoami"]).code, 0, "its certificate is dead");
    assert!(published().all(|old_and_new| old_and_new == [false, true]), "who fetches them trusts it no more");
    broker.issue(&workload);
    eventually(PATIENCE, || (!broker.dir().join("keys/issuer.key").exists()).then_some(()));
}

/// A service that verifies tokens by a library that nobody here wrote, with the key set that it made at its start.
struct Service {
    process: Child,
    asked: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Service {
    fn start(mut command: Command, broker: &Broker) -> Self {
        command.arg(format!("{}/.well-known/jwks.json", broker.public_url())).args(["https://localhost:7480", AUDIENCE]);
        let mut process =
            command.arg(broker.ca()).env("NODE_EXTRA_CA_CERTS", broker.ca()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (asked, answers) = (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
        Self { process, asked, answers }
    }

    fn jose(broker: &Broker) -> Self {
        Self::start(node("rotation.mjs"), broker)
    }

    fn pyjwt(broker: &Broker) -> Self {
        Self::start(python("verifying.py"), broker)
    }

    fn verify(&mut self, token: &str) -> Value {
        writeln!(self.asked, "{}", token.trim()).unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("`{line}`: {error}"))
    }

    /// Fetches the keys anew; how many there are.
    fn reload(&mut self) -> Value {
        self.verify("reload")["keys"].clone()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn kid(token: &str) -> String {
    jws::parse(token.trim(), MAX_TOKEN).unwrap().kid
}

#[test]
fn jose_goes_through_a_rotation_with_the_key_set_that_it_began_with() {
    let broker = start();
    let workload = broker.identity("payments/api");
    let mut service = Service::jose(&broker);
    let verified = |token: &str, fetched: u64| serde_json::json!({ "kid": kid(token), "subject": "spiffe://example.org/payments/api", "fetched": fetched });
    let old = broker.issue(&workload);
    assert_eq!(service.verify(&old), verified(&old, 1));
    broker.keys(&["rotate", "token"]);
    let new = eventually(PATIENCE, || Some(broker.issue(&workload)).filter(|token| kid(token) != kid(&old)));
    assert_eq!(service.verify(&new), verified(&new, 2), "it looks for the key that it does not know");
    // Now it has both, and asks for no more.
    for token in [&old, &new] {
        assert_eq!(service.verify(token), verified(token, 2));
    }
    let (head, rest) = new.split_once('.').unwrap();
    let distorted = format!("{head}.{}", rest.replacen('.', "0.", 1));
    assert_eq!(service.verify(&distorted)["refused"], "ERR_JWS_SIGNATURE_VERIFICATION_FAILED");
    let elsewhere = ["token", "issue", "--environment", "production", "--audience", AUDIENCE, "--jwt-svid", "--field", "token"];
    assert_eq!(service.verify(&broker.curfew(&workload, elsewhere).done())["refused"], "ERR_JWT_CLAIM_VALIDATION_FAILED");
}

/// Where the keys are to be had that verify tokens; the second and the third tell of the issuers too.
const DOCUMENTS: [&str; 3] = ["/.well-known/jwks.json", "/v1/keys", "/v1/bundle"];

#[test]
fn jose_and_pyjwt_refuse_what_a_revoked_key_signed_as_soon_as_they_fetch_the_keys() {
    let mut broker = start();
    let workload = broker.identity("payments/api");
    let old = broker.issue(&workload);
    let mut services = [("ERR_JWKS_NO_MATCHING_KEY", Service::jose(&broker)), ("PyJWKClientError", Service::pyjwt(&broker))];
    for (_, service) in &mut services {
        assert_eq!(service.verify(&old)["kid"], kid(&old));
    }
    let listed = |broker: &Broker, kid: &str| DOCUMENTS.map(|path| https::get(broker, path).body.contains(kid));
    assert_eq!(listed(&broker, &kid(&old)), [true; 3]);

    broker.keys(&["revoke", &kid(&old), "--note", "it was stolen", "--wait", "published"]);
    let new = broker.issue(&workload);
    assert_eq!((listed(&broker, &kid(&old)), listed(&broker, &kid(&new))), ([false; 3], [true; 3]), "at once, and another signs");
    for (refusal, service) in &mut services {
        // It goes by the keys that it has until it fetches them: for what it does not know, or because they are old.
        assert_eq!(service.verify(&old)["kid"], kid(&old));
        assert_eq!(service.verify(&new)["kid"], kid(&new));
        assert_eq!((&service.verify(&old)["refused"], service.reload()), (&Value::from(*refusal), 1.into()));
        assert_eq!(service.verify(&old)["refused"], *refusal);
        assert_eq!(service.verify(&new)["kid"], kid(&new));
    }
    broker.restart();
    assert_eq!((listed(&broker, &kid(&old)), listed(&broker, &kid(&new))), ([false; 3], [true; 3]), "after a start too");
    assert!(broker.stop().success());
    broker.verify_ledger();
}

/// How far a time is from now, in seconds.
fn ahead(time: &Value) -> i64 {
    let time: Timestamp = time.as_str().unwrap().parse().unwrap();
    i64::try_from(time.seconds()).unwrap() - i64::try_from(Clock::system().now().seconds()).unwrap()
}

impl World {
    /// Which of the documents have a text in them, for whoever goes by the same clock.
    fn listed(&self, text: &str) -> [bool; 3] {
        DOCUMENTS.map(|path| {
            let url = format!("{}{path}", self.broker.public_url());
            let mut fetch = self.by_its_clock("curl");
            fetch.args(["--silent", "--show-error", "--fail", "--cacert"]).arg(self.broker.ca()).arg(url);
            run(&mut fetch).done().replace("\\/", "/").contains(text)
        })
    }

    fn keys(&self, words: &[&str]) -> Value {
        self.curfew(&self.broker.administrator(), ["keys"].iter().chain(words).chain(&["--format", "json"])).json()
    }
}

#[test]
fn a_key_is_published_until_the_last_that_it_signed_has_ended_and_not_after_that() {
    let world = World::new();
    let workload = world.broker.identity("payments/api");
    let ask = ["token", "issue", "--environment", "production", "--audience", AUDIENCE, "--ttl", "15m", "--format", "json"];
    let issued = world.curfew(&workload, ask).json();
    // By the right clock it is good for as long as the test takes, so that nothing but the keys decides.
    let token = issued["token"].as_str().unwrap();
    let signing = world.keys(&["list"]);
    let number = |purpose: &str| {
        let key = signing["keys"].as_array().unwrap().iter().find(|key| key["purpose"] == purpose).unwrap();
        (key["number"].clone(), key["kid"].as_str().unwrap().to_owned())
    };
    let issuer = fs::read_to_string(world.broker.ca()).unwrap();
    let certificate: String = issuer.lines().filter(|line| !line.starts_with("-----")).collect();
    // In each document of those that tell of it.
    let olds = [
        ("list", number("list"), vec![("kid", [false, true, false])]),
        ("token", number("token"), vec![("kid", [true; 3])]),
        ("issuer", number("issuer"), vec![("kid", [false, true, false]), (&*certificate, [false, true, true])]),
    ];
    for (purpose, ..) in &olds {
        world.keys(&["rotate", purpose, "--now"]);
    }
    let next = fs::read_dir(world.broker.dir().join("keys")).unwrap().map(|entry| entry.unwrap().path());
    let next = next
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("issuer-"))
        .find(|path| path.extension().unwrap() == "pem");
    fs::write(world.broker.ca(), issuer + &fs::read_to_string(next.unwrap()).unwrap()).unwrap();

    let ends = world.keys(&["list"]);
    let mut services = [("ERR_JWKS_NO_MATCHING_KEY", Service::jose(&world.broker)), ("PyJWKClientError", Service::pyjwt(&world.broker))];
    for (purpose, (number, kid), marks) in olds {
        let key = ends["keys"].as_array().unwrap().iter().find(|key| key["number"] == number).unwrap();
        let end = ahead(&key["ends"]);
        for (offset, listed) in [(end - 60, true), (end + 1, false)] {
            world.set(offset);
            world.is_served();
            for (mark, places) in &marks {
                let mark = if *mark == "kid" { &*kid } else { *mark };
                assert_eq!(world.listed(mark), places.map(|place| place && listed), "{purpose}, {offset} s ahead of an end {end} s ahead");
            }
            for (refusal, service) in services.iter_mut().filter(|_| purpose == "token") {
                service.reload();
                let answer = service.verify(token);
                assert_eq!((answer["kid"] == kid, answer["refused"] == *refusal), (listed, !listed), "{answer}");
            }
        }
        if purpose == "token" {
            let after_the_last = end - ahead(&issued["expires_at"]);
            assert!(after_the_last >= 120, "{after_the_last}");
        }
    }
    world.set(0);
    world.nothing_is_lost(&[issued["position"].as_u64().unwrap()]);
}
