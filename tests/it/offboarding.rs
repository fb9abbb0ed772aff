//! An owner is offboarded: the command waits until that is enforced, and the report says so to whoever
//! does not believe the broker.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use crate::followers::Follower;
use crate::harness::{AUDIENCE, Broker, REGISTRY, Ran, eventually, program, run};
use crate::https;

const REVOKE: [&str; 11] = [
    "owner",
    "revoke",
    "payments",
    "--reason",
    "cessation-of-operation",
    "--note",
    "the contract <ended>",
    "--wait",
    "enforced",
    "--format",
    "json",
];

/// A broker whose followers' lists end soon, with a token that is alive.
pub(crate) fn quick(max_staleness: &str) -> Broker {
    let mut broker = Broker::prepare();
    let config = fs::read_to_string(broker.config()).unwrap();
    let quick = [
        ("max_staleness = \"30s\"", format!("max_staleness = \"{max_staleness}\"")),
        ("heartbeat = \"2s\"", "heartbeat = \"500ms\"".to_owned()),
    ];
    let config = quick.iter().fold(config, |config, (from, to)| {
        assert!(config.contains(from), "no {from} in the configuration");
        config.replace(from, to)
    });
    fs::write(broker.config(), format!("clock_skew = \"0s\"\n{}", config.replace("clock_skew = \"30s\"\n", ""))).unwrap();
    broker.serve();
    broker.apply(REGISTRY);
    issue(&broker);
    broker
}

fn issue(broker: &Broker) {
    broker.curfew(&broker.identity("payments/api"), ["token", "issue", "--environment", "production", "--audience", AUDIENCE]).done();
}

fn told(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

/// Revokes, while two processes follow.
fn revoke_followed(broker: &Broker) -> Ran {
    let followers = ["a", "b"].map(|name| Follower::start(broker, "ledger/verifier", name));
    let before = followers.each_ref().map(Follower::fetch).map(|list| list.position);
    let administrator = broker.administrator();
    std::thread::scope(|scope| {
        let running = scope.spawn(|| broker.curfew(&administrator, REVOKE.into_iter().chain(["--timeout", "30s"])));
        for (follower, before) in followers.iter().zip(before) {
            let cut = |list: curfew::formats::list::List| (list.position > before && !list.cuts.is_empty()).then_some(list);
            let list = eventually(Duration::from_secs(30), || cut(follower.fetch()));
            assert_eq!(follower.confirm(&list).unwrap(), ["ledger-api"]);
        }
        running.join().unwrap()
    })
}

#[test]
fn a_revocation_is_waited_for_until_every_process_has_confirmed_and_exits_0() {
    let broker = quick("3s");
    let ran = revoke_followed(&broker).exits(0);
    let told = told(&ran);
    assert_eq!((told["stage"].as_str(), &told["until"]), (Some("enforced"), &Value::Null), "{told}");
    let at = &told["enforcement"][0];
    assert_eq!(
        (at["downstream"].as_str(), at["state"].as_str(), &at["confirmed"]),
        (Some("ledger-api"), Some("confirmed"), &2.into()),
        "{told}"
    );
    assert!(ran.stderr.contains("ledger-api (follower): "), "it says for whom it waits: {}", ran.stderr);
    let again = broker.curfew(&broker.administrator(), REVOKE).json();
    assert_eq!((again["stage"].as_str(), again["repeated"].as_bool()), (Some("enforced"), Some(true)));
}

#[test]
fn what_nobody_confirms_in_time_exits_3_and_says_until_when() {
    let broker = Broker::start();
    issue(&broker);
    let ran = broker.curfew(&broker.administrator(), REVOKE.into_iter().chain(["--timeout", "1s"])).exits(3);
    let told = told(&ran);
    assert_eq!(told["stage"], "published", "{told}");
    assert!(told["until"].is_string() && told["enforcement"][0]["state"] == "waiting", "{told}");
    assert!(ran.stderr.contains("not seen enforced"), "{}", ran.stderr);
}

#[test]
fn a_verifier_of_another_history_exits_4() {
    let broker = Broker::start();
    issue(&broker);
    let follower = Follower::start(&broker, "ledger/verifier", "a");
    let list = follower.fetch();
    follower.confirm(&curfew::formats::list::List { root: [1; 32], ..list }).expect_err("another root");
    let ran = broker.curfew(&broker.administrator(), REVOKE.into_iter().chain(["--timeout", "10s"])).exits(4);
    assert!(ran.stderr.contains("ledger-api has another history"), "{}", ran.stderr);
    assert_eq!(told(&ran)["enforcement"][0]["state"], "forked");
    let report = broker.curfew(&broker.administrator(), ["owner", "report", "payments", "--format", "json"]).json();
    assert_eq!(report["verdict"], "failed", "{report}");
}

#[test]
fn the_report_is_borne_out_by_a_backup_and_by_nothing_else() {
    let broker = quick("3s");
    let waiting = broker.curfew(&broker.administrator(), ["owner", "report", "payments", "--field", "verdict"]).done();
    assert_eq!(waiting.trim(), "not_revoked");
    let position = told(&revoke_followed(&broker).exits(0))["position"].clone();
    let file = |name: &str| broker.scratch().join(name).to_str().unwrap().to_owned();
    let (jws, page, backup) = (file("report.jws"), file("report.html"), file("backup.db"));
    let line = ["owner", "report", "payments", "--out", &jws, "--html", &page, "--format", "json"];
    let report = broker.curfew(&broker.administrator(), line).json();
    assert_eq!((report["verdict"].as_str(), &report["revocation"]["position"]), (Some("enforced"), &position), "{report}");
    assert_eq!(report["revocation"]["note"], "the contract <ended>");
    assert_eq!((&report["issued"]["before"][0]["count"], &report["issued"]["after"]), (&1.into(), &0.into()), "{report}");
    let at = &report["downstreams"][0];
    assert_eq!((at["state"].as_str(), &at["confirmed"]["processes"]), (Some("confirmed"), &2.into()), "{report}");
    let html = fs::read_to_string(&page).unwrap();
    assert!(html.contains("the contract &lt;ended&gt;") && !html.contains("<ended>") && !html.contains("<script"), "{html}");

    run(program().args(["backup", &backup, "--config"]).arg(broker.config())).done();
    let verify = |report: &str, more: &[&str]| run(program().args(["verify", "report", report, "--format", "json"]).args(more));
    let sound = verify(&jws, &["--ledger", &backup]).json();
    assert_eq!((sound["valid"].as_bool(), sound["verdict"].as_str()), (Some(true), Some("enforced")), "{sound}");
    let keys = file("keys.json");
    fs::write(&keys, https::get(&broker, "/v1/keys").body).unwrap();
    assert_eq!(verify(&jws, &["--keys", &keys]).json()["valid"], true);

    // Another report under the same signature, another ledger, another key.
    let signed = fs::read_to_string(&jws).unwrap();
    let (head, signature) = signed.rsplit_once('.').unwrap();
    let other = broker.curfew(&broker.administrator(), ["owner", "report", "acme", "--field", "signed"]).done();
    let (other_head, _) = other.trim().rsplit_once('.').unwrap();
    fs::write(file("forged.jws"), format!("{other_head}.{signature}")).unwrap();
    assert!(verify(&file("forged.jws"), &["--ledger", &backup]).exits(5).stderr.contains("the signature is wrong"), "{head}");
    let elsewhere = Broker::start();
    run(program().args(["backup", &file("elsewhere.db"), "--config"]).arg(elsewhere.config())).done();
    let foreign = verify(&jws, &["--ledger", &file("elsewhere.db"), "--keys", &keys]).exits(5);
    assert!(foreign.stderr.contains("the ledger"), "{}", foreign.stderr);
}
