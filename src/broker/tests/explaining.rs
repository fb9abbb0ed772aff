//! What would pass is explained by the decision itself.

use std::time::Duration;

use super::{START, World, administrator, caller, default_policies, denied};
use crate::broker::{Error, Explained, Object, Opening, Proposal, Question, Whom};
use crate::model::{Bound, CredentialKind, DenialCode};
use crate::policy::{Action, Caller};

fn token(environment: &str) -> Question {
    Question::Issuing(Proposal {
        kind: CredentialKind::AccessToken,
        environment: environment.parse().unwrap(),
        audience: "https://ledger.example.org".parse().ok(),
        scopes: Vec::new(),
        task: None,
        ttl: Some(Duration::from_secs(60)),
        bearer: false,
    })
}

async fn explain(world: &World, by: &Caller, of: &str, question: Question) -> Result<Explained, Error> {
    world.broker.explain(by, Whom::Identity(format!("spiffe://example.org{of}").parse().unwrap()), question).await
}

/// The reason of the refusal, and the policies that permit and forbid.
fn outcome(explained: &Explained) -> (Option<DenialCode>, Vec<&str>, Vec<&str>) {
    let explanation = &explained.explanation;
    (
        explanation.refused.as_ref().map(|denial| denial.code),
        explanation.permits.iter().map(|name| name.as_str()).collect(),
        explanation.forbids.iter().map(|name| name.as_str()).collect(),
    )
}

#[tokio::test]
async fn an_administrator_learns_what_a_workload_would_get_and_what_bounds_it() {
    let world = World::new().await;
    let explained = explain(&world, &administrator(), "/acme/sync", token("production")).await.unwrap();
    assert_eq!((explained.role, outcome(&explained)), ("workload", (None, vec!["tokens"], vec![])));
    let explanation = explained.explanation;
    assert_eq!(
        explanation.life.map(|life| (life.expires_at, life.bound_by)),
        Some((START.plus(Duration::from_secs(60)), Bound::Requested))
    );
    let bounds: Vec<_> = explanation.bounds.iter().map(|(bound, _)| *bound).collect();
    assert_eq!(bounds, [Bound::Requested, Bound::Policy, Bound::Kind, Bound::Workload, Bound::Contract]);
    assert_eq!(explanation.bounds[3].1, "2027-02-01T00:00:00Z".parse().unwrap());
}

#[tokio::test]
async fn a_refusal_is_explained_with_its_reason_and_nothing_is_recorded_but_the_question() {
    let world = World::new().await;
    let head = world.head().get();
    let explained = explain(&world, &administrator(), "/payments/batch", token("staging")).await.unwrap();
    assert_eq!(outcome(&explained), (Some(DenialCode::EnvironmentNotAllowed), vec![], vec![]));
    let explained = explain(&world, &administrator(), "/nobody", token("production")).await.unwrap();
    assert_eq!((explained.role, outcome(&explained).0), ("unknown", Some(DenialCode::IdentityUnknown)));
    assert_eq!(world.head().get(), head + 2, "two administrative reads");
}

#[tokio::test]
async fn a_workload_explains_its_own_requests_and_those_of_nobody_else() {
    let world = World::new().await;
    let api = caller("/payments/api");
    let explained = world.broker.explain(&api, Whom::Oneself, token("production")).await.unwrap();
    assert_eq!(outcome(&explained).0, None);
    let ends = explained.explanation.bounds;
    assert!(ends.contains(&(Bound::ClientCertificate, api.expires_at)), "its own certificate bounds what it gets: {ends:?}");
    assert_eq!(denied(explain(&world, &api, "/payments/batch", token("production")).await), DenialCode::PolicyDenied);
    assert_eq!(denied(explain(&world, &api, "/nobody", token("production")).await), DenialCode::PolicyDenied);
}

#[tokio::test]
async fn calls_are_explained_too() {
    let world = World::new().await;
    let revoke = || Question::Call(Action::RevokeOwner, Object::Owner("payments".parse().unwrap()));
    let explained = explain(&world, &administrator(), "/admin", revoke()).await.unwrap();
    assert_eq!((explained.role, outcome(&explained)), ("administrator", (None, vec!["administrators"], vec![])));
    let explained = explain(&world, &administrator(), "/payments/api", revoke()).await.unwrap();
    assert_eq!(outcome(&explained), (Some(DenialCode::PolicyDenied), vec![], vec![]));
    let errors = world.broker.policy_errors();
    let mismatch = Question::Call(Action::RevokeOwner, Object::System);
    let explained = explain(&world, &administrator(), "/admin", mismatch).await.unwrap();
    assert_eq!(outcome(&explained).0, Some(DenialCode::PolicyError));
    assert_eq!(world.broker.policy_errors(), errors, "no policy failed");
    let nobody = Question::Call(Action::RevokeOwner, Object::Owner("nobody".parse().unwrap()));
    assert!(matches!(explain(&world, &administrator(), "/admin", nobody).await, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn what_is_explained_is_what_happens() {
    let world = World::new().await;
    for (of, environment) in
        [("/payments/api", "production"), ("/payments/api", "staging"), ("/payments/batch", "staging"), ("/acme/sync", "nowhere")]
    {
        let explained = explain(&world, &administrator(), of, token(environment)).await.unwrap();
        let happened = world.token_in(&caller(of), environment, None).await;
        let reason = explained.explanation.refused.map(|denial| denial.code);
        assert_eq!(reason, happened.err().map(|error| if let Error::Denied(denial) = error { denial.code } else { panic!("{error}") }));
    }
}

#[tokio::test]
async fn of_a_task_that_was_closed_long_ago_it_is_said_that_it_is_closed() {
    let world = World::new().await;
    let api = caller("/payments/api");
    let ask = Opening {
        owner: None,
        environment: "production".parse().unwrap(),
        workload: None,
        deadline: START.plus(Duration::from_secs(600)),
        purpose: "a job".parse().unwrap(),
    };
    let task = world.broker.open_task(&api, ask).await.unwrap().number;
    world.broker.close_task(&api, task, None).await.unwrap();
    world.hand.advance(Duration::from_secs(48 * 3600));
    // Whatever changes next has it forgotten.
    world.revoke_owner("acme").await.unwrap();
    assert!(world.broker.ledger().facts().task(task).is_none());
    let with = |task| match token("production") {
        Question::Issuing(proposal) => Question::Issuing(Proposal { task: Some(task), ..proposal }),
        call @ Question::Call(..) => call,
    };
    let told = |explained: Explained| outcome(&explained).0;
    assert_eq!(told(explain(&world, &administrator(), "/payments/api", with(task)).await.unwrap()), Some(DenialCode::TaskClosed));
    assert_eq!(denied(world.token_in(&api, "production", Some(task)).await), DenialCode::TaskClosed);
    // One that never was stays unknown.
    let never = task.next();
    assert_eq!(told(explain(&world, &administrator(), "/payments/api", with(never)).await.unwrap()), Some(DenialCode::TaskUnknown));
    assert_eq!(denied(world.token_in(&api, "production", Some(never)).await), DenialCode::TaskUnknown);
    // Calls about it are explained as they happen: reading it is allowed.
    let reading = |task| Question::Call(Action::ReadTask, Object::Task(task));
    assert_eq!(told(explain(&world, &administrator(), "/payments/api", reading(task)).await.unwrap()), None);
    world.broker.task(&api, task).await.unwrap();
    assert!(matches!(explain(&world, &administrator(), "/payments/api", reading(never)).await, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn what_a_source_says_is_explained_as_it_would_be_decided() {
    let world = World::new().await;
    let moving = || Question::Call(Action::MoveWorkload, Object::Owner("payments".parse().unwrap()));
    let source = |name: &str| Whom::Source(name.parse().unwrap());
    let explained = world.broker.explain(&administrator(), source("assets"), moving()).await.unwrap();
    assert_eq!((explained.role, outcome(&explained)), ("source", (Some(DenialCode::PolicyDenied), vec![], vec![])));
    let mut policies = default_policies();
    let permit =
        r#"@id("assets-move") permit (principal == Curfew::Source::"assets", action == Curfew::Action::"MoveWorkload", resource);"#;
    policies.push(("moves".parse().unwrap(), permit.to_owned()));
    world.broker.apply_policy(&administrator(), policies).await.unwrap();
    let explained = world.broker.explain(&administrator(), source("assets"), moving()).await.unwrap();
    assert_eq!(outcome(&explained), (None, vec!["assets-move"], vec![]));
    let unknown = world.broker.explain(&administrator(), source("elsewhere"), moving()).await;
    assert!(matches!(unknown, Err(Error::NotFound { .. })), "{unknown:?}");
    let asked = world.broker.explain(&caller("/payments/api"), source("assets"), moving()).await;
    assert_eq!(denied(asked), DenialCode::PolicyDenied);
}
