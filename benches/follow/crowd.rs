//! Many followers, several to a connection: each reads its stream, and says how far it has come.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use curfew::client::{Client, api};
use curfew::formats::jws;
use curfew::formats::list::{List, MAX_LIST};
use tokio::sync::{Notify, watch};
use tonic::Streaming;

use crate::harness::Broker;
use crate::one::{issue, revoke};
use crate::process::Process;

/// Streams of one connection.
const SHARED_BY: usize = 200;

/// The followers.
pub(crate) struct Crowd {
    followers: usize,
    bytes: u64,
    goal: watch::Sender<u64>,
    reached: Arc<Reached>,
}

#[derive(Default)]
struct Reached {
    count: AtomicUsize,
    changed: Notify,
}

impl Crowd {
    /// Begins so many streams, and waits until each has its first list.
    pub(crate) async fn gather(broker: &Broker, followers: usize) -> Self {
        let before = Process(broker.process_id()).resident_bytes();
        let identity = broker.identity("ledger/verifier");
        let (goal, target) = watch::channel(1);
        let crowd = Self { followers, bytes: 0, goal, reached: Arc::default() };
        let mut client = broker.client(&identity).await;
        for number in 0..followers {
            if number % SHARED_BY == 0 {
                client = broker.client(&identity).await;
            }
            let stream = begin(&client, number).await;
            tokio::spawn(follow(stream, target.clone(), Arc::clone(&crowd.reached)));
        }
        crowd.all().await;
        let after = Process(broker.process_id()).resident_bytes();
        Self { bytes: after.saturating_sub(before), ..crowd }
    }

    /// How much more memory the broker has than before, by follower.
    pub(crate) fn bytes_a_follower(&self) -> f64 {
        self.bytes as f64 / self.followers as f64
    }

    /// How long after the return of each revocation all have it.
    pub(crate) async fn reach_all(&self, broker: &Broker, rounds: usize) -> Vec<Duration> {
        let client = broker.client(&broker.identity("payments/api")).await;
        let administrator = broker.client(&broker.administrator()).await;
        let mut times = Vec::new();
        for _ in 0..rounds {
            let (_, id) = issue(&client).await;
            let position = revoke(&administrator, id).await;
            let returned = Instant::now();
            self.reached.count.store(0, Ordering::SeqCst);
            self.goal.send_replace(position);
            self.all().await;
            times.push(returned.elapsed());
        }
        times
    }

    async fn all(&self) {
        while self.reached.count.load(Ordering::SeqCst) < self.followers {
            self.reached.changed.notified().await;
        }
    }
}

async fn begin(client: &Client, number: usize) -> Streaming<api::WatchResponse> {
    let ask = api::WatchRequest { since: 0, instance: format!("follower-{number}") };
    client.revocations().watch(ask).await.expect("a stream").into_inner()
}

/// Reads for ever, and counts itself once for each goal that it has reached.
async fn follow(mut stream: Streaming<api::WatchResponse>, mut goal: watch::Receiver<u64>, reached: Arc<Reached>) {
    let (mut position, mut counted) = (0, 0);
    loop {
        let wanted = *goal.borrow_and_update();
        if position >= wanted && counted != wanted {
            counted = wanted;
            reached.count.fetch_add(1, Ordering::SeqCst);
            reached.changed.notify_one();
        }
        tokio::select! {
            list = stream.message() => {
                let signed = list.expect("a list").expect("it goes on").list;
                let payload = jws::parse(&signed, MAX_LIST).expect("signed").payload;
                position = List::decode(&payload).expect("a list").position.get();
            }
            // The end of the benchmark.
            changed = goal.changed() => if changed.is_err() { return },
        }
    }
}
