//! The process: how it starts, ends, and comes back.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{AUDIENCE, Broker, REGISTRY, eventually, program, run};
use crate::https;

/// The status line and body of a document of the admin listener.
pub(crate) fn get(broker: &Broker, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(&broker.addresses().admin).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

#[test]
fn it_is_ready_once_it_says_where_it_listens() {
    let broker = Broker::start_empty();
    assert_eq!(get(&broker, "/livez").0, "HTTP/1.1 200 OK");
    assert_eq!(get(&broker, "/readyz").0, "HTTP/1.1 200 OK");
    let (status, metrics) = get(&broker, "/metrics");
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert!(metrics.contains("# TYPE curfew_") && metrics.contains("# EOF"), "{metrics}");
}

#[test]
fn it_closes_in_order_when_it_is_told_to() {
    let mut broker = Broker::start();
    let issued = broker.curfew(&broker.identity("payments/api"), ["token", "issue", "--environment", "production", "--audience", AUDIENCE]);
    issued.done();
    let ended = broker.stop();
    assert!(ended.success(), "{ended}\n{}", broker.log());
    let ledger = broker.dir().join("data");
    let left: Vec<_> = std::fs::read_dir(&ledger).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().ends_with("-wal")), "the journal was not folded in: {left:?}");
}

#[test]
fn what_it_issued_is_known_after_it_was_killed() {
    let mut broker = Broker::start();
    let workload = broker.identity("payments/api");
    let issue = ["token", "issue", "--environment", "production", "--audience", AUDIENCE, "--format", "json"];
    let issued = broker.curfew(&workload, issue).json();
    broker.restart();
    let id = issued["credential_id"].as_str().unwrap();
    let shown = broker.curfew(&broker.administrator(), ["cred", "show", id, "--format", "json"]).json();
    assert_eq!(shown["position"], issued["position"]);
    let next = broker.curfew(&workload, issue).json();
    assert!(next["position"].as_u64() > issued["position"].as_u64(), "{next}");
}

#[test]
fn policies_are_read_again_on_demand_and_a_bad_set_replaces_no_good_one() {
    let broker = Broker::start();
    let workload = broker.identity("payments/api");
    let issue = || broker.curfew(&workload, ["token", "issue", "--environment", "production", "--audience", AUDIENCE]).code;
    let reload = |text: &str| {
        std::fs::write(broker.dir().join("policies/issuing.cedar"), text).unwrap();
        kill_process(Pid::from_raw(broker.process_id().try_into().unwrap()).unwrap(), Signal::HUP).unwrap();
    };
    let patience = Duration::from_secs(20);
    reload("permit (principal, action,");
    eventually(patience, || broker.log().contains("the policies in force stay").then_some(()));
    assert_eq!(issue(), 0, "the last good set is kept");
    assert!(get(&broker, "/metrics").1.contains("curfew_policy_reload_errors_total 1"), "and the error is counted");
    reload("forbid (principal is Curfew::Workload, action, resource);");
    eventually(patience, || (issue() == 2).then_some(()));
}

#[test]
fn a_log_that_nobody_reads_holds_up_nobody() {
    let mut broker = Broker::prepare();
    // So that each call says much.
    let config = std::fs::read_to_string(broker.config()).unwrap();
    assert!(config.contains("filter = \"info\""));
    std::fs::write(broker.config(), config.replace("filter = \"info\"", "filter = \"trace\"")).unwrap();
    let (_never_read, log) = std::io::pipe().unwrap();
    broker.serve_with_log(log);
    broker.apply(REGISTRY);
    let (workload, administrator) = (broker.identity("payments/api"), broker.administrator());
    let issue = || broker.curfew(&workload, ["token", "issue", "--environment", "production", "--audience", AUDIENCE, "--format", "json"]);
    let dropped = || {
        let metrics = get(&broker, "/metrics").1;
        let count = metrics.lines().find_map(|line| line.strip_prefix("curfew_log_lines_dropped_total ")).unwrap();
        count.parse::<f64>().unwrap()
    };
    eventually(Duration::from_secs(60), || {
        issue().done();
        (dropped() > 0.0).then_some(())
    });
    let (before, issued) = (dropped(), issue().json());
    let id = issued["credential_id"].as_str().unwrap();
    broker.curfew(&administrator, ["cred", "revoke", id, "--reason", "superseded", "--wait", "published"]).done();
    broker.curfew(&administrator, ["owner", "revoke", "payments", "--reason", "cessation-of-operation", "--wait", "published"]).done();
    assert_eq!(issue().code, 2, "what was revoked stays so");
    assert!(dropped() > before, "what nobody reads is counted");
    assert!(broker.stop().success(), "and it ends in order");
}

/// Not even where everything is said that is said at all, but for what libraries say of their own inside.
#[test]
fn no_secret_is_logged() {
    let mut broker = Broker::prepare_sealed();
    let passphrase = std::fs::read_to_string(broker.scratch().join("seal")).unwrap();
    let made = run(program().args(["source", "token", "--format", "json"])).json();
    let (token, hash) = (made["token"].as_str().unwrap(), made["token_hash"].as_str().unwrap());
    let source = format!("\n[[source]]\nname = \"entra\"\nkind = \"scim\"\ntoken_hash = \"{hash}\"\n");
    let config = std::fs::read_to_string(broker.config()).unwrap();
    assert!(config.contains("filter = \"info\""));
    std::fs::write(broker.config(), config.replace("filter = \"info\"", "filter = \"debug\"") + &source).unwrap();
    broker.serve();
    broker.apply(REGISTRY);
    let workload = broker.identity("payments/api");
    let issued =
        broker.curfew(&workload, ["token", "issue", "--environment", "production", "--audience", AUDIENCE, "--field", "token"]).done();
    let bearer = |token: &str| {
        let authorization = format!("Bearer {token}");
        https::send(&broker, "GET", "/scim/v2/Users", &[("Authorization", &authorization)]).status
    };
    let wrong = format!("{token}x");
    assert_eq!((bearer(token), bearer(&wrong)), (200, 401));
    broker.stop();
    let log = broker.log();
    assert!(log.contains("DEBUG"), "it says much: {log}");
    let signature = issued.trim().rsplit('.').next().unwrap();
    for secret in [signature, token, passphrase.trim(), "PRIVATE KEY"] {
        assert!(secret.len() > 8 && !log.contains(secret), "{secret}");
    }
}
