//! Calls of the client that are not answered: each ends at its deadline, says what is known, and is repeated only by who
//! says so.

use std::future::Future;
use std::time::Duration;

use curfew::ambient::Ambient;
use curfew::client::{Client, Config, Failure, Outcome, api};
use tokio::net::TcpListener;
use tonic::{Code, Response, Status};

use crate::follower::{SOON, World};
use crate::harness::eventually;
use crate::wire::Wire;

/// Much more than an answer of a broker beside this test takes, so that only what is held up reaches it.
const DEADLINE: Duration = Duration::from_secs(3);

/// An administrator behind a wire.
async fn administrator(world: &World) -> (Wire, Config) {
    let mut config = world.broker.administrator().unwrap().config;
    let wire = Wire::to(config.addresses[0].clone()).await;
    config.addresses = vec![wire.address.to_string()];
    (wire, Config { deadline: DEADLINE, ..config })
}

/// Whatever happens, a test ends.
async fn in_time<T>(call: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, call).await.expect("it ends at its deadline")
}

async fn open_task(world: &World, client: &Client) -> Result<Response<api::TasksOpenResponse>, Status> {
    let deadline = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(world.broker.moment().wall.seconds() + 600);
    let ask = api::TasksOpenRequest {
        owner: "payments".to_owned(),
        environment: "production".to_owned(),
        deadline: Some(deadline.into()),
        purpose: "a job".to_owned(),
        ..Default::default()
    };
    client.tasks().open(ask).await
}

async fn tasks(world: &World) -> usize {
    let client = Client::connect(world.broker.administrator().unwrap().config).await.unwrap();
    client.tasks().list(api::TasksListRequest::default()).await.unwrap().into_inner().tasks.len()
}

async fn who_am_i(client: Client) -> Result<Response<api::WhoAmIResponse>, Status> {
    client.trust().who_am_i(api::WhoAmIRequest {}).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_not_answered_ends_at_its_deadline_and_was_made_once() {
    let world = World::new().await;
    let (wire, config) = administrator(&world).await;
    let second = Wire::to(world.broker.administrator().unwrap().config.addresses[0].clone()).await;
    let client = Client::connect(config.also(second.address.to_string())).await.unwrap();
    who_am_i(client.clone()).await.expect("it answers so far");
    wire.silence();
    let failure = Failure::from(in_time(open_task(&world, &client)).await.expect_err("no answer came"));
    assert_eq!((failure.code, failure.outcome), (Code::DeadlineExceeded, Outcome::Unknown), "{failure:?}");
    assert!(failure.message.contains("repeat the call") && !failure.is_final(), "{failure}");
    // It may have been done, and was: neither the other address nor the end of the silence does it again.
    assert_eq!(tasks(&world).await, 1);
    in_time(who_am_i(client.clone())).await.expect("the next call goes to the other address");
    wire.mend();
    in_time(who_am_i(client)).await.unwrap();
    assert_eq!(tasks(&world).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_may_be_repeated_is_repeated_where_somebody_says_so() {
    let world = World::new().await;
    let (wire, config) = administrator(&world).await;
    let client = Client::connect(config).await.unwrap();
    wire.silence();
    let (ambient, mut attempts) = (Ambient::system(), 0);
    let answer = client.retrying(&ambient, |client| {
        attempts += 1;
        if attempts == 2 {
            wire.mend();
        }
        who_am_i(client)
    });
    let caller = in_time(answer).await.expect("the second attempt is answered");
    assert_eq!((attempts, caller.spiffe_id.as_str()), (2, "spiffe://example.org/administrator"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_accepts_and_says_nothing_is_given_up_before_anything_was_sent() {
    let world = World::new().await;
    let (wire, config) = administrator(&world).await;
    wire.silence();
    let config = Config { connect_timeout: Duration::from_secs(1), ..config };
    let failure = in_time(Client::connect(config.clone())).await.expect_err("no handshake");
    assert_eq!((failure.code, failure.outcome), (Code::Unavailable, Outcome::NotSent), "{failure:?}");
    // Nor does one hold up another that is there.
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addresses = vec![mute.local_addr().unwrap().to_string(), world.workload.config.addresses[0].clone()];
    let client = in_time(Client::connect(Config { addresses, ..config })).await.expect("the second speaks");
    who_am_i(client).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_whose_broker_falls_silent_comes_back_by_itself() {
    let world = World::new().await;
    let mut config = world.verifier();
    let wire = Wire::to(config.addresses[0].clone()).await;
    config.addresses = vec![wire.address.to_string()];
    let follower = world.follow(Config { deadline: DEADLINE, connect_timeout: DEADLINE, ..config }).await.unwrap();
    wire.silence();
    let cut = world.revoke().await;
    world.broker.advance(Duration::from_secs(16));
    let told = eventually(SOON, || follower.health().failure);
    assert!(told.contains("silent for too long"), "{told}");
    wire.mend();
    eventually(SOON, || {
        // It waits a little between its attempts.
        world.broker.advance(Duration::from_millis(100));
        follower.health().position.filter(|position| position.get() >= cut)
    });
}
