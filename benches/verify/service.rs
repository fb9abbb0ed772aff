//! A service that accepts tokens: keys, a list of cuts, and two tokens, one of which is dead.

use std::hint::black_box;
use std::time::Duration;

use curfew::formats::binding::Binding;
use curfew::formats::claims::{TokenClaims, TokenKind};
use curfew::formats::jwk::P256;
use curfew::formats::jws;
use curfew::formats::keyset::Keys;
use curfew::formats::list::List;
use curfew::model::{CredentialId, Cut, Cuts, Epoch, KeyPurpose, Position, PublicKey, Reason, Subjects, Timestamp};
use curfew::verify::{KeySet, Moment, Presented, Rejected, Settings, Verifier};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};

/// How many cuts are active.
pub(crate) const CUTS: u64 = 10_000;

const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);
const MOMENT: Moment = Moment { wall: NOW, steady: Duration::from_secs(500) };
const AUDIENCE: &str = "https://ledger.example.org";
const ISSUER: &str = "https://broker.example.org";
const TOKEN_KEY: Position = Position::new(2);
const LIST_KEY: Position = Position::new(3);
const CLIENT: [u8; 32] = [7; 32];

/// Where the cuts of the list begin: cut `n` ends subject `FIRST + n` at position `FIRST + CUTS + n`.
const FIRST: u64 = 1000;

pub(crate) struct Service {
    verifier: Verifier,
    key: P256,
    /// What the living token's signature is over, and the signature.
    signed: (Vec<u8>, Vec<u8>),
    living: String,
    dead: String,
    cuts: Cuts,
    subjects: Subjects,
    position: Position,
}

struct Signer {
    pair: EcdsaKeyPair,
    public: P256,
}

impl Signer {
    fn new() -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("random bytes");
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).expect("just made");
        let point = pair.public_key().as_ref();
        let public = P256::from_coordinates(&point[1..33], &point[33..]).expect("uncompressed");
        Self { pair, public }
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, ring::error::Unspecified> {
        self.pair.sign(&SystemRandom::new(), message).map(|signature| signature.as_ref().to_vec())
    }

    fn public_key(&self, purpose: KeyPurpose) -> PublicKey {
        PublicKey { purpose, kid: self.public.thumbprint(), material: self.public.to_spki(), not_after: None, signs_from: None }
    }
}

impl Service {
    pub(crate) fn new() -> Self {
        let (tokens, lists) = (Signer::new(), Signer::new());
        let keys = Keys {
            trust_domain: "example.org".parse().expect("a trust domain"),
            issuer: ISSUER.to_owned(),
            keys: vec![(TOKEN_KEY, tokens.public_key(KeyPurpose::Token)), (LIST_KEY, lists.public_key(KeyPurpose::List))],
        };
        let keys = KeySet::from_json(&keys.to_json().expect("usable keys")).expect("was just written");
        let verifier = Verifier::new(Settings::new(AUDIENCE.parse().expect("an audience")), keys);
        let cut = |place: u64| Cut {
            number: Position::new(FIRST + place),
            position: Position::new(FIRST + CUTS + place),
            ends: NOW.plus(Duration::from_secs(600)),
            reason: Reason::CessationOfOperation,
        };
        let list = List {
            issuer: ISSUER.to_owned(),
            issued_at: NOW,
            expires_at: NOW.plus(Duration::from_secs(30)),
            epoch: Epoch([1; 16]),
            position: Position::new(FIRST + 4 * CUTS),
            root: [3; 32],
            since: None,
            cuts: (0..CUTS).map(cut).collect(),
        };
        let jws = list.encode(&lists.public.thumbprint(), |message| lists.sign(message)).expect("signs");
        verifier.apply(&jws, MOMENT).expect("a good list");

        let position = Position::new(FIRST + 3 * CUTS);
        let subjects = Subjects {
            owner: Position::new(10),
            workload: Position::new(11),
            environment: Position::new(12),
            task: Some(Position::new(13)),
            lineage: Some(Position::new(14)),
        };
        let sign = |subjects, position| {
            let claims = claims(subjects, position);
            claims.encode(&tokens.public.thumbprint(), |message| tokens.sign(message)).expect("signs")
        };
        let cut_owner = Subjects { owner: Position::new(FIRST + CUTS / 2), ..subjects };
        let living = sign(subjects, position);
        let taken_apart = jws::parse(&living, jws::MAX_TOKEN).expect("a token");
        let service = Self {
            verifier,
            key: tokens.public,
            signed: (taken_apart.signing_input.to_vec(), taken_apart.signature),
            living,
            dead: sign(cut_owner, Position::new(FIRST + CUTS)),
            cuts: list.cuts.iter().copied().fold(Cuts::default(), |mut cuts, cut| {
                cuts.add(cut);
                cuts
            }),
            subjects,
            position,
        };
        service.verifier.token(&service.living, Presented::Certificate(CLIENT), MOMENT).expect("it is alive");
        let dead = service.verifier.token(&service.dead, Presented::Certificate(CLIENT), MOMENT);
        assert!(matches!(dead, Err(Rejected::Revoked { .. })), "{dead:?}");
        service
    }

    /// The floor: the signature of a token that is already taken apart.
    pub(crate) fn check_signature(&self) {
        let (input, signature) = &self.signed;
        assert!(self.key.verifies(black_box(input), signature), "the signature is good");
    }

    pub(crate) fn check_token(&self) {
        black_box(self.verifier.token(black_box(&self.living), Presented::Certificate(CLIENT), MOMENT)).expect("it is alive");
    }

    pub(crate) fn check_dead_token(&self) {
        black_box(self.verifier.token(black_box(&self.dead), Presented::Certificate(CLIENT), MOMENT)).expect_err("it is dead");
    }

    pub(crate) fn look_up_cuts(&self) {
        let killer = self.cuts.killer(black_box(self.position), black_box(self.subjects).numbers(self.position));
        assert!(black_box(killer).is_none(), "nothing of it was cut");
    }
}

fn claims(subjects: Subjects, position: Position) -> TokenClaims {
    TokenClaims {
        kind: TokenKind::AccessToken,
        issuer: ISSUER.to_owned(),
        subject: "spiffe://example.org/payments/api".parse().expect("a SPIFFE ID"),
        audience: AUDIENCE.parse().expect("an audience"),
        issued_at: NOW,
        expires_at: NOW.plus(Duration::from_secs(300)),
        id: CredentialId::new(position, [5; 8]),
        scopes: vec!["entries:read".parse().expect("a scope")],
        confirmation: Some(CLIENT),
        status: None,
        binding: Binding { environment: "production".parse().expect("a name"), position, subjects, further: Vec::new() },
    }
}
