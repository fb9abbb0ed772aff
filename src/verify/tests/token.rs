//! Tokens: each way to fail, the edges of time, and changes of every byte.

use proptest::prelude::*;

use super::*;
use crate::formats::jws;

const BOUND: Presented = Presented::Certificate([7; 32]);

/// One token for each way in which a token can fail, with how it failed.
pub(super) fn failures() -> Vec<Rejected> {
    let broker = Broker::new();
    let verifier = broker.verifier(&[]);
    let good = claims();
    let mut found = Vec::new();
    let mut check = |verifier: &Verifier, text: &str, presented, moment, code: &str| {
        let rejected = verifier.token(text, presented, moment).expect_err(code);
        assert_eq!(rejected.code(), code, "{rejected}");
        assert!(!rejected.to_string().is_empty());
        found.push(rejected);
    };

    let blind = Verifier::new(Settings::new(audience()), broker.keys());
    check(&blind, &broker.token(&good), BOUND, now(), "NO_LIST");
    check(&verifier, &broker.token(&good), BOUND, later(31), "LIST_STALE");
    check(&verifier, "a.b", BOUND, now(), "MALFORMED");
    let sign = |typ: &str, kid: &str, payload: &serde_json::Value| {
        jws::encode(typ, kid, payload, |message| broker.token.sign(message)).expect("signs")
    };
    check(&verifier, &sign("at+jwt", &broker.token.kid, &serde_json::json!({})), BOUND, now(), "MALFORMED");
    check(&verifier, &sign("AT+JWT", &broker.token.kid, &serde_json::json!({})), BOUND, now(), "TYPE");
    check(&verifier, &broker.signed(&list(1000)), BOUND, now(), "TYPE");
    check(&verifier, &sign("JWT", &broker.list.kid, &serde_json::json!({})), BOUND, now(), "KEY_UNKNOWN");
    let other = Broker { token: Pair { kid: broker.token.kid.clone(), ..Pair::new() }, ..Broker::new() };
    check(&verifier, &other.token(&good), BOUND, now(), "SIGNATURE");

    for (claims, code) in [
        (TokenClaims { issuer: "https://broker.example/".to_owned(), ..good.clone() }, "ISSUER"),
        (TokenClaims { audience: "https://api.example/".parse().expect("an audience"), ..good.clone() }, "AUDIENCE"),
        (TokenClaims { subject: "spiffe://example.net/a".parse().expect("an id"), ..good.clone() }, "TRUST_DOMAIN"),
        (
            TokenClaims { binding: Binding { environment: "staging".parse().expect("a name"), ..binding(100) }, ..good.clone() },
            "ENVIRONMENT",
        ),
        (TokenClaims { expires_at: now().wall, ..good.clone() }, "EXPIRED"),
        (TokenClaims { issued_at: now().wall.plus(Duration::from_secs(6)), ..good.clone() }, "NOT_YET"),
        (TokenClaims { confirmation: None, ..good.clone() }, "BEARER_NOT_ALLOWED"),
        (TokenClaims { confirmation: Some([8; 32]), ..good.clone() }, "CERTIFICATE_MISMATCH"),
    ] {
        check(&verifier, &broker.token(&claims), BOUND, now(), code);
    }
    check(&verifier, &broker.token(&good), Presented::Nothing, now(), "CERTIFICATE_MISSING");

    let ended = Broker { ends: Some(Timestamp::from_seconds(NOW - 1)), ..Broker::new() };
    check(&ended.verifier(&[]), &ended.token(&good), BOUND, now(), "KEY_EXPIRED");
    check(&broker.verifier(&[cut(TOKEN_KEY, 50)]), &broker.token(&good), BOUND, now(), "KEY_REVOKED");
    check(&broker.verifier(&[cut(10, 101)]), &broker.token(&good), BOUND, now(), "REVOKED");
    found
}

#[test]
fn a_good_token_is_accepted_with_what_it_says() {
    let broker = Broker::new();
    // A cut at its own position or below does not reach it.
    let verifier = broker.verifier(&[cut(10, 99), cut(11, 100), cut(99, 200)]);
    let accepted = verifier.token(&broker.token(&claims()), BOUND, now()).expect("good");
    assert_eq!(accepted.claims(), &claims());
    let svid = TokenClaims { kind: TokenKind::JwtSvid, scopes: Vec::new(), ..claims() };
    assert_eq!(verifier.token(&broker.token(&svid), BOUND, now()).expect("good").claims(), &svid);
}

#[test]
fn the_edges_of_time_are_exact() {
    let broker = Broker::new();
    let verifier = broker.verifier(&[]);
    let at = |millis: u64| Moment { wall: Timestamp::from_millis(millis), ..now() };
    let text = broker.token(&claims());
    assert!(verifier.token(&text, BOUND, at((NOW + 300) * 1000 - 1)).is_ok());
    assert_eq!(verifier.token(&text, BOUND, at((NOW + 300) * 1000)).expect_err("expired").code(), "EXPIRED");
    assert!(verifier.token(&text, BOUND, at((NOW - 5) * 1000)).is_ok(), "the broker's clock may be five seconds ahead");
    assert_eq!(verifier.token(&text, BOUND, at((NOW - 5) * 1000 - 1)).expect_err("later").code(), "NOT_YET");
}

#[test]
fn a_bearer_token_is_accepted_only_where_that_is_set() {
    let broker = Broker::new();
    let settings = Settings { bearer: true, ..Settings::new(audience()) };
    let verifier = Verifier::new(settings, broker.keys());
    verifier.apply(&broker.signed(&list(1000)), now()).expect("a good list");
    let bearer = broker.token(&TokenClaims { confirmation: None, ..claims() });
    for presented in [BOUND, Presented::Nothing] {
        assert!(verifier.token(&bearer, presented, now()).is_ok());
    }
    let bound = verifier.token(&broker.token(&claims()), Presented::Nothing, now());
    assert_eq!(bound.expect_err("bound").code(), "CERTIFICATE_MISSING", "a bound token stays bound");
}

#[test]
fn every_change_of_a_byte_is_rejected() {
    let broker = Broker::new();
    let verifier = broker.verifier(&[]);
    let good = broker.token(&claims());
    assert!(verifier.token(&good, BOUND, now()).is_ok());
    for at in 0..good.len() {
        for byte in [b'A', b'b', b'-', b'.', b'='] {
            let mut changed = good.clone().into_bytes();
            changed[at] = byte;
            let changed = String::from_utf8(changed).expect("ASCII");
            assert!(changed == good || verifier.token(&changed, BOUND, now()).is_err(), "byte {at} as {byte}");
        }
    }
    for changed in [
        format!("{good}A"),
        format!("{good}="),
        format!(" {good}"),
        format!("{good}\n"),
        good.strip_suffix(|_| true).expect("not empty").to_owned(),
    ] {
        assert!(verifier.token(&changed, BOUND, now()).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The rule is the one of the model, and a cut of the key reaches every position.
    #[test]
    fn a_token_is_dead_exactly_if_the_model_says_so(
        cuts in proptest::collection::btree_map(2..40u64, 1..15u64, 0..6), position in 14..40u64, lineage in proptest::option::of(1..14u64), task: bool,
        further in proptest::collection::btree_set(1..15u64, 0..3),
    ) {
        // A subject is recorded before it is cut, and stands in a list once.
        let mut active = Cuts::default();
        cuts.iter().filter(|(at, number)| number < at).for_each(|(at, number)| active.add(cut(*number, *at)));
        let lines: Vec<Cut> = active.iter().copied().collect();
        let mut binding = binding(position);
        binding.subjects.lineage = lineage.map(Position::new);
        binding.subjects.task = task.then_some(Position::new(13));
        binding.further = further.iter().copied().map(Position::new).collect();
        let broker = Broker::new();
        let text = broker.token(&TokenClaims { id: CredentialId::new(binding.position, [0; 8]), binding: binding.clone(), ..claims() });
        let dead = active.killer(binding.position, binding.subjects.numbers(binding.position)).is_some()
            || further.iter().any(|number| active.get(Position::new(*number)).is_some_and(|cut| cut.covers(binding.position)))
            || active.get(Position::new(TOKEN_KEY)).is_some();
        // A list that is signed by a key which it cuts is still the word of the broker.
        let verdict = broker.verifier(&lines).token(&text, BOUND, now());
        prop_assert_eq!(verdict.is_err(), dead, "{:?}", verdict);
    }
}
