//! Issuing at full speed while the owner is revoked: a revocation wins every race.

use std::sync::Arc;

use super::{World, administrator, caller, owner_named};
use crate::broker::Error;
use crate::model::{Event, Position};

const ROUNDS: usize = 30;
const CALLERS: usize = 16;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_issued_above_the_cut_and_everything_below_it_is_dead() {
    let world = Arc::new(World::new().await);
    for round in 0..ROUNDS {
        let callers: Vec<_> = (0..CALLERS)
            .map(|number| {
                let world = Arc::clone(&world);
                tokio::spawn(async move {
                    let caller = caller(if number % 2 == 0 { "/payments/api" } else { "/payments/batch" });
                    let mut received = Vec::new();
                    loop {
                        match world.token(&caller).await {
                            Ok(issuance) => received.push(issuance),
                            Err(Error::Denied(_)) => return received,
                            Err(error) => panic!("{error}"),
                        }
                    }
                })
            })
            .collect();
        // Different rounds cut at different moments: a few commits later each time.
        for _ in 0..round % 7 {
            world.token(&caller("/acme/sync")).await.unwrap();
        }
        let cut = world.revoke_owner("payments").await.unwrap().position.unwrap();
        for caller in callers {
            for issuance in caller.await.unwrap() {
                assert!(issuance.position < cut, "round {round}: {issuance:?} stands above the cut at {cut}");
                let stored = world.broker.ledger().find(issuance.position).await.unwrap().expect("what a client holds has a row");
                assert!(matches!(stored.entry.unwrap().event, Event::CredentialIssued(_)));
            }
        }
        assert_eq!(above(&world, cut).await, 0, "round {round}");
        let note = "next round".parse().ok();
        world.broker.reinstate(&administrator(), owner_named("payments"), note).await.unwrap();
    }
}

/// How many issuances under the owner stand above a position.
async fn above(world: &World, cut: Position) -> usize {
    let owner = world.broker.ledger().facts().owner(&"payments".parse().unwrap()).unwrap().number;
    let entries = world.broker.ledger().entries(cut, 10_000).await.unwrap();
    entries
        .into_iter()
        .filter(|stored| matches!(&stored.entry.as_ref().unwrap().event, Event::CredentialIssued(issued) if issued.subjects.owner == owner))
        .count()
}
