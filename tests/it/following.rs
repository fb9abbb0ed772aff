//! Following the list over real sockets: no cut is missed, whatever becomes of streams and connections.

use std::collections::BTreeSet;
use std::time::Duration;

use curfew::ambient::Stopwatch;
use curfew::client::{Client, Config, api};
use curfew::formats::jws;
use curfew::formats::list::{List, MAX_LIST};
use curfew::testing::Broker;
use curfew::verify::{Applied, KeySet, Moment, RevocationState};
use tokio::sync::watch;
use tonic::Streaming;

use crate::harness::{self, AUDIENCE, REGISTRY, rounds};
use crate::service::Service;

/// As many streams as one connection of the test carries.
const STREAMS: usize = 50;

pub(crate) fn read(signed: &str) -> List {
    List::decode(&jws::parse(signed, MAX_LIST).unwrap().payload).unwrap()
}

async fn follow(client: &Client, since: u64, instance: &str) -> Streaming<api::WatchResponse> {
    let ask = api::WatchRequest { since, instance: instance.to_owned() };
    client.revocations().watch(ask).await.unwrap().into_inner()
}

/// Something to revoke, one by one.
pub(crate) async fn credentials(broker: &Broker, count: usize) -> Vec<String> {
    let client = Client::connect(broker.identity("/payments/api").unwrap().config).await.unwrap();
    let one = api::IssueTokenRequest { environment: "production".to_owned(), audience: AUDIENCE.to_owned(), ..Default::default() };
    let mut ids = Vec::new();
    while ids.len() < count {
        let requests = vec![one.clone(); 500.min(count - ids.len())];
        let issued = client.credentials().batch_issue_tokens(api::BatchIssueTokensRequest { requests }).await.unwrap().into_inner();
        for token in issued.tokens {
            let Some(api::batched_token::Outcome::Issued(issued)) = token.outcome else { panic!("it was refused") };
            ids.push(issued.issuance.unwrap().credential_id);
        }
    }
    ids
}

/// Revokes them, one after the other; answers the positions.
pub(crate) async fn revoke(administrator: &Client, credentials: Vec<String>) -> BTreeSet<u64> {
    let mut positions = BTreeSet::new();
    for id in credentials {
        let subject = Some(api::revoke_request::Subject::CredentialId(id));
        let ask = api::RevokeRequest { subject, reason: api::RevocationReason::KeyCompromise.into(), ..Default::default() };
        positions.insert(administrator.revocations().revoke(ask).await.unwrap().into_inner().position);
    }
    positions
}

/// The positions of all cuts, as the ledger has them.
async fn cuts(administrator: &Client) -> BTreeSet<u64> {
    let mut positions = BTreeSet::new();
    let mut from = 1;
    loop {
        let ask = api::LedgerListRequest { from, page_size: 1000 };
        let entries = administrator.ledger().list(ask).await.unwrap().into_inner().entries;
        let Some(last) = entries.last() else { return positions };
        from = last.position + 1;
        positions.extend(entries.iter().filter(|entry| entry.event == "cut").map(|entry| entry.position));
    }
}

/// What a follower has heard: each list has to go on from the last one, or say everything.
#[derive(Debug, Default)]
struct Heard {
    position: u64,
    cuts: BTreeSet<u64>,
    lists: usize,
}

impl Heard {
    fn hear(&mut self, list: &List) {
        match list.since {
            Some(since) => assert_eq!(since.get(), self.position, "a gap, or a step back"),
            None => self.cuts.clear(),
        }
        self.position = list.position.get();
        self.cuts.extend(list.cuts.iter().map(|cut| cut.position.get()));
        self.lists += 1;
    }

    async fn until(mut self, mut stream: Streaming<api::WatchResponse>, mut end: watch::Receiver<u64>) -> Self {
        loop {
            let goal = *end.borrow_and_update();
            if goal != 0 && self.position >= goal {
                return self;
            }
            tokio::select! {
                list = stream.message() => self.hear(&read(&list.unwrap().unwrap().list)),
                changed = end.changed() => changed.unwrap(),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_followers_none_misses_one_of_many_revocations() {
    let (followers, revocations) = (rounds(200, 2000), rounds(100, 1000));
    let broker = Broker::start(REGISTRY).await.unwrap();
    let administrator = Client::connect(broker.administrator().unwrap().config).await.unwrap();
    let credentials = credentials(&broker, revocations).await;
    let config = broker.identity("/payments/api").unwrap().config;
    let (end, goal) = watch::channel(0);
    let mut following = Vec::new();
    let mut client = Client::connect(config.clone()).await.unwrap();
    for number in 0..followers {
        if number % STREAMS == 0 {
            client = Client::connect(config.clone()).await.unwrap();
        }
        let stream = follow(&client, 0, &format!("f{number}")).await;
        following.push(tokio::spawn(Heard::default().until(stream, goal.clone())));
    }
    let revoked = revoke(&administrator, credentials).await;
    assert_eq!(revoked, cuts(&administrator).await, "what was answered is what stands in the ledger");
    end.send_replace(*revoked.last().unwrap());
    for follower in following {
        let heard = follower.await.unwrap();
        assert_eq!(heard.cuts, revoked, "{} lists", heard.lists);
    }
}

/// A generator of which the seed says all.
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }
}

/// Follows, and leaves after a few lists, at any moment, by ending the stream or the connection.
async fn restless(config: Config, seed: u64, keys: KeySet, moment: Moment, mut end: watch::Receiver<u64>) -> (RevocationState, u64) {
    let mut chance = Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) + 1);
    let mut state = RevocationState::default();
    let mut client = Client::connect(config.clone()).await.unwrap();
    let mut departures = 0;
    loop {
        if chance.below(4) == 0 {
            client = Client::connect(config.clone()).await.unwrap();
        }
        let since = state.position().map_or(0, |position| position.get());
        let mut stream = follow(&client, since, &format!("r{seed}")).await;
        departures += 1;
        for _ in 0..chance.below(5) {
            let goal = *end.borrow_and_update();
            if goal != 0 && state.position().is_some_and(|position| position.get() >= goal) {
                return (state, departures);
            }
            let list = tokio::select! {
                list = stream.message() => list.unwrap().unwrap().list,
                _ = end.changed() => continue,
            };
            // What was received and not applied before it went is what a crash loses.
            if chance.below(3) != 0 {
                assert!(matches!(state.apply(&list, &keys, moment), Ok(Applied::Advanced(_))));
            } else {
                break;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_any_reconnect_a_follower_goes_on_without_a_gap() {
    let broker = Broker::start(REGISTRY).await.unwrap();
    let administrator = Client::connect(broker.administrator().unwrap().config).await.unwrap();
    let credentials = credentials(&broker, rounds(150, 3000)).await;
    let config = broker.identity("/payments/api").unwrap().config;
    let keys = KeySet::from_json(&broker.keys().unwrap()).unwrap();
    let (end, goal) = watch::channel(0);
    let restless = |seed| tokio::spawn(restless(config.clone(), seed, keys.clone(), broker.moment(), goal.clone()));
    let following: Vec<_> = (1..=8).map(restless).collect();
    let revoked = revoke(&administrator, credentials).await;
    assert_eq!(revoked, cuts(&administrator).await);
    end.send_replace(*revoked.last().unwrap());
    let mut departures = 0;
    for follower in following {
        let (state, departed) = follower.await.unwrap();
        departures += departed;
        assert_eq!(state.cuts().iter().map(|cut| cut.position.get()).collect::<BTreeSet<_>>(), revoked);
        assert!(!state.is_forked());
    }
    assert!(departures > 16, "nobody left: {departures}");
}

#[test]
fn a_broker_that_stops_ends_its_streams_at_once_and_the_next_one_goes_on() {
    let mut broker = harness::Broker::start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let identity = broker.identity("payments/api");
    let mut stream = runtime.block_on(async { follow(&broker.client(&identity).await, 0, "one").await });
    let service = Service::without_list(&broker);
    let list = runtime.block_on(stream.message()).unwrap().unwrap().list;
    service.apply(&list).unwrap();
    let watch = Stopwatch::start();
    let ended = std::thread::spawn(move || {
        let _ended = broker.stop();
        broker
    });
    // Beats may come until then.
    while runtime.block_on(stream.message()).unwrap().is_some() {}
    let mut broker = ended.join().unwrap();
    assert!(watch.elapsed() < Duration::from_secs(8), "the stream held it up: {:?}", watch.elapsed());

    broker.serve();
    let administrator = broker.administrator();
    let line = ["owner", "revoke", "payments", "--reason", "cessation-of-operation", "--wait", "published", "--field", "position"];
    let cut: u64 = broker.curfew(&administrator, line).done().trim().parse().unwrap();
    let mut stream = runtime.block_on(async { follow(&broker.client(&identity).await, service.position(), "one").await });
    while service.position() < cut {
        let list = runtime.block_on(stream.message()).unwrap().unwrap().list;
        service.apply(&list).unwrap();
    }
    assert!(service.position() >= cut);
}
