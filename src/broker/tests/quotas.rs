//! Nobody takes what is left for others, and revoking is never counted.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::{QUOTAS, START, World, administrator, caller, denied, owner_named, withdrawal};
use crate::broker::error::Limit;
use crate::broker::{CertificateRequest, Error, Limits, Quotas};
use crate::ledger::Present;
use crate::model::DenialCode;

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
async fn asking_who_one_is_is_counted_as_any_call() {
    let world = World::within(Quotas { workload_rate: 1, ..QUOTAS }).await;
    world.broker.who_am_i(&caller("/payments/api")).unwrap();
    assert_eq!(limited(world.broker.who_am_i(&caller("/payments/api"))).0, Limit::WorkloadRate);
}

#[tokio::test]
async fn the_workloads_of_an_owner_share_its_rate() {
    let world = World::within(Quotas { owner_rate: 2, ..QUOTAS }).await;
    world.token(&caller("/payments/api")).await.unwrap();
    world.token(&caller("/payments/batch")).await.unwrap();
    assert_eq!(limited(world.token(&caller("/payments/api")).await).0, Limit::OwnerRate);
    world.token(&caller("/acme/sync")).await.expect("another owner");
}

/// One workload that asks for what it may not have must not keep the others of its owner from what they may.
#[tokio::test]
async fn what_is_refused_uses_up_nothing_of_its_owner() {
    let world = World::within(Quotas { owner_rate: 2, workload_live: 1, ..QUOTAS }).await;
    let (api, batch) = (caller("/payments/api"), caller("/payments/batch"));
    for _ in 0..5 {
        assert_eq!(denied(world.token_in(&batch, "staging", None).await), DenialCode::EnvironmentNotAllowed);
    }
    world.token(&batch).await.unwrap();
    for _ in 0..5 {
        assert_eq!(limited(world.token(&batch).await).0, Limit::WorkloadLive);
    }
    world.token(&api).await.expect("what was given back is the other's");
    assert_eq!(limited(world.token(&api).await).0, Limit::OwnerRate, "and no more than that");
}

#[tokio::test]
async fn a_dead_certificate_uses_up_nothing_of_its_workload() {
    let world = World::within(Quotas { workload_rate: 2, ..QUOTAS }).await;
    let api = caller("/payments/api");
    let (certificate, stolen) = world.certificate(&api, "production", None).await.unwrap();
    world.broker.revoke_credential(&administrator(), certificate.id, withdrawal().reason, None, Limits::default()).await.unwrap();
    for _ in 0..5 {
        assert_eq!(denied(world.token(&stolen).await), DenialCode::CertificateRevoked);
    }
    world.token(&api).await.expect("it is still the workload's");
}

#[tokio::test]
async fn a_signing_request_is_looked_at_for_workloads_alone_and_counted_before() {
    let world = World::within(Quotas { workload_rate: 1, ..QUOTAS }).await;
    let ask = async |caller| {
        let ask = CertificateRequest {
            csr: b"not one".to_vec(),
            environment: "production".parse().unwrap(),
            task: None,
            ttl: None,
            purpose: None,
            request_id: None,
        };
        world.broker.issue_certificate(&caller, ask).await
    };
    assert_eq!(denied(ask(caller("/nobody")).await), DenialCode::IdentityUnknown);
    assert!(matches!(ask(caller("/payments/api")).await, Err(Error::Invalid(_))));
    assert_eq!(limited(ask(caller("/payments/api")).await).0, Limit::WorkloadRate);
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

/// Holds the writer until it is released, so that what comes has to wait.
async fn hold(world: &World) -> (std::sync::mpsc::Sender<()>, tokio::task::JoinHandle<Result<(), Error>>) {
    let (release, held) = std::sync::mpsc::channel();
    let (enter, entered) = tokio::sync::oneshot::channel();
    let broker = Arc::clone(&world.broker);
    let holding = tokio::spawn(async move {
        let plan = move |_: &Present<'_>| {
            let _released = (enter.send(()), held.recv());
            Ok((Vec::new(), ()))
        };
        broker.change(None, plan).await.map(drop)
    });
    entered.await.unwrap();
    (release, holding)
}

/// Whatever waits, and whatever is used up: what ends things goes first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_commits_before_all_that_waits_and_new_work_is_turned_away_undecided() {
    let quotas = Quotas { workload_rate: 2, owner_rate: 2, administrator_rate: 1, ..QUOTAS };
    let world = Arc::new(World::keeping(quotas, |options| options.most_issuances = 2).await);
    let (release, holding) = hold(&world).await;
    let api = caller("/payments/api");
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            let (world, api) = (Arc::clone(&world), api.clone());
            tokio::spawn(async move { world.token(&api).await })
        })
        .collect();
    while !world.broker.ledger().is_crowded() {
        tokio::task::yield_now().await;
    }
    // Nothing of it is looked at: not even that nobody knows the caller.
    assert_eq!(limited(world.token(&caller("/nobody")).await).0, Limit::Queue);
    let mut revoking = std::pin::pin!(world.revoke_owner("payments"));
    tokio::select! {
        biased;
        early = &mut revoking => panic!("the writer is held: {early:?}"),
        () = std::future::ready(()) => {}
    }
    release.send(()).unwrap();
    holding.await.unwrap().unwrap();
    let revoked = revoking.await.expect("committed");
    assert_eq!(revoked.position, Some(world.head()), "nothing of before it was recorded after it");
    for issuing in waiting {
        assert_eq!(denied(issuing.await.unwrap()), DenialCode::OwnerNotActive);
    }
    assert_eq!(limited(world.token(&api).await).0, Limit::WorkloadRate, "and the rates are used up");
    world.broker.revoke(&administrator(), owner_named("acme"), withdrawal()).await.expect("revoking is not counted");
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

/// Of what is asked for at once, nothing is recorded before all of it was let in.
#[tokio::test]
async fn what_is_under_way_counts_as_living() {
    let world = World::within(Quotas { workload_live: 3, ..QUOTAS }).await;
    let (api, batch) = (caller("/payments/api"), caller("/payments/batch"));
    world.token(&api).await.unwrap();
    let (release, holding) = hold(&world).await;
    let (outcomes, released) = tokio::join!(join_all((0..500).map(|_| world.token(&api))), async { release.send(()) });
    released.unwrap();
    holding.await.unwrap().unwrap();
    let (issued, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!((issued.len(), refused.len()), (2, 498));
    assert!(refused.into_iter().all(|outcome| limited(outcome).0 == Limit::WorkloadLive));
    for _ in 0..3 {
        world.token(&batch).await.expect("another's");
    }
}

/// What was refused, or given up half way, keeps no place.
#[tokio::test]
async fn what_came_to_nothing_leaves_its_place_in_the_quota() {
    let world = World::within(Quotas { workload_live: 1, ..QUOTAS }).await;
    let batch = caller("/payments/batch");
    for _ in 0..5 {
        assert_eq!(denied(world.token_in(&batch, "staging", None).await), DenialCode::EnvironmentNotAllowed);
    }
    let (release, holding) = hold(&world).await;
    {
        let mut given_up = std::pin::pin!(world.token(&batch));
        tokio::select! {
            biased;
            early = &mut given_up => panic!("the writer is held: {early:?}"),
            () = std::future::ready(()) => {}
        }
        assert_eq!(limited(world.token(&batch).await).0, Limit::WorkloadLive, "one is under way");
    }
    release.send(()).unwrap();
    holding.await.unwrap().unwrap();
    world.token(&batch).await.expect("nobody waits for the other any more");
}
