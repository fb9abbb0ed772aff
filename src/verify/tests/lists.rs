//! Lists: what is refused, what is a fork, how old the state is, and deltas against snapshots.

use proptest::prelude::*;

use super::*;
use crate::formats::jws;
use crate::formats::list::TYP;

fn state(broker: &Broker, first: &List) -> RevocationState {
    let mut state = RevocationState::default();
    assert_eq!(state.apply(&broker.signed(first), &broker.keys(), now()), Ok(Applied::Advanced(first.position)));
    state
}

fn since(position: u64, list: List) -> List {
    List { since: Some(Position::new(position)), ..list }
}

#[test]
fn every_list_that_cannot_be_used_is_refused_and_changes_nothing() {
    let broker = Broker::new();
    let keys = broker.keys();
    let good = list(1000);
    let sign = |typ: &str, pair: &Pair, kid: &str, payload: &serde_json::Value| {
        jws::encode(typ, kid, payload, |message| pair.sign(message)).expect("signs")
    };
    let payload = {
        let text = broker.signed(&good);
        let parsed = jws::parse(&text, usize::MAX).expect("a list");
        serde_json::from_slice::<serde_json::Value>(&parsed.payload).expect("JSON")
    };
    let with = |member: &str, value: serde_json::Value| {
        let mut changed = payload.clone();
        changed[member] = value;
        sign(TYP, &broker.list, &broker.list.kid, &changed)
    };
    let at = |seconds| Timestamp::from_seconds(seconds);
    for (text, code) in [
        ("x".to_owned(), "LIST_MALFORMED"),
        (sign("curfew-revocations-2+jwt", &broker.list, &broker.list.kid, &payload), "LIST_TYPE"),
        (sign("JWT", &broker.list, &broker.list.kid, &payload), "LIST_TYPE"),
        (sign(TYP, &broker.token, &broker.token.kid, &payload), "LIST_KEY"),
        (sign(TYP, &broker.token, &broker.list.kid, &payload), "LIST_SIGNATURE"),
        (with("more", 1.into()), "LIST_NOT_UNDERSTOOD"),
        (with("cuts", serde_json::json!([{"n": 1, "p": 2, "x": 3, "r": 6}])), "LIST_NOT_UNDERSTOOD"),
        (with("cuts", serde_json::json!([{"n": 1, "p": 2, "x": 3, "r": 5, "q": 1}])), "LIST_NOT_UNDERSTOOD"),
        (broker.signed(&List { issuer: "https://other.example".to_owned(), ..good.clone() }), "LIST_ISSUER"),
        (broker.signed(&List { issued_at: at(NOW + 6), expires_at: at(NOW + 60), ..good.clone() }), "LIST_FROM_THE_FUTURE"),
        (broker.signed(&List { issued_at: at(NOW - 30), expires_at: at(NOW), ..good.clone() }), "LIST_EXPIRED"),
        (broker.signed(&since(900, good)), "LIST_GAP"),
    ] {
        let mut state = RevocationState::default();
        assert_eq!(state.apply(&text, &keys, now()).expect_err(code).code(), code);
        assert_eq!(state, RevocationState::default(), "{code}");
    }
}

#[test]
fn a_list_that_is_cut_short_anywhere_is_refused_and_changes_nothing() {
    let broker = Broker::new();
    let text = broker.signed(&List { cuts: vec![cut(10, 500), cut(11, 501)], ..list(1000) });
    let mut state = RevocationState::default();
    for length in 0..text.len() {
        assert!(state.apply(text.get(..length).expect("ASCII"), &broker.keys(), now()).is_err(), "{length} of {} bytes", text.len());
    }
    assert_eq!(state, RevocationState::default());
    assert_eq!(state.apply(&text, &broker.keys(), now()), Ok(Applied::Advanced(Position::new(1000))));
}

#[test]
fn a_list_of_a_lower_position_is_ignored_even_if_it_was_made_later() {
    let broker = Broker::new();
    let mut state = state(&broker, &list(1000));
    let before = state.clone();
    let lower = List { issued_at: Timestamp::from_seconds(NOW + 4), cuts: vec![cut(10, 20)], ..list(999) };
    assert_eq!(state.apply(&broker.signed(&lower), &broker.keys(), later(1)), Ok(Applied::Ignored));
    assert_eq!(state, before);
}

#[test]
fn a_delta_from_beyond_what_is_known_is_refused_until_the_whole_list_fills_the_gap() {
    let broker = Broker::new();
    let mut state = state(&broker, &list(1000));
    let before = state.clone();
    let missed = since(1001, List { cuts: vec![cut(10, 1500)], ..list(2000) });
    let gap = Err(ListRejected::Gap { since: Position::new(1001), known: Position::new(1000) });
    assert_eq!(state.apply(&broker.signed(&missed), &broker.keys(), now()), gap);
    assert_eq!(state, before);
    let whole = List { cuts: vec![cut(11, 1001), cut(10, 1500)], ..list(2000) };
    assert_eq!(state.apply(&broker.signed(&whole), &broker.keys(), now()), Ok(Applied::Advanced(Position::new(2000))));
    assert_eq!(state.cuts().len(), 2);
}

#[test]
fn of_two_lists_of_one_age_the_later_one_says_how_long_it_may_be_used() {
    let broker = Broker::new();
    let lasting = |seconds: u64| List { expires_at: Timestamp::from_seconds(NOW + seconds), ..list(1000) };
    let mut state = state(&broker, &lasting(30));
    let fresh = |state: &RevocationState, seconds: u64| state.is_fresh(Duration::from_secs(60), later(seconds));
    assert_eq!([30, 31].map(|seconds| fresh(&state, seconds)), [true, false]);
    state.apply(&broker.signed(&lasting(40)), &broker.keys(), now()).expect("a good list");
    assert_eq!([40, 41].map(|seconds| fresh(&state, seconds)), [true, false]);
}

#[test]
fn a_contradiction_keeps_the_union_and_never_advances() {
    let broker = Broker::new();
    let keys = broker.keys();
    let first = List { cuts: vec![cut(10, 20)], ..list(1000) };
    for (mut contradiction, why) in [
        (List { root: [255; 32], ..first.clone() }, "another root at the same position"),
        (List { epoch: Epoch([2; 16]), ..list(2000) }, "it is of another epoch"),
        (List { epoch: Epoch([2; 16]), ..list(1) }, "it is of another epoch"),
        (list(1000), "a cut has vanished"),
        (list(2000), "a cut has vanished"),
        (List { cuts: vec![cut(10, 19)], ..list(2000) }, "a cut has vanished"),
        (since(19, list(2000)), "a cut has vanished"),
    ] {
        let mut state = state(&broker, &first);
        if contradiction.position > Position::new(30) {
            contradiction.cuts.push(cut(11, 30));
        }
        assert_eq!(state.apply(&broker.signed(&contradiction), &keys, later(1)), Err(ListRejected::Fork(why)));
        assert!(state.is_forked());
        assert!(state.cuts().get(Position::new(10)).is_some(), "what was known stays");
        assert_eq!(state.cuts().get(Position::new(11)).is_some(), !contradiction.cuts.is_empty(), "what is new is in force too");
        let good = List { cuts: vec![cut(10, 20), cut(11, 30)], issued_at: Timestamp::from_seconds(NOW + 2), ..list(3000) };
        assert!(matches!(state.apply(&broker.signed(&good), &keys, later(2)), Err(ListRejected::Fork(_))), "no advance after a fork");
        assert_eq!(state.position(), Some(Position::new(1000)));
        assert_eq!(state.age(later(2)), Some(Duration::from_secs(2)), "it grows old");
    }
}

#[test]
fn a_cut_that_has_ended_may_be_gone_and_one_that_was_replaced_is_not_missing() {
    let broker = Broker::new();
    let ending = Cut { ends: Timestamp::from_seconds(NOW + 5), ..cut(10, 20) };
    let mut state = state(&broker, &List { cuts: vec![ending, cut(11, 21)], ..list(1000) });
    let next = List { cuts: vec![cut(11, 1500)], ..list(2000) };
    assert_eq!(state.apply(&broker.signed(&next), &broker.keys(), later(1)), Ok(Applied::Advanced(Position::new(2000))));
    assert_eq!(state.cuts().get(Position::new(10)), Some(&ending), "kept until its own end");
    let beat = since(2000, List { issued_at: Timestamp::from_seconds(NOW + 5), ..list(2000) });
    state.apply(&broker.signed(&beat), &broker.keys(), later(5)).expect("a good list");
    assert_eq!(state.cuts().get(Position::new(10)), Some(&ending), "and while a clock may be set back");
    let long_after = NOW + 5 + CLOCK_STEP.as_secs();
    let at = Timestamp::from_seconds(long_after);
    let beat = since(2000, List { issued_at: at, expires_at: at.plus(Duration::from_secs(30)), ..list(2000) });
    state.apply(&broker.signed(&beat), &broker.keys(), later(long_after - NOW)).expect("a good list");
    assert_eq!(state.cuts().get(Position::new(10)), None);
}

#[test]
fn a_list_signed_by_a_list_key_that_was_cut_is_refused() {
    let broker = Broker::new();
    let mut state = state(&broker, &List { cuts: vec![cut(LIST_KEY, 900)], ..list(1000) });
    assert_eq!(state.apply(&broker.signed(&list(2000)), &broker.keys(), later(1)), Err(ListRejected::Key));
}

#[test]
fn a_list_signed_by_a_list_key_that_was_rotated_out_is_refused_once_that_has_ended() {
    let broker = Broker::new();
    let mut state = state(&broker, &list(1000));
    let keys = broker.keys_where_the_list_key_ends(Some(Timestamp::from_seconds(NOW + 10)));
    assert_eq!(state.apply(&broker.signed(&list(2000)), &keys, later(10)), Ok(Applied::Advanced(Position::new(2000))));
    assert_eq!(state.apply(&broker.signed(&list(3000)), &keys, later(11)), Err(ListRejected::Key));
}

#[test]
fn age_is_counted_on_the_steady_clock_from_when_the_list_was_made() {
    let broker = Broker::new();
    let check = |issued: u64, life: u64, wall: u64, steady_ms: u64| {
        let verifier = Verifier::new(Settings::new(audience()), broker.keys());
        let (iat, exp) = (Timestamp::from_seconds(issued), Timestamp::from_seconds(issued + life));
        verifier.apply(&broker.signed(&List { issued_at: iat, expires_at: exp, ..list(1000) }), now()).expect("a good list");
        let moment = Moment { wall: Timestamp::from_seconds(wall), steady: now().steady + Duration::from_millis(steady_ms) };
        verifier.token(&broker.token(&claims()), Presented::Certificate([7; 32]), moment).map(|_| ()).map_err(|rejected| rejected.code())
    };
    assert_eq!(check(NOW, 30, NOW, 30_000), Ok(()));
    assert_eq!(check(NOW, 30, NOW, 30_001), Err("LIST_STALE"), "the wall clock stood still");
    assert_eq!(check(NOW, 30, NOW - 4, 30_001), Err("LIST_STALE"), "the wall clock was set back");
    assert_eq!(check(NOW, 30, NOW + 200, 30_000), Ok(()), "the wall clock was set forward: the list is not older for that");
    assert_eq!(check(NOW - 10, 30, NOW, 20_000), Ok(()), "it was ten seconds old on receipt");
    assert_eq!(check(NOW - 10, 30, NOW, 20_001), Err("LIST_STALE"));
    assert_eq!(check(NOW + 5, 30, NOW, 30_001), Err("LIST_STALE"), "a clock that is ahead gives no time away");
    assert_eq!(check(NOW, 10, NOW, 10_001), Err("LIST_STALE"), "the broker may allow less than the verifier");
    assert_eq!(check(NOW, 90, NOW, 30_001), Err("LIST_STALE"), "and not more");
}

#[test]
fn an_older_list_of_the_same_position_makes_the_state_no_older() {
    let broker = Broker::new();
    let mut state = state(&broker, &list(1000));
    let older = List { issued_at: Timestamp::from_seconds(NOW - 20), expires_at: Timestamp::from_seconds(NOW + 10), ..list(1000) };
    state.apply(&broker.signed(&older), &broker.keys(), later(1)).expect("a good list");
    assert_eq!(state.age(later(1)), Some(Duration::from_secs(1)));
    let newer = List { issued_at: Timestamp::from_seconds(NOW + 1), expires_at: Timestamp::from_seconds(NOW + 31), ..list(1000) };
    state.apply(&broker.signed(&newer), &broker.keys(), later(1)).expect("a good list");
    assert_eq!(state.age(later(1)), Some(Duration::ZERO));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The broker cuts and publishes; one follower reads the last snapshot, another any chain of
    /// published points, as deltas or snapshots, with points missed and points repeated.
    #[test]
    fn a_snapshot_equals_any_chain_of_deltas(
        cuts in proptest::collection::vec((5..9u64, 0..4u64, 1..60u64), 1..25),
        reads in proptest::collection::vec((any::<bool>(), any::<bool>()), 25),
    ) {
        let broker = Broker::new();
        let keys = broker.keys();
        let (mut active, mut follower, mut applied) = (Cuts::default(), RevocationState::default(), None);
        let mut last = None;
        // Each step takes up to three seconds, in which earlier cuts may end. Ends never go back.
        let (mut clock, mut ends, mut position) = (0, 0, 10);
        for ((number, pause, life), (reads, whole)) in cuts.into_iter().zip(reads) {
            clock += pause;
            ends = ends.max(clock + life);
            position += 7;
            let moment = later(clock);
            active.expire(moment.wall);
            active.add(Cut { ends: Timestamp::from_seconds(NOW + ends), ..cut(number, position) });
            let snapshot = List {
                issued_at: moment.wall,
                expires_at: moment.wall.plus(MAX_STALENESS),
                cuts: active.iter().copied().collect(),
                ..list(position)
            };
            if reads {
                let published = List { since: applied.filter(|_| !whole), ..snapshot.clone() };
                let text = broker.signed(&published);
                for _ in 0..2 {
                    prop_assert_eq!(follower.apply(&text, &keys, moment), Ok(Applied::Advanced(snapshot.position)));
                }
                applied = Some(snapshot.position);
            }
            last = Some((snapshot, moment));
        }
        let (snapshot, moment) = last.expect("at least one");
        let mut fresh = RevocationState::default();
        fresh.apply(&broker.signed(&snapshot), &keys, moment).expect("a good list");
        follower.apply(&broker.signed(&List { since: applied, ..snapshot }), &keys, moment).expect("a good list");
        prop_assert_eq!(follower.cuts(), fresh.cuts());
        prop_assert_eq!(fresh.cuts(), &active);
        prop_assert_eq!(follower.position(), fresh.position());
    }
}
