//! What a verifier does whose clock is wrong. The broker's shows `NOW`.

use super::*;

const MINUTE: u64 = 60;
const HOUR: u64 = 3600;

fn at(wall: u64, steady: u64) -> Moment {
    Moment { wall: Timestamp::from_seconds(wall), steady: Duration::from_secs(steady) }
}

#[test]
fn a_verifier_whose_clock_is_wrong_by_a_minute_or_an_hour_takes_no_list_and_rejects_everything() {
    let broker = Broker::new();
    let fresh = broker.signed(&list(1000));
    for (wall, why) in [
        (NOW - HOUR, "LIST_FROM_THE_FUTURE"),
        (NOW - MINUTE, "LIST_FROM_THE_FUTURE"),
        (NOW + MINUTE, "LIST_EXPIRED"),
        (NOW + HOUR, "LIST_EXPIRED"),
    ] {
        let verifier = Verifier::new(Settings::new(audience()), broker.keys());
        assert_eq!(verifier.apply(&fresh, at(wall, 500)).map_err(|rejected| rejected.code()), Err(why));
        let checked = verifier.token(&broker.token(&claims()), Presented::Certificate([7; 32]), at(wall, 500));
        assert_eq!(checked.map(|_| ()), Err(Rejected::NoList), "{why}");
    }
}

#[test]
fn a_verifier_whose_clock_is_set_back_accepts_what_expired_for_no_longer_than_its_list_is_fresh() {
    let broker = Broker::new();
    let verifier = broker.verifier(&[]);
    let token =
        broker.token(&TokenClaims { issued_at: Timestamp::from_seconds(NOW - 300), expires_at: Timestamp::from_seconds(NOW), ..claims() });
    let check = |moment| verifier.token(&token, Presented::Certificate([7; 32]), moment).map(|_| ()).map_err(|rejected| rejected.code());
    assert_eq!(check(now()), Err("EXPIRED"));
    assert_eq!(check(at(NOW - 1, 500)), Ok(()), "by a clock that was set back");
    // The steady clock goes on, and no list is taken any more.
    for steady in 501..=560 {
        let moment = at(NOW - MINUTE + steady - 500, steady);
        let next = List {
            issued_at: Timestamp::from_seconds(NOW + steady - 500),
            expires_at: Timestamp::from_seconds(NOW + steady - 470),
            ..list(1000)
        };
        assert_eq!(verifier.apply(&broker.signed(&next), moment).map_err(|rejected| rejected.code()), Err("LIST_FROM_THE_FUTURE"));
        assert_eq!(check(moment), if steady <= 530 { Ok(()) } else { Err("LIST_STALE") }, "after {} s", steady - 500);
    }
}

#[test]
fn a_verifier_whose_clock_jumps_ahead_forgets_no_cut_that_matters_when_it_is_set_back() {
    let broker = Broker::new();
    let verifier = broker.verifier(&[cut(10, 500)]);
    let check = |moment| {
        verifier.token(&broker.token(&claims()), Presented::Certificate([7; 32]), moment).map(|_| ()).map_err(|rejected| rejected.code())
    };
    assert_eq!(check(now()), Err("REVOKED"));
    // Broker and verifier share a machine: the cut ended by their clock, and a delta says nothing of it.
    let wall = NOW + HOUR;
    let ahead = List {
        issued_at: Timestamp::from_seconds(wall),
        expires_at: Timestamp::from_seconds(wall + 30),
        since: Some(Position::new(1000)),
        ..list(1001)
    };
    assert_eq!(verifier.apply(&broker.signed(&ahead), at(wall, 501)), Ok(Applied::Advanced(Position::new(1001))));
    assert_eq!(check(at(wall, 501)), Err("EXPIRED"));
    let back = List {
        since: Some(Position::new(1001)),
        issued_at: Timestamp::from_seconds(NOW + 2),
        expires_at: Timestamp::from_seconds(NOW + 32),
        ..list(1002)
    };
    assert_eq!(verifier.apply(&broker.signed(&back), at(NOW + 2, 502)), Ok(Applied::Advanced(Position::new(1002))));
    assert_eq!(check(at(NOW + 2, 502)), Err("REVOKED"), "what ended an hour too early is in force again");
}
