//! What is left in the log and in the ledger by callers, seen from outside.

use crate::harness::{AUDIENCE, Broker, eventually};

#[test]
fn each_call_of_an_administrator_leaves_a_line_in_the_log_refused_or_not() {
    let mut broker = Broker::start();
    let administrator = broker.administrator();
    broker.curfew(&administrator, ["owner", "show", "payments"]).exits(0);
    broker.curfew(&administrator, ["token", "issue", "--environment", "production", "--audience", AUDIENCE]).exits(2);
    let workload = broker.identity("payments/api");
    broker.curfew(&workload, ["owner", "show", "payments"]).exits(2);
    assert!(broker.stop().success());
    let log = broker.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("curfew::audit")).collect();
    let left = |words: &[&str]| lines.iter().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(left(&["spiffe://example.org/administrator", "Owners", "\"get\"", "\"OK\""]), "{log}");
    assert!(left(&["spiffe://example.org/administrator", "Credentials", "\"issue_token\"", "\"PERMISSION_DENIED\""]), "{log}");
    assert!(!left(&["spiffe://example.org/payments/api"]), "a workload is no administrator");
}

#[test]
fn refusals_are_in_the_ledger_and_a_flood_of_them_is_few_entries() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let broker = Broker::start();
    let client = runtime.block_on(broker.client(&broker.identity("payments/api")));
    let ask =
        curfew::client::api::IssueTokenRequest { environment: "nowhere".to_owned(), audience: AUDIENCE.to_owned(), ..Default::default() };
    for _ in 0..300 {
        runtime.block_on(client.credentials().issue_token(ask.clone())).expect_err("refused");
    }
    let listed = || broker.curfew(&broker.administrator(), ["ledger", "list", "--limit", "1000", "--format", "json"]).json();
    let told = |list: &serde_json::Value| {
        let entries = list["entries"].as_array().unwrap().clone();
        entries.into_iter().filter(|entry| entry["event"] == "requests_refused").collect::<Vec<_>>()
    };
    let entries = eventually(std::time::Duration::from_secs(20), || Some(told(&listed())).filter(|told| !told.is_empty()));
    assert!(entries.len() <= 2, "{entries:?}");
    let summary = entries[0]["summary"].as_str().unwrap().to_owned();
    assert!(summary.contains("ENVIRONMENT_UNKNOWN") && summary.contains("spiffe://example.org/payments/api"), "{summary}");
}
