//! The whole story of a credential, long after it has ended.

use std::time::Duration;

use super::{START, World, administrator, caller, owner_named, withdrawal};
use crate::broker::story::{CutStory, End};
use crate::broker::{Issuance, Limits, WholeStory, Withdrawal};
use crate::model::Reason;

async fn story(world: &World, issuance: &Issuance) -> WholeStory {
    world.broker.credential(&administrator(), issuance.id).await.unwrap()
}

#[tokio::test]
async fn a_story_says_who_answers_why_and_what_was_obtained_with_it() {
    let world = World::new().await;
    let api = caller("/payments/api");
    let (certificate, with_certificate) = world.certificate(&api, "production", None).await.unwrap();
    let (renewed, with_renewed) = world.certificate(&with_certificate, "production", None).await.unwrap();
    let token = world.token(&with_renewed).await.unwrap();
    let told = story(&world, &certificate).await;
    let (business, technical) = told.contacts.clone().expect("an owner");
    assert_eq!((business.as_str(), technical.as_str()), ("pat@example.org", "tea@example.org"));
    assert_eq!((told.story.downstreams.clone(), told.end.clone()), (vec!["mesh".to_owned()], End::Alive));
    let ids = |told: &WholeStory| told.children.iter().map(|child| child.id).collect::<Vec<_>>();
    assert_eq!(ids(&told), [token.id, renewed.id]);
    assert_eq!(told.more_children, None);
    assert_eq!(ids(&story(&world, &renewed).await), [token.id]);
    let leaf = story(&world, &token).await;
    assert_eq!((leaf.children.len(), leaf.story.issued.parent), (0, Some(renewed.id)));
}

#[tokio::test]
async fn many_children_are_told_in_part_and_where_to_go_on() {
    let world = World::new().await;
    let (certificate, with_certificate) = world.certificate(&caller("/payments/api"), "production", None).await.unwrap();
    for _ in 0..25 {
        world.token(&with_certificate).await.unwrap();
    }
    let told = story(&world, &certificate).await;
    let last = told.children.last().expect("some").id.position();
    assert_eq!((told.children.len(), told.more_children), (20, Some(last)));
}

#[tokio::test]
async fn a_workload_has_the_ledger_searched_few_times_a_second_and_is_told_the_rest_nevertheless() {
    let world = World::new().await;
    let api = caller("/payments/api");
    let (certificate, with_certificate) = world.certificate(&api, "production", None).await.unwrap();
    world.token(&with_certificate).await.unwrap();
    let told = async || {
        let told = world.broker.credential(&api, certificate.id).await.unwrap();
        (told.children.len(), told.more_children.is_some())
    };
    for _ in 0..4 {
        assert_eq!(told().await, (1, false));
    }
    assert_eq!(told().await, (0, true));
    assert_eq!(story(&world, &certificate).await.children.len(), 1, "who runs the broker is not counted");
    world.hand.set(START.plus(Duration::from_millis(250)));
    assert_eq!(told().await, (1, false));
}

#[tokio::test]
async fn the_first_cut_that_ended_it_is_told_with_its_note_after_it_has_left_the_list() {
    let world = World::new().await;
    let api = caller("/payments/api");
    let token = world.token(&api).await.unwrap();
    let later = START.plus(Duration::from_secs(60));
    world.hand.set(later);
    let why = Withdrawal { note: Some("the contract ended".parse().unwrap()), ..withdrawal() };
    let revoked = world.broker.revoke(&administrator(), owner_named("payments"), why).await.unwrap();
    world.broker.reinstate(&administrator(), owner_named("payments"), Some("it goes on".parse().unwrap())).await.unwrap();
    world.revoke_owner("payments").await.unwrap();
    let expected = End::Cut(CutStory {
        subject: "owner",
        position: revoked.position.unwrap(),
        time: later,
        reason: Reason::CessationOfOperation,
        note: Some("the contract ended".parse().unwrap()),
        actor: Some(administrator().spiffe_id),
    });
    assert_eq!(story(&world, &token).await.end, expected);
    world.hand.set(START.plus(Duration::from_secs(100_000)));
    world.apply(super::REGISTRY, 0).await.unwrap();
    world.broker.tell_all_refusals().await;
    assert_eq!(story(&world, &token).await.end, expected);
}

#[tokio::test]
async fn what_expired_before_it_was_cut_has_expired() {
    let world = World::new().await;
    let token = world.token(&caller("/payments/api")).await.unwrap();
    assert_eq!(story(&world, &token).await.end, End::Alive);
    world.hand.set(token.expires_at);
    assert_eq!(story(&world, &token).await.end, End::Expired);
    world.revoke_owner("payments").await.unwrap();
    assert_eq!(story(&world, &token).await.end, End::Expired);
}

#[tokio::test]
async fn a_workload_learns_that_its_credential_was_revoked_and_not_what_was_noted() {
    let world = World::new().await;
    let api = caller("/payments/api");
    let token = world.token(&api).await.unwrap();
    let note = Some("we suspect pat".parse().unwrap());
    world.broker.revoke_credential(&administrator(), token.id, Reason::KeyCompromise, note, Limits::default()).await.unwrap();
    let End::Cut(cut) = world.broker.credential(&api, token.id).await.unwrap().end else { panic!("it was cut") };
    assert_eq!((cut.subject, cut.reason, cut.note, cut.actor), ("credential", Reason::KeyCompromise, None, None));
}

#[tokio::test]
async fn a_story_tells_the_task() {
    let world = World::new().await;
    let api = caller("/payments/api");
    let opening = crate::broker::Opening {
        owner: None,
        environment: "production".parse().unwrap(),
        workload: None,
        deadline: START.plus(Duration::from_secs(120)),
        purpose: "the nightly run".parse().unwrap(),
    };
    let task = world.broker.open_task(&api, opening).await.unwrap();
    let token = world.token_in(&api, "production", Some(task.number)).await.unwrap();
    let told = story(&world, &token).await;
    assert_eq!(told.task_purpose.map(|purpose| purpose.to_string()).as_deref(), Some("the nightly run"));
}
