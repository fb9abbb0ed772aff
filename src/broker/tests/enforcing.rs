//! When a revocation is enforced: at each downstream by its own rule, moment by moment.

use std::time::Duration;

use super::following::{FOLLOWED, LEDGER};
use super::{START, World, administrator, caller, denied, environment_named, owner_named, withdrawal};
use crate::broker::{AtDownstream, Confirmed, Error, Issuance, Opening, Progress, Stage, Target, Withdrawal};
use crate::model::{DenialCode, DownstreamConfirmed, Enforcement, Event, Position, Timestamp, VerifierKind, Way};

fn at(second: u64) -> Timestamp {
    START.plus(Duration::from_secs(second))
}

impl World {
    /// A followed broker, two processes of the ledger service, and a minute later a token for it.
    async fn with_token() -> (Self, Issuance) {
        let world = Self::followed().await;
        world.pass(60);
        let list = world.publish();
        world.hand(LEDGER, "a", list);
        world.hand(LEDGER, "b", list);
        let token = world.token(&caller("/payments/api")).await.unwrap();
        (world, token)
    }

    /// Revokes the owner; the list that says so is out a second later.
    async fn revoked(&self) -> Position {
        let position = self.revoke_owner("payments").await.unwrap().position.unwrap();
        self.broker.follow_cuts().await.unwrap();
        self.pass(1);
        self.publish();
        position
    }

    async fn progress(&self, position: Position) -> Progress {
        self.broker.enforcement(&administrator(), position).await.unwrap()
    }

    /// The one downstream that a revocation concerns.
    async fn only(&self, position: Position) -> AtDownstream {
        let [only] = self.progress(position).await.downstreams.try_into().unwrap();
        only
    }

    /// A task of payments/api in production.
    async fn opened(&self) -> Position {
        let ask = Opening {
            owner: None,
            environment: "production".parse().unwrap(),
            workload: None,
            deadline: self.broker.clock().now().plus(Duration::from_secs(600)),
            purpose: "a job".parse().unwrap(),
        };
        self.broker.open_task(&caller("/payments/api"), ask).await.unwrap().number
    }

    async fn confirmations(&self) -> Vec<(Position, DownstreamConfirmed)> {
        let entries = self.broker.ledger().entries(Position::new(1), 1000).await.unwrap().into_iter();
        let confirmed = |event| if let Event::DownstreamConfirmed(confirmed) = event { Some(confirmed) } else { None };
        entries.filter_map(|stored| Some((stored.position, confirmed(stored.entry.unwrap().event)?))).collect()
    }

    /// Another registry in which the ledger service checks in another way.
    async fn checked_by(&self, kind: &str) {
        self.apply(&FOLLOWED.replacen("verifier_kind: follower", &format!("verifier_kind: {kind}"), 1), 10).await.unwrap();
    }
}

#[tokio::test]
async fn it_is_committed_then_published_then_enforced_when_the_last_process_has_confirmed() {
    let (world, token) = World::with_token().await;
    let position = world.revoke_owner("payments").await.unwrap().position.unwrap();
    let progress = world.progress(position).await;
    assert_eq!((progress.stage, progress.published_at, progress.committed_at), (Stage::Committed, None, at(60)));
    assert_eq!(progress.until(), Some(token.expires_at.plus(Duration::from_secs(30))), "what is not out reaches nobody");
    world.pass(1);
    world.publish();
    let progress = world.progress(position).await;
    assert_eq!((progress.stage, progress.published_at, progress.until()), (Stage::Published, Some(at(61)), Some(at(61 + 60))));

    world.publish();
    world.confirm(LEDGER, "a").await.unwrap();
    let ledger = world.only(position).await;
    assert_eq!((ledger.name.as_deref(), ledger.kind, ledger.living), (Some("ledger"), VerifierKind::Follower, 1));
    let covering = ledger.confirmed[0].position;
    assert!(covering >= position);
    let first = Confirmed { at: at(61), name: "a".to_owned(), position: covering };
    assert_eq!((&*ledger.confirmed, ledger.waiting), (&*vec![first.clone()], vec!["b".to_owned()]));
    let earlier = world.progress(position).await;
    assert_eq!(earlier.stage, Stage::Published);

    // One that has confirmed goes on to later lists, and what it said first stays.
    world.pass(2);
    world.revoke_owner("acme").await.unwrap();
    world.publish();
    for name in ["a", "b"] {
        world.confirm(LEDGER, name).await.unwrap();
    }
    let progress = world.progress(position).await;
    assert_eq!((progress.downstreams[0].confirmed[0].at, &progress.downstreams[0].confirmed[1].name), (at(63), &"b".to_owned()));
    let progress = progress.since(&earlier);
    assert_eq!(progress.downstreams[0].confirmed[0], first);
    assert_eq!((progress.stage, progress.until()), (Stage::Enforced, None));
    assert_eq!(progress.downstreams[0].enforcement, Enforcement::Enforced { at: at(63), way: Way::Confirmed });
}

#[tokio::test]
async fn only_the_last_process_of_a_downstream_that_is_concerned_makes_an_entry_and_only_one() {
    let (world, _) = World::with_token().await;
    world.hand("/mesh", "m", world.publish());
    let position = world.revoked().await;
    world.confirm("/mesh", "m").await.unwrap();
    world.confirm(LEDGER, "a").await.unwrap();
    assert_eq!(world.broker.record_confirmations().await.unwrap(), 0, "the mesh accepts no tokens, and one of the other is missing");
    world.confirm(LEDGER, "b").await.unwrap();
    assert_eq!(world.broker.record_confirmations().await.unwrap(), 1);
    assert_eq!(world.broker.record_confirmations().await.unwrap(), 0);
    let [(entry, confirmed)] = world.confirmations().await.try_into().unwrap();
    assert_eq!((confirmed.position, confirmed.confirmed, confirmed.lapsed), (position, 2, 0));
    let ledger = world.only(position).await;
    assert_eq!((ledger.entry, ledger.number), (Some(entry), Some(confirmed.number)));
    // Lists go on, and so do confirmations: nothing more is taken down.
    world.publish();
    world.confirm(LEDGER, "a").await.unwrap();
    assert_eq!(world.broker.record_confirmations().await.unwrap(), 0);
}

#[tokio::test]
async fn a_confirmation_that_was_taken_down_wakes_no_publisher_and_fences_nothing() {
    let (world, _) = World::with_token().await;
    world.revoked().await;
    let (changed, mut watch) = (world.broker.ledger().facts().changed(), world.broker.ledger().watch());
    watch.mark_unchanged();
    for instance in ["a", "b"] {
        world.confirm(LEDGER, instance).await.unwrap();
    }
    assert_eq!(world.broker.record_confirmations().await.unwrap(), 1);
    assert_eq!(world.broker.ledger().facts().changed(), changed);
    assert!(!watch.has_changed().unwrap());
}

#[tokio::test]
async fn a_process_that_went_away_has_had_to_fail_closed_when_its_list_has_ended() {
    let (world, _) = World::with_token().await;
    let position = world.revoked().await;
    world.confirm(LEDGER, "a").await.unwrap();
    world.hand.set(at(60 + 59));
    assert_eq!(world.progress(position).await.stage, Stage::Published);
    world.hand.set(at(60 + 60));
    assert_eq!(world.only(position).await.enforcement, Enforcement::Enforced { at: at(120), way: Way::Confirmed });
    assert_eq!(world.broker.record_confirmations().await.unwrap(), 1);
    let (_, confirmed) = world.confirmations().await[0];
    assert_eq!((confirmed.confirmed, confirmed.lapsed), (1, 1));
}

#[tokio::test]
async fn without_a_process_that_is_known_only_time_tells() {
    let world = World::followed().await;
    world.pass(300);
    world.token(&caller("/payments/api")).await.unwrap();
    let position = world.revoked().await;
    world.hand.set(at(301 + 59));
    assert_eq!(world.only(position).await.enforcement, Enforcement::Waiting { until: at(361) });
    world.hand.set(at(301 + 60));
    assert_eq!(world.only(position).await.enforcement, Enforcement::Enforced { at: at(361), way: Way::Stale });
    assert_eq!(world.broker.record_confirmations().await.unwrap(), 0, "nobody confirmed anything");
}

#[tokio::test]
async fn after_a_start_nothing_is_concluded_before_every_list_of_before_has_ended() {
    let world = World::followed().await;
    world.pass(5);
    let list = world.publish();
    world.hand(LEDGER, "a", list);
    world.token(&caller("/payments/api")).await.unwrap();
    let position = world.revoked().await;
    world.confirm(LEDGER, "a").await.unwrap();
    world.hand.set(at(59));
    assert_eq!(world.progress(position).await.stage, Stage::Published, "another process may hold a list from before the start");
    world.hand.set(at(60));
    assert_eq!(world.only(position).await.enforcement, Enforcement::Enforced { at: at(60), way: Way::Confirmed });
}

#[tokio::test]
async fn what_nobody_checks_ends_when_it_expires() {
    for kind in ["none", "crl", "status_list"] {
        let (world, token) = World::with_token().await;
        world.checked_by(kind).await;
        let position = world.revoked().await;
        let until = token.expires_at.plus(Duration::from_secs(30));
        assert_eq!(world.only(position).await.enforcement, Enforcement::Waiting { until }, "{kind}");
        world.hand.set(until);
        assert_eq!(world.only(position).await.enforcement, Enforcement::Enforced { at: until, way: Way::Expired }, "{kind}");
    }
}

#[tokio::test]
async fn a_follower_of_another_history_is_a_failure_that_is_known() {
    let (world, token) = World::with_token().await;
    let position = world.revoked().await;
    let sound = world.confirmation();
    world.confirm(LEDGER, "a").await.unwrap();
    world.say(LEDGER, "b", crate::broker::Confirmation { root: [1; 32], ..sound }).await.expect_err("another root");
    let until = token.expires_at.plus(Duration::from_secs(30));
    world.hand.set(at(200));
    assert_eq!(world.only(position).await.enforcement, Enforcement::Forked { until }, "it may be kept fresh by another broker");
    world.say(LEDGER, "b", sound).await.unwrap();
    assert_eq!(world.progress(position).await.stage, Stage::Enforced);
}

#[tokio::test]
async fn a_revocation_that_ends_nothing_is_enforced_at_once() {
    let world = World::followed().await;
    let position = world.revoke_owner("acme").await.unwrap().position.unwrap();
    let progress = world.progress(position).await;
    assert_eq!((progress.stage, progress.downstreams.len()), (Stage::Enforced, 0));
}

#[tokio::test]
async fn a_second_cut_takes_over_what_the_first_has_not_brought_to_an_end() {
    let (world, _) = World::with_token().await;
    let suspend = Withdrawal { suspend: true, ..withdrawal() };
    world.broker.revoke(&administrator(), owner_named("payments"), suspend).await.unwrap();
    let position = world.revoked().await;
    let ledger = world.only(position).await;
    assert_eq!((ledger.name.as_deref(), ledger.living), (Some("ledger"), 1), "the token may still be accepted there");
    assert_eq!(world.progress(position).await.stage, Stage::Published);
}

#[tokio::test]
async fn every_revocation_says_what_it_concerns() {
    let world = World::followed().await;
    let api = caller("/payments/api");
    let names = |progress: Progress| progress.downstreams.into_iter().map(|at| at.name.unwrap_or_default()).collect::<Vec<_>>();
    let opened = world.opened().await;
    world.token_in(&api, "production", Some(opened)).await.unwrap();
    let task = world.broker.revoke_task(&administrator(), opened, withdrawal()).await.unwrap().position.unwrap();
    assert_eq!(names(world.progress(task).await), ["ledger"]);

    let (certificate, _) = world.certificate(&api, "production", None).await.unwrap();
    let limits = crate::broker::Limits::default();
    let one = world.broker.revoke_credential(&api, certificate.id, withdrawal().reason, None, limits).await.unwrap().position.unwrap();
    assert_eq!(names(world.progress(one).await), ["mesh"]);
    assert_eq!(names(world.broker.enforcement(&api, one).await.unwrap()), ["mesh"], "who made it may look");
    let outcome = world.broker.enforcement(&caller("/acme/sync"), one).await;
    assert_eq!(denied(outcome), DenialCode::PolicyDenied);

    world.token(&api).await.unwrap();
    let workload = Target::Workload(api.spiffe_id.clone());
    let workload = world.broker.revoke(&administrator(), workload, withdrawal()).await.unwrap().position.unwrap();
    assert_eq!(names(world.progress(workload).await), ["ledger"]);

    world.token(&caller("/payments/batch")).await.unwrap();
    let environment = world.broker.revoke(&administrator(), environment_named("production"), withdrawal()).await.unwrap();
    assert_eq!(names(world.progress(environment.position.unwrap()).await), ["ledger"]);
    let nothing = world.broker.enforcement(&administrator(), Position::new(2)).await;
    assert!(matches!(nothing, Err(Error::NotFound { kind: "revocation at position", .. })), "{nothing:?}");
}

#[tokio::test]
async fn what_no_downstream_accepts_any_more_is_not_hidden() {
    let (world, token) = World::with_token().await;
    world.apply(&FOLLOWED.replace("https://ledger.example.org", "https://elsewhere.example.org"), 10).await.unwrap();
    let position = world.revoked().await;
    let only = world.only(position).await;
    let until = token.expires_at.plus(Duration::from_secs(30));
    assert_eq!((only.number, only.name, only.enforcement), (None, None, Enforcement::Waiting { until }));
}

#[tokio::test]
async fn what_was_confirmed_is_known_from_the_ledger_when_the_memory_is_gone() {
    let (world, _) = World::with_token().await;
    let position = world.revoked().await;
    for instance in ["a", "b"] {
        world.confirm(LEDGER, instance).await.unwrap();
    }
    world.broker.record_confirmations().await.unwrap();
    let recorded = world.only(position).await;
    world.broker.followers.forget();
    assert_eq!(world.progress(position).await.stage, Stage::Enforced);
    let again = world.only(position).await;
    assert_eq!((again.enforcement, again.entry), (recorded.enforcement, recorded.entry));
}

#[tokio::test]
async fn who_goes_by_a_crl_has_to_take_the_next_one_when_the_last_from_before_has_ended() {
    let world = World::followed().await;
    world.apply(&FOLLOWED.replace("verifier_kind: guard", "verifier_kind: crl"), 10).await.unwrap();
    let (certificate, _) = world.certificate(&caller("/payments/api"), "production", None).await.unwrap();
    let position = world.revoked().await;
    let expired = certificate.expires_at.plus(Duration::from_secs(30));
    assert_eq!(world.only(position).await.enforcement, Enforcement::Waiting { until: expired }, "no CRL is out that covers it");
    world.pass(4);
    world.broker.followers.stock_published(world.head(), at(5));
    let until = at(5 + 600 + 30);
    assert_eq!(world.only(position).await.enforcement, Enforcement::Waiting { until });
    world.hand.set(until);
    assert_eq!(world.only(position).await.enforcement, Enforcement::Enforced { at: until, way: Way::Stale });
}
