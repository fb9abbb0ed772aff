//! `curfew bench`: what it measures is there, and is what it should be.

use serde_json::Value;

use crate::harness::{program, run};

#[test]
fn each_kind_of_verifier_rejects_what_was_revoked_and_says_what_bounds_it() {
    let measured = run(program().args(["bench", "revoke", "--rounds", "2", "--format", "json"])).json();
    assert_eq!((&measured["rounds"], &measured["build"]), (&Value::from(2), &Value::from("debug")), "{measured}");
    let times = |line: &Value| ["p50_ms", "p99_ms", "max_ms"].map(|field| line[field].as_f64());
    assert!(times(&measured["call"]).iter().all(|time| time.is_some_and(|time| time > 0.0)), "{measured}");
    let lines = measured["verifiers"].as_array().unwrap();
    let bounds: Vec<_> = lines.iter().map(|line| (line["verifier"].as_str().unwrap(), line["at_most_s"].as_u64().unwrap())).collect();
    assert_eq!(bounds, [("follower", 60), ("long_poll", 60), ("status_list", 630), ("crl", 630), ("none", 930)]);
    for line in lines {
        let [p50, p99, max] = times(line);
        assert_eq!(p50.is_some(), line["verifier"] != "none", "{line}");
        assert!(p50 <= p99 && p99 <= max && max < Some(30_000.0), "{line}");
    }
    let table = run(program().args(["bench", "revoke", "--rounds", "1"])).done();
    assert!(table.lines().any(|line| line.starts_with("follower") && line.contains("max_staleness")), "{table}");
    run(program().args(["bench", "revoke", "--rounds", "0"])).exits(1);
    assert!(run(program().args(["bench", "revoke", "--fetch-every", "0s"])).exits(1).stderr.contains("--fetch-every"));
}
