//! What every ledger promises, clause by clause, against `dyn Ledger`.

use std::sync::Arc;
use std::time::Duration;

use super::samples::{
    NOW, World, again, appending, at, cut, cutting, deciding, finding, first, grant, granted, key, owner, policy, populate, refused,
};
use super::{Ledger, LedgerError, Recorded, codec};
use crate::ambient::ManualClock;
use crate::model::{
    About, Closing, CredentialId, CredentialKind, Denial, DenialCode, DownstreamConfirmed, Event, FindingChange, Issued, KnownFinding,
    Position, Refusal, Subjects, Whose,
};

/// A ledger under test: new, empty but for its opening, on a clock that stands at [`NOW`].
pub(super) struct Rig {
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) hand: ManualClock,
    /// Where it is kept, removed with it.
    pub(super) _folder: Option<tempfile::TempDir>,
}

/// Each clause as a test of the ledgers that `$rig` makes.
macro_rules! contract {
    ($name:ident, $rig:expr) => {
        contract!($name, $rig;
            positions_have_no_gaps_and_every_answer_is_durable
            a_grant_is_stale_once_a_subject_of_it_is_cut
            a_grant_is_stale_once_the_rules_have_changed
            what_concerns_others_does_not_make_a_grant_stale
            a_change_sees_every_earlier_one
            a_refusal_and_a_panic_change_nothing
            a_plan_without_events_commits_nothing
            times_never_go_back
            the_root_is_that_of_the_bytes
            the_living_are_counted_until_they_are_cut
            a_cut_credential_leaves_the_others_counted
            nothing_is_recorded_above_a_cut_under_the_fence_from_before
            a_closed_task_is_remembered_after_it_is_forgotten
            what_became_of_a_finding_is_found_after_it_is_settled
            every_change_is_announced
            a_confirmation_is_found_by_what_it_reaches_and_changes_nothing
            entries_are_read_in_pages
            what_was_committed_since_an_instant_is_found
            closing_commits_what_waits_and_refuses_the_rest
        );
    };
    ($name:ident, $rig:expr; $($clause:ident)+) => {
        mod $name {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $clause() {
                    crate::ledger::contract::$clause(&$rig).await;
                }
            )+
        }
    };
}
pub(super) use contract;

async fn record(ledger: &dyn Ledger, world: &World, subjects: Subjects) -> Recorded {
    ledger.record(world.grant(ledger, subjects), [1; 8]).await.expect("recorded")
}

pub(super) async fn a_confirmation_is_found_by_what_it_reaches_and_changes_nothing(rig: &Rig) {
    let ledger = &*rig.ledger;
    let world = populate(ledger).await;
    let changed = ledger.facts().changed();
    let mut watch = ledger.watch();
    watch.mark_unchanged();
    let mut entries = Vec::new();
    for position in [4, 7, 7] {
        let said = DownstreamConfirmed { number: world.downstream, position: at(position), confirmed: 2, lapsed: 0 };
        entries.push(ledger.change(appending(vec![Event::DownstreamConfirmed(said)])).await.expect("recorded").last);
    }
    let found = async |position| ledger.confirmed(world.downstream, at(position)).await.expect("readable");
    assert_eq!(found(1).await, Some(entries[0]));
    assert_eq!(found(4).await, Some(entries[0]));
    assert_eq!(found(5).await, Some(entries[1]), "the first that reaches it");
    assert_eq!(found(8).await, None);
    assert_eq!(ledger.confirmed(world.owner, at(1)).await, Ok(None));
    assert_eq!((ledger.facts().changed(), watch.has_changed().expect("open")), (changed, false));
}

pub(super) async fn positions_have_no_gaps_and_every_answer_is_durable(rig: &Rig) {
    let world = populate(&*rig.ledger).await;
    let before = rig.ledger.head().position;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..60u8 {
        let ledger = Arc::clone(&rig.ledger);
        tasks.spawn(async move {
            let grant = world.grant(&*ledger, world.subjects());
            let recorded = ledger.record(grant, [number; 8]).await.expect("recorded");
            assert!(ledger.head().position >= recorded.position());
            let stored = ledger.find(recorded.position()).await.expect("readable").expect("durable");
            let entry = stored.entry.expect("readable");
            assert_eq!(entry.event, Event::CredentialIssued(Box::new(recorded.issued().clone())));
            assert_eq!(recorded.id(), CredentialId::new(recorded.position(), [number; 8]));
            recorded.position()
        });
    }
    let mut positions = tasks.join_all().await;
    positions.sort_unstable();
    let expected: Vec<Position> = (1..=60).map(|step| at(before.get() + step)).collect();
    assert_eq!(positions, expected);
    let entries = rig.ledger.entries(at(1), 1000).await.expect("readable");
    let numbers: Vec<u64> = entries.iter().map(|stored| stored.position.get()).collect();
    assert_eq!(numbers, (1..=before.get() + 60).collect::<Vec<_>>());
}

/// Every subject of a grant, cut between its decision and its record.
pub(super) async fn a_grant_is_stale_once_a_subject_of_it_is_cut(rig: &Rig) {
    let ledger = &*rig.ledger;
    let world = populate(ledger).await;
    let certificate = Issued { kind: CredentialKind::Certificate, audience: None, ..world.issued(world.subjects()) };
    let root = ledger.record(granted(ledger, certificate.clone()), [2; 8]).await.expect("recorded").id();
    let inherited = world.subjects().inherited(root.position());
    let renewed = Issued { parent: Some(root), subjects: inherited, ..certificate };
    let renewed_id = ledger.record(granted(ledger, renewed), [3; 8]).await.expect("recorded").id();
    let token = |subjects: Subjects, parent: Option<CredentialId>| Issued { parent, ..world.issued(subjects) };
    let in_task = Subjects { task: Some(world.task), ..world.subjects() };

    let cases = [
        (world.owner, Closing::Suspend, token(world.subjects(), None)),
        (world.workload, Closing::Suspend, token(world.subjects(), None)),
        (world.workload, Closing::MoveOwner, token(world.subjects(), None)),
        (world.workload, Closing::AwaitOwner, token(world.subjects(), None)),
        (world.environment, Closing::Offboard, token(world.subjects(), None)),
        (world.owner, Closing::Unregister, token(world.subjects(), None)),
        (world.task, Closing::CloseTask, token(in_task, None)),
        (renewed_id.position(), Closing::Nothing, token(inherited, Some(renewed_id))),
        (root.position(), Closing::Nothing, token(inherited, Some(root))),
        (root.position(), Closing::Nothing, token(inherited, Some(renewed_id))),
    ];
    for (number, closing, issued) in cases {
        let decided = granted(ledger, issued);
        ledger.change(cutting(number, closing)).await.expect("cut");
        let head = ledger.head();
        assert_eq!(ledger.record(decided, [0; 8]).await, Err(LedgerError::Stale), "{closing} of {number}");
        assert_eq!(ledger.head(), head, "nothing was recorded");
    }
}

pub(super) async fn a_grant_is_stale_once_the_rules_have_changed(rig: &Rig) {
    let ledger = &*rig.ledger;
    let world = populate(ledger).await;
    let changes = [
        Event::PolicyChanged(policy(2)),
        Event::KeyActivated(key("token-2")),
        Event::DownstreamRemoved { number: world.downstream },
        Event::OwnerRecorded(again(world.owner, owner("payments"))),
        Event::Reinstated { number: world.owner, note: None },
        Event::Cut(cut(world.key, Closing::Nothing, Some(NOW.plus(Duration::from_secs(600))))),
    ];
    for event in changes {
        let decided = world.grant(ledger, world.subjects());
        ledger.change(appending(vec![event.clone()])).await.expect("changed");
        assert_eq!(ledger.record(decided, [0; 8]).await, Err(LedgerError::Stale), "{}", event.name());
        record(ledger, &world, world.subjects()).await;
    }
}

pub(super) async fn what_concerns_others_does_not_make_a_grant_stale(rig: &Rig) {
    let ledger = &*rig.ledger;
    let world = populate(ledger).await;
    let decided = world.grant(ledger, world.subjects());
    ledger.change(cutting(world.other_owner, Closing::Offboard)).await.expect("cut");
    ledger.change(cutting(world.task, Closing::CloseTask)).await.expect("cut");
    let read = Event::AdministrativeRead { action: "ReadOwner".to_owned(), number: Some(world.owner) };
    ledger.change(appending(vec![read])).await.expect("noted");
    let changed = ledger.facts().changed();
    ledger.change(appending(vec![refused()])).await.expect("noted");
    assert_eq!(ledger.facts().changed(), changed, "what is only told is no fence");
    assert!(ledger.record(decided, [0; 8]).await.is_ok());
}

pub(super) async fn a_change_sees_every_earlier_one(rig: &Rig) {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let ledger = Arc::clone(&rig.ledger);
        tasks.spawn(async move {
            let change = deciding(|present| {
                let known = present.facts.owners().count();
                // An owner that is recorded and touched in one plan, by the number that it will get.
                let number = present.head.next();
                let record = Event::OwnerRecorded(first(owner(&format!("owner-{known}"))));
                Ok(vec![record, Event::Cut(cut(number, Closing::Suspend, None))])
            });
            ledger.change(change).await.expect("changed")
        });
    }
    let committed = tasks.join_all().await;
    let facts = rig.ledger.facts();
    assert_eq!(facts.owners().count(), 20, "each plan saw the owners of all earlier ones");
    assert!(facts.owners().all(|owner| !owner.is_open()));
    assert!(committed.iter().all(|committed| committed.first.is_some_and(|first| first.next() == committed.last)));
}

pub(super) async fn a_refusal_and_a_panic_change_nothing(rig: &Rig) {
    let ledger = &*rig.ledger;
    let world = populate(ledger).await;
    let (head, facts) = (ledger.head(), ledger.facts().clone());
    let refusal = Refusal::from(Denial::new(DenialCode::PolicyDenied, "no"));
    let refused = refusal.clone();
    assert_eq!(ledger.change(deciding(move |_| Err(refused))).await, Err(LedgerError::Refused(refusal)));
    let panicked = ledger.change(deciding(|_| panic!("a mistake in a plan"))).await;
    assert!(matches!(panicked, Err(LedgerError::Unavailable(_))), "{panicked:?}");
    assert_eq!((ledger.head(), &*ledger.facts()), (head, &facts));
    record(ledger, &world, world.subjects()).await;
}

pub(super) async fn a_plan_without_events_commits_nothing(rig: &Rig) {
    let head = rig.ledger.head();
    let committed = rig.ledger.change(appending(Vec::new())).await.expect("decided");
    assert_eq!((committed.first, committed.last, committed.time), (None, head.position, head.time));
    assert_eq!(rig.ledger.head(), head);
}

pub(super) async fn times_never_go_back(rig: &Rig) {
    let ledger = &*rig.ledger;
    let world = populate(ledger).await;
    rig.hand.set(NOW.plus(Duration::from_secs(60)));
    let late = ledger.change(cutting(world.other_owner, Closing::Suspend)).await.expect("cut");
    rig.hand.set(NOW.minus(Duration::from_secs(3600)));
    let recorded = record(ledger, &world, world.subjects()).await;
    let later = ledger.change(deciding(|present| {
        assert_eq!(present.now, NOW.minus(Duration::from_secs(3600)), "what is decided is decided by the clock");
        Ok(vec![Event::PolicyChanged(policy(3))])
    }));
    assert_eq!(later.await.expect("changed").time, late.time);
    let entry = ledger.find(recorded.position()).await.expect("readable").expect("there").entry.expect("readable");
    assert_eq!(entry.time, late.time);
}

pub(super) async fn the_root_is_that_of_the_bytes(rig: &Rig) {
    let ledger = &*rig.ledger;
    let world = populate(ledger).await;
    for _ in 0..9 {
        record(ledger, &world, world.subjects()).await;
    }
    let mut tree = super::tree::Tree::default();
    let entries = ledger.entries(at(1), 1000).await.expect("readable");
    for stored in &entries {
        assert_eq!(stored.entry, codec::decode(stored.position, &stored.bytes));
        tree.append(&stored.bytes);
    }
    let head = ledger.head();
    assert_eq!((head.position, head.root), (at(tree.size()), tree.root()));
    assert_eq!(head.latest_expiry, NOW.plus(Duration::from_secs(300)));
}

pub(super) async fn the_living_are_counted_until_they_are_cut(rig: &Rig) {
    let ledger = &*rig.ledger;
    let world = populate(ledger).await;
    let in_task = Subjects { task: Some(world.task), ..world.subjects() };
    let whose = [
        (Whose::Owner(world.owner), world.owner, world.subjects()),
        (Whose::Workload { owner: world.owner, workload: world.workload }, world.workload, world.subjects()),
        (Whose::Environment(world.environment), world.environment, world.subjects()),
        (Whose::Task { owner: world.owner, task: world.task }, world.task, in_task),
        (Whose::Bearing(world.downstream), world.downstream, world.subjects()),
    ];
    let now = || ledger.head().time;
    for (whose, number, subjects) in whose {
        for _ in 0..3 {
            record(ledger, &world, subjects).await;
        }
        record(ledger, &world, world.other_subjects()).await;
        let others = Whose::Owner(world.other_owner);
        let kept = ledger.census(others, now()).total;
        assert!(ledger.census(whose, now()).total >= 3, "{whose:?}");
        let seen = deciding(move |present| {
            assert!(present.living.census(whose, present.now).total >= 3);
            Ok(vec![Event::Cut(cut(number, Closing::Nothing, Some(NOW.plus(Duration::from_secs(420)))))])
        });
        ledger.change(seen).await.expect("cut");
        assert_eq!(ledger.census(whose, now()).total, 0, "{whose:?}");
        let spared = if [world.environment, world.downstream].contains(&number) { 0 } else { kept };
        assert_eq!(ledger.census(others, now()).total, spared, "{whose:?}");
    }
}

pub(super) async fn a_cut_credential_leaves_the_others_counted(rig: &Rig) {
    let ledger = &*rig.ledger;
    let world = populate(ledger).await;
    let certificate = Issued { kind: CredentialKind::Certificate, audience: None, ..world.issued(world.subjects()) };
    let root = ledger.record(granted(ledger, certificate), [2; 8]).await.expect("recorded");
    for _ in 0..2 {
        record(ledger, &world, world.subjects()).await;
        record(ledger, &world, world.subjects().inherited(root.position())).await;
    }
    let whose = Whose::Owner(world.owner);
    assert_eq!(ledger.census(whose, NOW).total, 5);
    for _ in 0..2 {
        // The certificate and what was obtained with it; a second time there is nothing left.
        ledger.change(cutting(root.position(), Closing::Nothing)).await.expect("cut");
        assert_eq!(ledger.census(whose, NOW).total, 2);
    }
    // The same credential is not taken out again after its owner's were, and new ones were counted.
    let token = record(ledger, &world, world.subjects()).await.position();
    ledger.change(cutting(world.owner, Closing::Nothing)).await.expect("cut");
    record(ledger, &world, world.subjects()).await;
    ledger.change(cutting(token, Closing::Nothing)).await.expect("cut");
    assert_eq!(ledger.census(whose, NOW).total, 1);
}

/// Issuing at full speed while the owner is cut, again and again.
pub(super) async fn nothing_is_recorded_above_a_cut_under_the_fence_from_before(rig: &Rig) {
    let world = populate(&*rig.ledger).await;
    for _ in 0..10 {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let ledger = Arc::clone(&rig.ledger);
            tasks.spawn(async move {
                let mut recorded = Vec::new();
                // As the broker does: decide on facts, then record; until the owner is closed.
                loop {
                    let decided = {
                        let facts = ledger.facts();
                        let open = facts.owner_numbered(world.owner).is_some_and(|owner| owner.is_open());
                        open.then(|| grant(world.issued(world.subjects()), facts.changed()))
                    };
                    let Some(decided) = decided else { return recorded };
                    match ledger.record(decided, [0; 8]).await {
                        Ok(done) => recorded.push(done.position()),
                        Err(LedgerError::Stale) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
        while rig.ledger.census(Whose::Owner(world.owner), NOW).total < 50 {
            tokio::task::yield_now().await;
        }
        let cut = rig.ledger.change(cutting(world.owner, Closing::Suspend)).await.expect("cut").last;
        for recorded in tasks.join_all().await.into_iter().flatten() {
            assert!(recorded < cut, "{recorded} was recorded above the cut at {cut}");
        }
        assert_eq!(rig.ledger.census(Whose::Owner(world.owner), NOW).total, 0);
        rig.ledger.change(appending(vec![Event::Reinstated { number: world.owner, note: None }])).await.expect("reinstated");
    }
}

pub(super) async fn a_closed_task_is_remembered_after_it_is_forgotten(rig: &Rig) {
    let ledger = &*rig.ledger;
    let world = populate(ledger).await;
    assert_eq!(ledger.closed_task(world.task).await, Ok(None));
    let decided = world.grant(ledger, Subjects { task: Some(world.task), ..world.subjects() });
    let ends = NOW.plus(Duration::from_secs(10));
    let closed = ledger.change(appending(vec![Event::Cut(cut(world.task, Closing::CloseTask, Some(ends)))])).await.expect("closed");
    assert!(ledger.facts().task(world.task).is_some_and(|task| task.closed.is_some()));
    rig.hand.set(ends);
    let read = Event::AdministrativeRead { action: "ReadTask".to_owned(), number: None };
    ledger.change(appending(vec![read])).await.expect("noted");
    assert!(ledger.facts().task(world.task).is_none());
    assert_eq!(ledger.facts().cuts().listed(ends).count(), 0);
    assert!(ledger.facts().cuts().get(world.task).is_some(), "a clock that is set back finds it again");
    assert_eq!(ledger.closed_task(world.task).await, Ok(closed.first));
    assert_eq!(ledger.record(decided, [0; 8]).await, Err(LedgerError::Stale));
}

pub(super) async fn what_became_of_a_finding_is_found_after_it_is_settled(rig: &Rig) {
    let ledger = &*rig.ledger;
    let world = populate(ledger).await;
    let append = async |event| ledger.change(appending(vec![event])).await.expect("recorded").last;
    let raise = || Event::FindingRaised(Box::new(finding(About::Subject(world.workload))));
    let (number, other) = (append(raise()).await, append(raise()).await);
    let change = async |number, change| append(Event::FindingChanged { number, change, note: None }).await;
    change(number, FindingChange::Seen).await;
    change(number, FindingChange::Waived { until: NOW }).await;
    let waived = change(number, FindingChange::Waived { until: NOW.plus(Duration::from_secs(9)) }).await;
    change(other, FindingChange::Seen).await;
    let seen = change(number, FindingChange::Seen).await;
    let known = ledger.facts().findings().get(number).cloned();
    let resolved = change(number, FindingChange::Resolved).await;
    let found = async |number| {
        let entries = ledger.of_finding(number).await.expect("readable");
        entries.into_iter().map(|stored| stored.entry.expect("readable")).collect::<Vec<_>>()
    };
    let entries = found(number).await;
    assert_eq!(entries.iter().map(|entry| entry.position).collect::<Vec<_>>(), [number, waived, seen, resolved], "the last of each");
    let settled = KnownFinding::settled(&entries);
    assert_eq!(settled.map(|(known, resolution)| (Some(known), resolution.at)), Some((known, resolved)), "as it was");
    assert_eq!(KnownFinding::settled(&found(other).await), None, "it is open");
    assert_eq!(found(world.workload).await, []);
}

pub(super) async fn every_change_is_announced(rig: &Rig) {
    let ledger = &*rig.ledger;
    let mut watch = ledger.watch();
    let world = populate(ledger).await;
    assert_eq!(*watch.borrow_and_update(), ledger.head().position);
    record(ledger, &world, world.subjects()).await;
    let read = Event::AdministrativeRead { action: "ReadTask".to_owned(), number: None };
    ledger.change(appending(vec![read, refused()])).await.expect("noted");
    assert!(!watch.has_changed().expect("open"), "an issuance is no change, and what is only told is none either");
    let committed = ledger.change(cutting(world.owner, Closing::Suspend)).await.expect("cut");
    watch.changed().await.expect("open");
    assert_eq!(*watch.borrow(), committed.last);
    assert_eq!(ledger.facts().changed(), committed.last);
}

pub(super) async fn entries_are_read_in_pages(rig: &Rig) {
    let ledger = &*rig.ledger;
    let world = populate(ledger).await;
    for _ in 0..20 {
        record(ledger, &world, world.subjects()).await;
    }
    let head = ledger.head().position.get();
    let numbers = async |from: u64, limit: usize| -> Vec<u64> {
        let page = ledger.entries(at(from), limit).await.expect("readable");
        page.iter().map(|stored| stored.position.get()).collect()
    };
    assert_eq!(numbers(0, 3).await, [1, 2, 3]);
    assert_eq!(numbers(4, 9).await, (4..13).collect::<Vec<_>>());
    assert_eq!(numbers(head, 9).await, [head]);
    assert_eq!(numbers(head + 1, 9).await, [0; 0]);
    assert_eq!(numbers(1, 0).await, [0; 0]);
    assert_eq!(ledger.find(at(head + 1)).await, Ok(None));
    assert_eq!(ledger.find(at(0)).await, Ok(None));
}

pub(super) async fn what_was_committed_since_an_instant_is_found(rig: &Rig) {
    let ledger = &*rig.ledger;
    let world = populate(ledger).await;
    let mut committed = Vec::new();
    for step in 0..20 {
        // Some share an instant, and once the clock goes back, which the entries do not.
        rig.hand.set(if step == 12 { NOW } else { NOW.plus(Duration::from_secs(step / 3 * 10)) });
        committed.push(record(ledger, &world, world.subjects()).await.position());
    }
    let mut times = Vec::new();
    for position in 1..=ledger.head().position.get() {
        times.push(ledger.find(at(position)).await.expect("readable").expect("there").entry.expect("readable").time);
    }
    for seconds in 0..=80 {
        for since in [NOW.plus(Duration::from_secs(seconds)), NOW.minus(Duration::from_secs(seconds))] {
            let expected = times.iter().position(|time| *time >= since).unwrap_or(times.len());
            assert_eq!(ledger.first_since(since).await, Ok(at(u64::try_from(expected).expect("few") + 1)), "{since}");
        }
    }
    assert_eq!(ledger.status_secret(), ledger.status_secret());
    assert_ne!(ledger.status_secret(), [0; 32]);
}

pub(super) async fn closing_commits_what_waits_and_refuses_the_rest(rig: &Rig) {
    let world = populate(&*rig.ledger).await;
    let waiting: Vec<_> = (0..40).map(|_| rig.ledger.record(world.grant(&*rig.ledger, world.subjects()), [0; 8])).collect();
    let (answers, ()) = tokio::join!(join_all(waiting), async {
        tokio::task::yield_now().await;
        rig.ledger.close().await;
    });
    let recorded = answers.iter().filter(|answer| answer.is_ok()).count() as u64;
    assert!(answers.iter().all(|answer| matches!(answer, Ok(_) | Err(LedgerError::Unavailable(_)))));
    assert_eq!(rig.ledger.head().position.get(), World::SIZE as u64 + 1 + recorded);
    let late = rig.ledger.record(world.grant(&*rig.ledger, world.subjects()), [0; 8]).await;
    assert!(matches!(late, Err(LedgerError::Unavailable(_))), "{late:?}");
    let late = rig.ledger.change(appending(Vec::new())).await;
    assert!(matches!(late, Err(LedgerError::Unavailable(_))), "{late:?}");
    rig.ledger.close().await;
}

async fn join_all<T: Send>(futures: Vec<super::Answer<'_, T>>) -> Vec<T> {
    // Polled together, so that they wait in one queue.
    let mut futures: Vec<_> = futures.into_iter().map(|future| (Some(future), None)).collect();
    std::future::poll_fn(|context| {
        for (future, answer) in &mut futures {
            if let Some(pending) = future
                && let std::task::Poll::Ready(done) = pending.as_mut().poll(context)
            {
                (*future, *answer) = (None, Some(done));
            }
        }
        if futures.iter().all(|(_, answer)| answer.is_some()) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    futures.into_iter().filter_map(|(_, answer)| answer).collect()
}
