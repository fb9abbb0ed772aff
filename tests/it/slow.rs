//! Followers that do not read, over real sockets: the window of their stream stays closed.

use std::time::Duration;

use curfew::client::api::revocations_client::RevocationsClient;
use curfew::client::{Client, Config, api};
use curfew::model::Position;
use tonic::Streaming;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use crate::follower::{SOON, World, covers};
use crate::following::{credentials, read, revoke};
use crate::harness::eventually;
use crate::wire::Wire;

/// Less than any list has, in bytes.
const WINDOW: u32 = 64;

/// A stream of the list over a connection of its own, whose window stays closed until somebody reads.
async fn watch(config: &Config) -> Streaming<api::WatchResponse> {
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(&config.ca))
        .identity(Identity::from_pem(&config.certificate, &config.key));
    let endpoint = Endpoint::from_shared(format!("https://{}", config.addresses[0])).unwrap().tls_config(tls).unwrap();
    let channel = endpoint.initial_stream_window_size(WINDOW).connect().await.unwrap();
    let ask = api::WatchRequest { since: 0, instance: "mute".to_owned() };
    RevocationsClient::new(channel).watch(ask).await.unwrap().into_inner()
}

async fn administrator(world: &World) -> Client {
    Client::connect(world.broker.administrator().unwrap().config).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn for_one_that_does_not_read_nothing_is_kept_and_all_others_get_all() {
    let world = World::new().await;
    let (ids, follower) = (credentials(&world.broker, 20).await, world.follow(world.verifier()).await.unwrap());
    let mut mute = watch(&world.verifier()).await;
    let revoked = revoke(&administrator(&world).await, ids).await;
    let last = *revoked.last().unwrap();
    covers(&follower, last).await;

    // A list or two were on their way to it when it had no more room. All that came since is in one.
    let (mut known, mut heard, mut lists) = (0, Vec::new(), 0);
    while known < last {
        let list = read(&mute.message().await.unwrap().unwrap().list);
        assert_eq!(list.since.map_or(0, Position::get), known, "a gap");
        heard.extend(list.cuts.iter().map(|cut| cut.position.get()));
        (known, lists) = (list.position.get(), lists + 1);
    }
    assert_eq!(heard, revoked.into_iter().collect::<Vec<_>>());
    assert!(lists <= 4, "{lists} of 21 were kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_never_reads_is_hung_up_on_and_the_others_go_on() {
    let world = World::new().await;
    let follower = world.follow(world.verifier()).await.unwrap();
    let mut config = world.verifier();
    let wire = Wire::to(config.addresses[0].clone()).await;
    config.addresses = vec![wire.address.to_string()];
    let mut mute = watch(&config).await;
    assert_eq!(wire.carries(), 1);
    let mut lists = follower.lists();
    for second in (2..=100).step_by(2) {
        assert!(second > 30 || wire.carries() == 1, "{second} s");
        world.broker.advance(Duration::from_secs(2));
        world.broker.list().unwrap();
        let heard = tokio::time::timeout(SOON, lists.changed()).await;
        heard.unwrap_or_else(|_| panic!("{second} s: {:?} {}", follower.health(), wire.carries())).unwrap();
    }
    // With the connection goes all that was kept for it; that it never reads is of no matter.
    eventually(SOON, || (wire.carries() == 0).then_some(()));
    while let Ok(list) = mute.message().await {
        assert!(list.is_some(), "a stream that is cut off does not end in order");
    }
    covers(&follower, world.revoke().await).await;
    assert_eq!(follower.health().failure, None, "the other never lost its stream");
}
