//! A source that ends little at a time: what it ended within a day counts together, whatever happens in between.

use std::ops::Range;

use ring::digest::{SHA256, digest};

use super::*;
use crate::broker::{Doubted, Said};
use crate::directory::{Document, Snapshot, WorkloadSpec};
use crate::model::{SourceName, SpiffeId};

const HOUR: Duration = Duration::from_secs(3600);

fn name() -> SourceName {
    "assets".parse().unwrap()
}

fn path(number: usize) -> String {
    format!("/assets/w{number:02}")
}

/// These workloads, as the source names them.
fn said(numbers: impl IntoIterator<Item = usize>) -> Said {
    let workload = |number| WorkloadSpec {
        spiffe_id: format!("spiffe://example.org{}", path(number)).parse::<SpiffeId>().unwrap(),
        owner: "payments".parse::<OwnerId>().unwrap(),
        purpose: "a job".parse().unwrap(),
        environments: ["production".parse().unwrap()].into(),
        valid_until: None,
        business_owner: None,
        technical_owner: None,
    };
    let workloads: Vec<_> = numbers.into_iter().map(workload).collect();
    let named: Vec<String> = workloads.iter().map(|workload| workload.spiffe_id.to_string()).collect();
    let sum = digest(&SHA256, named.join(" ").as_bytes()).as_ref().try_into().unwrap();
    Said { digest: sum, snapshot: Snapshot::from(Document { workloads, ..Document::default() }), wrong: 0, problems: Vec::new() }
}

impl World {
    /// As the loop of a source does it. Gives what is not believed.
    async fn says(&self, numbers: impl IntoIterator<Item = usize>) -> Option<Doubted> {
        self.broker.names_beside(&name());
        self.broker.hear_source(&name(), Ok(said(numbers))).await.unwrap();
        self.broker.source(&administrator(), &name()).await.unwrap().doubted
    }

    /// It says these workloads less one, until only those from `to` on are left. Each time it is believed, an hour later.
    async fn trickles(&self, numbers: Range<usize>, to: usize) {
        for first in numbers.start + 1..=to {
            self.passes(HOUR);
            assert_eq!(self.says(first..numbers.end).await, None, "{first}");
        }
    }

    fn passes(&self, time: Duration) {
        self.hand.set(self.broker.clock().now().plus(time));
    }

    async fn lives(&self, number: usize) -> bool {
        self.token(&caller(&path(number))).await.is_ok()
    }

    async fn confirms(&self, doubted: &Doubted) {
        self.broker.confirm_source(&administrator(), &name(), doubted.digest.unwrap()).await.unwrap();
    }
}

/// What is told of a loss that is too much of a day.
fn told(doubted: Option<&Doubted>) -> Option<(&str, usize, usize)> {
    doubted.map(|doubted| (doubted.why.as_str(), doubted.ends, doubted.of))
}

/// What is told of one more record that would end, where so many are left.
fn one_of(left: usize) -> String {
    format!("it would end 1 of {left} records besides those that ended before, and at most 10 in a hundred may end within a day")
}

#[tokio::test]
async fn a_source_that_loses_a_record_an_hour_ends_no_more_than_its_share_of_a_day_and_goes_on_after_it() {
    let world = World::new().await;
    assert_eq!(world.says(0..40).await, None);
    let token = world.token(&caller(&path(4))).await.unwrap();
    world.trickles(0..40, 4).await;
    world.passes(HOUR);
    for _ in 0..2 {
        let doubted = world.says(5..40).await;
        assert_eq!(told(doubted.as_ref()), Some((one_of(36).as_str(), 5, 40)));
        assert_eq!(doubted.and_then(|doubted| doubted.until), Some(START.plus(26 * HOUR)), "3 are few; 4 of 39 are too many");
    }
    assert!(!world.is_dead(&token).await && world.lives(4).await && !world.lives(3).await);
    assert_eq!(world.says(4..41).await, None, "what ends nothing is believed, and applied");
    assert!(world.lives(40).await);

    // The first loss was an hour after the start. That it is over is seen though nothing else changes.
    world.hand.set(START.plus(24 * HOUR).plus(HOUR).minus(Duration::from_millis(1)));
    assert_eq!(told(world.says(5..41).await.as_ref()), Some((one_of(37).as_str(), 5, 41)));
    let head = world.head();
    world.passes(Duration::from_millis(1));
    assert_eq!((world.head(), world.says(5..41).await), (head, None));
    assert!(world.head() > head && !world.lives(4).await);
    world.passes(Duration::from_millis(1));
    assert_eq!(told(world.says(6..41).await.as_ref()), Some((one_of(36).as_str(), 5, 40)), "one is over, and one has come");
}

#[tokio::test]
async fn what_a_person_lets_through_counts_no_more_nor_does_what_ended_before_it() {
    let world = World::new().await;
    world.says(0..40).await;
    world.trickles(0..40, 4).await;
    let doubted = world.says(9..40).await.unwrap();
    assert_eq!((doubted.ends, doubted.of, doubted.changes.len()), (9, 40, 5));
    world.confirms(&doubted).await;
    assert_eq!(world.says(9..40).await, None, "exactly that");
    world.trickles(9..40, 12).await;
    assert_eq!(told(world.says(13..40).await.as_ref()), Some((one_of(28).as_str(), 4, 31)), "a day from then on");

    // If it says something else by then, that is judged by itself.
    let doubted = world.says(13..40).await.unwrap();
    world.confirms(&doubted).await;
    let alone = "it would end 8 of 28 records, and at most 10 in a hundred may end within a day";
    assert_eq!(told(world.says(20..40).await.as_ref()), Some((alone, 8, 28)));
    assert_eq!(world.says(14..40).await, None);
}

#[tokio::test]
async fn a_start_forgets_neither_what_ended_within_a_day_nor_that_a_person_let_it_through() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ledger.db");
    let restart = async |world: World| {
        world.broker.ledger().close().await;
        let now = world.broker.clock().now();
        drop(world);
        let world = World::kept(file.clone()).await;
        world.hand.set(now);
        world
    };
    let world = World::kept(file.clone()).await;
    world.says(0..40).await;
    world.trickles(0..40, 4).await;
    let world = restart(world).await;
    let doubted = world.says(5..40).await;
    assert_eq!(told(doubted.as_ref()), Some((one_of(36).as_str(), 5, 40)));
    world.confirms(&doubted.unwrap()).await;
    let world = restart(world).await;
    assert_eq!(world.says(5..40).await, None, "it is one of 36");
    let records = world.broker.source(&administrator(), &name()).await.unwrap().records;
    assert_eq!(records, 35);
    world.broker.ledger().close().await;
}

#[tokio::test]
async fn a_record_that_comes_back_counts_once_however_often_it_goes() {
    let world = World::new().await;
    world.says(0..40).await;
    for _ in 0..5 {
        world.passes(HOUR);
        assert_eq!(world.says(4..40).await, None);
        world.passes(HOUR);
        assert_eq!(world.says(0..40).await, None);
    }
    assert!(world.lives(0).await);
    world.passes(HOUR);
    assert_eq!(told(world.says((0..4).chain(5..40)).await.as_ref()), Some((one_of(40).as_str(), 5, 40)), "it is there, and has ended");
}

#[tokio::test]
async fn what_others_end_does_not_count_against_a_source() {
    let world = World::new().await;
    world.says(0..40).await;
    for number in 0..6 {
        let workload = Target::Workload(format!("spiffe://example.org{}", path(number)).parse().unwrap());
        world.broker.revoke(&administrator(), workload, withdrawal()).await.unwrap();
    }
    world.trickles(0..40, 4).await;
    assert!(world.says(5..40).await.is_some(), "its own do, whoever ended them first");
    world.revoke_owner("payments").await.unwrap();
    assert_eq!(told(world.says(5..40).await.as_ref()), Some((one_of(36).as_str(), 5, 40)));
    assert_eq!(world.says(4..40).await, None);
    let facts = world.broker.ledger().facts();
    let lately = facts.turnover().of(&name(), world.broker.clock().now());
    assert_eq!((lately.len(), facts.turnover().of(&"others".parse().unwrap(), START).len()), (4, 0));
}
