//! A clock that jumps: nothing that was ended comes back, and nothing stands still.

use std::time::Duration;

use super::{START, World, administrator, caller};
use crate::broker::Opening;
use crate::model::{Cut, Position, Timestamp};

const HOUR: Duration = Duration::from_secs(3600);

fn after(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

/// What the list says now.
fn listed(world: &World) -> Vec<Cut> {
    let facts = world.broker.ledger().facts();
    let mut cuts: Vec<Cut> = facts.cuts().listed(world.broker.clock().now()).copied().collect();
    cuts.sort();
    cuts
}

/// Something is committed, so that the ledger takes note of the time.
async fn commit(world: &World) {
    world.token(&caller("/acme/sync")).await.unwrap();
    open(world, world.broker.clock().now().plus(Duration::from_secs(60))).await;
}

async fn open(world: &World, deadline: Timestamp) -> Position {
    let (environment, purpose) = ("production".parse().unwrap(), "a job".parse().unwrap());
    let ask = Opening { owner: None, environment, workload: None, deadline, purpose };
    world.broker.open_task(&caller("/payments/batch"), ask).await.unwrap().number
}

#[tokio::test]
async fn what_was_cut_before_the_clock_ran_ahead_is_in_the_list_when_it_is_set_back() {
    let world = World::new().await;
    world.token(&caller("/payments/api")).await.unwrap();
    world.broker.revoke(&administrator(), super::environment_named("staging"), super::withdrawal()).await.unwrap();
    let before = listed(&world);
    assert_eq!(before.len(), 1);
    world.hand.set(START.plus(HOUR));
    commit(&world).await;
    assert_eq!(listed(&world), []);
    world.hand.set(after(1));
    assert_eq!(listed(&world), before);
    commit(&world).await;
    assert_eq!(listed(&world), before, "also when the ledger has taken note of the time again");
}

#[tokio::test]
async fn what_is_cut_while_the_clock_runs_ahead_or_after_it_was_set_back_is_in_the_list() {
    let world = World::new().await;
    let (api, batch) = (caller("/payments/api"), caller("/payments/batch"));
    let task = open(&world, after(2 * 3600)).await;
    let under_task = world.token_in(&batch, "production", Some(task)).await.unwrap();
    let issued = world.token(&api).await.unwrap();
    assert_eq!((issued.expires_at, under_task.expires_at), (after(300), after(300)));
    world.hand.set(START.plus(HOUR));
    commit(&world).await;
    world.broker.close_task(&administrator(), task, None).await.unwrap();
    world.broker.revoke(&administrator(), super::environment_named("staging"), super::withdrawal()).await.unwrap();
    world.hand.set(after(1));
    assert_eq!(listed(&world).len(), 2, "both ended by a clock that ran ahead");
    assert!(listed(&world).iter().any(|cut| cut.number == task));
    world.revoke_owner("payments").await.unwrap();
    assert_eq!(listed(&world).len(), 3, "though the last entry is of an hour later");
}

#[tokio::test]
async fn what_is_decided_is_decided_by_the_clock_and_not_by_an_entry_from_when_it_ran_ahead() {
    let world = World::new().await;
    world.hand.set(START.plus(HOUR));
    commit(&world).await;
    world.hand.set(after(1));
    let task = open(&world, after(600)).await;
    let issuance = world.token_in(&caller("/payments/batch"), "production", Some(task)).await.unwrap();
    assert_eq!(issuance.expires_at, after(301));
    assert_eq!(world.broker.end_what_is_due().await.unwrap(), 0, "its deadline has not come");
}

/// POSIX time counts no leap second: 23:59:60 is the second before or after it once more, or every
/// second of that day is a little longer. Either way the clock stands or steps back by one second.
#[tokio::test]
async fn a_leap_second_means_nothing() {
    let world = World::new().await;
    let api = caller("/payments/api");
    let first = world.token(&api).await.unwrap();
    world.hand.set(after(1));
    let second = world.token(&api).await.unwrap();
    world.hand.set(START);
    let again = world.token(&api).await.unwrap();
    assert_eq!((first.expires_at, second.expires_at, again.expires_at), (after(300), after(301), after(300)));
    assert!(first.position < second.position && second.position < again.position);
    world.revoke_owner("payments").await.unwrap();
    assert!(world.is_dead(&first).await && world.is_dead(&again).await);
}
