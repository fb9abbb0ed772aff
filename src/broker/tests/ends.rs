//! Owners end with their contracts, and workloads at their `valid_until`: by themselves, to the second.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch::Receiver;

use super::{START, World, administrator, caller, denied, owner_named, withdrawal};
use crate::broker::{Error, Target, Withdrawal};
use crate::model::{CUT_GRACE, DenialCode, Event, Position, Recording, Standing, Timestamp, Workload};

/// When the contract of the vendor `acme` ends, and until when its workload is registered.
const CONTRACT_END: &str = "2027-06-30T00:00:00Z";
const VALID_UNTIL: &str = "2027-02-01T00:00:00Z";

fn at(time: &str) -> Timestamp {
    time.parse().expect("a time")
}

fn just_before(time: &str) -> Timestamp {
    Timestamp::from_millis(at(time).millis() - 1)
}

/// The registry of [`super::REGISTRY`], with another contract end and no end of the workload.
fn registry(contract_end: &str) -> String {
    super::REGISTRY.replace(CONTRACT_END, contract_end).replace(&format!(", valid_until: {VALID_UNTIL}"), "")
}

fn standing(world: &World, owner: &str, now: Timestamp) -> Standing {
    let facts = world.broker.ledger().facts();
    facts.owner(&owner.parse().expect("an id")).expect("known").standing(now)
}

/// An entry comes, by itself.
async fn comes(changes: &mut Receiver<Position>) {
    let changed = tokio::time::timeout(Duration::from_secs(20), changes.changed()).await;
    changed.expect("something ends by itself").expect("the ledger is open");
}

/// What the last entry says, and by whom.
async fn last(world: &World) -> (Event, bool) {
    let stored = world.broker.ledger().find(world.head()).await.unwrap().expect("there");
    let entry = stored.entry.expect("readable");
    (entry.event, entry.actor.is_none())
}

#[tokio::test]
async fn a_vendor_is_offboarded_at_the_second_its_contract_ends_and_nobody_else_is() {
    let world = World::new().await;
    world.apply(&registry(CONTRACT_END), 0).await.unwrap();
    world.hand.set(just_before(CONTRACT_END));
    assert_eq!(world.broker.end_what_is_due().await.unwrap(), 0);
    let keeper = tokio::spawn({
        let broker = Arc::clone(&world.broker);
        async move { broker.keep_ends().await }
    });
    let mut changes = world.broker.ledger().watch();
    changes.mark_unchanged();
    world.hand.set(at(CONTRACT_END));
    comes(&mut changes).await;
    keeper.abort();
    let (event, by_the_broker) = last(&world).await;
    let Event::Cut(cut) = event else { panic!("not a cut: {event:?}") };
    assert_eq!(cut.note.map(|note| note.to_string()), Some(format!("the contract ended at {CONTRACT_END}")));
    assert!(by_the_broker);
    assert_eq!(standing(&world, "acme", at(CONTRACT_END)), Standing::Offboarded, "nothing of it was alive");
    assert_eq!(standing(&world, "payments", at(CONTRACT_END)), Standing::Active);
    assert_eq!(denied(world.token(&caller("/acme/sync")).await), DenialCode::OwnerNotActive);
    world.token(&caller("/payments/api")).await.expect("of another owner");
}

#[tokio::test]
async fn a_contract_that_ended_while_the_broker_was_away_ends_at_its_start() {
    let world = World::new().await;
    world.hand.set(at(CONTRACT_END).plus(Duration::from_secs(86_400)));
    let mut changes = world.broker.ledger().watch();
    changes.mark_unchanged();
    let keeper = tokio::spawn({
        let broker = Arc::clone(&world.broker);
        async move { broker.keep_ends().await }
    });
    comes(&mut changes).await;
    keeper.abort();
    let now = at(CONTRACT_END).plus(Duration::from_secs(86_400));
    assert_eq!(standing(&world, "acme", now), Standing::Offboarded);
    assert_eq!(world.broker.end_what_is_due().await.unwrap(), 0, "its workload ended in the same entry of the ledger, or with it");
}

#[tokio::test]
async fn a_workload_ends_at_its_own_end_and_its_owner_goes_on() {
    let world = World::new().await;
    world.hand.set(just_before(VALID_UNTIL));
    assert_eq!(world.broker.end_what_is_due().await.unwrap(), 0);
    world.hand.set(at(VALID_UNTIL));
    assert_eq!(world.broker.end_what_is_due().await.unwrap(), 1);
    assert_eq!(world.broker.end_what_is_due().await.unwrap(), 0, "once");
    assert_eq!(denied(world.token(&caller("/acme/sync")).await), DenialCode::WorkloadNotActive);
    assert_eq!(standing(&world, "acme", at(VALID_UNTIL)), Standing::Active);
}

#[tokio::test]
async fn what_outlives_a_contract_that_was_cut_short_is_in_the_list() {
    let world = World::new().await;
    let token = world.token(&caller("/acme/sync")).await.unwrap();
    let soon = Timestamp::from_seconds(START.millis() / 1000 + 60);
    world.apply(&registry(&soon.to_string()), 1).await.unwrap();
    world.hand.set(soon);
    assert!(token.expires_at > soon, "issued under the longer contract");
    assert_eq!(world.broker.end_what_is_due().await.unwrap(), 1);
    assert!(world.is_dead(&token).await);
    let facts = world.broker.ledger().facts();
    let listed: Vec<_> = facts.cuts().listed(soon).map(|cut| cut.ends).collect();
    assert_eq!(listed, [token.expires_at.plus(CUT_GRACE)]);
}

#[tokio::test]
async fn what_is_suspended_still_ends_with_its_contract() {
    let world = World::new().await;
    let suspend = Withdrawal { suspend: true, ..withdrawal() };
    world.broker.revoke(&administrator(), owner_named("acme"), suspend).await.unwrap();
    assert_eq!(standing(&world, "acme", START), Standing::Suspended);
    world.hand.set(at(CONTRACT_END));
    world.broker.end_what_is_due().await.unwrap();
    assert_eq!(standing(&world, "acme", at(CONTRACT_END)), Standing::Offboarded);
}

#[tokio::test]
async fn a_new_contract_revives_nothing_and_there_is_no_reinstating_without_one() {
    let world = World::new().await;
    world.hand.set(at(CONTRACT_END));
    world.broker.end_what_is_due().await.unwrap();
    let again = async || world.broker.reinstate(&administrator(), owner_named("acme"), "a new contract".parse().ok()).await;
    assert!(matches!(again().await, Err(Error::Invalid(invalid)) if invalid.field == "owner"));
    world.apply(&registry("2028-06-30T00:00:00Z"), 0).await.unwrap();
    assert_eq!(standing(&world, "acme", at(CONTRACT_END)), Standing::Offboarded, "until somebody reinstates it");
    assert!(again().await.unwrap().position > Some(Position::ZERO));
    assert_eq!(standing(&world, "acme", at(CONTRACT_END)), Standing::Active);
    assert_eq!(world.broker.end_what_is_due().await.unwrap(), 0);
    // The workload had an end of its own, which the registry no longer names.
    let workload = Target::Workload("spiffe://example.org/acme/sync".parse().expect("an ID"));
    world.broker.reinstate(&administrator(), workload, "again".parse().ok()).await.unwrap();
    world.token(&caller("/acme/sync")).await.expect("open again");
}

#[tokio::test]
async fn whoever_revokes_waits_for_a_part_of_those_that_end_at_one_instant_and_not_for_all() {
    const MANY: usize = 25_000;
    let world = World::new().await;
    let record = {
        let facts = world.broker.ledger().facts();
        (*facts.workload(&caller("/payments/api").spiffe_id).expect("known").record).clone()
    };
    let recorded = (0..MANY).map(|number| {
        let spiffe_id = format!("spiffe://example.org/until/{number}").parse().expect("an ID");
        let record = Workload { spiffe_id, valid_until: Some(at("2027-01-31T00:00:00Z")), ..record.clone() };
        Event::WorkloadRecorded(Recording { number: None, origin: None, record })
    });
    let events: Vec<Event> = recorded.collect();
    world.broker.change(None, |_| Ok((events, ()))).await.unwrap();
    world.hand.set(at("2027-01-31T00:00:00Z"));
    let holding = world.hold_ledger().await;
    let mut ending = pin!(async { while world.broker.end_what_is_due().await.unwrap() > 0 {} });
    assert!(futures_util::poll!(&mut ending).is_pending(), "it waits for the ledger");
    let mut revoking = pin!(world.revoke_owner("acme"));
    assert!(futures_util::poll!(&mut revoking).is_pending(), "it waits behind those that end");
    let ((), revoked, ()) = tokio::join!(ending, revoking, holding.release());
    let cut = revoked.unwrap().position.unwrap();
    let facts = world.broker.ledger().facts();
    let ended: Vec<_> = facts.workloads().filter_map(|known| known.closed).collect();
    assert_eq!(ended.len(), MANY);
    let before = ended.iter().filter(|closed| closed.at < cut).count();
    assert!(before <= 10_000, "{before} ended first");
}
