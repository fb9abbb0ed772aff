//! Reading is authorised, and an administrator's reads are entries, coalesced.

use std::time::Duration;

use super::{START, World, administrator, caller, denied};
use crate::model::{DenialCode, Event, Position};

async fn reads(world: &World) -> usize {
    let entries = world.broker.ledger().entries(Position::new(1), 1000).await.unwrap();
    entries.iter().filter(|stored| matches!(stored.entry.as_ref().unwrap().event, Event::AdministrativeRead { .. })).count()
}

#[tokio::test]
async fn the_first_read_of_five_minutes_is_recorded_and_stands_for_the_others() {
    let world = World::new().await;
    let before = reads(&world).await;
    for _ in 0..3 {
        world.broker.owner(&administrator(), &"payments".parse().unwrap()).await.unwrap();
    }
    assert_eq!(reads(&world).await, before + 1);
    world.broker.owner(&administrator(), &"acme".parse().unwrap()).await.unwrap();
    assert_eq!(reads(&world).await, before + 2, "another subject is another read");
    world.hand.set(START.plus(Duration::from_secs(300)));
    world.broker.owner(&administrator(), &"payments".parse().unwrap()).await.unwrap();
    assert_eq!(reads(&world).await, before + 3);
}

#[tokio::test]
async fn a_workload_reads_its_own_credentials_and_nobody_elses() {
    let world = World::new().await;
    let api = caller("/payments/api");
    let token = world.token(&api).await.unwrap();
    let story = world.broker.credential(&api, token.id).await.unwrap();
    assert_eq!((story.owner.as_str(), story.workload.as_str()), ("payments", "spiffe://example.org/payments/api"));
    assert_eq!(denied(world.broker.credential(&caller("/acme/sync"), token.id).await), DenialCode::PolicyDenied);
    assert_eq!(denied(world.broker.ledger_rows(&api, Position::new(1), 10).await), DenialCode::PolicyDenied);
}

#[tokio::test]
async fn following_needs_an_identity_and_not_a_standing() {
    let world = World::new().await;
    world.revoke_owner("payments").await.unwrap();
    world.broker.may_follow(&caller("/payments/api")).await.expect("a closed owner's workload may follow");
    assert_eq!(denied(world.broker.may_follow(&caller("/nobody")).await), DenialCode::IdentityUnknown);
}

#[tokio::test]
async fn a_caller_learns_who_it_is_and_what_policy_allows() {
    let world = World::new().await;
    let me = world.broker.who_am_i(&caller("/payments/batch")).unwrap();
    assert_eq!(me.role, "workload");
    assert_eq!(me.workload.map(|(owner, ..)| owner), Some("payments".to_owned()));
    assert!(me.allowed.iter().any(|allowance| allowance.resource == "https://ledger.example.org" && allowance.outcome.is_ok()));
    assert!(me.allowed.iter().all(|allowance| allowance.environment.as_str() == "production"));
    assert_eq!(world.broker.who_am_i(&administrator()).unwrap().role, "administrator");
    assert_eq!(world.broker.who_am_i(&caller("/nobody")).unwrap().role, "unknown");
}
