//! Issuing at full speed while what it stands on ends: a revocation wins every race.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::exceptions::{asked, strict_within};
use super::moving::JOB;
use super::{QUOTAS, Quotas, START, World, administrator, caller, owner_named, withdrawal};
use crate::broker::{Error, Issuance, Limits, Opening, Target, Withdrawal};
use crate::model::{Event, Issued, Position};
use crate::policy::Caller;

/// How many ask at a time.
const CALLERS: usize = 64;

/// After so many rounds the ledger, which lies in memory, is a new one.
const ROUNDS_OF_A_WORLD: usize = 50;

/// How many races there are to be of each sort: issuances that were in flight all the while that a
/// revocation was asked for, committed and answered. `tests/run --long` runs 335,000 of each.
fn races() -> u64 {
    if std::env::var_os("CURFEW_TEST_LONG").is_some() { 335_000 } else { 1_000 }
}

/// Counts races.
#[derive(Debug, Default)]
struct Tally {
    asked: AtomicU64,
    answered: AtomicU64,
    races: AtomicU64,
}

impl Tally {
    /// Notes how many revocations were asked for before an issuance, and whether one of those that
    /// came later was answered before it.
    async fn issuance<T>(&self, issuing: impl Future<Output = T>) -> T {
        let before = self.asked.load(Ordering::SeqCst);
        let outcome = issuing.await;
        if self.answered.load(Ordering::SeqCst) > before {
            self.races.fetch_add(1, Ordering::SeqCst);
        }
        outcome
    }

    async fn revocation<T>(&self, revoking: impl Future<Output = T>) -> T {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let outcome = revoking.await;
        self.answered.fetch_add(1, Ordering::SeqCst);
        outcome
    }

    fn races(&self) -> u64 {
        self.races.load(Ordering::SeqCst)
    }
}

/// What everything of a round stands on, and is ended.
#[derive(Clone, Debug)]
enum Ground {
    Owner(Position),
    Task(Position),
    /// A certificate, and who holds it.
    Certificate(Issuance, Box<Caller>),
    /// A workload that its source gives to another owner, who has not accepted it.
    Workload(Position),
    /// What allows what no policy permits.
    Exception(Position),
    /// A service that tokens are for.
    Downstream(Position),
}

impl Ground {
    /// Who asks, for a task or not.
    fn callers(&self, number: usize) -> (Caller, Option<Position>) {
        match self {
            Self::Owner(_) => (caller(if number.is_multiple_of(2) { "/payments/api" } else { "/payments/batch" }), None),
            Self::Task(task) => (caller("/payments/api"), Some(*task)),
            Self::Certificate(_, holder) => (Caller::clone(holder), None),
            Self::Workload(_) => (caller(JOB), None),
            Self::Exception(_) | Self::Downstream(_) => (caller("/payments/api"), None),
        }
    }

    /// Whether one in four asks for certificates. Those are not issued for a downstream, and go on.
    const fn ends_certificates(&self) -> bool {
        !matches!(self, Self::Downstream(_))
    }

    /// Ends it; answers the position of the cut.
    async fn end(&self, world: &World) -> Position {
        match self {
            Self::Owner(_) => world.revoke_owner("payments").await.unwrap().position.unwrap(),
            Self::Task(task) => world.broker.close_task(&administrator(), *task, None).await.unwrap().position.unwrap(),
            Self::Certificate(issuance, _) => {
                let revoked =
                    world.broker.revoke_credential(&administrator(), issuance.id, withdrawal().reason, None, Limits::default()).await;
                revoked.unwrap().position.unwrap()
            }
            Self::Workload(number) => {
                let is_of = |owner: &str| {
                    let facts = world.broker.ledger().facts();
                    let owner = facts.owner(&owner.parse().unwrap()).unwrap().number;
                    facts.workload_numbered(*number).unwrap().record.owner == owner
                };
                world.assets_say(if is_of("acme") { "payments" } else { "acme" }).await;
                world.broker.ledger().facts().workload_numbered(*number).unwrap().awaiting.unwrap().at
            }
            Self::Exception(number) => {
                let why = (withdrawal().reason, None);
                let revoked = world.broker.revoke_exception(&administrator(), *number, why, Limits::default()).await;
                revoked.unwrap().position.unwrap()
            }
            Self::Downstream(_) => {
                let ask = Withdrawal { suspend: true, ..withdrawal() };
                world.broker.revoke(&administrator(), ledger_service(), ask).await.unwrap().position.unwrap()
            }
        }
    }

    fn is_under(&self, issued: &Issued) -> bool {
        let subjects = &issued.subjects;
        match self {
            Self::Workload(workload) => subjects.workload == *workload,
            Self::Exception(exception) => issued.exception == Some(*exception),
            Self::Downstream(downstream) => issued.own_downstreams().contains(downstream),
            Self::Owner(owner) => subjects.owner == *owner,
            Self::Task(task) => subjects.task == Some(*task),
            Self::Certificate(issuance, _) => subjects.lineage == Some(issuance.position),
        }
    }
}

/// The downstream whose tokens are asked for.
fn ledger_service() -> Target {
    Target::Downstream("ledger".parse().unwrap())
}

/// Asks until it is refused; answers what it got.
async fn ask(world: Arc<World>, tally: Arc<Tally>, certificates: bool, (caller, task): (Caller, Option<Position>)) -> Vec<Position> {
    let mut received = Vec::new();
    loop {
        let issued = if certificates {
            tally.issuance(world.certificate(&caller, "production", task)).await.map(|(issuance, _)| issuance)
        } else {
            tally.issuance(world.token_in(&caller, "production", task)).await
        };
        match issued {
            Ok(issuance) => received.push(issuance.position),
            Err(Error::Denied(_)) => return received,
            Err(error) => panic!("{error}"),
        }
    }
}

/// One round: all ask, the ground is cut, and what was issued is looked at.
async fn round(world: &Arc<World>, tally: &Arc<Tally>, ground: &Ground, commits_before: usize) {
    let asking = |number: usize| {
        let certificates = ground.ends_certificates() && number.is_multiple_of(4);
        tokio::spawn(ask(Arc::clone(world), Arc::clone(tally), certificates, ground.callers(number)))
    };
    let callers: Vec<_> = (0..CALLERS).map(asking).collect();
    for _ in 0..commits_before {
        // Something else that is committed.
        let event = Event::AdministrativeRead { action: "ReadLedger".to_owned(), number: None };
        world.broker.change(None, move |_| Ok((vec![event], ()))).await.unwrap();
    }
    let cut = tally.revocation(ground.end(world)).await;
    let mut received = Vec::new();
    for caller in callers {
        received.extend(caller.await.unwrap());
    }
    let (mut rows, mut next) = (HashSet::new(), received.iter().copied().min().unwrap_or(cut).min(cut));
    loop {
        let page = world.broker.ledger().entries(next, 10_000).await.unwrap();
        let Some(last) = page.last() else { break };
        next = last.position.next();
        for stored in page {
            let Event::CredentialIssued(issued) = stored.entry.unwrap().event else { continue };
            assert!(stored.position < cut || !ground.is_under(&issued), "{} is above the cut at {cut}", stored.position);
            rows.insert(stored.position);
        }
    }
    for position in received {
        assert!(position < cut, "{position} was received, and is above the cut at {cut}");
        assert!(rows.contains(&position), "{position} was received, and has no row");
    }
}

/// Races until there were enough. Different rounds cut at different moments: some commits later each time.
async fn race(ground: impl AsyncFn(&World) -> Ground) {
    race_in(World::new, ground).await;
}

async fn race_in(world: impl AsyncFn() -> World, ground: impl AsyncFn(&World) -> Ground) {
    let tally = Arc::new(Tally::default());
    let mut rounds = 0;
    while tally.races() < races() {
        let world = Arc::new(world().await);
        for _ in 0..ROUNDS_OF_A_WORLD {
            rounds += 1;
            let ground = ground(&world).await;
            round(&world, &tally, &ground, rounds % 7).await;
            match ground {
                Ground::Owner(_) => {
                    let note = "next round".parse().ok();
                    world.broker.reinstate(&administrator(), owner_named("payments"), note).await.unwrap();
                }
                Ground::Downstream(_) => {
                    let note = "next round".parse().ok();
                    world.broker.reinstate(&administrator(), ledger_service(), note).await.unwrap();
                }
                Ground::Workload(_) => drop(world.accept(&administrator(), None).await.unwrap()),
                Ground::Task(_) | Ground::Certificate(..) | Ground::Exception(_) => {}
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_issued_under_an_owner_above_its_cut() {
    race(async |world: &World| Ground::Owner(world.broker.ledger().facts().owner(&"payments".parse().unwrap()).unwrap().number)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_issued_under_a_task_after_it_was_closed() {
    race(async |world: &World| {
        let ask = Opening {
            owner: None,
            environment: "production".parse().unwrap(),
            workload: None,
            deadline: START.plus(std::time::Duration::from_secs(1800)),
            purpose: "a job".parse().unwrap(),
        };
        Ground::Task(world.broker.open_task(&caller("/payments/api"), ask).await.unwrap().number)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_issued_through_a_certificate_after_it_was_cut() {
    race(async |world: &World| {
        let (issuance, holder) = world.certificate(&caller("/payments/api"), "production", None).await.unwrap();
        Ground::Certificate(issuance, Box::new(holder))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_issued_to_a_workload_after_it_was_moved_until_its_owner_accepts() {
    race(async |world: &World| {
        let known = |world: &World| world.broker.ledger().facts().workload(&caller(JOB).spiffe_id).map(|known| known.number);
        if known(world).is_none() {
            world.assets_say("payments").await;
        }
        Ground::Workload(known(world).unwrap())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_issued_for_a_downstream_after_it_was_suspended() {
    race(async |world: &World| Ground::Downstream(world.broker.ledger().facts().downstream(&"ledger".parse().unwrap()).unwrap().number))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_issued_by_an_exception_after_it_was_revoked() {
    let world = async || strict_within(Quotas { workload_exceptions: ROUNDS_OF_A_WORLD, ..QUOTAS }).await;
    race_in(world, async |world: &World| Ground::Exception(world.excepted(asked(3600)).await)).await;
}
