//! `curfew revocations watch`: the list, and each change of it, as somebody sees it who looks on.

use std::os::unix::process::ExitStatusExt as _;

use serde_json::Value;

use super::running::{Lines, Running};
use crate::harness::Broker;
use crate::offboarding::quick;

/// Looks on, as the administrator.
fn watch(broker: &Broker, more: &[&str]) -> Running {
    let line = ["revocations", "watch", "--format", "json"].iter().chain(more);
    Running::start(broker.command(&broker.administrator(), line))
}

/// The next list: one line of JSON.
fn next(lines: &Lines) -> Value {
    let line = lines.next();
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("`{line}`: {error}"))
}

/// Revokes an owner; the position of the cut.
fn revoke(broker: &Broker, owner: &str) -> Value {
    let line = ["owner", "revoke", owner, "--reason", "superseded", "--wait", "published", "--format", "json"];
    broker.curfew(&broker.administrator(), line).json()["position"].clone()
}

fn cuts(list: &Value) -> Vec<&Value> {
    list["cuts"].as_array().unwrap().iter().map(|cut| &cut["position"]).collect()
}

#[test]
fn it_begins_with_the_whole_list_then_tells_each_change_and_beats() {
    let broker = quick("3s");
    let first = revoke(&broker, "acme");
    let watching = watch(&broker, &[]);
    let mut last = next(&watching.stdout);
    assert_eq!((&last["since"], cuts(&last)), (&Value::Null, vec![&first]), "{last}");
    // A heartbeat is newer, and says nothing else.
    let beat = next(&watching.stdout);
    assert_eq!((&beat["since"], cuts(&beat)), (&last["position"], vec![]), "{beat}");
    assert!(beat["issued_at"].as_str() >= last["issued_at"].as_str() && beat["list"] != last["list"], "{beat}");
    last = beat;

    let second = revoke(&broker, "payments");
    // Its heartbeats go on for as long as it runs: some come before the change.
    let change = (0..20).find_map(|_| {
        let list = next(&watching.stdout);
        assert_eq!(list["since"], last["position"], "each begins where the one before ended: {list}");
        last = list.clone();
        (!cuts(&list).is_empty()).then_some(list)
    });
    let change = change.expect("the cut is told");
    assert_eq!(cuts(&change), [&second], "the change alone: {change}");
    assert_eq!(change["cuts"][0]["reason"], "superseded");

    // To the broker it is a process that has confirmed nothing.
    let roll = broker.curfew(&broker.administrator(), ["revocations", "followers", "--format", "json"]).json();
    let own = roll["followers"].as_array().unwrap().iter().find(|one| one["instance"] == "command-line").expect("it is told");
    assert!(own["handed_position"].is_u64() && own["confirmed_position"].is_null(), "{own}");

    watching.signal("TERM");
    let (status, stdout, stderr) = watching.end();
    assert_eq!((status.signal(), stderr), (Some(15), Vec::new()));
    assert!(stdout.iter().all(|line| serde_json::from_str::<Value>(line).is_ok()), "no line is cut short: {stdout:#?}");
}

#[test]
fn since_a_position_it_tells_what_came_after_and_of_one_that_is_unknown_everything() {
    let broker = quick("3s");
    let before = broker.curfew(&broker.administrator(), ["revocations", "get", "--field", "position"]).done().trim().to_owned();
    let (first, second) = (revoke(&broker, "acme"), revoke(&broker, "payments"));
    let one = |since: &str| {
        let (status, stdout, _) = watch(&broker, &["--since", since, "--count", "1", "--instance", "mine"]).end();
        assert_eq!((status.code(), stdout.len()), (Some(0), 1), "so many were asked for: {stdout:#?}");
        serde_json::from_str::<Value>(&stdout[0]).unwrap()
    };
    let delta = one(&before);
    assert_eq!((delta["since"].to_string(), cuts(&delta)), (before, vec![&first, &second]), "{delta}");
    let known = one(&delta["position"].to_string());
    assert_eq!((&known["since"], cuts(&known)), (&delta["position"], vec![]), "{known}");
    let unknown = one("1");
    assert_eq!((&unknown["since"], cuts(&unknown).len()), (&Value::Null, 2), "{unknown}");
}

#[test]
fn it_ends_in_order_when_the_broker_stops() {
    let mut broker = quick("3s");
    let watching = watch(&broker, &[]);
    next(&watching.stdout);
    assert!(broker.stop().success());
    let (status, _, stderr) = watching.end();
    assert_eq!((status.code(), stderr), (Some(0), Vec::new()));
    let refused = broker.curfew(&broker.administrator(), ["revocations", "watch"]).exits(1);
    assert!(refused.stderr.contains("cannot connect to the broker"), "{}", refused.stderr);
}
