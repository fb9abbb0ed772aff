//! Programs that follow with the client: a verifier that is kept fresh.

use std::time::Duration;

use curfew::ambient::Ambient;
use curfew::client::{Client, Config, Failure, Follower, Following, api};
use curfew::testing::{Broker, Identity};
use curfew::verify::{MAX_STALENESS, Presented, Settings};

use crate::harness::{AUDIENCE, REGISTRY, eventually};
use crate::holder;
use crate::wire::Wire;

/// How long something that needs no clock may take.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A broker, and somebody who may be issued to.
pub(crate) struct World {
    pub(crate) broker: Broker,
    pub(crate) workload: Identity,
}

impl World {
    pub(crate) async fn new() -> Self {
        let broker = Broker::start(REGISTRY).await.unwrap();
        let workload = broker.identity("/payments/api").unwrap();
        Self { broker, workload }
    }

    /// How the verifier of the ledger service reaches the broker.
    pub(crate) fn verifier(&self) -> Config {
        self.broker.identity("/ledger/verifier").unwrap().config
    }

    pub(crate) async fn follow(&self, config: Config) -> Result<Follower, Failure> {
        let following = Following {
            settings: Settings::new(AUDIENCE.parse().unwrap()),
            instance: "ledger-1".parse().unwrap(),
            ambient: self.broker.ambient(),
        };
        Follower::start(move || Ok(config.clone()), following).await
    }

    pub(crate) async fn token(&self) -> String {
        let client = Client::connect(self.workload.config.clone()).await.unwrap();
        holder::token(&client, "production", 0).await.unwrap().token
    }

    pub(crate) fn presented(&self) -> Presented {
        Presented::Certificate(self.workload.fingerprint)
    }

    /// Ends everything of the owner; answers the position.
    pub(crate) async fn revoke(&self) -> u64 {
        let administrator = Client::connect(self.broker.administrator().unwrap().config).await.unwrap();
        let ask = api::RevokeByOwnerRequest {
            owner: "payments".to_owned(),
            reason: api::RevocationReason::CessationOfOperation.into(),
            ..Default::default()
        };
        administrator.owners().revoke_by_owner(ask).await.unwrap().into_inner().position
    }
}

/// Waits until the follower has applied a list that covers a position: at most as long as is promised.
pub(crate) async fn covers(follower: &Follower, position: u64) {
    let mut lists = follower.lists();
    let covered = async {
        while follower.health().position.is_none_or(|known| known.get() < position) {
            lists.changed().await.unwrap();
        }
    };
    tokio::time::timeout(MAX_STALENESS, covered).await.expect("it has to come within `max_staleness`");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_reaches_a_follower_by_itself() {
    let world = World::new().await;
    let follower = world.follow(world.verifier()).await.unwrap();
    let token = world.token().await;
    let accepted = follower.token(&token, world.presented()).expect("alive");
    assert_eq!(accepted.claims().subject.to_string(), "spiffe://example.org/payments/api");
    let health = follower.health();
    assert!(health.fresh && !health.forked && health.failure.is_none(), "{health:?}");
    // The clock stands still, so it is not the next beat that brings it.
    covers(&follower, world.revoke().await).await;
    assert_eq!(follower.token(&token, world.presented()).unwrap_err().code(), "REVOKED");
    assert_eq!(follower.verifier().token_again(&accepted, follower.moment()).unwrap_err().code(), "REVOKED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_follower_has_applied_is_confirmed_under_its_own_name() {
    let world = World::new().await;
    let follower = world.follow(world.verifier()).await.unwrap();
    world.token().await;
    let cut = world.revoke().await;
    covers(&follower, cut).await;
    let administrator = Client::connect(world.broker.administrator().unwrap().config).await.unwrap();
    loop {
        let ask = api::ListFollowersRequest::default();
        let followers = administrator.revocations().list_followers(ask).await.unwrap().into_inner().followers;
        let own = followers.into_iter().find(|one| one.instance == "ledger-1").expect("it follows");
        assert_eq!(own.spiffe_id, "spiffe://example.org/ledger/verifier");
        assert_eq!(own.downstreams.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["ledger-api"]);
        if own.confirmed_position >= cut {
            break;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_is_cut_off_rejects_everything_and_recovers_by_itself() {
    let world = World::new().await;
    let mut config = world.verifier();
    let wire = Wire::to(config.addresses[0].clone()).await;
    config.addresses = vec![wire.address.to_string()];
    let follower = world.follow(config).await.unwrap();
    let token = world.token().await;
    assert!(follower.token(&token, world.presented()).is_ok());

    wire.cut();
    eventually(SOON, || follower.health().failure);
    world.broker.advance(Duration::from_secs(29));
    assert!(follower.token(&token, world.presented()).is_ok(), "its list is not too old yet");
    world.broker.advance(Duration::from_secs(2));
    assert_eq!(follower.token(&token, world.presented()).unwrap_err().code(), "LIST_STALE");
    assert!(!follower.health().fresh);
    let cut = world.revoke().await;

    wire.mend();
    eventually(SOON, || {
        // It waits a little between its attempts.
        world.broker.advance(Duration::from_millis(100));
        follower.health().fresh.then_some(())
    });
    covers(&follower, cut).await;
    assert_eq!(follower.token(&token, world.presented()).unwrap_err().code(), "REVOKED", "nothing was missed meanwhile");
    assert_eq!(follower.health().failure, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_follow_is_told_so_and_does_not_wait() {
    let world = World::new().await;
    let nobody = world.broker.identity("/nobody").unwrap().config;
    let refused = world.follow(nobody).await.unwrap_err();
    assert_eq!(refused.reason.as_deref(), Some("IDENTITY_UNKNOWN"));
    let unusable = world.follow(Config { addresses: vec!["http://localhost:1".to_owned()], ..world.verifier() }).await.unwrap_err();
    assert!(unusable.message.contains("write https"), "{unusable}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_go_to_the_next_address_when_one_can_no_longer_be_reached() {
    let world = World::new().await;
    let broker = world.workload.config.addresses[0].clone();
    let (first, second) = (Wire::to(broker.clone()).await, Wire::to(broker).await);
    first.cut();
    let mut config = world.workload.config.clone();
    config.addresses = vec![first.address.to_string()];
    let client = Client::connect(config.also(second.address.to_string())).await.expect("the second is there");
    let ambient = Ambient::system();
    let ask = || client.retrying(&ambient, |client| async move { client.trust().who_am_i(api::WhoAmIRequest {}).await });
    ask().await.expect("through the second");
    second.cut();
    first.mend();
    ask().await.expect("through the first, after it was repeated");
    first.cut();
    let failure = ask().await.unwrap_err();
    assert!(!failure.is_final(), "{failure:?}");
}
