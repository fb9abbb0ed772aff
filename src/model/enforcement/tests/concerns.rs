//! What a cut ended, and which downstreams that is of concern to.

use super::*;
use crate::model::{Accepted, Audience, Downstream, Entry, Event, Recording};

const PRODUCTION: Position = Position::new(3);
const STAGING: Position = Position::new(4);
/// The downstreams, by the entries that record them.
const LEDGER: Option<Position> = Some(Position::new(10));
const MESH: Option<Position> = Some(Position::new(11));

fn audience(name: &str) -> Audience {
    format!("https://{name}.example.org").parse().expect("an audience")
}

/// A service of production that accepts tokens, and one that accepts certificates.
fn facts() -> Facts {
    let downstream = |name: &str, audiences: Vec<Audience>| {
        let record = Downstream {
            name: name.parse().expect("a name"),
            accepts_tokens: !audiences.is_empty(),
            accepts_certificates: audiences.is_empty(),
            audiences,
            environments: vec![PRODUCTION],
            verifier_kind: VerifierKind::Follower,
            verifier: None,
            business_owner: None,
            technical_owner: None,
        };
        Event::DownstreamRecorded(Recording { number: None, origin: None, record })
    };
    let mut facts = Facts::default();
    for (position, event) in (10..).map(Position::new).zip([downstream("ledger", vec![audience("ledger")]), downstream("mesh", Vec::new())])
    {
        facts.apply(&Entry { position, time: Timestamp::EPOCH, actor: None, request_id: None, event });
    }
    facts
}

fn concern(downstream: Option<Position>, living: u64, second: u64) -> Concern {
    Concern { downstream, living, last_expiry: at(second) }
}

fn concerns(downstreams: impl Into<Vec<Concern>>) -> Concerns {
    Concerns::in_order(downstreams.into(), Vec::new()).expect("ascending")
}

#[test]
fn a_cut_concerns_whoever_accepts_what_it_ended_and_tells_what_nobody_does() {
    let mut census = Census::default();
    for (environment, audience, count, second) in [
        (PRODUCTION, Some(audience("ledger")), 3, 50),
        (PRODUCTION, Some(audience("nobody")), 1, 40),
        (PRODUCTION, None, 2, 90),
        (STAGING, None, 4, 60),
    ] {
        census.accepted.insert((environment, audience), Accepted { count, last_expiry: at(second) });
    }
    census.ended.insert((CredentialKind::Certificate, PRODUCTION), 2);
    let found = Concerns::of(&census, &facts());
    assert_eq!(found.downstreams(), [concern(None, 5, 60), concern(LEDGER, 3, 50), concern(MESH, 2, 90)]);
    assert_eq!(found.ended(), [Ended { kind: CredentialKind::Certificate, environment: PRODUCTION, count: 2 }]);
}

#[test]
fn where_it_is_not_known_what_is_alive_everybody_is_concerned() {
    let known = concerns([concern(LEDGER, 3, 50)]);
    let anywhere = known.anywhere(&facts(), at(70));
    assert_eq!(anywhere.downstreams(), [concern(None, 0, 70), concern(LEDGER, 3, 70), concern(MESH, 0, 70)]);
}

#[test]
fn what_an_earlier_cut_ended_concerns_those_at_whom_it_has_not_expired() {
    let earlier = concerns([concern(None, 1, 49), concern(LEDGER, 2, 51), concern(MESH, 2, 50)]);
    let both = concerns([concern(LEDGER, 3, 40)]).with(&earlier, at(50));
    assert_eq!(both.downstreams(), [concern(LEDGER, 5, 51)], "the very instant of the expiry is too late");
}

#[test]
fn what_is_read_back_is_ascending_and_names_each_once() {
    let ended = |environments: &[Position]| {
        let one = |environment: &Position| Ended { kind: CredentialKind::AccessToken, environment: *environment, count: 1 };
        environments.iter().map(one).collect::<Vec<_>>()
    };
    let told = |downstreams: &[Option<Position>]| downstreams.iter().map(|downstream| concern(*downstream, 1, 9)).collect::<Vec<_>>();
    let read = |downstreams, environments| Concerns::in_order(told(downstreams), ended(environments)).is_some();
    assert!(read(&[None, LEDGER, MESH], &[PRODUCTION, STAGING]));
    for (downstreams, environments) in [
        (&[LEDGER, None][..], &[PRODUCTION, STAGING][..]),
        (&[LEDGER, LEDGER], &[PRODUCTION, STAGING]),
        (&[None, LEDGER], &[STAGING, PRODUCTION]),
        (&[None, LEDGER], &[STAGING, STAGING]),
    ] {
        assert!(!read(downstreams, environments), "{downstreams:?} {environments:?}");
    }
}

#[test]
fn the_words_for_how_it_came_to_be_enforced_are_stable() {
    assert_eq!([Way::Confirmed, Way::Stale, Way::Expired].map(Way::as_str), ["confirmed", "stale", "expired"]);
    let forked = Enforcement::Forked { until: at(7) };
    assert_eq!([waiting(5), forked, enforced(9, Way::Stale)].map(|it| it.until()), [Some(at(5)), Some(at(7)), None]);
}
