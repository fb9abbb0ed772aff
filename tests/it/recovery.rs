//! A backup is taken, more is issued and revoked, the disk is lost, and the backup is put back.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use curfew::ambient::Clock;
use curfew::client::{Client, api};
use curfew::verify::{KeySet, ListRejected, Moment, Presented, Rejected, Settings, Verifier};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::Value;

use crate::followers::Follower;
use crate::harness::{AUDIENCE, Broker, Identity, Ran, eventually, program, run};
use crate::process::get;

const ISSUE: [&str; 8] = ["token", "issue", "--environment", "production", "--audience", AUDIENCE, "--field", "token"];

fn now(steady: u64) -> Moment {
    Moment { wall: Clock::system().now(), steady: Duration::from_secs(steady) }
}

/// Keys and list as they are published now.
fn published(runtime: &tokio::runtime::Runtime, client: &Client) -> (KeySet, String) {
    let bundle = runtime.block_on(client.trust().get_bundle(api::GetBundleRequest {})).unwrap().into_inner();
    let list = runtime.block_on(client.revocations().get_list(api::GetListRequest::default())).unwrap().into_inner().list;
    (KeySet::from_json(&bundle.keys).unwrap(), list)
}

fn verifier(keys: &KeySet, list: &str) -> Verifier {
    let verifier = Verifier::new(Settings::new(AUDIENCE.parse().unwrap()), keys.clone());
    verifier.apply(list, now(0)).unwrap();
    verifier
}

fn leaf(identity: &Identity) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(&fs::read(&identity.certificate).unwrap()).unwrap()
}

fn presented(identity: &Identity) -> Presented {
    Presented::Certificate(ring::digest::digest(&ring::digest::SHA256, &leaf(identity)).as_ref().try_into().unwrap())
}

fn certificate(broker: &Broker, caller: &Identity, name: &str) -> Identity {
    let prefix = broker.scratch().join(name);
    let issue = ["cert", "issue", "--environment", "production", "--out"].map(AsRef::as_ref);
    broker.curfew(caller, issue.into_iter().chain([prefix.as_os_str()])).done();
    Identity::at(&prefix)
}

fn backup(broker: &Broker, file: &Path) -> Ran {
    run(program().arg("backup").arg(file).arg("--config").arg(broker.config()).args(["--format", "json"]))
}

fn recover(broker: &Broker) -> Ran {
    let words = ["ledger", "recover", "--note", "the disk was lost", "--format", "json", "--config"];
    run(program().args(words).arg(broker.config()))
}

/// Puts a file in the place of the data folder.
fn restore(broker: &Broker, backup: &Path) {
    let data = broker.dir().join("data");
    fs::remove_dir_all(&data).unwrap();
    fs::create_dir(&data).unwrap();
    fs::copy(backup, data.join("ledger.db")).unwrap();
}

#[test]
fn what_was_issued_before_a_loss_is_dead_everywhere_once_it_is_recovered_from() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut broker = Broker::start();
    let workload = broker.identity("payments/api");
    let early = (broker.curfew(&workload, ISSUE).done(), certificate(&broker, &workload, "early"));

    let file = broker.scratch().join("backup.db");
    let copied = backup(&broker, &file).json();
    assert_eq!(copied["bytes"].as_u64(), Some(fs::metadata(&file).unwrap().len()));
    backup(&broker, &file).exits(1);

    // None of this is in the backup.
    let late = (broker.curfew(&workload, ISSUE).done(), certificate(&broker, &workload, "late"));
    broker.curfew(&broker.administrator(), ["owner", "revoke", "acme", "--reason", "cessation-of-operation", "--wait", "published"]).done();
    let client = runtime.block_on(broker.client(&broker.administrator()));
    let (old_keys, old_list) = published(&runtime, &client);
    let old = verifier(&old_keys, &old_list);
    for (token, own) in [&early, &late] {
        old.token(token.trim(), presented(&workload), now(0)).expect("good until the loss");
        old.certificate(&leaf(own), now(0)).expect("good until the loss");
        broker.curfew(own, ["whoami"]).done();
    }
    assert!(broker.stop().success());
    let reached: Value = serde_json::from_str(&fs::read_to_string(broker.dir().join("keys/high-water.json")).unwrap()).unwrap();

    restore(&broker, &file);
    let said = broker.refuses_to_start();
    assert!(said.contains("an older copy stands in its place") && said.contains("curfew ledger recover"), "{said}");

    let recovered = recover(&broker).json();
    assert_eq!((&recovered["left_position"], &recovered["reached_position"]), (&copied["position"], &reached["position"]));
    let retired: Vec<PathBuf> = serde_json::from_value(recovered["retired_files"].clone()).unwrap();
    assert!(retired.len() == 5 && retired.iter().all(|path| path.exists()), "{retired:?}");
    fs::copy(recovered["issuer_certificate_file"].as_str().unwrap(), broker.ca()).unwrap();
    broker.serve();

    // The broker takes none of its old certificates, and the identity from outside as before.
    for (_, own) in [&early, &late] {
        assert_ne!(broker.curfew(own, ["whoami"]).code, 0);
    }
    let new = (broker.curfew(&workload, ISSUE).done(), certificate(&broker, &workload, "new"));
    broker.curfew(&new.1, ["whoami"]).done();

    // A verifier with the new keys.
    let client = runtime.block_on(broker.client(&broker.administrator()));
    let (keys, list) = published(&runtime, &client);
    let fresh = verifier(&keys, &list);
    for (token, own) in [&early, &late] {
        let checked = fresh.token(token.trim(), presented(&workload), now(0));
        assert!(matches!(checked, Err(Rejected::KeyUnknown)), "{checked:?}");
        let checked = fresh.certificate(&leaf(own), now(0));
        assert!(matches!(checked, Err(Rejected::KeyUnknown)), "{checked:?}");
    }
    fresh.token(new.0.trim(), presented(&workload), now(0)).expect("new");
    fresh.certificate(&leaf(&new.1), now(0)).expect("new");

    // One that knows the history before: it advances with neither the old keys nor the new ones, and
    // once its list is old it rejects everything.
    assert_eq!(old.apply(&list, now(1)), Err(ListRejected::Key));
    old.replace_keys(keys);
    assert!(matches!(old.apply(&list, now(1)), Err(ListRejected::Fork(_))));
    assert!(matches!(old.token(new.0.trim(), presented(&workload), now(31)), Err(Rejected::Stale { .. })));
    old.replace_keys(old_keys);
    assert!(matches!(old.token(early.0.trim(), presented(&workload), now(31)), Err(Rejected::Stale { .. })));

    assert!(broker.stop().success());
    let ledger = broker.dir().join("data/ledger.db");
    broker.curfew(&broker.administrator(), ["ledger".as_ref(), "verify".as_ref(), ledger.as_os_str()]).done();
}

#[test]
fn retired_keys_and_an_interrupted_recovery_are_refused_at_start() {
    let mut broker = Broker::start();
    assert!(broker.stop().success());
    let (keys, mark) = (broker.dir().join("keys"), broker.dir().join("keys/high-water.json"));
    let before = fs::read(&mark).unwrap();
    let retired: Vec<PathBuf> = serde_json::from_value(recover(&broker).json()["retired_files"].clone()).unwrap();

    // As if it had ended before the mark was moved.
    let moved = fs::read(&mark).unwrap();
    fs::write(&mark, before).unwrap();
    assert!(broker.refuses_to_start().contains("another epoch"));
    fs::write(&mark, moved).unwrap();

    // As if it had ended before the files were replaced.
    for aside in &retired {
        let name = aside.file_name().unwrap().to_str().unwrap();
        fs::copy(aside, keys.join(name.split(".retired-").next().unwrap())).unwrap();
    }
    let said = broker.refuses_to_start();
    assert!(said.contains("was retired at entry") && said.contains("curfew ledger recover"), "{said}");

    // Run again, it begins another epoch, and the broker starts.
    recover(&broker).done();
    broker.serve();
}

#[test]
fn a_ledger_that_is_begun_on_nothing_is_sound() {
    let mut broker = Broker::start();
    assert!(broker.stop().success());
    fs::remove_dir_all(broker.dir().join("data")).unwrap();
    assert!(broker.refuses_to_start().contains("the ledger ends at entry 0"));
    recover(&broker).done();
    backup(&broker, &broker.scratch().join("backup.db")).done();
    broker.serve();
}

#[test]
fn a_ledger_in_use_is_not_recovered_and_is_backed_up() {
    let broker = Broker::start();
    assert!(recover(&broker).exits(1).stderr.contains("in use"));
    let copied = backup(&broker, &broker.scratch().join("backup.db")).json();
    // The mark follows while it runs, so that a kill loses no more than a second of it.
    let mark = broker.dir().join("keys/high-water.json");
    eventually(Duration::from_secs(30), || {
        let mark: Value = serde_json::from_str(&fs::read_to_string(&mark).unwrap()).unwrap();
        (mark["position"].as_u64() >= copied["position"].as_u64()).then_some(())
    });
}

/// Makes a cut, which is in the list that is out then.
fn cut(broker: &Broker, owner: &str) {
    let words = ["owner", "revoke", owner, "--reason", "cessation-of-operation", "--wait", "published"];
    broker.curfew(&broker.administrator(), words).done();
}

#[test]
fn what_a_follower_has_confirmed_is_missed_at_once_in_an_older_copy() {
    let mut broker = Broker::start();
    for owner in ["payments", "acme"] {
        let (older, kept) = (broker.scratch().join(format!("before-{owner}.db")), broker.dir().join("kept"));
        backup(&broker, &older).done();
        let follower = Follower::start(&broker, "ledger/verifier", "a");
        cut(&broker, owner);
        follower.confirm(&follower.fetch()).expect("of this history");
        broker.kill();

        let data = broker.dir().join("data");
        fs::rename(&data, &kept).unwrap();
        fs::create_dir(&data).unwrap();
        fs::copy(&older, data.join("ledger.db")).unwrap();
        let said = broker.refuses_to_start();
        assert!(said.contains("an older copy stands in its place") && said.contains("curfew ledger recover"), "{said}");

        // The ledger itself is not behind.
        fs::remove_dir_all(&data).unwrap();
        fs::rename(&kept, &data).unwrap();
        broker.serve();
    }
}

#[test]
fn a_mark_that_cannot_be_written_holds_up_no_confirmation_and_is_said() {
    let broker = Broker::start();
    let mark = broker.dir().join("keys/high-water.json");
    fs::remove_file(&mark).unwrap();
    fs::create_dir_all(mark.join("in the way")).unwrap();
    let follower = Follower::start(&broker, "ledger/verifier", "a");
    cut(&broker, "payments");
    follower.confirm(&follower.fetch()).expect("counted");
    broker.says(&["the high-water mark stays behind", "high-water.json"]);
    assert!(!get(&broker, "/metrics").1.contains("\ncurfew_high_water_errors_total 0"));

    // Once it can be written again, confirmations wait for it as before.
    fs::remove_dir_all(&mark).unwrap();
    cut(&broker, "acme");
    eventually(Duration::from_secs(30), || mark.exists().then_some(()));
}

#[test]
fn a_mark_that_is_missing_beside_a_ledger_in_use_is_said() {
    let mut broker = Broker::start();
    let missing = |broker: &Broker| get(broker, "/metrics").1.contains("\ncurfew_high_water_missing 1");
    assert!(!missing(&broker));
    assert!(broker.stop().success());
    assert!(!broker.log().contains("no high-water mark"), "a new ledger has none");
    fs::remove_file(broker.dir().join("keys/high-water.json")).unwrap();
    broker.serve();
    assert!(missing(&broker));
    broker.says(&["no high-water mark beside a ledger with entries", "keys/high-water.json"]);
    broker.restart();
    assert!(!missing(&broker), "it was made");
}
