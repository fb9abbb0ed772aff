//! What a plan says of what is registered and seen, and what of it is still done a moment later.

use proptest::prelude::*;

use super::super::events;
use super::*;
use crate::ledger::Present;
use crate::model::{
    Bound, Contact, Contract, CredentialKind, CutMade, Downstream, Entry, Event, FindingChange, Issued, Living, OwnerKind, Person, Reason,
    Recording, Subjects, VerifierKind,
};

const DAY: Duration = Duration::from_secs(86_400);

fn at(number: u64) -> Position {
    Position::new(number)
}

fn issued(owner: Position, workload: Position, environment: Position, issued_at: Timestamp) -> Issued {
    Issued {
        kind: CredentialKind::Certificate,
        subjects: Subjects { owner, workload, environment, task: None, lineage: None },
        parent: None,
        nonce: [0; 8],
        issued_at,
        expires_at: issued_at.plus(DAY),
        bound_by: Bound::Default,
        audience: None,
        scopes: Vec::new(),
        confirmation: None,
        key: at(2),
        downstreams: Vec::new(),
        policies: Vec::new(),
        policy_hash: [0; 32],
        purpose: None,
        exception: None,
        asked_from: None,
    }
}

/// Facts of workloads: each with the day of its last use, absent for none, and whether its owner has ended.
fn world(workloads: &[(Option<u64>, bool)]) -> (Facts, Observed) {
    let (mut facts, mut observed) = (Facts::default(), Observed::default());
    let mut position = Position::ZERO;
    let mut entry = |facts: &mut Facts, observed: &mut Observed, time: Timestamp, event: Event| {
        position = position.next();
        let entry = Entry { position, time, actor: None, request_id: None, event };
        facts.apply(&entry);
        observed.take(&entry);
        position
    };
    let start = Timestamp::from_seconds(1);
    let owner = |id: &str| Owner {
        id: id.parse().expect("an id"),
        kind: OwnerKind::Team,
        business_owner: "b@example.org".parse().expect("a contact"),
        technical_owner: "t@example.org".parse().expect("a contact"),
        contract_end: None,
    };
    let owners = ["here", "gone"].map(|id| {
        entry(&mut facts, &mut observed, start, Event::OwnerRecorded(Recording { number: None, origin: None, record: owner(id) }))
    });
    let environment = Environment { name: "production".parse().expect("a name") };
    let environment =
        entry(&mut facts, &mut observed, start, Event::EnvironmentRecorded(Recording { number: None, origin: None, record: environment }));
    for (index, (_, orphan)) in workloads.iter().enumerate() {
        let record = Workload {
            spiffe_id: format!("spiffe://example.org/w{index}").parse().expect("an ID"),
            owner: owners[usize::from(*orphan)],
            purpose: "a test".parse().expect("a note"),
            environments: vec![environment],
            valid_until: None,
            business_owner: None,
            technical_owner: None,
        };
        let number = entry(&mut facts, &mut observed, start, Event::WorkloadRecorded(Recording { number: None, origin: None, record }));
        if let Some(day) = workloads[index].0 {
            let time = start.plus(DAY * u32::try_from(day).expect("few"));
            entry(&mut facts, &mut observed, time, Event::CredentialIssued(Box::new(issued(owners[0], number, environment, time))));
        }
    }
    let cut = CutMade {
        number: owners[1],
        reason: Reason::CessationOfOperation,
        ends: None,
        closing: Closing::Offboard,
        note: None,
        concerns: None,
        source: None,
    };
    entry(&mut facts, &mut observed, start, Event::Cut(cut));
    (facts, observed)
}

fn settings(action: FindingAction, max_acted: u8) -> Reconciling {
    let actions = FindingKind::ALL.iter().map(|kind| (*kind, action)).collect();
    Reconciling { max_acted: Share::percent(max_acted), actions, ..Reconciling::default() }
}

/// Applies what a plan says to the findings of the facts.
fn apply(facts: &mut Facts, plan: &Plan, now: Timestamp) {
    let mut position = at(10_000).max(facts.changed());
    let mut push = |event: Event| {
        position = position.next();
        facts.apply(&Entry { position, time: now, actor: None, request_id: None, event });
    };
    plan.raise.iter().for_each(|finding| push(Event::FindingRaised(Box::new(finding.clone()))));
    let mut change = |number: Position, change| push(Event::FindingChanged { number, change, note: None });
    plan.seen.iter().for_each(|number| change(*number, FindingChange::Seen));
    plan.resolve.iter().for_each(|number| change(*number, FindingChange::Resolved));
    plan.act.iter().for_each(|(number, action)| change(*number, FindingChange::Acted(*action)));
}

fn workloads() -> impl Strategy<Value = Vec<(Option<u64>, bool)>> {
    proptest::collection::vec((proptest::option::of(0..200u64), any::<bool>()), 0..60)
}

proptest! {
    /// Each is raised once, by what the definition says, and a second run finds nothing new.
    #[test]
    fn what_is_found_is_what_the_definitions_say_and_a_second_run_changes_nothing(workloads in workloads(), day in 100..220u32) {
        let (mut facts, observed) = world(&workloads);
        let now = Timestamp::from_seconds(1).plus(DAY * day);
        let settings = settings(FindingAction::Report, 10);
        let first = plan(&Ground::of(&facts, Elsewhere::default()), &observed, &settings, now);
        let count = |kind: FindingKind| first.raise.iter().filter(|finding| finding.kind == kind).count();
        prop_assert_eq!(count(FindingKind::Orphan), workloads.iter().filter(|(_, orphan)| *orphan).count());
        let dormant = |last: &Option<u64>| last.is_none_or(|last| last + 90 < u64::from(day));
        prop_assert_eq!(count(FindingKind::Dormant), workloads.iter().filter(|(last, orphan)| !orphan && dormant(last)).count());
        prop_assert!(first.act.is_empty() && first.resolve.is_empty());
        apply(&mut facts, &first, now);
        prop_assert_eq!(plan(&Ground::of(&facts, Elsewhere::default()), &observed, &settings, now), Plan::default());
    }

    /// No run acts before the grace is over, or on more than the share, and what was acted on is not again.
    #[test]
    fn a_run_acts_on_no_more_than_its_share_and_never_early(workloads in workloads(), max_acted in 0..101u8, waited in 0..20u32) {
        let (mut facts, observed) = world(&workloads);
        let settings = settings(FindingAction::Suspend, max_acted);
        let now = Timestamp::from_seconds(1).plus(DAY * 150);
        let first = plan(&Ground::of(&facts, Elsewhere::default()), &observed, &settings, now);
        apply(&mut facts, &first, now);
        let later = now.plus(DAY * waited);
        let second = plan(&Ground::of(&facts, Elsewhere::default()), &observed, &settings, later);
        prop_assert!(second.act.is_empty() || later >= now.plus(settings.grace));
        let about = |finding: &Position| facts.findings().get(*finding).expect("an open one").record.about.clone();
        let closed: HashSet<About> = second.act.iter().map(|(finding, _)| about(finding)).collect();
        prop_assert!(closed.len() <= Share::FEW.max(workloads.len() * usize::from(max_acted) / 100));
        prop_assert!(second.act.is_empty() || second.held.is_empty());
        apply(&mut facts, &second, later);
        let third = plan(&Ground::of(&facts, Elsewhere::default()), &observed, &settings, later);
        prop_assert!(third.act.iter().all(|(number, _)| second.act.iter().all(|(acted, _)| acted != number)));
    }
}

/// One finding about an owner ends all its workloads.
#[test]
fn what_an_owner_takes_with_it_counts_for_the_share() {
    for (max_acted, acts) in [(10, false), (99, false), (100, true)] {
        let (mut facts, observed) = world(&[(Some(149), false); 5]);
        let settings = settings(FindingAction::Suspend, max_acted);
        let left = Person { id: "b@example.org".parse().expect("a contact"), active: false };
        let event = Event::PersonRecorded(Recording { number: None, origin: None, record: left });
        let now = Timestamp::from_seconds(1).plus(DAY * 150);
        facts.apply(&Entry { position: facts.changed().next(), time: now, actor: None, request_id: None, event });
        let first = plan(&Ground::of(&facts, Elsewhere::default()), &observed, &settings, now);
        assert_eq!(first.raise.iter().map(|finding| finding.kind).collect::<Vec<_>>(), [FindingKind::Ownerless]);
        apply(&mut facts, &first, now);
        let due = plan(&Ground::of(&facts, Elsewhere::default()), &observed, &settings, now.plus(settings.grace));
        assert_eq!((due.act.len(), due.held.len()), if acts { (1, 0) } else { (0, 1) }, "{max_acted}");
    }
}

#[test]
fn a_waiver_or_an_issuance_that_comes_between_the_plan_and_its_entries_holds() {
    let (mut facts, observed) = world(&[(None, false)]);
    let settings = settings(FindingAction::Suspend, 100);
    let now = Timestamp::from_seconds(1).plus(DAY * 150);
    let first = plan(&Ground::of(&facts, Elsewhere::default()), &observed, &settings, now);
    apply(&mut facts, &first, now);
    let now = now.plus(settings.grace);
    let planned = plan(&Ground::of(&facts, Elsewhere::default()), &observed, &settings, now);
    let cuts = |facts: &Facts, living: &Living| {
        let present = Present { facts, living, head: facts.changed(), latest_expiry: Timestamp::EPOCH, now };
        events(&planned, &present).iter().filter(|event| matches!(event, Event::Cut(_))).count()
    };
    assert_eq!(cuts(&facts, &Living::default()), 1);
    let number = facts.findings().iter().next().expect("one that is dormant").number;
    let mut woken = Living::default();
    let workload = facts.workloads().next().expect("one");
    woken.add(&issued(workload.record.owner, workload.number, workload.record.environments[0], now));
    assert_eq!(cuts(&facts, &woken), 0, "nor is it dormant any more if something was issued to it");
    let event = Event::FindingChanged { number, change: FindingChange::Waived { until: now.plus(DAY) }, note: None };
    facts.apply(&Entry { position: at(20_000), time: now, actor: None, request_id: None, event });
    assert_eq!(cuts(&facts, &Living::default()), 0);
}

/// Facts of a downstream, with the position of its recording and of the entry that said who answers for it.
fn service(active: bool) -> (Facts, Position, Position) {
    let (mut facts, _) = world(&[]);
    let mut at = facts.changed();
    let mut push = |event: Event| {
        at = at.next();
        facts.apply(&Entry { position: at, time: Timestamp::from_seconds(1), actor: None, request_id: None, event });
        at
    };
    let left = Person { id: "lead@example.org".parse().expect("a contact"), active };
    let person = push(Event::PersonRecorded(Recording { number: None, origin: None, record: left }));
    let record = Downstream {
        name: "ledger".parse().expect("a name"),
        accepts_tokens: true,
        accepts_certificates: false,
        audiences: vec!["https://ledger.example.org".parse().expect("an audience")],
        environments: Vec::new(),
        verifier_kind: VerifierKind::None,
        verifier: None,
        business_owner: Some("Lead@example.org".parse().expect("a contact")),
        technical_owner: Some("ops@example.org".parse().expect("a contact")),
    };
    let number = push(Event::DownstreamRecorded(Recording { number: None, origin: None, record }));
    (facts, number, person)
}

fn present<'a>(facts: &'a Facts, living: &'a Living, now: Timestamp) -> Present<'a> {
    Present { facts, living, head: facts.changed(), latest_expiry: now.plus(DAY), now }
}

#[test]
fn a_downstream_whose_owner_left_is_told_and_ended_when_its_grace_is_over_and_not_again() {
    for (action, closing) in [(FindingAction::Suspend, Closing::Suspend), (FindingAction::Revoke, Closing::Offboard)] {
        let settings = settings(action, 10);
        let observed = Observed::default();
        let plan = |facts: &Facts, now: Timestamp| plan(&Ground::of(facts, Elsewhere::default()), &observed, &settings, now);
        let now = Timestamp::from_seconds(2);
        assert_eq!(plan(&service(true).0, now), Plan::default(), "whoever is here answers");
        let (mut facts, number, left) = service(false);
        let first = plan(&facts, now);
        let told: Vec<_> = first.raise.iter().map(|finding| (finding.kind, &finding.about, finding.evidence.as_slice())).collect();
        assert_eq!(told, [(FindingKind::Ownerless, &About::Subject(number), [left].as_slice())]);
        assert!(first.raise[0].detail.to_string().starts_with("Lead@example.org, who answers for downstream ledger,"));
        apply(&mut facts, &first, now);
        assert_eq!(plan(&facts, now.plus(settings.grace - DAY)).act, []);
        let due = now.plus(settings.grace);
        let second = plan(&facts, due);
        let living = Living::default();
        let cuts = |facts: &Facts| {
            let events = events(&second, &present(facts, &living, due));
            events.into_iter().filter_map(|event| if let Event::Cut(cut) = event { Some(cut) } else { None }).collect::<Vec<_>>()
        };
        let cut = cuts(&facts).pop().expect("it is ended");
        assert_eq!((cut.number, cut.closing), (number, closing));
        facts.apply(&Entry { position: at(20_000), time: due, actor: None, request_id: None, event: Event::Cut(cut) });
        assert_eq!(cuts(&facts), [], "it is closed already");
        assert_eq!(plan(&facts, due).resolve.len(), 1, "what is closed needs nobody");
    }
}

#[test]
fn nothing_is_told_of_a_downstream_that_went_between_the_plan_and_its_entries() {
    let (mut facts, number, _) = service(false);
    let (now, living) = (Timestamp::from_seconds(2), Living::default());
    let planned = plan(&Ground::of(&facts, Elsewhere::default()), &Observed::default(), &settings(FindingAction::Report, 10), now);
    assert_eq!(events(&planned, &present(&facts, &living, now)).len(), 1);
    let event = Event::DownstreamRemoved { number };
    facts.apply(&Entry { position: at(20_000), time: now, actor: None, request_id: None, event });
    assert_eq!(events(&planned, &present(&facts, &living, now)), []);
}

#[test]
fn a_note_is_cut_where_a_character_ends() {
    assert_eq!(note(&"é".repeat(400)).map(|note| note.to_string().len()), Some(500));
    assert_eq!(note(&format!("{}é", "a".repeat(499))).map(|note| note.to_string().len()), Some(499));
}

/// What a plan raises, by kind, with what it is about and what shows it.
fn raised(facts: &Facts, observed: &Observed, now: Timestamp) -> Vec<(FindingKind, About, Vec<u64>)> {
    let plan = plan(&Ground::of(facts, Elsewhere::default()), observed, &settings(FindingAction::Report, 10), now);
    let told = |finding: Finding| (finding.kind, finding.about, finding.evidence.into_iter().map(Position::get).collect());
    plan.raise.into_iter().map(told).collect()
}

/// Appends an event to facts; where it stands.
fn push(facts: &mut Facts, event: Event) -> Position {
    let (position, time) = (facts.changed().next(), Timestamp::from_seconds(1));
    facts.apply(&Entry { position, time, actor: None, request_id: None, event });
    position
}

#[test]
fn what_should_have_ended_a_minute_ago_is_overdue_and_the_entry_that_says_when_shows_it() {
    let (mut facts, observed) = world(&[(None, false)]);
    let end = Timestamp::from_seconds(1000);
    let workload = facts.workloads().next().expect("one").clone();
    let owner = workload.record.owner;
    let until = Workload { valid_until: Some(end), ..(*workload.record).clone() };
    let registered = push(&mut facts, Event::WorkloadRecorded(Recording { number: Some(workload.number), origin: None, record: until }));
    let record = Contract { owner, end };
    let contract = push(&mut facts, Event::ContractRecorded(Recording { number: None, origin: None, record }));

    let second = Duration::from_secs(1);
    assert_eq!(raised(&facts, &observed, end.plus(LATE - second)), [], "it ends by itself within that time");
    let overdue = |number: Position, says: Position| (FindingKind::Overdue, About::Subject(number), vec![says.get()]);
    assert_eq!(raised(&facts, &observed, end.plus(LATE)), [overdue(owner, contract), overdue(workload.number, registered)]);
    let announced = (FindingKind::Expiring, About::Subject(owner), vec![contract.get()]);
    assert_eq!(raised(&facts, &observed, end.minus(second)), [announced], "before it is merely announced");
    for number in [owner, workload.number] {
        let (reason, closing) = (Reason::CessationOfOperation, Closing::Offboard);
        push(&mut facts, Event::Cut(CutMade { number, reason, ends: None, closing, note: None, concerns: None, source: None }));
    }
    assert_eq!(raised(&facts, &observed, end.plus(LATE)), [], "what has ended is not overdue");
}

#[test]
fn a_waiver_that_is_over_is_overdue_where_nothing_else_follows_from_it() {
    let (facts, observed) = world(&[(None, false)]);
    let day = |day: u32| Timestamp::from_seconds(1).plus(DAY * day);
    let on = |facts: &Facts, settings: &Reconciling, now| plan(&Ground::of(facts, Elsewhere::default()), &observed, settings, now);
    for (dormant, is_told) in [(FindingAction::Report, true), (FindingAction::Suspend, false)] {
        let mut settings = settings(FindingAction::Revoke, 100);
        settings.actions.insert(FindingKind::Dormant, dormant);
        let mut facts = facts.clone();
        let first = on(&facts, &settings, day(150));
        apply(&mut facts, &first, day(150));
        let number = facts.findings().iter().next().expect("it is dormant").number;
        let waive =
            |facts: &mut Facts, until| push(facts, Event::FindingChanged { number, change: FindingChange::Waived { until }, note: None });
        let waived = waive(&mut facts, day(170));
        let waits = on(&facts, &settings, day(170).minus(Duration::from_secs(1)));
        assert_eq!((waits.raise.len(), waits.act.len()), (0, 0));
        let over = on(&facts, &settings, day(170));
        if !is_told {
            assert_eq!((over.raise.len(), over.act.as_slice()), (0, [(number, dormant)].as_slice()), "what waited is done");
            continue;
        }
        let told: Vec<_> = over.raise.iter().map(|told| (told.kind, told.about.clone(), told.evidence.clone())).collect();
        assert_eq!(told, [(FindingKind::Overdue, About::Finding(number), vec![number, waived])]);
        assert_eq!(over.raise[0].detail.to_string(), format!("finding {number} (dormant) was waived until {}, and is so still", day(170)));
        apply(&mut facts, &over, day(170));
        let later = on(&facts, &settings, day(200));
        assert_eq!((later.raise.len(), later.act.len(), later.resolve.len()), (0, 0, 0), "nothing can be ended of a waiver");
        // Who waives that instead has no third one told.
        let overdue = facts.findings().iter().last().expect("raised").number;
        let change = FindingChange::Waived { until: day(180) };
        push(&mut facts, Event::FindingChanged { number: overdue, change, note: None });
        assert_eq!(on(&facts, &settings, day(200)), later);
        waive(&mut facts, day(230));
        assert_eq!(on(&facts, &settings, day(200)).resolve, [overdue], "it is waived anew");
    }
}

#[test]
fn a_downstream_that_names_one_of_two_or_none_is_told_by_its_recording_however_often_it_was_reinstated() {
    let observed = Observed::default();
    let now = Timestamp::from_seconds(2);
    for (business, technical, told) in [
        (true, true, None),
        (true, false, Some("downstream ledger names no technical owner")),
        (false, true, Some("downstream ledger names no business owner")),
        (false, false, Some("downstream ledger names neither a business nor a technical owner")),
    ] {
        let (mut facts, number, _) = service(true);
        let known = facts.downstream_numbered(number).expect("recorded").clone();
        let mut record = (*known.record).clone();
        record.business_owner = record.business_owner.filter(|_| business);
        record.technical_owner = record.technical_owner.filter(|_| technical);
        let recorded = push(&mut facts, Event::DownstreamRecorded(Recording { number: Some(number), origin: None, record }));
        let (reason, closing) = (Reason::PrivilegeWithdrawn, Closing::Suspend);
        push(&mut facts, Event::Cut(CutMade { number, reason, ends: None, closing, note: None, concerns: None, source: None }));
        push(&mut facts, Event::Reinstated { number, note: None });
        let plan = plan(&Ground::of(&facts, Elsewhere::default()), &observed, &settings(FindingAction::Report, 10), now);
        let found: Vec<_> = plan.raise.iter().map(|finding| (finding.detail.to_string(), finding.evidence.clone())).collect();
        assert_eq!(found, told.map(|told| (told.to_owned(), vec![recorded])).into_iter().collect::<Vec<_>>());
    }
}

#[test]
fn whoever_loses_one_of_two_is_told_at_once_whichever_it_is() {
    let now = Timestamp::from_seconds(2);
    let contact = |name: &str| -> Contact { format!("{name}@example.org").parse().expect("a contact") };
    for gone in ["b", "t", "wb", "wt"] {
        let (mut facts, observed) = world(&[(None, false)]);
        let workload = facts.workloads().next().expect("one").clone();
        // The workload names its own, one or both.
        let [business_owner, technical_owner] = ["wb", "wt"].map(|name| Some(contact(name)).filter(|_| gone != "wt" || name == "wt"));
        let record = Workload { business_owner, technical_owner, ..(*workload.record).clone() };
        push(&mut facts, Event::WorkloadRecorded(Recording { number: Some(workload.number), origin: None, record }));
        let mut person = |name: &str, active| {
            push(&mut facts, Event::PersonRecorded(Recording { number: None, origin: None, record: Person { id: contact(name), active } }))
        };
        for stays in ["b", "t", "wb", "wt"].iter().filter(|name| **name != gone) {
            person(stays, true);
        }
        let left = person(gone, false);
        let about = if gone.starts_with('w') { workload.number } else { workload.record.owner };
        assert_eq!(raised(&facts, &observed, now), [(FindingKind::Ownerless, About::Subject(about), vec![left.get()])], "{gone}");
    }
}

#[test]
fn a_time_is_told_in_the_largest_unit_that_says_it() {
    for (seconds, told) in [(90 * 86_400, "90 days"), (86_400, "1 day"), (36 * 3600, "36 hours"), (5400, "90 minutes"), (1, "1 second")] {
        assert_eq!(lasting(Duration::from_secs(seconds)), told);
    }
}
