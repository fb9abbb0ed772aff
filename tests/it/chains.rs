//! Certificates that obtain certificates that obtain tokens, over the wire: each link is cut in
//! turn, and what hangs on it is dead to services and to the broker, and nothing else is.

use curfew::client::{Client, Failure, api};
use curfew::verify::{Presented, Rejected};

use crate::harness::{Broker, REGISTRY};
use crate::holder::{Holder, certificate, token};
use crate::service::Service;

const WORKLOAD: &str = "spiffe://example.org/payments/api";

/// A chain from outside to a token, each link with the connection that it opened.
struct Chain {
    outside: Client,
    first: Link,
    second: Link,
    token: Token,
    /// Obtained with the identity from outside.
    other: Token,
}

/// A certificate of ours in use.
struct Link {
    id: String,
    holder: Holder,
    client: Client,
}

struct Token {
    id: String,
    text: String,
    presented: Presented,
}

impl Link {
    async fn obtain(broker: &Broker, client: &Client, environment: &str, task: u64) -> Self {
        let (issuance, holder) = certificate(client, environment, task).await.unwrap();
        let client = holder.connect(broker).await;
        // The connection is in use, so that it is open when the link is cut.
        assert_eq!(who(&client).await.unwrap().credential_id, issuance.credential_id);
        Self { id: issuance.credential_id, holder, client }
    }
}

impl Token {
    async fn obtain(client: &Client, holder: &Holder, environment: &str, task: u64) -> Self {
        let issued = token(client, environment, task).await.unwrap();
        Self { id: issued.issuance.unwrap().credential_id, text: issued.token, presented: holder.presented() }
    }
}

impl Chain {
    async fn forge(broker: &Broker, environment: &str, task: u64) -> Self {
        let identity = Holder::of(&broker.identity("payments/api"));
        let outside = identity.connect(broker).await;
        let first = Link::obtain(broker, &outside, environment, task).await;
        let second = Link::obtain(broker, &first.client, environment, 0).await;
        let token = Token::obtain(&second.client, &second.holder, environment, 0).await;
        let other = Token::obtain(&outside, &identity, environment, 0).await;
        Self { outside, first, second, token, other }
    }

    /// Dead as promised: both certificates, or neither; the token; the other token.
    async fn check(&self, broker: &Broker, cut: u64, [certificates, token, other]: [bool; 3]) {
        let service = Service::covering(broker, cut);
        for (what, checked, dead) in [
            ("first", service.certificate(&self.first.holder.leaf), certificates),
            ("second", service.certificate(&self.second.holder.leaf), certificates),
            ("token", service.token(&self.token.text, self.token.presented), token),
            ("other", service.token(&self.other.text, self.other.presented), other),
        ] {
            assert_eq!(matches!(checked, Err(Rejected::Revoked { .. })), dead, "{what}: {checked:?}");
            assert!(dead || checked.is_ok(), "{what}: {checked:?}");
        }
        for link in [&self.first, &self.second] {
            let new = link.holder.connect(broker).await;
            for (how, client) in [("open", &link.client), ("new", &new)] {
                let seen = who(client).await;
                assert_eq!(seen.is_err(), certificates, "{} over its {how} connection: {seen:?}", link.id);
                if let Err(refused) = seen {
                    assert_eq!(refused.reason.as_deref(), Some("CERTIFICATE_REVOKED"), "over its {how} connection: {refused}");
                }
            }
        }
    }
}

async fn who(client: &Client) -> Result<api::WhoAmIResponse, Failure> {
    Ok(client.trust().who_am_i(api::WhoAmIRequest {}).await?.into_inner())
}

/// Ends something as the administrator; answers the position of its cut.
fn cut(broker: &Broker, line: &[&str]) -> u64 {
    let line = [line, &["--reason", "privilege-withdrawn", "--wait", "published", "--format", "json"]].concat();
    broker.curfew(&broker.administrator(), line).json()["position"].as_u64().unwrap()
}

async fn open_task(client: &Client, environment: &str) -> u64 {
    let deadline = curfew::ambient::Clock::system().now().plus(std::time::Duration::from_secs(1800));
    let deadline = prost_types::Timestamp { seconds: deadline.seconds().try_into().unwrap(), nanos: 0 };
    let request = api::TasksOpenRequest {
        environment: environment.to_owned(),
        deadline: Some(deadline),
        purpose: "a job".to_owned(),
        ..Default::default()
    };
    client.tasks().open(request).await.unwrap().into_inner().task.unwrap().task
}

#[tokio::test(flavor = "multi_thread")]
async fn each_link_that_is_cut_ends_what_hangs_on_it_and_nothing_else() {
    let broker = Broker::start();
    let chain = Chain::forge(&broker, "production", 0).await;
    let at = cut(&broker, &["cred", "revoke", &chain.token.id]);
    chain.check(&broker, at, [false, true, false]).await;
    // What was renewed cannot be told from what renewed it, so both end.
    let at = cut(&broker, &["cred", "revoke", &chain.second.id]);
    chain.check(&broker, at, [true, true, false]).await;

    let chain = Chain::forge(&broker, "production", 0).await;
    let at = cut(&broker, &["cred", "revoke", &chain.first.id]);
    chain.check(&broker, at, [true, true, false]).await;
    let at = cut(&broker, &["cred", "revoke", &chain.other.id]);
    chain.check(&broker, at, [true, true, true]).await;
    token(&chain.outside, "production", 0).await.expect("the identity from outside is another matter");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_what_a_chain_stands_on_ends_the_whole_chain() {
    let broker = Broker::start();
    let chain = Chain::forge(&broker, "production", 0).await;
    let in_staging = Chain::forge(&broker, "staging", 0).await;
    let at = cut(&broker, &["environment", "revoke", "production"]);
    chain.check(&broker, at, [true, true, true]).await;
    in_staging.check(&broker, at, [false, false, false]).await;

    let at = cut(&broker, &["workload", "revoke", WORKLOAD]);
    in_staging.check(&broker, at, [true, true, true]).await;
    let refused = token(&in_staging.outside, "staging", 0).await.unwrap_err();
    assert_eq!(refused.reason.as_deref(), Some("WORKLOAD_NOT_ACTIVE"), "{refused}");

    let reinstate = ["workload", "reinstate", WORKLOAD, "--note", "back"];
    broker.curfew(&broker.administrator(), reinstate).done();
    let chain = Chain::forge(&broker, "staging", 0).await;
    let at = cut(&broker, &["owner", "revoke", "payments"]);
    chain.check(&broker, at, [true, true, true]).await;
    in_staging.check(&broker, at, [true, true, true]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_closes_ends_the_chain_that_began_in_it() {
    let broker = Broker::start();
    let outside = broker.client(&broker.identity("payments/settlement")).await;
    let workload = broker.client(&broker.identity("payments/api")).await;
    let (task, next) = (open_task(&workload, "production").await, open_task(&outside, "production").await);
    let chain = Chain::forge(&broker, "production", task).await;
    assert_eq!(refusal(token(&chain.second.client, "production", next).await), "OUTSIDE_LINEAGE");
    let closed = workload.tasks().close(api::TasksCloseRequest { task, note: String::new() }).await.unwrap().into_inner();
    assert_eq!(closed.ended, 3, "two certificates and a token, which inherited the task");
    chain.check(&broker, closed.position, [true, true, false]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_obtained_leaves_its_environment_or_its_owner() {
    let broker = Broker::start();
    let chain = Chain::forge(&broker, "staging", 0).await;
    for link in [&chain.first, &chain.second] {
        assert_eq!(refusal(token(&link.client, "production", 0).await), "OUTSIDE_LINEAGE");
        assert_eq!(refusal(certificate(&link.client, "production", 0).await), "OUTSIDE_LINEAGE");
        // What it obtains is of the workload that it names: there is no field to say otherwise.
        let (_, holder) = certificate(&link.client, "staging", 0).await.unwrap();
        let seen = who(&holder.connect(&broker).await).await.unwrap();
        assert_eq!((seen.spiffe_id.as_str(), seen.owner.as_str()), (WORKLOAD, "payments"));
    }
    let moved = REGISTRY.replace("payments/api\n    owner: payments", "payments/api\n    owner: platform");
    assert_ne!(moved, REGISTRY);
    broker.apply(&moved);
    let head = broker.curfew(&broker.administrator(), ["revocations", "get", "--format", "json"]).json();
    chain.check(&broker, head["position"].as_u64().unwrap(), [true, true, true]).await;
    // The workload goes on under its new owner, with what it obtains from now on.
    let token = token(&chain.outside, "staging", 0).await.expect("the identity from outside is good");
    let shown = broker.curfew(&broker.administrator(), ["cred", "show", &token.issuance.unwrap().credential_id, "--field", "owner"]);
    assert_eq!(shown.done(), "platform\n");
}

/// The reason of a refusal.
#[track_caller]
fn refusal<T>(outcome: Result<T, Failure>) -> String {
    outcome.err().expect("it was allowed").reason.expect("the broker gives a reason")
}
