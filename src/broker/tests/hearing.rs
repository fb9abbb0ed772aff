//! What a source says again is not compared again, until something has changed that it was compared with.

use super::*;
use crate::broker::Said;
use crate::directory::{Document, Snapshot, WorkloadSpec};
use crate::ledger::{Change, Present, Urgency};
use crate::model::{OwnerId, SourceName};

const PATIENCE: Duration = Duration::from_secs(20);

fn name() -> SourceName {
    "assets".parse().unwrap()
}

/// A workload under an owner, as the source names it.
fn said(owner: &str) -> Said {
    let workload = WorkloadSpec {
        spiffe_id: "spiffe://example.org/assets/job".parse().unwrap(),
        owner: owner.parse::<OwnerId>().unwrap(),
        purpose: "a job".parse().unwrap(),
        environments: ["production".parse().unwrap()].into(),
        valid_until: None,
        business_owner: None,
        technical_owner: None,
    };
    let snapshot = Snapshot::from(Document { workloads: vec![workload], ..Document::default() });
    Said { digest: [7; 32], snapshot, wrong: 0, problems: Vec::new() }
}

impl World {
    /// As the loop of a source does it: it is told which names there are, then heard.
    async fn hear(&self, said: Said) -> Vec<String> {
        self.broker.names_beside(&name());
        self.broker.hear_source(&name(), Ok(said)).await.unwrap();
        self.broker.source(&administrator(), &name()).await.unwrap().problems
    }
}

#[tokio::test]
async fn a_source_with_problems_is_heard_again_at_no_price_and_they_are_over_when_their_cause_is() {
    let world = World::new().await;
    let problems = world.hear(said("refunds")).await;
    assert!(problems[0].contains("no owner `refunds` is recorded"), "{problems:?}");
    {
        // The ledger is held: whatever would be committed now had to wait.
        let (release, held) = std::sync::mpsc::channel::<()>();
        let (enter, entered) = tokio::sync::oneshot::channel();
        let plan = Box::new(move |_: &Present<'_>| {
            let _released = (enter.send(()), held.recv());
            Ok(Vec::new())
        });
        let ledger = Arc::clone(world.broker.ledger());
        let change = Change { urgency: Urgency::First, actor: None, request_id: None, plan };
        let holding = tokio::spawn(async move { ledger.change(change).await });
        entered.await.unwrap();
        let again = tokio::time::timeout(PATIENCE, world.broker.hear_source(&name(), Ok(said("refunds")))).await;
        release.send(()).unwrap();
        holding.await.unwrap().unwrap();
        again.expect("it waits for nothing").unwrap();
    }
    let refunds = with_refunds();
    world.apply(&refunds, 0).await.unwrap();
    assert_eq!(world.hear(said("refunds")).await, [""; 0]);
    world.token(&caller("/assets/job")).await.unwrap();
}

/// The registry with one owner more.
fn with_refunds() -> String {
    let refunds = REGISTRY.replace(
        "environments:\n  - {name: production}",
        "  - {id: refunds, kind: team, business_owner: pat@example.org, technical_owner: tea@example.org}\nenvironments:\n  - {name: production}",
    );
    assert_ne!(refunds, REGISTRY);
    refunds
}

#[tokio::test]
async fn a_source_that_was_applied_whole_is_looked_at_again_when_what_it_refers_to_has_ended() {
    let world = World::new().await;
    world.apply(&with_refunds(), 0).await.unwrap();
    assert_eq!(world.hear(said("refunds")).await, [""; 0]);
    assert!(world.broker.is_settled(&name(), said("refunds").digest));
    world.apply(REGISTRY, 100).await.unwrap();
    let problems = world.hear(said("refunds")).await;
    assert!(problems.first().is_some_and(|problem| problem.contains("no owner `refunds` is recorded")), "{problems:?}");
    assert!(!world.broker.is_settled(&name(), said("refunds").digest));
}
