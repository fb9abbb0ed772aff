//! Many followers, several to a connection: each reads its stream, comes back if it ends, and says how far it has come.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use curfew::client::{Client, api};
use curfew::formats::jws;
use curfew::formats::list::{List, MAX_LIST};
use tokio::sync::{Notify, watch};
use tonic::{Status, Streaming};

use crate::harness::Broker;
use crate::one::{issue, revoke};
use crate::process::Process;

/// Streams of one connection.
const SHARED_BY: usize = 200;

/// The followers.
pub(crate) struct Crowd {
    followers: usize,
    bytes: f64,
    goal: watch::Sender<u64>,
    reached: Arc<Reached>,
}

#[derive(Default)]
struct Reached {
    count: AtomicUsize,
    changed: Notify,
    /// Streams that ended, or did not begin, and were asked for again.
    ended: AtomicUsize,
}

/// When a stream is asked for again.
const COME_BACK: Duration = Duration::from_millis(500);

impl Crowd {
    /// Begins so many streams, and waits until each has its first list.
    pub(crate) async fn gather(broker: &Broker, followers: usize) -> Self {
        let (before, _) = Process(broker.process_id()).resident_mib();
        let identity = broker.identity("ledger/verifier");
        let (goal, target) = watch::channel(1);
        let crowd = Self { followers, bytes: 0.0, goal, reached: Arc::default() };
        let mut client = broker.client(&identity).await;
        for number in 0..followers {
            if number % SHARED_BY == 0 {
                client = broker.client(&identity).await;
            }
            // One after the other, so that they do not all begin in one moment.
            let stream = begin(&client, number, 0).await.ok();
            tokio::spawn(follow((client.clone(), number), stream, target.clone(), Arc::clone(&crowd.reached)));
        }
        crowd.all().await;
        let (after, _) = Process(broker.process_id()).resident_mib();
        Self { bytes: (after - before) * 1_048_576.0, ..crowd }
    }

    /// How much more memory the broker has than before, by follower.
    pub(crate) fn bytes_a_follower(&self) -> f64 {
        self.bytes / self.followers as f64
    }

    /// How many streams were asked for again.
    pub(crate) fn ended(&self) -> usize {
        self.reached.ended.load(Ordering::SeqCst)
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

async fn begin(client: &Client, number: usize, since: u64) -> Result<Streaming<api::WatchResponse>, Status> {
    let ask = api::WatchRequest { since, instance: format!("follower-{number}") };
    Ok(client.revocations().watch(ask).await?.into_inner())
}

/// Reads for ever, and counts itself once for each goal that it has reached.
async fn follow(
    (client, number): (Client, usize),
    mut stream: Option<Streaming<api::WatchResponse>>,
    mut goal: watch::Receiver<u64>,
    reached: Arc<Reached>,
) {
    let (mut position, mut counted) = (0, 0);
    loop {
        let wanted = *goal.borrow_and_update();
        if position >= wanted && counted != wanted {
            counted = wanted;
            reached.count.fetch_add(1, Ordering::SeqCst);
            reached.changed.notify_one();
        }
        let Some(lists) = &mut stream else {
            reached.ended.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(COME_BACK).await;
            stream = begin(&client, number, position).await.ok();
            continue;
        };
        tokio::select! {
            list = lists.message() => match list {
                Ok(Some(answer)) => position = covered(&answer.list),
                Ok(None) | Err(_) => stream = None,
            },
            // The end of the benchmark.
            changed = goal.changed() => if changed.is_err() { return },
        }
    }
}

/// The position that a list covers.
fn covered(signed: &str) -> u64 {
    let payload = jws::parse(signed, MAX_LIST).expect("signed").payload;
    List::decode(&payload).expect("a list").position.get()
}
