//! Who follows the list, and what is taken for a confirmation.

use std::sync::LazyLock;
use std::time::Duration;

use super::{REGISTRY, START, World, administrator, caller, denied};
use crate::broker::followers::Roll;
use crate::broker::{Confirmation, Error, FollowerState, Handed, Limit, Point};
use crate::model::{DenialCode, Epoch, Instance, Position, SpiffeId};
use crate::policy::Caller;

/// Two services whose verifiers have names, and one whose has not.
pub(super) static FOLLOWED: LazyLock<String> = LazyLock::new(|| {
    let (subjects, _) = REGISTRY.split_once("downstreams:").expect("downstreams stand last");
    format!("{subjects}{FOLLOWED_DOWNSTREAMS}")
});

const FOLLOWED_DOWNSTREAMS: &str = "
downstreams:
  - {name: ledger, accepts: [tokens], audiences: [https://ledger.example.org], environments: [production, staging], verifier_kind: follower, verifier: spiffe://example.org/ledger}
  - {name: mesh, accepts: [certificates], environments: [production], verifier_kind: guard, verifier: spiffe://example.org/mesh}
  - {name: reports, accepts: [tokens], audiences: [https://reports.example.org], environments: [staging], verifier_kind: follower}
";

/// A process that follows for the ledger service.
pub(super) const LEDGER: &str = "/ledger";

pub(super) fn name(instance: &str) -> Instance {
    instance.parse().unwrap()
}

impl World {
    /// A broker whose downstreams are followed for, with a list that is out.
    pub(super) async fn followed() -> Self {
        let world = Self::new().await;
        world.apply(&FOLLOWED, 10).await.unwrap();
        world.publish();
        world
    }

    /// A list of the head is out, as the publisher tells it.
    pub(super) fn publish(&self) -> Handed {
        let head = self.broker.ledger().head();
        let now = self.broker.clock().now();
        self.broker.followers.published(Point { position: head.position, root: head.root, out: now });
        Handed { position: head.position, issued_at: now }
    }

    /// What a follower says of the ledger as it is.
    pub(super) fn confirmation(&self) -> Confirmation {
        let head = self.broker.ledger().head();
        Confirmation { position: head.position, root: head.root, epoch: Epoch([7; 16]) }
    }

    pub(super) fn hand(&self, path: &str, instance: &str, handed: Handed) {
        self.broker.hand(&caller(path), Some(&name(instance)), handed).unwrap();
    }

    /// A process says that it has applied the ledger as it is.
    pub(super) async fn confirm(&self, path: &str, instance: &str) -> Result<Vec<String>, Error> {
        self.say(path, instance, self.confirmation()).await
    }

    pub(super) async fn say(&self, path: &str, instance: &str, said: Confirmation) -> Result<Vec<String>, Error> {
        self.broker.acknowledge(&caller(path), name(instance), said).await
    }

    pub(super) fn pass(&self, seconds: u64) {
        self.hand.advance(Duration::from_secs(seconds));
    }

    async fn roll(&self) -> Roll {
        self.broker.roll(&administrator(), None, 100).await.unwrap()
    }

    async fn states(&self) -> Vec<(String, FollowerState)> {
        let roll = self.roll().await;
        let state = |one: crate::broker::FollowerStory| (one.instance.map(|name| name.to_string()).unwrap_or_default(), one.state);
        roll.followers.into_iter().map(state).collect()
    }
}

#[tokio::test]
async fn each_process_speaks_for_itself_alone() {
    let world = World::followed().await;
    let list = world.publish();
    for instance in ["a", "b"] {
        world.hand(LEDGER, instance, list);
    }
    let said = world.confirmation();
    assert_eq!(world.say(LEDGER, "a", said).await.unwrap(), ["ledger"], "the downstreams that it counts for");
    let behind = |name: &str| (name.to_owned(), FollowerState::Behind);
    assert_eq!(world.states().await, [("a".to_owned(), FollowerState::Current), behind("b")]);
    // To look is an entry, so the ledger has moved on.
    world.say(LEDGER, "b", said).await.unwrap();
    let roll = world.roll().await;
    assert!(roll.followers.iter().all(|one| one.confirmed == Some((list.position, START)) && one.state == FollowerState::Current));
    assert_eq!(roll.followers[0].downstreams[0].0.as_str(), "ledger");
}

#[tokio::test]
async fn following_and_confirming_need_an_identity_and_no_standing() {
    let world = World::followed().await;
    let list = world.publish();
    world.revoke_owner("payments").await.unwrap();
    world.hand("/payments/api", "a", list);
    world.publish();
    assert_eq!(world.confirm("/payments/api", "a").await.unwrap(), Vec::<String>::new(), "it verifies for nobody");
    assert_eq!(denied(world.confirm("/nobody", "a").await), DenialCode::IdentityUnknown);
    let outcome = world.broker.roll(&caller("/acme/sync"), None, 10).await;
    assert_eq!(denied(outcome), DenialCode::PolicyDenied, "who follows is not for everybody to see");
}

#[tokio::test]
async fn another_history_is_refused_told_and_not_forgotten_until_it_fits_again() {
    let world = World::followed().await;
    let list = world.publish();
    let sound = world.confirmation();
    let beyond = Position::new(sound.position.get() + 100);
    let others = [
        Confirmation { root: [1; 32], ..sound },
        Confirmation { epoch: Epoch([8; 16]), ..sound },
        Confirmation { position: beyond, ..sound },
    ];
    for (count, other) in (1..).zip(others) {
        world.hand(LEDGER, "a", list);
        let outcome = world.broker.acknowledge(&caller(LEDGER), name("a"), other).await;
        assert_eq!(denied(outcome), DenialCode::HistoryDiffers, "{other:?}");
        assert_eq!(world.states().await, [("a".to_owned(), FollowerState::Forked)]);
        let call = world.broker.roll_call();
        assert_eq!((call.forks, call.forked), (count, 1));
    }
    assert!(world.roll().await.followers[0].confirmed.is_none());
    world.say(LEDGER, "a", sound).await.unwrap();
    assert_eq!(world.states().await, [("a".to_owned(), FollowerState::Current)]);
    assert_eq!(world.broker.roll_call().forked, 0);
}

#[tokio::test]
async fn a_position_that_no_list_was_published_for_is_no_confirmation() {
    let world = World::followed().await;
    let unpublished = Confirmation { position: Position::new(3), ..world.confirmation() };
    let outcome = world.broker.acknowledge(&caller(LEDGER), name("a"), unpublished).await;
    assert_eq!(denied(outcome), DenialCode::PositionUnknown);
    let roll = world.roll().await;
    assert_eq!((roll.followers[0].confirmed, roll.followers[0].state), (None, FollowerState::Stale));
}

#[tokio::test]
async fn a_confirmation_never_goes_back() {
    let world = World::followed().await;
    let first = world.confirmation();
    world.revoke_owner("acme").await.unwrap();
    world.publish();
    world.confirm(LEDGER, "a").await.unwrap();
    world.broker.acknowledge(&caller(LEDGER), name("a"), first).await.expect("late, and true");
    let confirmed = world.roll().await.followers[0].confirmed.map(|(position, _)| position);
    assert!(confirmed > Some(first.position), "{confirmed:?}");
}

#[tokio::test]
async fn who_should_follow_and_does_not_is_seen_and_counted_once_that_can_be_known() {
    let world = World::followed().await;
    let silent = async || -> Vec<String> { world.roll().await.silent.into_iter().map(|silent| silent.name.to_string()).collect() };
    assert_eq!(silent().await, ["ledger", "mesh", "reports"]);
    assert_eq!(world.broker.roll_call().silent, 0, "they may hold a list of before the start");
    world.pass(60);
    assert_eq!(world.broker.roll_call().silent, 2, "the third names no verifier, so it can never be heard");
    world.hand(LEDGER, "a", world.publish());
    assert_eq!(silent().await, ["mesh", "reports"]);
    let call = world.broker.roll_call();
    assert_eq!((call.silent, call.fresh), (1, 1));
    world.pass(30);
    assert_eq!(world.states().await, [("a".to_owned(), FollowerState::Stale)]);
    assert_eq!(world.broker.roll_call().silent, 2);
}

#[tokio::test]
async fn who_only_looks_is_no_follower_and_who_gives_no_name_is_one_that_never_confirms() {
    let world = World::followed().await;
    let list = world.publish();
    world.broker.hand(&administrator(), None, list).unwrap();
    world.broker.hand(&caller("/payments/api"), None, list).unwrap();
    assert_eq!(world.states().await, []);
    world.broker.hand(&caller(LEDGER), None, list).unwrap();
    assert_eq!(world.states().await, [(String::new(), FollowerState::Behind)]);
}

#[tokio::test]
async fn who_fell_silent_is_forgotten_and_the_memory_is_bounded() {
    let world = World::followed().await;
    let list = world.publish();
    for instance in 0..20_000 {
        world.hand(LEDGER, &format!("i{instance}"), list);
    }
    let one_more = |at: &str| world.broker.hand(&caller(LEDGER), Some(&name(at)), list);
    let refused = one_more("more");
    assert!(matches!(refused, Err(Error::Limited { limit: Limit::Followers, .. })), "{refused:?}");
    world.hand("/mesh", "a", list);
    one_more("i7").expect("it is known");
    world.pass(601);
    one_more("more").expect("the others fell silent");
    assert_eq!(world.states().await, [("more".to_owned(), FollowerState::Stale)]);
}

#[tokio::test]
async fn the_roll_is_read_page_by_page() {
    let world = World::followed().await;
    let list = world.publish();
    for (path, instance) in [(LEDGER, "a"), (LEDGER, "b"), (LEDGER, "c"), ("/mesh", "a")] {
        world.hand(path, instance, list);
    }
    world.broker.hand(&caller(LEDGER), None, list).unwrap();
    let mut found = Vec::new();
    let mut after: Option<(SpiffeId, Option<Instance>)> = None;
    loop {
        let page = world.broker.roll(&administrator(), after.as_ref(), 2).await.unwrap();
        assert_eq!(page.silent.is_empty(), after.is_some(), "on the first page only");
        found.extend(page.followers.iter().map(|one| (one.spiffe_id.to_string(), one.instance.clone())));
        if !page.more {
            break;
        }
        after = page.followers.last().map(|one| (one.spiffe_id.clone(), one.instance.clone()));
    }
    assert_eq!(found.len(), 5);
    assert!(found.is_sorted(), "{found:?}");
}

#[tokio::test]
async fn a_dead_certificate_confirms_nothing() {
    let world = World::followed().await;
    let (_, with_certificate): (_, Caller) = world.certificate(&caller("/payments/api"), "production", None).await.unwrap();
    world.revoke_owner("payments").await.unwrap();
    world.publish();
    let outcome = world.broker.acknowledge(&with_certificate, name("a"), world.confirmation()).await;
    assert_eq!(denied(outcome), DenialCode::CertificateRevoked);
}
