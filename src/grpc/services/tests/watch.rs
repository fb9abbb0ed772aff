//! The list as a stream: what comes, when nothing comes, and when it ends.

use std::task::Poll;

use super::*;
use crate::formats::jws;
use crate::formats::list::{List, MAX_LIST};
use crate::grpc::calls::Answers;
use crate::grpc::peer::MutualTls;
use crate::listen::Admit as _;
use crate::model::Position;
use crate::verify::{Applied, KeySet, Moment, RevocationState};

const STALE: Duration = Duration::from_secs(31);

struct World {
    api: Api,
    hand: ManualClock,
}

/// A stream as the connection sees it: it asks for the next list as soon as it has room.
struct Stream(Answers<api::WatchResponse>);

impl Stream {
    async fn poll(&mut self) -> Poll<Option<Result<List, Status>>> {
        let next = std::future::poll_fn(|context| Poll::Ready(self.0.as_mut().poll_next(context))).await;
        next.map(|next| next.map(|list| list.map(|list| read(&list.list))))
    }

    async fn next(&mut self) -> Option<Result<List, Status>> {
        std::future::poll_fn(|context| self.0.as_mut().poll_next(context)).await.map(|list| list.map(|list| read(&list.list)))
    }

    async fn list(&mut self) -> List {
        self.next().await.expect("it goes on").expect("a list")
    }
}

fn read(signed: &str) -> List {
    List::decode(&jws::parse(signed, MAX_LIST).expect("signed").payload).expect("a list")
}

impl World {
    async fn new() -> Self {
        let (api, hand) = with_hand().await;
        api.apply_registry(document()).await;
        api.0.publisher.publish().expect("published");
        Self { api, hand }
    }

    async fn ask(&self, since: u64, instance: &str) -> Result<Stream, Status> {
        let ask = admin(api::WatchRequest { since, instance: instance.to_owned() });
        Revocations::watch(&self.api, ask).await.map(|stream| Stream(stream.into_inner()))
    }

    async fn watch(&self, since: Position) -> Stream {
        self.ask(since.get(), "one").await.expect("begun")
    }

    fn publish(&self) -> Position {
        self.api.0.publisher.publish().expect("published").position
    }

    /// Ends something, and publishes that; answers its position.
    async fn revoke(&self) -> Position {
        let opened = self.api.open(admin(api::TasksOpenRequest {
            owner: "acme".to_owned(),
            environment: "production".to_owned(),
            deadline: Some(prost_types::Timestamp { seconds: 1_780_308_000, nanos: 0 }),
            purpose: "a job".to_owned(),
            ..Default::default()
        }));
        let task = opened.await.expect("opened").into_inner().task.expect("a task").task;
        let ask = api::IssueTokenRequest {
            environment: "production".to_owned(),
            audience: "https://ledger.example.org".to_owned(),
            task,
            ..Default::default()
        };
        self.api.issue_token(by("spiffe://example.org/acme/sync", ask)).await.expect("issued");
        let subject = Some(api::revoke_request::Subject::Task(task));
        let ask = api::RevokeRequest { subject, reason: api::RevocationReason::Superseded.into(), ..Default::default() };
        let position = self.api.revoke(admin(ask)).await.expect("revoked").into_inner().position;
        self.publish();
        Position::new(position)
    }

    fn later(&self, by: Duration) {
        self.hand.advance(by);
    }

    fn moment(&self) -> Moment {
        let wall = self.api.0.broker.clock().now();
        Moment { wall, steady: wall.since(START) }
    }
}

fn cuts(list: &List) -> Vec<Position> {
    list.cuts.iter().map(|cut| cut.position).collect()
}

#[tokio::test]
async fn first_comes_everything_then_each_change_and_a_beat_when_there_is_none() {
    let world = World::new().await;
    let earlier = world.revoke().await;
    let mut stream = world.watch(Position::ZERO).await;
    let first = stream.list().await;
    assert_eq!((first.since, cuts(&first)), (None, vec![earlier]));
    assert!(stream.poll().await.is_pending(), "nothing is new");

    let later = world.revoke().await;
    let change = stream.list().await;
    assert_eq!((change.since, cuts(&change)), (Some(first.position), vec![later]));
    world.later(Duration::from_secs(2));
    assert!(stream.poll().await.is_pending(), "time alone makes nothing fresh");
    world.publish();
    let beat = stream.list().await;
    assert_eq!((beat.since, cuts(&beat)), (Some(change.position), vec![]));
    assert_eq!(beat.issued_at, change.issued_at.plus(Duration::from_secs(2)));
}

#[tokio::test]
async fn it_resumes_from_where_the_follower_is_and_begins_anew_where_nobody_knows() {
    let world = World::new().await;
    let first = world.revoke().await;
    let held = world.watch(Position::ZERO).await.list().await.position;
    let second = world.revoke().await;
    let resumed = world.watch(held).await.list().await;
    assert_eq!((resumed.since, cuts(&resumed)), (Some(held), vec![second]));
    let unknown = world.watch(Position::new(held.get() - 1)).await.list().await;
    assert_eq!((unknown.since, cuts(&unknown)), (None, vec![first, second]));
}

#[tokio::test]
async fn one_that_is_slow_skips_to_the_newest() {
    let world = World::new().await;
    let mut stream = world.watch(Position::ZERO).await;
    let held = stream.list().await.position;
    let mut missed = Vec::new();
    for _ in 0..20 {
        missed.push(world.revoke().await);
    }
    let newest = world.publish();
    let list = stream.list().await;
    assert_eq!((list.since, list.position, cuts(&list)), (Some(held), newest, missed));
    assert!(stream.poll().await.is_pending());
}

#[tokio::test]
async fn one_that_takes_nothing_while_lists_wait_is_turned_away() {
    let world = World::new().await;
    let mut stream = world.watch(Position::ZERO).await;
    stream.list().await;
    assert!(stream.poll().await.is_pending(), "the connection has asked, and then it has no room");
    world.revoke().await;
    world.later(STALE);
    let refused = refusal(stream.next().await.expect("told"));
    assert_eq!((refused.0, refused.1.as_str()), (Code::ResourceExhausted, "FOLLOWER_TOO_SLOW"));
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn one_that_goes_on_taking_nothing_loses_its_connection_though_nobody_asks_its_stream() {
    let world = World::new().await;
    let ask = admin(api::WatchRequest { since: 0, instance: "one".to_owned() });
    let peer = ask.extensions().get::<Peer>().expect("who asks").clone();
    let mut over = std::pin::pin!(MutualTls::over(peer));
    let mut stream = Stream(Revocations::watch(&world.api, ask).await.expect("begun").into_inner());
    stream.list().await;
    for taken in [true, true, true, false, false] {
        world.publish();
        if taken {
            stream.list().await;
        }
        let is_over = std::future::poll_fn(|context| Poll::Ready(over.as_mut().poll(context).is_ready())).await;
        assert!(!is_over, "{taken}");
        world.later(STALE);
        // What looks at it from beside gets its turn.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }
    over.await;
}

#[tokio::test]
async fn while_nothing_is_published_nothing_comes_and_a_follower_grows_stale_though_connected() {
    let world = World::new().await;
    let keys = KeySet::from_json(&world.api.0.publisher.keys().expect("keys").to_json().expect("JSON")).expect("usable");
    let mut stream = world.watch(Position::ZERO).await.0;
    let signed = std::future::poll_fn(|context| stream.as_mut().poll_next(context)).await.expect("one").expect("a list").list;
    let mut follower = RevocationState::default();
    assert!(matches!(follower.apply(&signed, &keys, world.moment()), Ok(Applied::Advanced(_))));
    let mut stream = Stream(stream);
    for _ in 0..60 {
        world.later(Duration::from_secs(10));
        assert!(stream.poll().await.is_pending(), "the stream makes no beat by itself");
    }
    assert!(follower.age(world.moment()) > Some(STALE));
    // It was not the follower who was slow.
    world.publish();
    assert!(stream.list().await.cuts.is_empty());
}

#[tokio::test]
async fn it_ends_when_the_broker_stops_and_when_the_certificate_does() {
    let world = World::new().await;
    let mut stream = world.watch(Position::ZERO).await;
    stream.list().await;
    world.api.0.stopping.cancel();
    assert!(stream.next().await.is_none());

    let world = World::new().await;
    let mut stream = world.watch(Position::ZERO).await;
    stream.list().await;
    assert!(stream.poll().await.is_pending());
    for _ in 0..10_000 {
        world.later(Duration::from_secs(10));
        if stream.poll().await.is_ready() {
            break;
        }
        world.publish();
        if let Err(status) = stream.next().await.expect("told") {
            let refused = refusal(Err::<(), _>(status));
            assert_eq!((refused.0, refused.1.as_str()), (Code::Unauthenticated, "CERTIFICATE_EXPIRED"));
            assert!(world.moment().steady >= Duration::from_secs(86_400));
            return;
        }
    }
    panic!("the certificate has expired");
}

#[tokio::test]
async fn one_identity_has_as_many_streams_as_it_may_and_who_ends_one_may_begin_another() {
    let world = World::new().await;
    let mut streams = Vec::new();
    for _ in 0..QUOTAS.identity_watches {
        streams.push(world.watch(Position::ZERO).await);
    }
    let refused = refusal(world.ask(0, "one").await.map(|_| ()));
    assert_eq!((refused.0, refused.1.as_str()), (Code::ResourceExhausted, "TOO_MANY_WATCHES"));
    assert_eq!(world.api.0.broker.watches(), QUOTAS.watches);
    streams.pop();
    world.watch(Position::ZERO).await.list().await;
}

#[tokio::test]
async fn who_follows_has_an_identity_and_names_its_process() {
    let world = World::new().await;
    for instance in ["", "a b", "a/b", &"a".repeat(65)] {
        assert_eq!(refusal(world.ask(0, instance).await.map(|_| ())), invalid("instance"), "{instance:?}");
    }
    let stranger = by("spiffe://example.org/stranger", api::WatchRequest { since: 0, instance: "one".to_owned() });
    assert_eq!(refusal(Revocations::watch(&world.api, stranger).await.map(|_| ())).1, "IDENTITY_UNKNOWN");
    let early = api().await;
    let ask = admin(api::WatchRequest { since: 0, instance: "one".to_owned() });
    assert_eq!(refusal(Revocations::watch(&early, ask).await.map(|_| ())).1, "LEDGER_UNAVAILABLE", "before there is a list");
}
