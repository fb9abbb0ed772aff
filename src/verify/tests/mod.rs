//! A broker that can also be wrong on purpose, made of the formats and two libraries.

use std::collections::BTreeSet;

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};

use super::*;
use crate::formats::binding::Binding;
use crate::formats::claims::{TokenClaims, TokenKind};
use crate::formats::jwk::P256;
use crate::formats::keyset::Keys;
use crate::formats::list::List;
use crate::model::{CLOCK_STEP, CredentialId, Cut, Cuts, Epoch, KeyPurpose, PublicKey, Reason, Subjects};

mod certificate;
mod clock;
mod golden;
mod lists;
mod token;

/// When the tests play.
const NOW: u64 = 1_790_000_000;
const TOKEN_KEY: u64 = 2;
const ISSUER_KEY: u64 = 3;
const LIST_KEY: u64 = 4;

struct Pair {
    pair: EcdsaKeyPair,
    kid: String,
}

impl Pair {
    #[expect(clippy::disallowed_methods, reason = "tests make keys of their own")]
    fn new() -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("random bytes");
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).expect("just made");
        let kid = public(&pair).thumbprint();
        Self { pair, kid }
    }

    #[expect(clippy::disallowed_methods, reason = "tests make keys of their own")]
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, ()> {
        self.pair.sign(&SystemRandom::new(), message).map(|signature| signature.as_ref().to_vec()).map_err(|_unspecified| ())
    }
}

fn public(pair: &EcdsaKeyPair) -> P256 {
    let point = pair.public_key().as_ref();
    P256::from_coordinates(&point[1..33], &point[33..]).expect("uncompressed")
}

struct Broker {
    token: Pair,
    list: Pair,
    issuer: certificate::Issuer,
    /// The end of the token key and the issuer.
    ends: Option<Timestamp>,
}

impl Broker {
    fn new() -> Self {
        Self { token: Pair::new(), list: Pair::new(), issuer: certificate::Issuer::new("Curfew issuer 1"), ends: None }
    }

    fn keys(&self) -> KeySet {
        self.keys_where_the_list_key_ends(None)
    }

    fn keys_where_the_list_key_ends(&self, list_ends: Option<Timestamp>) -> KeySet {
        let key =
            |purpose, kid: &str, material, not_after| PublicKey { purpose, kid: kid.to_owned(), material, not_after, signs_from: None };
        let (token, list) = (public(&self.token.pair).to_spki(), public(&self.list.pair).to_spki());
        let document = Keys {
            trust_domain: "example.org".parse().expect("a trust domain"),
            issuer: "https://broker.example".to_owned(),
            keys: vec![
                (Position::new(TOKEN_KEY), key(KeyPurpose::Token, &self.token.kid, token, self.ends)),
                (Position::new(ISSUER_KEY), key(KeyPurpose::Issuer, "issuer", self.issuer.der.clone(), self.ends)),
                (Position::new(LIST_KEY), key(KeyPurpose::List, &self.list.kid, list, list_ends)),
            ],
        };
        KeySet::from_json(&document.to_json().expect("usable keys")).expect("was written")
    }

    fn signed(&self, list: &List) -> String {
        list.encode(&self.list.kid, |message| self.list.sign(message)).expect("signs")
    }

    fn token(&self, claims: &TokenClaims) -> String {
        claims.encode(&self.token.kid, |message| self.token.sign(message)).expect("signs")
    }

    /// A verifier of production that has applied a list with these cuts, just now.
    fn verifier(&self, cuts: &[Cut]) -> Verifier {
        let settings = Settings { environment: Some("production".parse().expect("a name")), ..Settings::new(audience()) };
        let verifier = Verifier::new(settings, self.keys());
        verifier.apply(&self.signed(&List { cuts: cuts.to_vec(), ..list(1000) }), now()).expect("a good list");
        verifier
    }
}

fn audience() -> Audience {
    "https://api.example".parse().expect("an audience")
}

fn now() -> Moment {
    Moment { wall: Timestamp::from_seconds(NOW), steady: Duration::from_secs(500) }
}

fn later(seconds: u64) -> Moment {
    let by = Duration::from_secs(seconds);
    Moment { wall: now().wall.plus(by), steady: now().steady + by }
}

/// An empty snapshot at `position`, made now.
fn list(position: u64) -> List {
    List {
        issuer: "https://broker.example".to_owned(),
        issued_at: Timestamp::from_seconds(NOW),
        expires_at: Timestamp::from_seconds(NOW + 30),
        epoch: Epoch([1; 16]),
        position: Position::new(position),
        root: [u8::try_from(position % 251).expect("a byte"); 32],
        since: None,
        cuts: Vec::new(),
    }
}

fn cut(number: u64, position: u64) -> Cut {
    Cut {
        number: Position::new(number),
        position: Position::new(position),
        ends: Timestamp::from_seconds(NOW + 1000),
        reason: Reason::CessationOfOperation,
    }
}

fn binding(position: u64) -> Binding {
    let subjects = Subjects {
        owner: Position::new(10),
        workload: Position::new(11),
        environment: Position::new(12),
        task: Some(Position::new(13)),
        lineage: None,
    };
    Binding { environment: "production".parse().expect("a name"), position: Position::new(position), subjects, further: Vec::new() }
}

/// A good token at position 100, bound to the certificate `[7; 32]`.
fn claims() -> TokenClaims {
    TokenClaims {
        kind: TokenKind::AccessToken,
        issuer: "https://broker.example".to_owned(),
        subject: "spiffe://example.org/payments/worker".parse().expect("an id"),
        audience: audience(),
        issued_at: Timestamp::from_seconds(NOW),
        expires_at: Timestamp::from_seconds(NOW + 300),
        id: CredentialId::new(Position::new(100), [9; 8]),
        scopes: vec!["read".parse().expect("a scope")],
        confirmation: Some([7; 32]),
        status: None,
        binding: binding(100),
    }
}

#[test]
fn every_way_to_fail_is_reached() {
    let reached: BTreeSet<&str> = token::failures().into_iter().chain(certificate::failures()).map(|rejected| rejected.code()).collect();
    assert_eq!(reached, Rejected::CODES.iter().copied().collect());
}

#[test]
fn a_verifier_says_which_list_is_in_force_and_how_old_it_is() {
    let broker = Broker::new();
    let blind = Verifier::new(Settings::new(audience()), broker.keys());
    assert_eq!((blind.position(), blind.age(now())), (None, None));
    let verifier = broker.verifier(&[]);
    assert_eq!((verifier.position(), verifier.age(later(7))), (Some(Position::new(1000)), Some(Duration::from_secs(7))));
}

#[test]
fn keys_that_are_replaced_count_from_then_on() {
    let (old, new) = (Broker::new(), Broker::new());
    let verifier = old.verifier(&[]);
    verifier.replace_keys(new.keys());
    let check = |broker: &Broker| verifier.token(&broker.token(&claims()), Presented::Certificate([7; 32]), now()).map(|_| ());
    assert_eq!((check(&old), check(&new)), (Err(Rejected::KeyUnknown), Ok(())));
}
