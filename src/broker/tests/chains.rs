//! Certificates that obtain certificates that obtain tokens.

use super::{World, administrator, caller, denied, withdrawal};
use crate::broker::{Issuance, Limits, Opening};
use crate::model::{DenialCode, Position};

/// A certificate that obtained a certificate that obtained a token; and a token from outside.
async fn chain(world: &World) -> ([Issuance; 3], Issuance) {
    let outside = caller("/payments/api");
    let (first, with_first) = world.certificate(&outside, "production", None).await.unwrap();
    let (second, with_second) = world.certificate(&with_first, "production", None).await.unwrap();
    let token = world.token(&with_second).await.unwrap();
    ([first, second, token], world.token(&outside).await.unwrap())
}

async fn check(cut: usize, dead: [bool; 3]) {
    let world = World::new().await;
    let (chain, outside) = chain(&world).await;
    let reason = withdrawal().reason;
    let revoked = world.broker.revoke_credential(&administrator(), chain[cut].id, reason, None, Limits::default()).await.unwrap();
    assert_eq!(revoked.ended.total, dead.iter().filter(|dead| **dead).count() as u64, "cutting link {cut}");
    for (link, dead) in chain.iter().zip(dead) {
        assert_eq!(world.is_dead(link).await, dead, "cutting link {cut}: {link:?}");
    }
    assert!(!world.is_dead(&outside).await, "what came by another way lives on");
}

#[tokio::test]
async fn cutting_the_first_certificate_ends_the_chain() {
    check(0, [true, true, true]).await;
}

#[tokio::test]
async fn cutting_a_renewed_certificate_ends_its_lineage_so_that_nothing_renewed_survives() {
    check(1, [true, true, true]).await;
}

#[tokio::test]
async fn cutting_a_token_ends_that_token_alone() {
    check(2, [false, false, true]).await;
}

#[tokio::test]
async fn a_dead_certificate_obtains_nothing() {
    let world = World::new().await;
    let (first, with_first) = world.certificate(&caller("/payments/api"), "production", None).await.unwrap();
    let (_, with_second) = world.certificate(&with_first, "production", None).await.unwrap();
    world.broker.revoke_credential(&administrator(), first.id, withdrawal().reason, None, Limits::default()).await.unwrap();
    assert_eq!(denied(world.token(&with_second).await), DenialCode::CertificateRevoked);
    assert_eq!(world.broker.admit(&with_second).map_err(|denial| denial.code), Err(DenialCode::CertificateRevoked));
}

/// What was obtained through it may be decided and not yet recorded.
#[tokio::test]
async fn the_cut_of_a_certificate_that_expired_long_ago_is_in_the_list_too() {
    let world = World::new().await;
    let (certificate, _) = world.certificate(&caller("/payments/api"), "production", None).await.unwrap();
    world.hand.set(certificate.expires_at.plus(std::time::Duration::from_secs(3600)));
    world.broker.revoke_credential(&administrator(), certificate.id, withdrawal().reason, None, Limits::default()).await.unwrap();
    assert!(world.is_dead(&certificate).await);
}

#[tokio::test]
async fn a_certificate_cannot_leave_its_environment() {
    let world = World::new().await;
    let (_, with_certificate) = world.certificate(&caller("/payments/api"), "staging", None).await.unwrap();
    assert_eq!(denied(world.token_in(&with_certificate, "production", None).await), DenialCode::OutsideLineage);
    assert_eq!(denied(world.certificate(&with_certificate, "production", None).await), DenialCode::OutsideLineage);
    world.token_in(&with_certificate, "staging", None).await.expect("its own environment");
}

async fn open_task(world: &World, minutes: u64) -> Position {
    let ask = Opening {
        owner: None,
        environment: "production".parse().unwrap(),
        workload: None,
        deadline: super::START.plus(std::time::Duration::from_secs(minutes * 60)),
        purpose: "a job".parse().unwrap(),
    };
    world.broker.open_task(&caller("/payments/api"), ask).await.unwrap().number
}

#[tokio::test]
async fn a_certificate_cannot_leave_its_task_and_may_enter_one() {
    let world = World::new().await;
    let (one, other) = (open_task(&world, 30).await, open_task(&world, 30).await);
    let outside = caller("/payments/api");
    let (_, in_one) = world.certificate(&outside, "production", Some(one)).await.unwrap();
    assert_eq!(denied(world.token_in(&in_one, "production", Some(other)).await), DenialCode::OutsideLineage);
    let inherited = world.token_in(&in_one, "production", None).await.unwrap();
    let (_, in_none) = world.certificate(&outside, "production", None).await.unwrap();
    let entered = world.token_in(&in_none, "production", Some(other)).await.unwrap();

    world.broker.close_task(&administrator(), one, None).await.unwrap();
    assert!(world.is_dead(&inherited).await, "the task of the certificate was not dropped");
    assert!(!world.is_dead(&entered).await);
    assert!(matches!(denied(world.token(&in_one).await), DenialCode::CertificateRevoked | DenialCode::TaskClosed));
}

#[tokio::test]
async fn a_certificate_does_not_follow_its_workload_to_another_owner() {
    let world = World::new().await;
    let (certificate, with_certificate) = world.certificate(&caller("/payments/api"), "production", None).await.unwrap();
    let moved = super::REGISTRY.replace("payments/api, owner: payments", "payments/api, owner: acme");
    world.apply(&moved, 1).await.unwrap();
    assert!(world.is_dead(&certificate).await);
    assert_eq!(denied(world.token(&with_certificate).await), DenialCode::CertificateRevoked);
    let token = world.token(&caller("/payments/api")).await.expect("the workload goes on under its new owner");
    world.revoke_owner("payments").await.unwrap();
    assert!(!world.is_dead(&token).await, "it belongs to the new owner");
}
