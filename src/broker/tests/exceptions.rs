//! What no policy permits is allowed for a time, to one workload, because somebody else approved it.

use super::*;
use crate::broker::{Asked, ExceptionState};
use crate::model::{Bound, Event};

const API: &str = "/payments/api";
const READ: &str = "entries:read";

/// A broker whose policies permit nobody a token; scopes of an administrator are forbidden besides.
async fn strict() -> World {
    strict_within(QUOTAS).await
}

/// The same, with other quotas.
pub(super) async fn strict_within(quotas: Quotas) -> World {
    let world = World::within(quotas).await;
    let text = r#"
        @id("administrators") permit (principal is Curfew::Administrator, action, resource);
        @id("own") permit (principal is Curfew::Workload, action in [Curfew::Action::"RequestException", Curfew::Action::"ReadException"],
            resource is Curfew::Workload) when { resource == principal };
        @id("certificates-outside") permit (principal is Curfew::Workload, action == Curfew::Action::"IssueCertificate", resource)
            when { context.obtained_with == Curfew::Identity::"certificate" };
        @id("never-admin") forbid (principal, action == Curfew::Action::"IssueToken", resource) when { context.scopes.contains("admin") };
    "#;
    let files = vec![("strict.cedar".parse().unwrap(), text.to_owned())];
    world.broker.apply_policy(&administrator(), files).await.unwrap();
    world
}

/// An exception for so many seconds.
pub(super) fn asked(seconds: u64) -> Asked {
    Asked {
        workload: None,
        environment: "production".parse().unwrap(),
        audience: "https://ledger.example.org".parse().ok(),
        scopes: vec![READ.parse().unwrap()],
        until: START.plus(Duration::from_secs(seconds)),
        purpose: "the migration".parse().unwrap(),
    }
}

impl World {
    async fn requested(&self, ask: Asked) -> Position {
        let story = self.broker.request_exception(&caller(API), ask).await.unwrap();
        assert_eq!((story.state, story.workload.as_str()), (ExceptionState::Requested, "spiffe://example.org/payments/api"));
        story.known.number
    }

    /// One that is approved.
    pub(super) async fn excepted(&self, ask: Asked) -> Position {
        let number = self.requested(ask).await;
        let story = self.broker.approve_exception(&administrator(), number, None).await.unwrap();
        assert_eq!((story.state, story.known.approved.unwrap().by), (ExceptionState::Active, Some(administrator().spiffe_id)));
        number
    }

    async fn scoped(&self, caller: &Caller, scopes: &[&str]) -> Result<Issuance, Error> {
        let scopes = scopes.iter().map(|scope| scope.parse().unwrap()).collect();
        let ask = TokenRequest { scopes, ..Self::ask("production", None) };
        self.broker.issue_token(caller, ask).await.map(|(_, issuance)| issuance)
    }

    async fn revoke_exception(&self, number: Position) -> crate::broker::Revoked {
        let why = (Reason::PrivilegeWithdrawn, None);
        self.broker.revoke_exception(&administrator(), number, why, Limits::default()).await.unwrap()
    }
}

#[tokio::test]
async fn what_no_policy_permits_is_allowed_from_the_approval_until_the_end_to_the_second() {
    let world = strict().await;
    let api = caller(API);
    let number = world.requested(asked(120)).await;
    assert_eq!(denied(world.scoped(&api, &[READ]).await), DenialCode::PolicyDenied, "it is not approved");
    world.broker.approve_exception(&administrator(), number, None).await.unwrap();
    let issuance = world.scoped(&api, &[READ]).await.unwrap();
    assert_eq!((issuance.expires_at, issuance.bound_by), (START.plus(Duration::from_secs(120)), Bound::Exception));
    let story = world.broker.credential(&administrator(), issuance.id).await.unwrap().story;
    assert_eq!((story.issued.exception, story.issued.policies.len()), (Some(number), 0));
    assert_eq!(world.broker.exception(&api, number).await.unwrap().living, 1, "each use is seen");
    world.hand.set(START.plus(Duration::from_secs(120)));
    assert_eq!(denied(world.scoped(&api, &[READ]).await), DenialCode::PolicyDenied, "it has ended by itself");
    assert_eq!(world.broker.exception(&api, number).await.unwrap().state, ExceptionState::Expired);
}

#[tokio::test]
async fn it_is_for_its_workload_environment_audience_and_scopes_and_nothing_else() {
    let world = strict().await;
    let number = world.excepted(asked(3600)).await;
    let api = caller(API);
    assert!(world.scoped(&api, &[]).await.is_ok());
    for refused in [
        world.scoped(&api, &[READ, "entries:write"]).await,
        world.scoped(&caller("/payments/batch"), &[READ]).await,
        world.token_in(&api, "staging", None).await,
        world.certificate(&api, "production", None).await.map(|(issuance, _)| issuance),
    ] {
        assert_eq!(denied(refused), DenialCode::PolicyDenied);
    }
    let bearer = TokenRequest { bearer: true, ..World::ask("production", None) };
    assert_eq!(denied(world.broker.issue_token(&api, bearer).await), DenialCode::BearerNotAllowed);
    assert_eq!(world.broker.exception(&administrator(), number).await.unwrap().living, 1);
}

#[tokio::test]
async fn what_a_policy_forbids_stays_forbidden() {
    let world = strict().await;
    world.excepted(Asked { scopes: vec!["admin".parse().unwrap()], ..asked(3600) }).await;
    assert_eq!(denied(world.scoped(&caller(API), &["admin"]).await), DenialCode::PolicyDenied);
}

#[tokio::test]
async fn nobody_approves_what_they_asked_for_and_nobody_approves_whom_policy_does_not_let() {
    let world = strict().await;
    let administrator = administrator();
    let mine = Asked { workload: Some(caller(API).spiffe_id), ..asked(60) };
    let number = world.broker.request_exception(&administrator, mine).await.unwrap().known.number;
    assert_eq!(denied(world.broker.approve_exception(&administrator, number, None).await), DenialCode::OwnException);
    assert_eq!(denied(world.broker.approve_exception(&caller(API), number, None).await), DenialCode::PolicyDenied);
    let theirs = world.requested(asked(60)).await;
    let approved = world.broker.approve_exception(&administrator, theirs, None).await.unwrap().known.approved.unwrap();
    let again = world.broker.approve_exception(&administrator, theirs, None).await.unwrap().known.approved.unwrap();
    assert_eq!(again, approved, "a repeated approval changes nothing");
    assert_eq!(
        denied(
            world.broker.request_exception(&caller("/payments/batch"), Asked { workload: Some(caller(API).spiffe_id), ..asked(60) }).await
        ),
        DenialCode::PolicyDenied
    );
    world.hand.set(START.plus(Duration::from_secs(60)));
    assert_eq!(denied(world.broker.approve_exception(&administrator, theirs, None).await), DenialCode::ExceptionOver);
}

#[tokio::test]
async fn revoking_an_exception_ends_what_was_issued_by_it_and_nothing_else() {
    let world = strict().await;
    let api = caller(API);
    let number = world.excepted(asked(3600)).await;
    let other = world.excepted(Asked { scopes: Vec::new(), environment: "staging".parse().unwrap(), ..asked(3600) }).await;
    let token = world.scoped(&api, &[READ]).await.unwrap();
    let elsewhere = world.token_in(&api, "staging", None).await.unwrap();
    let revoked = world.revoke_exception(number).await;
    assert_eq!((revoked.ended.total, revoked.repeated), (1, false));
    assert!(world.is_dead(&token).await && !world.is_dead(&elsewhere).await);
    let story = world.broker.credential(&administrator(), token.id).await.unwrap().story;
    assert_eq!(story.death.map(|death| (death.subject, death.position)), revoked.position.map(|at| ("exception", at)));
    assert_eq!(denied(world.scoped(&api, &[READ]).await), DenialCode::PolicyDenied);
    let again = world.revoke_exception(number).await;
    assert_eq!((again.position, again.repeated), (revoked.position, true));
    let stories = world.broker.exceptions(&administrator(), None, 10).await.unwrap().0;
    let states: Vec<_> = stories.iter().map(|story| (story.known.number, story.state)).collect();
    assert_eq!(states, [(number, ExceptionState::Revoked), (other, ExceptionState::Active)]);
}

#[tokio::test]
async fn what_is_obtained_with_a_certificate_that_an_exception_allowed_dies_with_the_exception() {
    let world = strict().await;
    let ask = Asked { audience: None, scopes: Vec::new(), ..asked(7200) };
    let number = world.excepted(ask).await;
    let (first, held) = world.certificate(&caller(API), "production", None).await.unwrap();
    assert_eq!(held.issued_here.unwrap().exception, Some(number));
    // A policy permits to renew it; the exception comes along.
    let (renewed, held) = world.certificate(&held, "production", None).await.unwrap();
    assert_eq!(held.issued_here.unwrap().exception, Some(number));
    world.excepted(asked(3600)).await;
    assert_eq!(denied(world.scoped(&held, &[READ]).await), DenialCode::PolicyDenied, "no second exception with the certificate of one");
    world.revoke_exception(number).await;
    assert!(world.is_dead(&first).await && world.is_dead(&renewed).await);
    assert_eq!(denied(world.token(&held).await), DenialCode::CertificateRevoked);
}

#[tokio::test]
async fn exceptions_are_bounded_in_number_and_time_and_are_forgotten() {
    let world = strict().await;
    let api = caller(API);
    for until in [0, 30 * 86_400 + 1] {
        let refused = world.broker.request_exception(&api, asked(until)).await;
        assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
    }
    let elsewhere = Asked { environment: "staging".parse().unwrap(), workload: Some(caller("/payments/batch").spiffe_id), ..asked(60) };
    let refused = world.broker.request_exception(&administrator(), elsewhere).await;
    assert!(matches!(refused, Err(Error::Invalid(_))), "the registry does not let it act there: {refused:?}");
    let mut last = Position::ZERO;
    for _ in 0..20 {
        last = world.requested(asked(60)).await;
    }
    assert_eq!(denied(world.broker.request_exception(&api, asked(60)).await), DenialCode::TooManyExceptions);
    world.hand.set(START.plus(Duration::from_secs(60 + 3600)));
    // What is known moves on with the next entry.
    let event = Event::AdministrativeRead { action: "ReadLedger".to_owned(), number: None };
    world.broker.change(None, move |_| Ok((vec![event], ()))).await.unwrap();
    assert!(world.broker.request_exception(&api, Asked { until: START.plus(Duration::from_secs(7200)), ..asked(0) }).await.is_ok());
    assert!(matches!(world.broker.exception(&api, last).await, Err(Error::NotFound { .. })), "it has been over for an hour");
}
