//! Tasks end, and everything issued under them.

use std::collections::VecDeque;
use std::time::Duration;

use super::{QUOTAS, START, World, administrator, caller, denied};
use crate::broker::{Error, Opening, Quotas};
use crate::model::{Bound, CUT_GRACE, DenialCode, Position, Timestamp};

async fn open(world: &World, deadline: Timestamp) -> Result<Position, Error> {
    let ask =
        Opening { owner: None, environment: "production".parse().unwrap(), workload: None, deadline, purpose: "a job".parse().unwrap() };
    world.broker.open_task(&caller("/payments/api"), ask).await.map(|task| task.number)
}

fn after(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

#[tokio::test]
async fn closing_a_task_ends_what_was_issued_under_it_and_is_idempotent() {
    let world = World::new().await;
    let api = caller("/payments/api");
    let task = open(&world, after(1800)).await.unwrap();
    let (inside, outside) = (world.token_in(&api, "production", Some(task)).await.unwrap(), world.token(&api).await.unwrap());
    let closed = world.broker.close_task(&api, task, None).await.unwrap();
    assert_eq!((closed.ended.total, closed.repeated), (1, false));
    assert!(world.is_dead(&inside).await && !world.is_dead(&outside).await);
    assert_eq!(denied(world.token_in(&api, "production", Some(task)).await), DenialCode::TaskClosed);

    let again = world.broker.close_task(&api, task, None).await.unwrap();
    assert_eq!((again.position, again.repeated), (closed.position, true));
    // Long after, when the task is forgotten, it still answers the first position.
    world.hand.set(after(7 * 24 * 3600));
    open(&world, after(7 * 24 * 3600 + 60)).await.unwrap();
    let again = world.broker.close_task(&api, task, None).await.unwrap();
    assert_eq!((again.position, again.repeated), (closed.position, true));
    let story = world.broker.task(&api, task).await.unwrap();
    assert_eq!((story.closed, story.opened_at, story.deadline), (closed.position, START, after(1800)));
    let denied_to = caller("/acme/sync");
    assert_eq!(denied(world.broker.task(&denied_to, task).await), DenialCode::PolicyDenied);
    assert_eq!(denied(world.broker.close_task(&denied_to, task, None).await), DenialCode::PolicyDenied);
    for never in [Position::new(1), Position::new(1_000_000)] {
        assert!(matches!(world.broker.task(&administrator(), never).await, Err(Error::NotFound { .. })));
        assert_eq!(denied(world.broker.task(&caller("/nobody"), never).await), DenialCode::IdentityUnknown);
    }
    assert_eq!(denied(world.broker.task(&caller("/nobody"), task).await), DenialCode::IdentityUnknown, "nothing is told of what exists");
    assert_eq!(denied(world.broker.close_task(&caller("/nobody"), task, None).await), DenialCode::IdentityUnknown);
}

#[tokio::test]
async fn a_workload_lists_the_tasks_of_its_owner_and_of_nobody_else() {
    let world = World::new().await;
    let (api, payments) = (caller("/payments/api"), || "payments".parse().ok());
    let task = open(&world, after(60)).await.unwrap();
    let (listed, more) = world.broker.tasks(&api, payments(), 10).await.unwrap();
    assert_eq!((listed.iter().map(|story| story.number).collect::<Vec<_>>(), more), (vec![task], false));
    for (who, owner) in [(&caller("/acme/sync"), payments()), (&api, "acme".parse().ok()), (&api, None)] {
        assert_eq!(denied(world.broker.tasks(who, owner, 10).await), DenialCode::PolicyDenied);
    }
    assert_eq!(world.broker.tasks(&administrator(), None, 10).await.unwrap().0.len(), 1);
}

#[tokio::test]
async fn an_owner_has_so_many_open_tasks_and_no_more() {
    let world = World::within(Quotas { owner_tasks: 3, ..QUOTAS }).await;
    let first = open(&world, after(60)).await.unwrap();
    open(&world, after(60)).await.unwrap();
    open(&world, after(90)).await.unwrap();
    assert_eq!(denied(open(&world, after(60)).await), DenialCode::TooManyTasks);
    world.broker.close_task(&administrator(), first, None).await.unwrap();
    world.broker.close_task(&administrator(), first, None).await.unwrap();
    open(&world, after(60)).await.expect("one was closed");
    assert_eq!(denied(open(&world, after(60)).await), DenialCode::TooManyTasks, "closing it again makes no more room");
    world.hand.set(after(60));
    world.broker.end_what_is_due().await.unwrap();
    open(&world, after(90)).await.expect("two have ended");
}

#[tokio::test]
async fn a_task_that_reaches_its_deadline_is_closed_by_the_broker() {
    let world = World::new().await;
    let (soon, later) = (open(&world, after(60)).await.unwrap(), open(&world, after(600)).await.unwrap());
    world.hand.set(after(59));
    assert_eq!(world.broker.end_what_is_due().await.unwrap(), 0);
    world.hand.set(after(60));
    assert_eq!(world.broker.end_what_is_due().await.unwrap(), 1);
    assert_eq!(denied(world.token_in(&caller("/payments/api"), "production", Some(soon)).await), DenialCode::TaskClosed);
    world.token_in(&caller("/payments/api"), "production", Some(later)).await.expect("the other one is open");
}

#[tokio::test]
async fn deadlines_are_kept_while_the_clock_runs() {
    let world = World::new().await;
    let keeper = tokio::spawn({
        let broker = std::sync::Arc::clone(&world.broker);
        async move { broker.keep_ends().await }
    });
    let task = open(&world, after(60)).await.unwrap();
    let mut changes = world.broker.ledger().watch();
    changes.mark_unchanged();
    world.hand.set(after(61));
    changes.changed().await.unwrap();
    assert!(world.broker.ledger().facts().task(task).is_none_or(|task| task.closed.is_some()));
    keeper.abort();
}

#[tokio::test]
async fn nothing_under_a_task_lives_beyond_its_deadline() {
    let world = World::new().await;
    let task = open(&world, after(90)).await.unwrap();
    let token = world.token_in(&caller("/payments/api"), "production", Some(task)).await.unwrap();
    assert_eq!((token.expires_at, token.bound_by), (after(90), Bound::Task));
}

#[tokio::test]
async fn a_task_with_nothing_alive_needs_no_cut_in_the_list() {
    let world = World::new().await;
    let (empty, used) = (open(&world, after(1800)).await.unwrap(), open(&world, after(1800)).await.unwrap());
    let token = world.token_in(&caller("/payments/api"), "production", Some(used)).await.unwrap();
    for task in [empty, used] {
        world.broker.close_task(&administrator(), task, None).await.unwrap();
    }
    let facts = world.broker.ledger().facts();
    assert!(facts.cuts().get(empty).is_none());
    assert_eq!(facts.cuts().get(used).map(|cut| cut.ends), Some(token.expires_at.plus(CUT_GRACE)));
}

#[tokio::test]
async fn a_task_belongs_to_its_owner_and_environment() {
    let world = World::new().await;
    let task = open(&world, after(600)).await.unwrap();
    assert_eq!(denied(world.token_in(&caller("/acme/sync"), "production", Some(task)).await), DenialCode::TaskNotAllowed);
    assert_eq!(denied(world.token_in(&caller("/payments/api"), "staging", Some(task)).await), DenialCode::TaskNotAllowed);
    assert_eq!(denied(world.broker.close_task(&caller("/acme/sync"), task, None).await), DenialCode::PolicyDenied);
    assert_eq!(denied(world.token_in(&caller("/payments/api"), "production", Some(Position::new(2))).await), DenialCode::TaskUnknown);
}

#[tokio::test]
async fn a_deadline_lies_ahead_and_not_too_far() {
    let world = World::new().await;
    for deadline in [START, after(24 * 3600 + 1)] {
        assert!(matches!(open(&world, deadline).await, Err(Error::Invalid(invalid)) if invalid.field == "deadline"));
    }
}

/// A token lives for five minutes, and its cut stays for two more: of jobs of two minutes those stand in the list that
/// ended in the last five, and of jobs that end at once those of the last seven, whatever was issued before.
#[tokio::test]
async fn the_list_holds_the_tasks_of_the_last_minutes_and_no_more() {
    assert_eq!(most_listed(120).await, 300);
    assert_eq!(most_listed(0).await, 420);
}

/// How many cuts stand in the list at most, for each job that ends a second, of jobs that take so many seconds.
async fn most_listed(takes: usize) -> usize {
    let (rate, seconds) = if std::env::var_os("CURFEW_TEST_LONG").is_some() { (10, 3600) } else { (1, 600) };
    let world = World::within(Quotas { owner_tasks: 10_000, ..QUOTAS }).await;
    let api = caller("/payments/api");
    let mut running = VecDeque::new();
    let mut most = 0;
    for second in 0..seconds {
        world.hand.set(after(second));
        for _ in 0..rate {
            let task = open(&world, after(second + 3600)).await.unwrap();
            world.token_in(&api, "production", Some(task)).await.unwrap();
            running.push_back(task);
        }
        while running.len() > takes * rate {
            let ended = running.pop_front().unwrap();
            world.broker.close_task(&api, ended, None).await.unwrap();
        }
        most = most.max(world.broker.ledger().facts().cuts().listed(after(second)).count());
    }
    assert_eq!(most % rate, 0, "{most}");
    most / rate
}
