//! Processes that follow the list and say so, over real sockets, and what an operator sees of them.

use curfew::client::{Client, Failure, api};
use curfew::formats::jws;
use curfew::formats::list::{List, MAX_LIST};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::harness::Broker;
use crate::process::get;

/// A process that follows for one identity.
pub(crate) struct Follower {
    runtime: Runtime,
    client: Client,
    name: String,
}

impl Follower {
    pub(crate) fn start(broker: &Broker, path: &str, name: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let client = runtime.block_on(broker.client(&broker.identity(path)));
        Self { runtime, client, name: name.to_owned() }
    }

    /// Fetches the list as it is.
    pub(crate) fn fetch(&self) -> List {
        let ask = api::GetListRequest { instance: self.name.clone(), ..api::GetListRequest::default() };
        let list = self.runtime.block_on(self.client.revocations().get_list(ask)).unwrap().into_inner().list;
        List::decode(&jws::parse(&list, MAX_LIST).unwrap().payload).unwrap()
    }

    /// Says that it has applied a list.
    pub(crate) fn confirm(&self, list: &List) -> Result<Vec<String>, Failure> {
        let said = api::AcknowledgeRequest {
            instance: self.name.clone(),
            position: list.position.get(),
            root: list.root.to_vec(),
            epoch: list.epoch.0.to_vec(),
        };
        let answer = self.runtime.block_on(self.client.revocations().acknowledge(said));
        answer.map(|answer| answer.into_inner().downstreams).map_err(Failure::from)
    }
}

/// State and confirmed position of each line of the roll, by downstream and instance.
fn roll(broker: &Broker) -> Vec<(String, Value, String, Value)> {
    let answer = broker.curfew(&broker.administrator(), ["revocations", "followers", "--format", "json"]).json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let lines = answer["followers"].as_array().unwrap().iter();
    lines
        .map(|line| (text(&line["downstreams"][0]), line["instance"].clone(), text(&line["state"]), line["confirmed_position"].clone()))
        .collect()
}

/// What a metric of one series says.
pub(crate) fn metric(broker: &Broker, name: &str) -> f64 {
    let (_, metrics) = get(broker, "/metrics");
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name}\n{metrics}")).parse().unwrap()
}

#[test]
fn the_roll_says_who_follows_how_far_each_has_come_and_who_is_silent() {
    let broker = Broker::start();
    let (first, second) = (Follower::start(&broker, "ledger/verifier", "a"), Follower::start(&broker, "ledger/verifier", "b"));
    let list = first.fetch();
    second.fetch();
    assert_eq!(first.confirm(&list).unwrap(), ["ledger-api"]);
    let confirmed = Value::from(list.position.get());
    let line = |name: &str, instance: &str, state: &str, position: &Value| {
        (name.to_owned(), Value::from(instance), state.to_owned(), position.clone())
    };
    let silent = ("mesh".to_owned(), Value::Null, "silent".to_owned(), Value::Null);
    assert_eq!(roll(&broker), [silent, line("ledger-api", "a", "current", &confirmed), line("ledger-api", "b", "behind", &Value::Null)]);
    assert!((metric(&broker, "curfew_followers") - 2.0).abs() < 0.1);
    broker.curfew(&broker.identity("payments/api"), ["revocations", "followers"]).exits(2);
}

#[test]
fn a_confirmation_of_another_history_is_refused_logged_and_counted() {
    let broker = Broker::start();
    let follower = Follower::start(&broker, "ledger/verifier", "a");
    let list = follower.fetch();
    let refused = follower.confirm(&List { root: [1; 32], ..list.clone() }).expect_err("another root");
    assert_eq!(refused.reason.as_deref(), Some("HISTORY_DIFFERS"), "{refused}");
    assert!(roll(&broker).iter().any(|line| line.2 == "forked"));
    broker.says(&["a follower has another history"]);
    assert!((metric(&broker, "curfew_follower_forks_total") - 1.0).abs() < 0.1);
    assert!((metric(&broker, "curfew_followers_forked") - 1.0).abs() < 0.1);
    follower.confirm(&list).expect("of this history");
    assert!((metric(&broker, "curfew_followers_forked")).abs() < 0.1);
}
