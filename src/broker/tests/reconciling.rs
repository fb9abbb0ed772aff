//! What does not fit together is found, told, and acted on after its grace; and no run does too much.

use std::net::IpAddr;

use super::*;
use crate::model::{Event, FindingAction, FindingKind, SharedBy};

const DAY: Duration = Duration::from_secs(86_400);

fn settings(kind: FindingKind, action: FindingAction) -> Reconciling {
    let ignored = FindingKind::ALL.iter().map(|kind| (*kind, FindingAction::Ignore));
    let actions = ignored.chain([(kind, action)]).collect();
    Reconciling { dormant_after: DAY * 10, unused_after: DAY * 10, grace: DAY * 2, actions, ..Reconciling::default() }
}

impl World {
    /// A run, in words: what, of which kind, about whom.
    async fn run(&self, dry_run: bool) -> Vec<String> {
        let run = self.broker.reconcile(&administrator(), dry_run).await.unwrap();
        let word =
            |step: &crate::broker::Step| format!("{} {} {}", step.what, step.kind, step.about.trim_start_matches("spiffe://example.org"));
        run.steps.iter().map(word).collect()
    }

    fn days(&self, days: u32) {
        self.hand.set(START.plus(DAY * days));
    }

    async fn finding(&self) -> Position {
        self.broker.findings(&administrator(), 10).await.unwrap().0.first().expect("one is open").known.number
    }
}

#[tokio::test]
async fn a_workload_that_falls_silent_is_told_then_suspended_after_its_grace_and_the_finding_is_over() {
    let world = World::reconciling(settings(FindingKind::Dormant, FindingAction::Suspend)).await;
    let (api, batch) = (caller("/payments/api"), caller("/payments/batch"));
    world.days(5);
    world.token(&api).await.unwrap();
    assert_eq!(world.run(false).await, [""; 0], "none has been silent for long enough");
    world.days(11);
    // The vendor's workload and the other one were never issued anything.
    let raised = world.run(true).await;
    assert_eq!(raised, ["raise dormant /acme/sync", "raise dormant /payments/batch"]);
    assert_eq!(world.run(true).await, raised, "a dry run changes nothing");
    world.run(false).await;
    assert_eq!(world.run(false).await, [""; 0], "and is told once");
    world.token(&batch).await.unwrap();
    assert_eq!(world.run(false).await, ["resolve dormant /payments/batch"], "it is so no longer");
    world.days(13);
    assert_eq!(world.run(false).await, ["suspend dormant /acme/sync"]);
    assert_eq!(denied(world.token(&caller("/acme/sync")).await), DenialCode::WorkloadNotActive);
    assert!(world.token(&api).await.is_ok());
    assert_eq!(world.run(false).await, ["resolve dormant /acme/sync"]);
}

#[tokio::test]
async fn those_of_an_owner_that_is_suspended_or_was_lately_are_not_dormant() {
    let world = World::reconciling(settings(FindingKind::Dormant, FindingAction::Report)).await;
    let suspend = Withdrawal { suspend: true, ..withdrawal() };
    for owner in ["payments", "acme"] {
        world.broker.revoke(&administrator(), owner_named(owner), suspend.clone()).await.unwrap();
    }
    world.days(11);
    assert_eq!(world.run(false).await, [""; 0], "nothing could be issued to them");
    for owner in ["payments", "acme"] {
        world.broker.reinstate(&administrator(), owner_named(owner), "back".parse().ok()).await.unwrap();
    }
    assert_eq!(world.run(false).await, [""; 0], "until now");
    world.days(20);
    assert_eq!(world.run(false).await, [""; 0]);
    world.days(21);
    assert_eq!(world.run(false).await.len(), 3);
}

#[tokio::test]
async fn an_environment_that_is_suspended_or_was_lately_is_not_unused() {
    let world = World::reconciling(settings(FindingKind::OverPrivileged, FindingAction::Report)).await;
    let suspend = Withdrawal { suspend: true, ..withdrawal() };
    world.broker.revoke(&administrator(), environment_named("staging"), suspend).await.unwrap();
    let in_use_on = async |days| {
        world.days(days);
        world.token(&caller("/payments/api")).await.unwrap();
        world.run(false).await
    };
    assert_eq!(in_use_on(11).await, [""; 0]);
    world.broker.reinstate(&administrator(), environment_named("staging"), "back".parse().ok()).await.unwrap();
    assert_eq!(in_use_on(20).await, [""; 0]);
    assert_eq!(in_use_on(21).await, ["raise over-privileged /payments/api"]);
}

#[tokio::test]
async fn what_is_so_still_a_day_later_was_seen_then() {
    let world = World::reconciling(settings(FindingKind::Dormant, FindingAction::Report)).await;
    world.days(11);
    world.run(false).await;
    let (found, number) = (START.plus(DAY * 11), world.finding().await);
    for (later, seen) in [(DAY / 2, found), (DAY, found.plus(DAY)), (DAY * 3 / 2, found.plus(DAY)), (DAY * 2, found.plus(DAY * 2))] {
        world.hand.set(found.plus(later));
        assert_eq!(world.run(false).await, [""; 0]);
        let known = world.broker.finding(&administrator(), number).await.unwrap().known;
        assert_eq!((known.raised, known.seen), (found, seen), "{later:?} later");
    }
}

#[tokio::test]
async fn what_is_acted_on_dies_and_nothing_else() {
    let world = World::reconciling(settings(FindingKind::OverPrivileged, FindingAction::Revoke)).await;
    world.days(11);
    let token = world.token(&caller("/payments/api")).await.unwrap();
    let other = world.token(&caller("/payments/batch")).await.unwrap();
    assert_eq!(world.run(false).await, ["raise over-privileged /payments/api"], "it may act in staging, and does not");
    world.days(13);
    let (fresh, _) = world.certificate(&caller("/payments/batch"), "production", None).await.unwrap();
    assert_eq!(world.run(false).await, ["revoke over-privileged /payments/api"]);
    assert!(world.is_dead(&token).await && !world.is_dead(&fresh).await && !world.is_dead(&other).await);
}

#[tokio::test]
async fn a_waived_finding_waits_and_is_acted_on_when_the_waiver_is_over() {
    let world = World::reconciling(settings(FindingKind::Dormant, FindingAction::Suspend)).await;
    for active in ["/payments/api", "/payments/batch"] {
        world.days(5);
        world.token(&caller(active)).await.unwrap();
    }
    world.days(11);
    world.run(false).await;
    let (broker, number) = (&world.broker, world.finding().await);
    let note = "the yearly closing".parse().ok();
    for until in [0, 11, 11 + 367] {
        let refused = broker.waive_finding(&administrator(), number, START.plus(DAY * until), note.clone()).await;
        assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
    }
    let unsaid = broker.waive_finding(&administrator(), number, START.plus(DAY * 14), None).await;
    assert!(matches!(unsaid, Err(Error::Invalid(_))), "a waiver has a reason: {unsaid:?}");
    broker.waive_finding(&administrator(), number, START.plus(DAY * 14), note).await.unwrap();
    let waiver = broker.finding(&administrator(), number).await.unwrap().known.waiver.expect("waived");
    assert_eq!(waiver.by, Some(administrator().spiffe_id));
    world.days(13);
    assert_eq!(world.run(false).await, [""; 0]);
    world.days(14);
    assert_eq!(world.run(false).await, ["suspend dormant /acme/sync"]);
}

#[tokio::test]
async fn a_waiver_that_is_over_is_told_until_it_is_waived_anew_or_so_no_longer() {
    let mut told = settings(FindingKind::Dormant, FindingAction::Report);
    told.actions.insert(FindingKind::Overdue, FindingAction::Revoke);
    let world = World::reconciling(told).await;
    world.days(11);
    world.run(false).await;
    let (broker, number) = (&world.broker, world.finding().await);
    let waive =
        async |until| broker.waive_finding(&administrator(), number, START.plus(DAY * until), "closing".parse().ok()).await.unwrap();
    waive(12).await;
    world.days(12);
    let raised = format!("raise overdue finding {number}");
    assert_eq!(world.run(false).await, [raised.as_str()]);
    let overdue = broker.findings(&administrator(), 10).await.unwrap().0.pop().unwrap();
    assert_eq!((overdue.action, overdue.due), (FindingAction::Report, None), "nothing can be ended of it");
    world.days(14);
    assert_eq!(world.run(false).await, [""; 0], "nor is it");
    waive(15).await;
    assert_eq!(world.run(false).await, [format!("resolve overdue finding {number}")]);
    world.days(15);
    assert_eq!(world.run(false).await, [raised]);
    let about = broker.finding(&administrator(), number).await.unwrap().about;
    let path = about.trim_start_matches("spiffe://example.org");
    world.token(&caller(path)).await.unwrap();
    assert_eq!(world.run(false).await, [format!("resolve dormant {path}"), format!("resolve overdue finding {number}")]);
}

#[tokio::test]
async fn what_should_have_ended_by_itself_and_is_open_still_is_ended_when_its_grace_is_over() {
    let world = World::reconciling(settings(FindingKind::Overdue, FindingAction::Revoke)).await;
    let end: Timestamp = "2027-06-30T00:00:00Z".parse().unwrap();
    // Nobody ends here what ends by itself.
    world.hand.set(end.plus(DAY));
    assert_eq!(world.run(false).await, ["raise overdue acme", "raise overdue /acme/sync"]);
    let story = world.broker.finding(&administrator(), world.finding().await).await.unwrap();
    assert_eq!((story.action, story.due), (FindingAction::Revoke, Some(end.plus(DAY * 3))));
    world.hand.set(end.plus(DAY * 3));
    assert_eq!(world.run(false).await, ["revoke overdue acme", "revoke overdue /acme/sync"]);
    assert_eq!(denied(world.token(&caller("/acme/sync")).await), DenialCode::WorkloadNotActive);
    assert_eq!(
        world.broker.finding(&administrator(), world.finding().await).await.unwrap().known.acted.map(|acted| acted.0),
        Some(FindingAction::Revoke)
    );
    assert_eq!(world.run(false).await, ["resolve overdue acme", "resolve overdue /acme/sync"]);
}

#[tokio::test]
async fn a_run_that_would_do_too_much_does_nothing_and_says_so() {
    let world = World::reconciling(settings(FindingKind::Dormant, FindingAction::Revoke)).await;
    let more: String = (0..5)
        .map(|number| {
            format!("  - {{spiffe_id: spiffe://example.org/more/{number}, owner: payments, purpose: a test, environments: [production]}}\n")
        })
        .collect();
    world.apply(&REGISTRY.replace("downstreams:", &format!("{}downstreams:", more.trim_start_matches('\n'))), 0).await.unwrap();
    world.days(11);
    assert_eq!(world.run(false).await.len(), 8);
    world.days(14);
    let steps = world.run(false).await;
    assert_eq!(steps.iter().filter(|step| step.starts_with("held ")).count(), 8, "{steps:?}");
    assert_eq!(world.broker.findings_count(), (8, 0, 8));
    assert!(world.token(&caller("/payments/api")).await.is_ok(), "nothing was done");
}

#[tokio::test]
async fn an_owner_that_has_ended_leaves_orphans_and_a_contract_that_ends_is_told_before() {
    let world = World::reconciling(settings(FindingKind::Orphan, FindingAction::Revoke)).await;
    world.revoke_owner("payments").await.unwrap();
    let cut = world.head();
    assert_eq!(world.run(false).await, ["raise orphan /payments/api", "raise orphan /payments/batch"]);
    let story = world.broker.findings(&administrator(), 1).await.unwrap();
    assert_eq!((story.0[0].known.record.evidence.as_slice(), story.1), ([cut].as_slice(), true));
    world.broker.reinstate(&administrator(), owner_named("payments"), "it is back".parse().ok()).await.unwrap();
    assert_eq!(world.run(false).await, ["resolve orphan /payments/api", "resolve orphan /payments/batch"]);

    let told = Reconciling { announce: DAY * 30, ..settings(FindingKind::Expiring, FindingAction::Report) };
    let world = World::reconciling(told).await;
    let end: Timestamp = "2027-06-30T00:00:00Z".parse().unwrap();
    world.hand.set(end.minus(DAY * 31));
    assert_eq!(world.run(false).await, [""; 0]);
    world.hand.set(end.minus(DAY * 29));
    assert_eq!(world.run(false).await, ["raise expiring acme"]);
}

#[tokio::test]
async fn an_identity_in_no_record_that_asks_is_found_until_it_is_registered_or_gives_up() {
    let world = World::reconciling(settings(FindingKind::Unregistered, FindingAction::Report)).await;
    let stranger = caller("/payments/new");
    let error = world.token(&stranger).await.unwrap_err();
    world.broker.note_refusal(&stranger, &error);
    world.broker.tell_all_refusals().await;
    let told = world.head();
    assert_eq!(world.run(false).await, ["raise unregistered /payments/new"]);
    assert_eq!(world.broker.finding(&administrator(), world.finding().await).await.unwrap().known.record.evidence, [told]);
    world.days(2);
    assert_eq!(world.run(false).await, ["resolve unregistered /payments/new"]);
}

#[tokio::test]
async fn two_certificates_in_turn_are_one_identity_in_two_hands() {
    let world = World::reconciling(settings(FindingKind::Shared, FindingAction::Suspend)).await;
    let one = caller("/payments/api");
    let other = Caller { fingerprint: [8; 32], ..one.clone() };
    world.token(&one).await.unwrap();
    world.token(&other).await.unwrap();
    assert_eq!(world.run(false).await, [""; 0], "it may have been renewed");
    world.token(&one).await.unwrap();
    assert_eq!(world.run(false).await, ["raise shared /payments/api"]);
}

/// A caller with one certificate, at an address.
fn calling(path: &str, from: &str) -> Caller {
    Caller { address: Some(from.parse::<IpAddr>().unwrap().into()), ..caller(path) }
}

/// Two workloads ask in turn from the places; what a run says of it.
async fn asking_from(shared_by: &[SharedBy], places: [&str; 3]) -> (World, Vec<Position>, Vec<String>) {
    let by = Reconciling { shared_by: shared_by.iter().copied().collect(), ..settings(FindingKind::Shared, FindingAction::Report) };
    let world = World::reconciling(by).await;
    let mut issued = Vec::new();
    for place in places {
        world.token(&calling("/payments/batch", "192.0.2.1")).await.unwrap();
        // Whatever is issued counts, bound to a key or not.
        let (certificate, _) = world.certificate(&calling("/payments/api", place), "production", None).await.unwrap();
        issued.push(certificate.position);
    }
    let steps = world.run(false).await;
    (world, issued, steps)
}

#[tokio::test]
async fn two_places_in_turn_are_one_identity_in_two_hands_where_it_is_said_to_be_in_one() {
    let in_turn = ["192.0.2.1", "198.51.100.7", "192.0.2.1"];
    let (world, issued, steps) = asking_from(&[SharedBy::Places], in_turn).await;
    assert_eq!(steps, ["raise shared /payments/api"]);
    let told = world.broker.finding(&administrator(), world.finding().await).await.unwrap().known.record;
    assert_eq!(told.evidence, issued);
    let detail = "spiffe://example.org/payments/api asks from 192.0.2.1 and 198.51.100.7 at the same time";
    assert_eq!(told.detail.to_string(), detail);
    for (place, at) in in_turn.into_iter().zip(&issued) {
        let entry = world.broker.ledger().find(*at).await.unwrap().unwrap().entry.unwrap();
        let recorded = entry.event.issued().unwrap().asked_from;
        assert_eq!(recorded.map(|address| address.to_string()).as_deref(), Some(place));
    }

    assert_eq!(asking_from(&[SharedBy::Keys], in_turn).await.2, [""; 0], "replicas come from several places");
    let moved = ["192.0.2.1", "192.0.2.1", "198.51.100.7"];
    assert_eq!(asking_from(&[SharedBy::Places], moved).await.2, [""; 0], "it has moved");
    let one_host = ["2001:db8::1", "2001:db8::ffff:2", "2001:db8::1"];
    assert_eq!(asking_from(&[SharedBy::Places], one_host).await.2, [""; 0], "a host changes its address");
}

#[tokio::test]
async fn several_keys_and_several_places_are_one_finding_that_tells_both() {
    let by = [SharedBy::Keys, SharedBy::Places].into();
    let world = World::reconciling(Reconciling { shared_by: by, ..settings(FindingKind::Shared, FindingAction::Report) }).await;
    let one = calling("/payments/api", "192.0.2.1");
    let other = Caller { fingerprint: [8; 32], ..calling("/payments/api", "192.0.2.2") };
    for caller in [&one, &other, &one] {
        world.token(caller).await.unwrap();
    }
    assert_eq!(world.run(false).await, ["raise shared /payments/api"]);
    let told = world.broker.finding(&administrator(), world.finding().await).await.unwrap().known.record;
    assert!(told.detail.to_string().ends_with(" uses several keys and asks from 192.0.2.1 and 192.0.2.2 at the same time"));
    assert_eq!(told.evidence.len(), 3, "the same issuances show both");
}

#[tokio::test]
async fn what_was_seen_is_found_again_in_the_ledger_after_a_start() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::kept(folder.path().join("ledger.db")).await;
    world.days(80);
    world.token(&caller("/payments/api")).await.unwrap();
    world.days(91);
    // The first look of a broker reads what was before it.
    let raised = world.run(false).await;
    assert!(raised.contains(&"raise dormant /payments/batch".to_owned()), "{raised:?}");
    assert!(!raised.contains(&"raise dormant /payments/api".to_owned()), "{raised:?}");
    let entries = world.broker.ledger().entries(Position::new(1), 1000).await.unwrap();
    let findings = entries.iter().filter(|stored| matches!(stored.entry.as_ref().unwrap().event, Event::FindingRaised(_)));
    assert_eq!(findings.count(), raised.len());
}
