//! Refusals are told in the ledger, in few entries, and disturb nothing.

use std::time::Duration;

use super::{START, World, administrator, caller};
use crate::broker::{Error, Issuance};
use crate::model::{Event, Position, Refused};
use crate::policy::Caller;

impl World {
    /// Asks as the door does.
    async fn refused(&self, caller: &Caller) -> Result<Issuance, Error> {
        let outcome = self.token_in(caller, "staging", None).await;
        if let Err(error) = &outcome {
            self.broker.note_refusal(caller, error);
        }
        outcome
    }

    /// What the ledger tells of refusals.
    async fn told(&self) -> Vec<Refused> {
        let entries = self.broker.ledger().entries(Position::new(1), 1000).await.unwrap();
        let events = entries.into_iter().map(|stored| stored.entry.unwrap().event);
        events.filter_map(|event| if let Event::RequestsRefused(refused) = event { Some(refused) } else { None }).collect()
    }
}

#[tokio::test]
async fn a_flood_of_refusals_is_one_entry_at_once_and_one_in_five_minutes() {
    let world = World::new().await;
    let batch = caller("/payments/batch");
    for _ in 0..500 {
        world.refused(&batch).await.expect_err("not its environment");
    }
    assert_eq!(world.broker.tell_refusals(START).await.unwrap(), 1);
    for second in 1..300 {
        world.hand.set(START.plus(Duration::from_secs(second)));
        world.refused(&batch).await.expect_err("not its environment");
        assert_eq!(world.broker.tell_refusals(world.broker.clock().now()).await.unwrap(), 0);
    }
    world.hand.set(START.plus(Duration::from_secs(300)));
    assert_eq!(world.broker.tell_refusals(world.broker.clock().now()).await.unwrap(), 1);
    let number = world.broker.ledger().facts().workload(&batch.spiffe_id).unwrap().number;
    let told = |count, since: u64| Refused {
        workload: Some(number),
        identity: Some(batch.spiffe_id.clone()),
        reason: "ENVIRONMENT_NOT_ALLOWED".to_owned(),
        count,
        since: START.plus(Duration::from_secs(since)),
    };
    assert_eq!(world.told().await, [told(500, 0), told(299, 1)]);
}

#[tokio::test]
async fn each_caller_and_each_reason_is_told_by_itself_and_mistakes_are_not() {
    let world = World::new().await;
    world.refused(&caller("/payments/batch")).await.expect_err("not its environment");
    world.refused(&caller("/nobody")).await.expect_err("unknown");
    world.revoke_owner("payments").await.unwrap();
    world.refused(&caller("/payments/batch")).await.expect_err("closed");
    let unknown = world.broker.owner(&administrator(), &"nobody".parse().unwrap()).await.expect_err("no such owner");
    world.broker.note_refusal(&administrator(), &unknown);
    world.broker.tell_all_refusals().await;
    let mut reasons: Vec<_> = world.told().await.into_iter().map(|refused| (refused.reason, refused.workload.is_some())).collect();
    reasons.sort();
    let expected = [("ENVIRONMENT_NOT_ALLOWED", true), ("IDENTITY_UNKNOWN", false), ("OWNER_NOT_ACTIVE", true)];
    assert_eq!(reasons, expected.map(|(reason, known)| (reason.to_owned(), known)));
}

#[tokio::test]
async fn when_the_broker_stops_all_that_is_left_is_told() {
    let world = World::new().await;
    for number in 0..100 {
        world.refused(&caller(&format!("/nobody/{number}"))).await.expect_err("unknown");
    }
    world.broker.tell_all_refusals().await;
    assert_eq!(world.told().await.iter().map(|refused| refused.count).sum::<u64>(), 100);
}

#[tokio::test]
async fn what_is_only_told_moves_no_fence_and_wakes_nobody() {
    let world = World::new().await;
    let mut watch = world.broker.ledger().watch();
    let (changed, _) = (*watch.borrow_and_update(), world.refused(&caller("/nobody")).await.expect_err("unknown"));
    world.broker.tell_all_refusals().await;
    world.broker.owner(&administrator(), &"payments".parse().unwrap()).await.unwrap();
    assert_eq!(world.head().get(), changed.get() + 2, "a refusal and an administrative read");
    assert!(!watch.has_changed().unwrap());
    assert_eq!(world.broker.ledger().facts().changed(), changed);
    world.revoke_owner("payments").await.unwrap();
    assert!(watch.has_changed().unwrap());
}
