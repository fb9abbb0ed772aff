//! What is issued is bounded, recorded, and says what bounded it.

use std::time::Duration;

use super::{START, World, administrator, caller, denied};
use crate::broker::TokenRequest;
use crate::model::{Bound, DenialCode, Event, Timestamp};
use crate::policy::Caller;

#[tokio::test]
async fn every_credential_has_its_row_before_it_exists() {
    let world = World::new().await;
    let token = world.token(&caller("/payments/api")).await.unwrap();
    let stored = world.broker.ledger().find(token.position).await.unwrap().expect("a row");
    let Ok(Event::CredentialIssued(issued)) = stored.entry.map(|entry| entry.event) else { panic!("not an issuance") };
    assert_eq!(issued.nonce, token.id.nonce());
    assert!(!issued.policies.is_empty(), "it names the policies that allowed it");
    assert_eq!(issued.policy_hash, world.broker.ledger().facts().policy().unwrap().1.hash, "and their version");
}

#[tokio::test]
async fn what_the_caller_calls_the_request_stands_in_its_row() {
    let world = World::new().await;
    let ask = TokenRequest { request_id: Some("build 17".to_owned()), ..World::ask("production", None) };
    let (_, issuance) = world.broker.issue_token(&caller("/payments/api"), ask).await.unwrap();
    let stored = world.broker.ledger().find(issuance.position).await.unwrap().expect("a row");
    assert_eq!(stored.entry.unwrap().request_id.as_deref(), Some("build 17"));
}

#[tokio::test]
async fn the_answer_says_what_bounded_the_life() {
    let world = World::new().await;
    let api = caller("/payments/api");
    assert_eq!(world.token(&api).await.unwrap().bound_by, Bound::Default);
    let soon = START.plus(Duration::from_secs(100));
    let ending = Caller { expires_at: soon, ..api };
    let token = world.token(&ending).await.unwrap();
    assert_eq!((token.expires_at, token.bound_by), (soon, Bound::ClientCertificate));
}

#[tokio::test]
async fn an_identity_that_has_ended_is_refused() {
    let world = World::new().await;
    let ended: Timestamp = "2027-02-01T00:00:00Z".parse().unwrap();
    world.hand.set(ended);
    let outlived = Caller { expires_at: ended.plus(Duration::from_secs(60)), ..caller("/acme/sync") };
    assert_eq!(denied(world.token(&outlived).await), DenialCode::NoLifeLeft);
    assert_eq!(denied(world.token(&Caller { expires_at: ended, ..caller("/payments/api") }).await), DenialCode::CertificateExpired);
}

#[tokio::test]
async fn an_administrator_is_no_workload() {
    let world = World::new().await;
    assert!(matches!(denied(world.token(&administrator()).await), DenialCode::IdentityUnknown | DenialCode::PolicyDenied));
}

#[tokio::test]
async fn what_the_registry_no_longer_names_has_ended() {
    let world = World::new().await;
    let batch = caller("/payments/batch");
    let token = world.token(&batch).await.unwrap();
    let without: String =
        super::REGISTRY.lines().filter(|line| !line.contains("/payments/batch")).map(|line| format!("{line}\n")).collect();
    assert_eq!(denied(world.apply(&without, 0).await), DenialCode::EndNotAllowed);
    assert!(!world.is_dead(&token).await, "nothing was applied");
    world.apply(&without, 1).await.unwrap();
    assert!(world.is_dead(&token).await);
    assert_eq!(denied(world.token(&batch).await), DenialCode::WorkloadNotActive);

    world.apply(super::REGISTRY, 0).await.unwrap();
    assert!(world.is_dead(&token).await, "naming it again revives nothing");
    world.token(&batch).await.expect("and lets it in again");
}

#[tokio::test]
async fn a_registry_cannot_reinstate_what_was_revoked() {
    let world = World::new().await;
    world.revoke_owner("acme").await.unwrap();
    let without: String = super::REGISTRY.lines().filter(|line| !line.contains("acme")).map(|line| format!("{line}\n")).collect();
    world.apply(&without, 2).await.unwrap();
    world.apply(super::REGISTRY, 0).await.unwrap();
    assert_eq!(denied(world.token(&caller("/acme/sync")).await), DenialCode::OwnerNotActive);
}

#[tokio::test]
async fn a_change_of_policy_holds_for_the_next_request() {
    let world = World::new().await;
    let api = caller("/payments/api");
    world.token(&api).await.unwrap();
    let mut files = super::default_policies();
    files.push((
        "stop.cedar".parse().unwrap(),
        "@id(\"stop\") forbid (principal, action == Curfew::Action::\"IssueToken\", resource);".to_owned(),
    ));
    world.broker.apply_policy(&administrator(), files.clone()).await.unwrap();
    assert_eq!(denied(world.token(&api).await), DenialCode::PolicyDenied);

    files.push(("bad.cedar".parse().unwrap(), "permit (principal".to_owned()));
    assert!(world.broker.apply_policy(&administrator(), files).await.is_err(), "a bad set never replaces a good one");
    assert_eq!(denied(world.token(&api).await), DenialCode::PolicyDenied);
    world.broker.apply_policy(&administrator(), super::default_policies()).await.unwrap();
    world.token(&api).await.expect("as before");
}
