//! Revoking by owner, workload, environment and credential.

use super::{World, administrator, caller, denied, environment_named, owner_named, withdrawal};
use crate::broker::{Error, Limits, Target, Withdrawal};
use crate::model::{CUT_GRACE, CredentialKind, DenialCode, Standing};

#[tokio::test]
async fn everything_of_an_owner_ends_and_nothing_of_another() {
    let world = World::new().await;
    let (api, batch, acme) = (caller("/payments/api"), caller("/payments/batch"), caller("/acme/sync"));
    let (certificate, _) = world.certificate(&api, "production", None).await.unwrap();
    let mine = [world.token(&api).await.unwrap(), world.token(&batch).await.unwrap(), certificate];
    let other = world.token(&acme).await.unwrap();

    let revoked = world.revoke_owner("payments").await.unwrap();
    assert!(mine.iter().all(|issuance| Some(issuance.position) < revoked.position));
    for issuance in &mine {
        assert!(world.is_dead(issuance).await, "{issuance:?}");
    }
    assert!(!world.is_dead(&other).await);
    assert_eq!(denied(world.token(&api).await), DenialCode::OwnerNotActive);
    assert_eq!(denied(world.certificate(&batch, "production", None).await), DenialCode::OwnerNotActive);
    world.token(&acme).await.expect("the other owner goes on");
}

#[tokio::test]
async fn the_answer_says_what_ended() {
    let world = World::new().await;
    let api = caller("/payments/api");
    world.token(&api).await.unwrap();
    world.token_in(&api, "staging", None).await.unwrap();
    let (certificate, _) = world.certificate(&api, "production", None).await.unwrap();
    let preview = world.broker.preview(&administrator(), &"payments".parse().unwrap()).await.unwrap();
    let revoked = world.revoke_owner("payments").await.unwrap();
    assert_eq!(preview, (Standing::Active, revoked.ended.clone()), "the preview says what the revocation does");
    assert_eq!(revoked.ended.total, 3);
    assert_eq!(revoked.ended.by_kind, [(CredentialKind::AccessToken, 2), (CredentialKind::Certificate, 1)]);
    assert_eq!(revoked.ended.by_environment, [("production".to_owned(), 2), ("staging".to_owned(), 1)]);
    assert_eq!(revoked.ended.last_expiry, Some(certificate.expires_at));
    assert_eq!(revoked.ended.downstreams, ["ledger".to_owned(), "mesh".to_owned()].into());
    assert_eq!(revoked.standing, Some(Standing::Offboarding));
}

#[tokio::test]
async fn repeating_it_answers_the_first_position_and_changes_nothing() {
    let world = World::new().await;
    world.token(&caller("/payments/api")).await.unwrap();
    let first = world.revoke_owner("payments").await.unwrap();
    let head = world.head();
    let again = world.revoke_owner("payments").await.unwrap();
    assert_eq!((again.position, again.repeated, again.ended.total), (first.position, true, 0));
    assert_eq!(world.head(), head);
}

#[tokio::test]
async fn an_unknown_owner_is_an_error_and_names_are_matched_exactly() {
    let world = World::new().await;
    let outcome = world.revoke_owner("payment").await;
    assert!(matches!(&outcome, Err(Error::NotFound { kind: "owner", name }) if name == "payment"), "{outcome:?}");
    world.token(&caller("/payments/api")).await.expect("nothing was changed");
}

#[tokio::test]
async fn a_dry_run_counts_and_changes_nothing() {
    let world = World::new().await;
    world.token(&caller("/payments/api")).await.unwrap();
    let ask = Withdrawal { limits: Limits { dry_run: true, max_affected: None }, ..withdrawal() };
    let outcome = world.broker.revoke(&administrator(), owner_named("payments"), ask).await.unwrap();
    assert_eq!((outcome.position, outcome.ended.total, outcome.standing), (None, 1, Some(Standing::Active)));
    world.token(&caller("/payments/api")).await.expect("still active");
}

#[tokio::test]
async fn more_than_was_allowed_is_refused_and_nothing_ends() {
    let world = World::new().await;
    for _ in 0..3 {
        world.token(&caller("/payments/api")).await.unwrap();
    }
    let limited = |most| Withdrawal { limits: Limits { dry_run: false, max_affected: Some(most) }, ..withdrawal() };
    let outcome = world.broker.revoke(&administrator(), owner_named("payments"), limited(2)).await;
    assert_eq!(denied(outcome), DenialCode::MaxAffectedExceeded);
    world.token(&caller("/payments/api")).await.expect("still active");
    world.broker.revoke(&administrator(), owner_named("payments"), limited(4)).await.expect("as many as were allowed");
}

#[tokio::test]
async fn reinstating_revives_nothing() {
    let world = World::new().await;
    let api = caller("/payments/api");
    let old = world.token(&api).await.unwrap();
    let (_, with_certificate) = world.certificate(&api, "production", None).await.unwrap();
    world.revoke_owner("payments").await.unwrap();
    let note = "contract renewed".parse().ok();
    let reinstated = world.broker.reinstate(&administrator(), owner_named("payments"), note).await.unwrap();
    assert!(reinstated.position.is_some());
    assert!(world.is_dead(&old).await);
    assert_eq!(denied(world.token(&with_certificate).await), DenialCode::CertificateRevoked);
    let new = world.token(&api).await.expect("an identity from outside gets in again");
    assert!(!world.is_dead(&new).await);
}

#[tokio::test]
async fn a_suspended_owner_can_be_offboarded_with_another_cut() {
    let world = World::new().await;
    let suspend = Withdrawal { suspend: true, ..withdrawal() };
    let suspended = world.broker.revoke(&administrator(), owner_named("payments"), suspend.clone()).await.unwrap();
    assert_eq!(suspended.standing, Some(Standing::Suspended));
    let offboarded = world.revoke_owner("payments").await.unwrap();
    assert!(offboarded.position > suspended.position && !offboarded.repeated);
    let again = world.broker.revoke(&administrator(), owner_named("payments"), suspend).await.unwrap();
    assert_eq!((again.position, again.repeated), (offboarded.position, true), "offboarding is not undone by suspending");
}

#[tokio::test]
async fn offboarding_becomes_offboarded_when_the_last_credential_has_expired_everywhere() {
    let world = World::new().await;
    let token = world.token(&caller("/payments/api")).await.unwrap();
    world.revoke_owner("payments").await.unwrap();
    let standing = async || world.broker.owner(&administrator(), &"payments".parse().unwrap()).await.unwrap().standing;
    assert_eq!(standing().await, Standing::Offboarding);
    // The broker's own certificate is not issued in these tests, so the token expires last.
    world.hand.set(token.expires_at.plus(CUT_GRACE));
    assert_eq!(standing().await, Standing::Offboarded);
}

#[tokio::test]
async fn a_workload_and_an_environment_end_alone() {
    let world = World::new().await;
    let (api, batch) = (caller("/payments/api"), caller("/payments/batch"));
    let (first, second) = (world.token(&api).await.unwrap(), world.token(&batch).await.unwrap());
    let workload = Target::Workload(api.spiffe_id.clone());
    let revoked = world.broker.revoke(&administrator(), workload, withdrawal()).await.unwrap();
    assert_eq!(revoked.ended.total, 1);
    assert!(world.is_dead(&first).await && !world.is_dead(&second).await);
    assert_eq!(denied(world.token(&api).await), DenialCode::WorkloadNotActive);

    world.broker.revoke(&administrator(), environment_named("production"), withdrawal()).await.unwrap();
    assert!(world.is_dead(&second).await);
    assert_eq!(denied(world.token(&batch).await), DenialCode::EnvironmentNotActive);
}

#[tokio::test]
async fn one_credential_ends_by_its_whole_id_only() {
    let world = World::new().await;
    let api = caller("/payments/api");
    let (one, other) = (world.token(&api).await.unwrap(), world.token(&api).await.unwrap());
    let reason = withdrawal().reason;
    let guessed = crate::model::CredentialId::new(one.position, [0; 8]);
    let outcome = world.broker.revoke_credential(&administrator(), guessed, reason, None, Limits::default()).await;
    assert!(matches!(outcome, Err(Error::NotFound { kind: "credential", .. })), "{outcome:?}");

    let revoked = world.broker.revoke_credential(&administrator(), one.id, reason, None, Limits::default()).await.unwrap();
    assert_eq!((revoked.ended.total, revoked.repeated), (1, false));
    assert!(world.is_dead(&one).await && !world.is_dead(&other).await);
    let again = world.broker.revoke_credential(&administrator(), one.id, reason, None, Limits::default()).await.unwrap();
    assert_eq!((again.position, again.repeated), (revoked.position, true));
    let living = world.broker.preview(&administrator(), &"payments".parse().unwrap()).await.unwrap().1;
    assert_eq!(living.total, 1, "the dead one is no longer counted");
}

#[tokio::test]
async fn only_those_whom_policy_allows_may_revoke() {
    let world = World::new().await;
    let outcome = world.broker.revoke(&caller("/acme/sync"), owner_named("payments"), withdrawal()).await;
    assert_eq!(denied(outcome), DenialCode::PolicyDenied);
    let outcome = world.broker.revoke(&caller("/nobody"), owner_named("payments"), withdrawal()).await;
    assert_eq!(denied(outcome), DenialCode::IdentityUnknown);
}

#[tokio::test]
async fn an_id_that_leaked_lets_no_other_owner_revoke_it() {
    let world = World::new().await;
    let token = world.token(&caller("/payments/api")).await.unwrap();
    let reason = withdrawal().reason;
    let outcome = world.broker.revoke_credential(&caller("/acme/sync"), token.id, reason, None, Limits::default()).await;
    assert_eq!(denied(outcome), DenialCode::PolicyDenied);
    assert!(!world.is_dead(&token).await);
}

#[tokio::test]
async fn a_second_revocation_ends_what_was_issued_since_the_first() {
    let world = World::new().await;
    let first = world.revoke_owner("payments").await.unwrap();
    world.broker.reinstate(&administrator(), owner_named("payments"), "back".parse().ok()).await.unwrap();
    let token = world.token(&caller("/payments/api")).await.unwrap();
    let second = world.revoke_owner("payments").await.unwrap();
    assert!(second.position > first.position && !second.repeated && second.ended.total == 1, "{second:?}");
    assert!(world.is_dead(&token).await);
}

#[tokio::test]
async fn nobody_becomes_an_administrator_by_another_case() {
    let world = World::new().await;
    for path in ["/Admin", "/ADMIN", "/admin/x"] {
        let outcome = world.broker.revoke(&caller(path), owner_named("payments"), withdrawal()).await;
        assert_eq!(denied(outcome), DenialCode::IdentityUnknown, "{path}");
    }
    world.token(&caller("/payments/api")).await.expect("still active");
}
