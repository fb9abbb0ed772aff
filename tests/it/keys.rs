//! Private keys at rest and in memory: sealed, held against OpenSSL, refused where others may read
//! them, and in no core file.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::harness::{Broker, Ran, eventually, program, run};

const KEYS: [&str; 4] = ["keys/token.key", "keys/issuer.key", "keys/list.key", "keys/checkpoint.key"];

/// `curfew keys` for a broker's configuration.
fn keys(broker: &Broker, arguments: &[&str]) -> Ran {
    run(program().arg("keys").args(arguments).arg("--config").arg(broker.config()).args(["--format", "json"]))
}

fn check(broker: &Broker) -> Ran {
    run(program().args(["config", "check", "--config"]).arg(broker.config()))
}

/// A file with a passphrase that its owner alone may read.
fn passphrase(broker: &Broker, name: &str, text: &str) -> PathBuf {
    let file = broker.scratch().join(name);
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    file
}

/// Says in the configuration which file holds the secret.
fn unseal_with(broker: &Broker, secret: &Path) {
    let config = fs::read_to_string(broker.config()).unwrap();
    let from = config.lines().position(|line| line.contains("unseal_with = ")).unwrap();
    let mut lines: Vec<String> = config.lines().map(str::to_owned).collect();
    lines[from] = format!("unseal_with = \"{}\"", secret.display());
    fs::write(broker.config(), lines.join("\n")).unwrap();
}

fn openssl(arguments: &[&str], file: &Path, secret: &Path) -> Ran {
    let pass = format!("file:{}", secret.display());
    run(Command::new("openssl").args(arguments).arg("-in").arg(file).args(["-passin", &pass]))
}

#[test]
fn keys_are_sealed_from_the_first_moment_and_the_broker_opens_them() {
    let mut broker = Broker::prepare_sealed();
    for key in KEYS.iter().chain(&["identity-ca/ca.key"]) {
        let text = fs::read_to_string(broker.dir().join(key)).unwrap();
        assert!(text.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----") && !text.contains("BEGIN PRIVATE KEY"), "{key}");
    }
    let listed = keys(&broker, &["files"]).json();
    let purposes: Vec<&Value> = listed["keys"].as_array().unwrap().iter().map(|key| &key["purpose"]).collect();
    assert_eq!(purposes, ["token", "issuer", "list", "checkpoint"]);
    assert!(listed["keys"].as_array().unwrap().iter().all(|key| key["sealed"] == true), "{listed}");
    broker.serve();
    // Its identity CA is sealed too, and opens to make this identity.
    broker.curfew(&broker.administrator(), ["owner", "list"]).done();
    broker.identity("payments/api");
    assert!(!broker.log().contains("PRIVATE KEY"));
}

#[test]
fn openssl_opens_what_was_sealed_and_seals_what_is_opened() {
    let broker = Broker::prepare();
    let secret = passphrase(&broker, "seal", "correct horse battery staple\n");
    let token = broker.dir().join("keys/token.key");
    let public = |file: &Path| openssl(&["pkey", "-pubout"], file, &secret).done();
    let before = public(&token);
    keys(&broker, &["seal", "--with", secret.to_str().unwrap()]).done();
    assert_eq!(public(&token), before);
    let wrong = passphrase(&broker, "wrong", "correct horse battery stable\n");
    assert_ne!(openssl(&["pkey", "-pubout"], &token, &wrong).code, 0);
    // The other way round, by both functions that OpenSSL derives keys with.
    unseal_with(&broker, &secret);
    // OpenSSL takes the second line of a file that it is given for both.
    let outgoing = passphrase(&broker, "outgoing", "correct horse battery staple\n");
    for derive in [&["-scrypt"] as &[&str], &["-v2prf", "hmacWithSHA256", "-iter", "600000"]] {
        let pass = format!("file:{}", outgoing.display());
        let sealing = ["pkcs8", "-topk8", "-v2", "aes-256-cbc", "-passout", &pass];
        let theirs = openssl(&[&sealing, derive].concat(), &token, &secret).done();
        fs::write(&token, theirs).unwrap();
        check(&broker).done();
    }
}

#[test]
fn keys_are_sealed_resealed_and_unsealed_without_becoming_others() {
    let broker = Broker::prepare();
    let names = || {
        let listed = keys(&broker, &["files"]).json();
        listed["keys"].as_array().unwrap().iter().map(|key| key["kid"].clone()).collect::<Vec<_>>()
    };
    let before = names();
    let (old, new) = (passphrase(&broker, "old", "the old passphrase\n"), broker.scratch().join("new"));
    let [old_path, new_path] = [&old, &new].map(|path| path.to_str().unwrap().to_owned());

    let sealed = keys(&broker, &["seal", "--with", &old_path]).json();
    assert!(sealed["files"].as_array().unwrap().iter().all(|file| file["sealed"] == true && file["changed"] == true), "{sealed}");
    let again = keys(&broker, &["seal", "--with", &old_path]).json();
    assert!(again["files"].as_array().unwrap().iter().all(|file| file["changed"] == false), "{again}");
    unseal_with(&broker, &old);
    assert_eq!(names(), before);

    // As if a first run had been stopped after one file.
    let one = broker.dir().join(KEYS[2]);
    run(program().args(["keys", "reseal", "--with", &old_path, "--to", &new_path]).arg(&one)).done();
    keys(&broker, &["reseal", "--with", &old_path, "--to", &new_path]).done();
    let error = check(&broker).exits(1).stderr;
    assert!(error.contains("sealed under another secret") && !error.contains("passphrase"), "{error}");
    unseal_with(&broker, &new);
    assert_eq!(names(), before);

    keys(&broker, &["unseal", "--with", &new_path]).done();
    let error = check(&broker).exits(1).stderr;
    assert!(error.contains("is not sealed") && error.contains("curfew keys seal"), "{error}");
    for key in KEYS {
        assert!(fs::read_to_string(broker.dir().join(key)).unwrap().starts_with("-----BEGIN PRIVATE KEY-----"), "{key}");
        assert_eq!(fs::metadata(broker.dir().join(key)).unwrap().permissions().mode() & 0o777, 0o600, "{key}");
    }
}

#[test]
fn one_key_that_cannot_be_sealed_leaves_all_as_they_were() {
    let broker = Broker::prepare();
    let secret = passphrase(&broker, "seal", "correct horse battery staple\n");
    fs::write(broker.dir().join("keys/list.key"), "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").unwrap();
    let before = KEYS.map(|key| fs::read(broker.dir().join(key)).unwrap());
    let error = keys(&broker, &["seal", "--with", secret.to_str().unwrap()]).exits(1).stderr;
    assert!(error.contains("keys/list.key") && !error.contains("AAAA"), "{error}");
    assert_eq!(KEYS.map(|key| fs::read(broker.dir().join(key)).unwrap()), before);
}

#[test]
fn sealed_keys_without_their_secret_keep_the_broker_from_starting() {
    let broker = Broker::prepare();
    let secret = passphrase(&broker, "seal", "correct horse battery staple\n");
    keys(&broker, &["seal", "--with", secret.to_str().unwrap()]).done();
    let error = check(&broker).exits(1).stderr;
    assert!(error.contains("keys/token.key: it is sealed; name the file that holds its secret as `unseal_with`"), "{error}");
    unseal_with(&broker, &secret);
    check(&broker).done();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).unwrap();
    let error = check(&broker).exits(1).stderr;
    assert!(error.contains("others may read it") && !error.contains("horse"), "{error}");
}

#[test]
fn every_key_that_others_may_read_is_refused() {
    let broker = Broker::prepare();
    for key in KEYS {
        let file = broker.dir().join(key);
        for mode in [0o644, 0o604, 0o620] {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            let error = check(&broker).exits(1).stderr;
            assert!(error.contains(key) && error.contains("chmod 600"), "{error}");
        }
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    }
    check(&broker).done();
    // Those of callers, and of the identity CA.
    let identity = ["identity", "new", "spiffe://example.org/payments/api", "--dir", broker.dir().to_str().unwrap()].map(str::to_owned);
    let own = ["whoami", "--addr", "localhost:1", "--cacert", broker.ca().to_str().unwrap()].map(str::to_owned);
    for (key, arguments) in [("identity-ca/ca.key", &identity), ("admin.key", &own)] {
        fs::set_permissions(broker.dir().join(key), fs::Permissions::from_mode(0o640)).unwrap();
        let administrator = broker.administrator();
        let mut command = program();
        command.args(arguments).current_dir(broker.scratch());
        command.env("CURFEW_CLIENT_CERT", administrator.certificate).env("CURFEW_CLIENT_KEY", administrator.key);
        let mode = fs::metadata(broker.dir().join(key)).unwrap();
        let of_root = std::os::unix::fs::MetadataExt::uid(&mode) == 0;
        // What the group of root may read is read by root alone.
        fs::set_permissions(broker.dir().join(key), fs::Permissions::from_mode(if of_root { 0o644 } else { 0o640 })).unwrap();
        let error = run(&mut command).exits(1).stderr;
        assert!(error.contains(key) && error.contains("chmod 600"), "{error}");
    }
}

#[test]
fn a_passphrase_is_asked_for_at_the_terminal_and_never_shown() {
    let broker = Broker::prepare();
    let python = std::env::var_os("CURFEW_TEST_PYTHON").expect("CURFEW_TEST_PYTHON is not set: run the tests with tests/run");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/outside/terminal.py");
    let at_terminal = |typed: &[&str], arguments: &[&str]| {
        let mut command = Command::new(&python);
        command.arg("-B").arg(&script).args(typed).arg("--").arg(program().get_program()).args(arguments);
        run(command.arg("--config").arg(broker.config()))
    };
    let seal = ["keys", "seal", "--with", "ask"];
    let shown = at_terminal(&["correct horse battery", "correct horse batter"], &seal).exits(1).stdout;
    assert!(shown.contains("not the same; nothing was changed") && !shown.contains("horse"), "{shown}");
    let shown = at_terminal(&["correct horse battery", "correct horse battery"], &seal).done();
    assert!(shown.contains("The same again: ") && !shown.contains("horse"), "{shown}");
    unseal_with(&broker, &passphrase(&broker, "seal", "correct horse battery\n"));
    check(&broker).done();
    at_terminal(&["correct horse battery"], &["keys", "unseal", "--with", "ask"]).done();
    // Without a terminal nobody is asked.
    let error = keys(&broker, &["seal", "--with", "ask"]).exits(1).stderr;
    assert!(error.contains("name a file that holds it"), "{error}");
}

#[test]
fn a_broker_that_ends_badly_leaves_no_core_file() {
    let mut broker = Broker::prepare();
    broker.serve_through(&["sh", "-c", "ulimit -c unlimited && exec \"$@\"", "sh"]);
    broker.serve();
    let limits = fs::read_to_string(format!("/proc/{}/limits", broker.process_id())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"]);
    run(Command::new("sh").args(["-c", &format!("kill -ABRT {}", broker.process_id())])).done();
    let status = eventually(std::time::Duration::from_secs(10), || broker.ended());
    assert!(status.signal() == Some(6) && !status.core_dumped(), "{status}");
}
