//! What each change of a document does, by example.

use super::*;

#[test]
fn a_first_document_is_recorded_in_an_order_in_which_every_reference_stands_before() {
    let world = World { now: Timestamp::from_seconds(1), head: Position::new(7), ..World::default() };
    let difference = world.plan(&base());
    let names: Vec<_> = difference.events.iter().map(Event::name).collect();
    assert_eq!(names, ["environment_recorded", "environment_recorded", "owner_recorded", "owner_recorded", "workload_recorded"]);
    let Some(Event::WorkloadRecorded(recording)) = difference.events.last() else { panic!("the workload comes last") };
    assert_eq!((recording.number, recording.record.owner), (None, Position::new(10)));
    assert_eq!(recording.record.environments, [Position::new(8), Position::new(9)]);
}

#[test]
fn a_workload_that_moves_leaves_everything_behind_and_the_cut_falls_on_it_as_it_was() {
    let b = |document: &mut Document| document.workloads[0].owner = "b".parse().expect("an id");
    let told = format!("move workload {API}: owner: a -> b (2)");
    let mut world = check(b, &[&told], &["cut move-owner affiliation-changed 1121", "workload_recorded"], [true, true]);
    world.issue(API, "production", 10);
    assert!(!world.is_cut(&world.issued[2]), "issuing goes on");
}

#[test]
fn a_lost_environment_takes_everything_of_the_workload() {
    let only = |document: &mut Document| document.workloads[0].environments = ["staging".parse().expect("a name")].into();
    let told = format!("change workload {API}: environments: production staging -> staging (2)");
    check(only, &[&told], &["cut nothing privilege-withdrawn 1121", "workload_recorded"], [true, true]);
}

#[test]
fn an_environment_that_ends_takes_its_own_and_nothing_else() {
    let gone = |document: &mut Document| {
        document.environments.remove(0);
        document.workloads[0].environments = ["staging".parse().expect("a name")].into();
    };
    let change = format!("change workload {API}: environments: production staging -> staging (0)");
    let end = "end environment production: no longer named by the registry (1)";
    check(gone, &[&change, end], &["workload_recorded", "cut unregister cessation-of-operation 1121"], [true, false]);
}

#[test]
fn an_end_that_comes_earlier_cuts_only_what_could_outlive_it() {
    let at = |seconds| Some(Timestamp::from_seconds(seconds));
    let told = format!("change workload {API}: valid_until: none -> 1970-01-01T00:16:39Z (2)");
    let events = ["cut nothing privilege-withdrawn 1121", "workload_recorded"];
    check(|document| document.workloads[0].valid_until = at(999), &[&told], &events, [true, true]);
    let told = format!("change workload {API}: valid_until: none -> 1970-01-01T00:16:41Z (0)");
    check(|document| document.workloads[0].valid_until = at(1001), &[&told], &["workload_recorded"], [false, false]);
    let told = "change owner a: contract_end: none -> 1970-01-01T00:16:39Z (2)";
    let events = ["cut nothing privilege-withdrawn 1121", "owner_recorded"];
    check(|document| document.owners[0].contract_end = at(999), &[told], &events, [true, true]);
    let told = "change owner a: contract_end: none -> 1970-01-01T00:16:41Z (0)";
    check(|document| document.owners[0].contract_end = at(1001), &[told], &["owner_recorded"], [false, false]);
}

#[test]
fn what_reads_differently_without_taking_anything_away_kills_nothing() {
    let told = format!("change workload {API}: purpose: Takes payments -> Other (0)");
    check(|document| document.workloads[0].purpose = "Other".parse().expect("a purpose"), &[&told], &["workload_recorded"], [false, false]);
    let told = "change owner a: technical_owner: oncall@example.org -> new@example.org (0)";
    check(
        |document| document.owners[0].technical_owner = "new@example.org".parse().expect("a contact"),
        &[told],
        &["owner_recorded"],
        [false, false],
    );
}

#[test]
fn an_owner_that_ends_takes_its_workloads_and_what_is_named_again_stays_dead() {
    let gone = |document: &mut Document| {
        document.workloads.clear();
        document.owners.remove(0);
    };
    let workload = format!("end workload {API}: no longer named by the registry (2)");
    let owner = "end owner a: no longer named by the registry (2)";
    let cut = "cut unregister cessation-of-operation 1121";
    let mut world = check(gone, &[&workload, owner], &[cut, cut], [true, true]);
    let again = world.apply(&base());
    assert_eq!(again.ends, 0);
    assert!(again.changes.iter().all(|change| change.action == Action::Add && change.detail.starts_with("named again; ")), "{again:?}");
    assert!(world.is_cut(&world.issued[0]) && world.is_cut(&world.issued[1]));
    world.issue(API, "production", 10);
    assert!(!world.is_cut(&world.issued[2]));
}

#[test]
fn naming_again_does_not_lift_a_revocation() {
    let mut world = issued_world();
    let number = world.facts.owner(&"a".parse().expect("an id")).expect("known").number;
    let (reason, closing) = (Reason::KeyCompromise, Closing::Offboard);
    world.append(Event::Cut(CutMade { number, reason, ends: None, closing, note: None, concerns: None, source: None }));
    assert_eq!(world.plan(&base()), Difference::default(), "a revocation is no difference of the registry");
    let mut without = base();
    without.workloads.clear();
    without.owners.remove(0);
    world.apply(&without);
    let again = world.apply(&base());
    assert!(again.changes[0].detail.starts_with("named again, and still closed by a revocation; "), "{again:?}");
    let known = world.facts.owner(&"a".parse().expect("an id")).expect("known");
    assert!(known.is_registered() && !known.is_open());
}

#[test]
fn a_downstream_that_ends_takes_the_tokens_for_it_and_named_again_is_a_new_one() {
    let named = |name: &str, audiences: &[&str]| DownstreamSpec {
        name: name.parse().expect("a name"),
        accepts_tokens: true,
        accepts_certificates: true,
        audiences: audiences.iter().map(|audience| audience.parse().expect("an audience")).collect(),
        environments: ["production".parse().expect("a name")].into(),
        verifier_kind: crate::model::VerifierKind::None,
        verifier: None,
        business_owner: None,
        technical_owner: None,
    };
    let mut with = base();
    with.downstreams = vec![named("api", &["own", "shared"]), named("billing", &["bills", "shared"])];
    let mut world = World::at(&with);
    world.issue(API, "production", 1000);
    ["own", "shared", "bills"].iter().for_each(|audience| world.issue_token(API, "production", audience));
    let number = world.facts.downstream(&"api".parse().expect("a name")).expect("named").number;
    let mut without = with.clone();
    without.downstreams.remove(0);
    let end = world.apply(&without);
    let [change] = &end.changes[..] else { panic!("{end:?}") };
    assert_eq!((change.action, change.subject, change.living, end.ends), (Action::End, Subject::Downstream, 2, 1));
    let [Event::Cut(cut), removed] = &end.events[..] else { panic!("{end:?}") };
    assert_eq!((cut.number, cut.closing, removed), (number, Closing::Nothing, &Event::DownstreamRemoved { number }));
    let concerned: Vec<_> =
        cut.concerns.iter().flat_map(|concerns| concerns.downstreams()).map(|one| (one.downstream, one.living)).collect();
    assert_eq!(concerned, [(Some(number), 2), (Some(number.next()), 1)], "where they were accepted, each");
    let dead: Vec<bool> = world.issued.iter().map(|one| world.is_cut(one)).collect();
    assert_eq!(dead, [false, true, true, false], "the certificate, and the token for the other, live");
    world.apply(&with);
    assert_ne!(world.facts.downstream(&"api".parse().expect("a name")).expect("named again").number, number);
    world.issue_token(API, "production", "own");
    assert!(!world.is_cut(&world.issued[4]), "what is issued for the new one lives");
}

#[test]
fn a_cut_under_which_nothing_can_be_alive_never_enters_the_list() {
    let mut world = issued_world();
    world.now = Timestamp::from_seconds(1001).plus(CUT_GRACE).plus(CLOCK_STEP);
    let difference = world.plan(&Document::default());
    let ends: Vec<_> =
        difference.events.iter().map(|event| if let Event::Cut(cut) = event { cut.ends } else { panic!("{event:?}") }).collect();
    assert_eq!(ends, [None; 5]);
    world.now = world.now.minus(Duration::from_millis(1));
    let difference = world.plan(&Document::default());
    assert!(difference.events.iter().all(|event| matches!(event, Event::Cut(cut) if cut.ends == Some(Timestamp::from_seconds(1121)))));
}
