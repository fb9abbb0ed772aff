//! Nobody takes what is left for others, and revoking is never counted.

use std::time::Duration;

use super::{QUOTAS, START, World, administrator, caller, owner_named, withdrawal};
use crate::broker::error::Limit;
use crate::broker::{Error, Limits, Quotas};

#[track_caller]
fn limited<T: std::fmt::Debug>(outcome: Result<T, Error>) -> (Limit, Duration) {
    match outcome {
        Err(Error::Limited { limit, retry_after }) => (limit, retry_after),
        other => panic!("not limited: {other:?}"),
    }
}

#[tokio::test]
async fn a_workload_that_asks_too_often_is_told_when_to_come_again() {
    let world = World::within(Quotas { workload_rate: 2, ..QUOTAS }).await;
    let (api, batch) = (caller("/payments/api"), caller("/payments/batch"));
    world.token(&api).await.unwrap();
    world.token(&api).await.unwrap();
    assert_eq!(limited(world.token(&api).await), (Limit::WorkloadRate, Duration::from_millis(500)));
    world.token(&batch).await.expect("another workload");
    world.hand.set(START.plus(Duration::from_millis(500)));
    world.token(&api).await.expect("it came again");
}

#[tokio::test]
async fn the_workloads_of_an_owner_share_its_rate() {
    let world = World::within(Quotas { owner_rate: 2, ..QUOTAS }).await;
    world.token(&caller("/payments/api")).await.unwrap();
    world.token(&caller("/payments/batch")).await.unwrap();
    assert_eq!(limited(world.token(&caller("/payments/api")).await).0, Limit::OwnerRate);
    world.token(&caller("/acme/sync")).await.expect("another owner");
}

#[tokio::test]
async fn an_administrator_s_calls_are_counted_and_revocations_are_not() {
    let world = World::within(Quotas { administrator_rate: 1, ..QUOTAS }).await;
    let issued = world.token(&caller("/payments/api")).await.unwrap();
    let show = async || world.broker.credential(&administrator(), issued.id).await;
    show().await.unwrap();
    assert_eq!(limited(show().await).0, Limit::AdministratorRate);
    for _ in 0..5 {
        world.broker.revoke(&administrator(), owner_named("payments"), withdrawal()).await.unwrap();
        world.broker.revoke_credential(&administrator(), issued.id, withdrawal().reason, None, Limits::default()).await.unwrap();
    }
}

#[tokio::test]
async fn a_workload_has_so_many_living_credentials_and_no_more() {
    let world = World::within(Quotas { workload_live: 3, ..QUOTAS }).await;
    let api = caller("/payments/api");
    let (first, _) = (world.token(&api).await.unwrap(), world.certificate(&api, "production", None).await.unwrap());
    world.token(&api).await.unwrap();
    assert_eq!(limited(world.token(&api).await), (Limit::WorkloadLive, Duration::from_secs(1)));
    world.token(&caller("/payments/batch")).await.expect("another workload");
    world.broker.revoke_credential(&administrator(), first.id, withdrawal().reason, None, Limits::default()).await.unwrap();
    world.token(&api).await.expect("one was revoked");
    assert_eq!(limited(world.token(&api).await).0, Limit::WorkloadLive);
    // The tokens have expired and are counted still, to within minutes; then they are looked at.
    world.hand.set(first.expires_at.plus(Duration::from_secs(61)));
    world.token(&api).await.expect("only the certificate lives");
    world.token(&api).await.expect("and one token");
    assert_eq!(limited(world.token(&api).await).0, Limit::WorkloadLive);
}
