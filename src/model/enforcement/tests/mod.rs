//! The rule against a world that is played through: who can accept what, moment by moment.

use proptest::prelude::*;

use super::*;

mod concerns;

const WINDOWS: Windows = Windows {
    max_staleness: Duration::from_secs(30),
    crl: Duration::from_secs(600),
    status_list: Duration::from_secs(300),
    skew: Duration::from_secs(30),
};

fn at(second: u64) -> Timestamp {
    Timestamp::from_seconds(1000 + second)
}

/// A follower downstream with a name, a list out at 10 that covers the cut, memory from long ago.
fn sight(instances: &[Sighting]) -> Sight {
    Sight {
        kind: VerifierKind::Follower,
        named: true,
        last_expiry: at(3600),
        published: Some(at(10)),
        recorded: None,
        remembered_from: Timestamp::from_seconds(1),
        instances: instances.to_vec(),
    }
}

fn confirmed(second: u64) -> Sighting {
    Sighting { confirmed: Some(at(second)), ..Sighting::default() }
}

fn held(second: u64) -> Sighting {
    Sighting { held: Some(at(second)), ..Sighting::default() }
}

fn enforced(second: u64, way: Way) -> Enforcement {
    Enforcement::Enforced { at: at(second), way }
}

fn waiting(second: u64) -> Enforcement {
    Enforcement::Waiting { until: at(second) }
}

#[test]
fn a_follower_is_enforced_when_the_last_of_its_processes_has_confirmed() {
    let one = sight(&[confirmed(11), held(9)]);
    assert_eq!(one.enforcement(&WINDOWS, at(12)), waiting(70));
    let both = sight(&[confirmed(11), confirmed(14)]);
    assert_eq!(both.enforcement(&WINDOWS, at(13)), waiting(70), "not before the second did");
    assert_eq!(both.enforcement(&WINDOWS, at(14)), enforced(14, Way::Confirmed));
    let guard = Sight { kind: VerifierKind::Guard, ..both };
    assert_eq!(guard.enforcement(&WINDOWS, at(14)), enforced(14, Way::Confirmed));
}

#[test]
fn a_process_that_went_away_is_waited_for_until_its_list_has_ended() {
    let gone = sight(&[confirmed(11), held(2)]);
    assert_eq!(gone.enforcement(&WINDOWS, at(61)), waiting(70));
    assert_eq!(gone.enforcement(&WINDOWS, at(62)), enforced(62, Way::Confirmed));
    let all_gone = sight(&[held(2)]);
    assert_eq!(all_gone.enforcement(&WINDOWS, at(62)), enforced(62, Way::Stale));
    let handed_and_silent = sight(&[confirmed(11), Sighting::default()]);
    assert_eq!(handed_and_silent.enforcement(&WINDOWS, at(69)), waiting(70), "it may never have applied what it was handed");
    assert_eq!(handed_and_silent.enforcement(&WINDOWS, at(70)), enforced(70, Way::Confirmed));
}

#[test]
fn without_a_known_process_or_without_a_name_only_time_tells() {
    for unknown in [sight(&[]), Sight { named: false, ..sight(&[confirmed(11)]) }] {
        assert_eq!(unknown.enforcement(&WINDOWS, at(69)), waiting(70));
        assert_eq!(unknown.enforcement(&WINDOWS, at(70)), enforced(70, Way::Stale));
    }
}

#[test]
fn nothing_is_concluded_from_a_memory_that_is_too_young() {
    let young = Sight { remembered_from: at(5), ..sight(&[confirmed(11)]) };
    assert_eq!(young.enforcement(&WINDOWS, at(64)), waiting(70));
    assert_eq!(young.enforcement(&WINDOWS, at(65)), enforced(65, Way::Confirmed));
    let recorded = Sight { recorded: Some(at(12)), ..young };
    assert_eq!(recorded.enforcement(&WINDOWS, at(20)), enforced(12, Way::Confirmed), "the ledger remembers");
}

#[test]
fn crl_status_list_and_nothing_at_all_have_their_own_times() {
    let of = |kind| Sight { kind, ..sight(&[confirmed(11)]) };
    for (kind, until) in [(VerifierKind::Crl, 640), (VerifierKind::StatusList, 340), (VerifierKind::None, 3630)] {
        let way = if kind == VerifierKind::None { Way::Expired } else { Way::Stale };
        assert_eq!(of(kind).enforcement(&WINDOWS, at(until - 1)), waiting(until), "{kind}");
        assert_eq!(of(kind).enforcement(&WINDOWS, at(until)), enforced(until, way), "{kind}");
    }
    let unpublished = Sight { published: None, ..of(VerifierKind::Crl) };
    assert_eq!(unpublished.enforcement(&WINDOWS, at(700)), waiting(3630), "what is not out reaches nobody");
}

#[test]
fn what_has_expired_is_accepted_nowhere() {
    let short = Sight { last_expiry: at(15), ..sight(&[held(9)]) };
    assert_eq!(short.enforcement(&WINDOWS, at(44)), waiting(45));
    assert_eq!(short.enforcement(&WINDOWS, at(45)), enforced(45, Way::Expired));
}

#[test]
fn a_verifier_of_another_history_is_trusted_with_nothing_but_expiry() {
    let forked = sight(&[confirmed(11), Sighting { forked: true, ..confirmed(11) }]);
    assert_eq!(forked.enforcement(&WINDOWS, at(100)), Enforcement::Forked { until: at(3630) });
    assert_eq!(forked.enforcement(&WINDOWS, at(3630)), enforced(3630, Way::Expired));
}

/// A list that a process took: when it was issued, and when it was applied.
#[derive(Clone, Copy, Debug)]
struct Taken {
    issued: u64,
    covers: bool,
    applied: u64,
    confirmed: Option<u64>,
}

/// When the first list that covers the cut is out.
const OUT: u64 = 50;

/// Of the lists that are out, one each second, a process takes some, applies each a little later, and confirms
/// some.
fn process() -> impl Strategy<Value = Vec<Taken>> {
    let taken = (0..150u64, 0..20u64, proptest::option::of(0..20u64)).prop_map(|(issued, applied, confirmed)| {
        let applied = issued + applied;
        Taken { issued, covers: issued >= OUT, applied, confirmed: confirmed.map(|after| applied + after) }
    });
    proptest::collection::vec(taken, 0..12)
}

/// Whether a process accepts, at `second`, what the cut ended: its newest list does not cover the cut, and is
/// not too old by a clock that is as wrong as one may be.
fn accepts(process: &[Taken], second: u64) -> bool {
    let newest = process.iter().filter(|taken| taken.applied <= second).max_by_key(|taken| taken.issued);
    newest.is_some_and(|taken| !taken.covers && second < taken.issued + 60)
}

/// What a broker that began to remember at `began` knows of a process at `second`.
fn known(process: &[Taken], began: u64, second: u64) -> Option<Sighting> {
    let handed = process.iter().filter(|taken| (began..=second).contains(&taken.issued)).max_by_key(|taken| taken.issued);
    let confirmations = process.iter().filter(|taken| taken.covers && taken.issued >= began).filter_map(|taken| taken.confirmed);
    let confirmed = confirmations.filter(|confirmed| *confirmed <= second).min();
    handed.map(|taken| Sighting { confirmed: confirmed.map(at), held: (!taken.covers).then(|| at(taken.issued)), forked: false })
}

proptest! {
    #[test]
    fn what_is_said_to_be_enforced_is_accepted_by_nobody(
        began in 0..120u64, expiry in 20..400u64, now in 0..300u64, processes in proptest::collection::vec(process(), 0..5),
    ) {
        // A broker that starts later publishes at its start; what was handed out before, it does not know.
        let out = began.max(OUT);
        let sightings: Vec<_> = processes.iter().filter_map(|process| known(process, began, now)).collect();
        let sight = Sight {
            last_expiry: at(expiry),
            published: (now >= out).then(|| at(out)),
            remembered_from: at(began),
            ..sight(&sightings)
        };
        if let Enforcement::Enforced { at: since, .. } = sight.enforcement(&WINDOWS, at(now)) {
            prop_assert!(since <= at(now));
            let from = since.seconds() - 1000;
            for second in from..from + 400 {
                let alive = second < expiry + 30;
                for process in &processes {
                    // What a process takes after now is of after the cut: nothing older is handed out any more.
                    let taken: Vec<_> = process.iter().filter(|taken| taken.issued <= now || taken.covers).copied().collect();
                    prop_assert!(!(alive && accepts(&taken, second)), "{sight:?} since {since}, and {process:?} accepts at {second}");
                }
            }
        }
    }

    #[test]
    fn waiting_always_ends_and_never_later_than_it_said(
        kind in proptest::sample::select(VerifierKind::ALL), named: bool, expiry in 0..400u64, published in proptest::option::of(0..200u64),
        confirmed in proptest::option::of(0..200u64), held in proptest::option::of(0..200u64), forked: bool, now in 0..200u64,
    ) {
        let instance = Sighting { confirmed: confirmed.map(at), held: held.map(at), forked };
        let sight = Sight {
            kind, named, last_expiry: at(expiry), published: published.map(at), recorded: None, remembered_from: at(0), instances: vec![instance],
        };
        let until = match sight.enforcement(&WINDOWS, at(now)) {
            Enforcement::Waiting { until } | Enforcement::Forked { until } => until,
            Enforcement::Enforced { at, .. } => at,
        };
        prop_assert!(until <= at(expiry).plus(WINDOWS.skew).max(at(now)), "{until}");
        let then = sight.enforcement(&WINDOWS, until.max(at(now)));
        prop_assert!(matches!(then, Enforcement::Enforced { .. }), "{then:?} at {until}");
        // What was enforced stays so.
        for later in [1, 50, 500] {
            let then = sight.enforcement(&WINDOWS, until.max(at(now)).plus(Duration::from_secs(later)));
            prop_assert!(matches!(then, Enforcement::Enforced { .. }), "{then:?}");
        }
    }
}
