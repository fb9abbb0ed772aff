//! What a source says again is not compared again, until something has changed that it was compared with. What is
//! very much holds up nobody.

use std::pin::pin;
use std::sync::mpsc;

use tokio::task::JoinHandle;

use super::*;
use crate::broker::{Declared, Said, SourceKind};
use crate::directory::{Document, Snapshot, Subject, WorkloadSpec};
use crate::ledger::{Change, Committed, LedgerError, Present, Urgency};
use crate::model::{OwnerId, Person, Share, SourceName};

const PATIENCE: Duration = Duration::from_secs(20);

fn name() -> SourceName {
    "assets".parse().unwrap()
}

/// A workload under an owner, as the source names it.
fn said(owner: &str) -> Said {
    let workload = WorkloadSpec {
        spiffe_id: "spiffe://example.org/assets/job".parse().unwrap(),
        owner: owner.parse::<OwnerId>().unwrap(),
        purpose: "a job".parse().unwrap(),
        environments: ["production".parse().unwrap()].into(),
        valid_until: None,
        business_owner: None,
        technical_owner: None,
    };
    let snapshot = Snapshot::from(Document { workloads: vec![workload], ..Document::default() });
    Said { digest: [7; 32], snapshot, wrong: 0, problems: Vec::new() }
}

/// The ledger, held by a change: whatever is to be committed meanwhile waits.
pub(super) struct Holding {
    release: mpsc::Sender<()>,
    change: JoinHandle<Result<Committed, LedgerError>>,
}

impl Holding {
    pub(super) async fn release(self) {
        self.release.send(()).unwrap();
        self.change.await.unwrap().unwrap();
    }
}

impl World {
    pub(super) async fn hold_ledger(&self) -> Holding {
        let (release, held) = mpsc::channel::<()>();
        let (enter, entered) = tokio::sync::oneshot::channel();
        let plan = Box::new(move |_: &Present<'_>| {
            let _released = (enter.send(()), held.recv());
            Ok(Vec::new())
        });
        let ledger = Arc::clone(self.broker.ledger());
        let change = Change { urgency: Urgency::First, actor: None, request_id: None, plan };
        let change = tokio::spawn(async move { ledger.change(change).await });
        entered.await.unwrap();
        Holding { release, change }
    }

    /// The entries that recorded a person, in the order of their positions.
    fn people(&self) -> Vec<Position> {
        let mut recorded: Vec<_> = self.broker.ledger().facts().people().map(|known| known.number).collect();
        recorded.sort_unstable();
        recorded
    }

    /// As the loop of a source does it: it is told which names there are, then heard.
    async fn hear(&self, said: Said) -> Vec<String> {
        self.broker.names_beside(&name());
        self.broker.hear_source(&name(), Ok(said)).await.unwrap();
        self.broker.source(&administrator(), &name()).await.unwrap().problems
    }
}

#[tokio::test]
async fn a_source_with_problems_is_heard_again_at_no_price_and_they_are_over_when_their_cause_is() {
    let world = World::new().await;
    let problems = world.hear(said("refunds")).await;
    assert!(problems[0].contains("no owner `refunds` is recorded"), "{problems:?}");
    let holding = world.hold_ledger().await;
    let again = tokio::time::timeout(PATIENCE, world.broker.hear_source(&name(), Ok(said("refunds")))).await;
    holding.release().await;
    again.expect("it waits for nothing").unwrap();
    let refunds = with_refunds();
    world.apply(&refunds, 0).await.unwrap();
    assert_eq!(world.hear(said("refunds")).await, [""; 0]);
    world.token(&caller("/assets/job")).await.unwrap();
}

/// The registry with one owner more.
fn with_refunds() -> String {
    let refunds = REGISTRY.replace(
        "environments:\n  - {name: production}",
        "  - {id: refunds, kind: team, business_owner: pat@example.org, technical_owner: tea@example.org}\nenvironments:\n  - {name: production}",
    );
    assert_ne!(refunds, REGISTRY);
    refunds
}

#[tokio::test]
async fn a_source_that_was_applied_whole_is_looked_at_again_when_what_it_refers_to_has_ended() {
    let world = World::new().await;
    world.apply(&with_refunds(), 0).await.unwrap();
    assert_eq!(world.hear(said("refunds")).await, [""; 0]);
    assert!(world.broker.is_settled(&name(), said("refunds").digest));
    world.apply(REGISTRY, 100).await.unwrap();
    let problems = world.hear(said("refunds")).await;
    assert!(problems.first().is_some_and(|problem| problem.contains("no owner `refunds` is recorded")), "{problems:?}");
    assert!(!world.broker.is_settled(&name(), said("refunds").digest));
}

#[tokio::test]
async fn what_a_person_let_through_is_asked_about_again_if_something_else_was_said_in_between() {
    let world = World::new().await;
    let nothing = |digest| Said { digest: [digest; 32], snapshot: Snapshot::from(Document::default()), wrong: 0, problems: Vec::new() };
    let confirm = async || world.broker.confirm_source(&administrator(), &name(), [8; 32]).await.unwrap();
    world.hear(said("payments")).await;
    world.hear(nothing(8)).await;
    confirm().await;
    world.hear(nothing(9)).await;
    world.hear(nothing(8)).await;
    world.token(&caller("/assets/job")).await.expect("nobody has looked at it since");
    confirm().await;
    // That it could not be read in between is not something else.
    world.broker.hear_source(&name(), Err("no answer".to_owned())).await.unwrap();
    world.hear(nothing(8)).await;
    world.token(&caller("/assets/job")).await.expect_err("it has ended");
}

const MANY: usize = 25_000;

/// So many people, whom no source has named yet.
fn very_much() -> Said {
    let person = |number| Person { id: format!("p{number}@example.org").parse().unwrap(), active: true };
    let mut snapshot = Snapshot::default();
    snapshot.people = (0..MANY).map(person).collect();
    Said { digest: [9; 32], snapshot: snapshot.indexed(), wrong: 0, problems: Vec::new() }
}

/// A broker with a source that names people.
async fn world_of_people() -> World {
    let declared = Declared {
        name: name(),
        kind: SourceKind::Feed,
        holds: [Subject::Person].into(),
        takes_over: false,
        max_ended: Share::percent(10),
        covers: None,
        is_complete: false,
    };
    World::told_by(declared, Reconciling::default()).await
}

#[tokio::test]
async fn whoever_revokes_waits_for_a_part_of_what_a_source_says_and_not_for_all() {
    let world = world_of_people().await;
    let (holding, name) = (world.hold_ledger().await, name());
    let mut hearing = pin!(world.broker.hear_source(&name, Ok(very_much())));
    assert!(futures_util::poll!(&mut hearing).is_pending(), "it waits for the ledger");
    let mut revoking = pin!(world.revoke_owner("payments"));
    assert!(futures_util::poll!(&mut revoking).is_pending(), "it waits behind the source");
    let (heard, revoked, ()) = tokio::join!(hearing, revoking, holding.release());
    assert!(heard.unwrap(), "all of it is applied");
    let (people, cut) = (world.people(), revoked.unwrap().position.unwrap());
    assert_eq!(people.len(), MANY);
    let before = people.iter().filter(|recorded| **recorded < cut).count();
    assert!(before <= 10_000, "{before} were recorded first, and all but a part came after the revocation was asked for");
}

#[tokio::test]
async fn what_was_broken_off_between_two_parts_is_recorded_the_next_time_and_nothing_twice() {
    let world = world_of_people().await;
    let (holding, name) = (world.hold_ledger().await, name());
    {
        let mut hearing = pin!(world.broker.hear_source(&name, Ok(very_much())));
        for _ in 0..2 {
            assert!(futures_util::poll!(&mut hearing).is_pending());
        }
        holding.release().await;
        while world.people().is_empty() {
            assert!(futures_util::poll!(&mut hearing).is_pending());
            tokio::task::yield_now().await;
        }
    }
    // What the ledger had been asked for before.
    world.revoke_owner("payments").await.unwrap();
    let recorded = world.people().len();
    assert!(0 < recorded && recorded < MANY, "{recorded}");
    assert!(!world.broker.is_settled(&name, very_much().digest));
    assert!(world.broker.hear_source(&name, Ok(very_much())).await.unwrap());
    assert!(world.broker.is_settled(&name, very_much().digest));
    let people = world.people();
    assert_eq!(people.len(), MANY);
    let entries = people.last().unwrap().get() - people.first().unwrap().get();
    assert_eq!(entries, MANY as u64, "each once, and the revocation between them");
}
