//! What a revocation says while it waits, and in the end: each stage that it has come to, who has confirmed it and
//! who has not.

use std::time::Duration;

use serde_json::Value;

use super::running::Running;
use crate::followers::Follower;
use crate::harness::{AUDIENCE, Broker, eventually};
use crate::offboarding::quick;

/// Long enough that no list ends while the test confirms, and short enough to wait for.
const STALENESS: &str = "10s";

const REVOKE: [&str; 7] = ["owner", "revoke", "payments", "--reason", "cessation-of-operation", "--timeout", "30s"];

const ISSUE: [&str; 6] = ["token", "issue", "--environment", "production", "--audience", AUDIENCE];

const PATIENCE: Duration = Duration::from_secs(30);

/// Processes of the ledger service that follow, and hold a list of now.
fn followers<const N: usize>(broker: &Broker, names: [&str; N]) -> [Follower; N] {
    let followers = names.map(|name| Follower::start(broker, "ledger/verifier", name));
    followers.iter().for_each(|follower| assert!(follower.fetch().cuts.is_empty()));
    followers
}

/// One has applied the list that ends something.
fn confirm(follower: &Follower) {
    let list = eventually(PATIENCE, || Some(follower.fetch()).filter(|list| !list.cuts.is_empty()));
    follower.confirm(&list).unwrap();
}

/// What a line says that somebody has confirmed.
fn position_in(line: &str) -> u64 {
    let (_, position) = line.split_once(" has confirmed position ").unwrap();
    position.split(' ').next().unwrap().parse().unwrap()
}

fn document(stdout: &[String]) -> Value {
    serde_json::from_str(&stdout.join("\n")).unwrap_or_else(|error| panic!("{error}: {stdout:#?}"))
}

#[test]
fn who_has_confirmed_is_said_as_it_comes_and_who_has_not_and_each_stage() {
    let broker = quick(STALENESS);
    let [a, b] = followers(&broker, ["a", "b"]);
    let running = Running::start(broker.command(&broker.administrator(), REVOKE.into_iter().chain(["--format", "json"])));
    let accepted = running.stderr.next();
    assert!(accepted.starts_with("curfew: accepted and committed at position "), "{accepted}");
    // Its list may be out before or after the first look at who follows.
    let words = ["curfew: published", "curfew: not yet enforced, until ", "ledger-api (follower): 0 confirmed, not yet: a, b"];
    let [published, ..] = running.stderr.until_all(words);
    confirm(&a);
    let confirmed = running.stderr.until("ledger-api (follower): a has confirmed position ");
    running.stderr.until("ledger-api (follower): 1 confirmed, not yet: b");
    // It goes on to later lists, and what it said first stays.
    let first = position_in(&confirmed);
    broker.curfew(&broker.identity("acme/reporting"), ISSUE).done();
    let later = eventually(PATIENCE, || Some(a.fetch()).filter(|list| list.position.get() > first));
    a.confirm(&later).unwrap();
    confirm(&b);
    running.stderr.until("ledger-api (follower): b has confirmed position ");
    let enforced = running.stderr.until("curfew: enforced ");
    assert!(
        [&published, &confirmed, &enforced].iter().all(|line| line.ends_with(" s after the commit")),
        "{published} {confirmed} {enforced}"
    );

    let (status, stdout, stderr) = running.end();
    assert_eq!((status.code(), stderr), (Some(0), Vec::new()));
    let told = document(&stdout);
    assert!(accepted.contains(&format!("position {}, {}", told["position"], told["accepted_at"].as_str().unwrap())), "{accepted} {told}");
    let stages = ["accepted_at", "committed_at", "published_at", "enforced_at"].map(|stage| told[stage].as_str().unwrap());
    assert!(stages[0] == stages[1] && stages.is_sorted(), "{stages:?}");
    let at = &told["enforcement"][0];
    assert_eq!((&at["confirmed"], &at["waiting"]), (&2.into(), &0.into()), "{told}");
    for (one, name) in at["confirmed_by"].as_array().unwrap().iter().zip(["a", "b"]) {
        assert_eq!(one["instance"], name, "{told}");
        assert!(one["position"].as_u64() >= told["position"].as_u64() && one["after_ms"].is_u64() && one["at"].is_string(), "{told}");
    }
    assert_eq!(at["confirmed_by"][0]["position"], first, "{told}");

    // Repeated, it says the same of what was, at once and without news.
    let again = broker.curfew(&broker.administrator(), REVOKE.into_iter().chain(["--format", "json"])).exits(0);
    assert_eq!(again.stderr, "");
    let again: Value = serde_json::from_str(&again.stdout).unwrap();
    for stage in ["accepted_at", "committed_at", "published_at", "position"] {
        assert_eq!(again[stage], told[stage], "{stage}: {again}");
    }
}

#[test]
fn of_many_followers_the_first_are_named_and_the_rest_are_counted() {
    const ALL: usize = 40;
    let broker = quick(STALENESS);
    let names: Vec<String> = (0..ALL).map(|one| format!("pod-{one:02}")).collect();
    let followers: [Follower; ALL] = followers(&broker, std::array::from_fn(|one| names[one].as_str()));
    let running = Running::start(broker.command(&broker.administrator(), REVOKE.into_iter().chain(["--format", "json"])));
    running.stderr.until("0 confirmed, not yet: pod-00, pod-01, pod-02, pod-03, pod-04 and 35 more");
    followers.iter().for_each(confirm);
    let (status, stdout, stderr) = running.end();
    assert_eq!(status.code(), Some(0), "{stderr:#?}");
    let told = document(&stdout);
    let at = &told["enforcement"][0];
    assert_eq!((&at["confirmed"], &at["waiting"], at["confirmed_by"].as_array().unwrap().len()), (&40.into(), &0.into(), 20), "{told}");
    let named = stderr.iter().filter(|line| line.contains(" has confirmed position ")).count();
    assert!((1..=20).contains(&named) && stderr.len() < 35, "{stderr:#?}");
}

#[test]
fn each_stage_is_shown_from_when_on_it_held_and_none_that_has_not_come() {
    let broker = quick(STALENESS);
    let administrator = broker.administrator();
    let revoke = |more: &[&str]| broker.curfew(&administrator, REVOKE.into_iter().chain(more.iter().copied()));
    let stages = ["accepted_at", "committed_at", "published_at", "enforced_at"];
    let shown = |told: &Value| stages.map(|stage| told[stage].is_string());
    let dry = revoke(&["--dry-run", "--format", "json"]).json();
    assert_eq!((&dry["stage"], shown(&dry)), (&"dry_run".into(), [false; 4]), "nothing was accepted");
    let committed = revoke(&["--wait", "committed", "--format", "json"]).json();
    assert_eq!((&committed["stage"], shown(&committed)), (&"committed".into(), [true, true, false, false]));
    let again = revoke(&["--wait", "committed", "--format", "json"]).json();
    assert_eq!((&again["repeated"], shown(&again)), (&true.into(), [false; 4]), "the answer tells no other time than that of the first");
    let published = revoke(&["--wait", "published", "--format", "json"]).json();
    assert_eq!((&published["stage"], shown(&published)), (&"published".into(), [true, true, true, false]), "{published}");
    assert_eq!(published["accepted_at"], committed["accepted_at"]);
    let suspend = ["environment", "suspend", "staging", "--reason", "superseded", "--wait", "committed", "--format", "json"];
    let suspended = broker.curfew(&administrator, suspend).json();
    assert_eq!(shown(&suspended), [true, true, false, false], "whatever is revoked: {suspended}");
    let table = revoke(&[]).done();
    for stage in ["accepted at", "committed at", "published at", "enforced at"] {
        let line = table.lines().find(|line| line.starts_with(stage));
        assert!(line.is_some_and(|line| line.ends_with('Z')), "{stage}: {table}");
    }
}
