//! What is signed: nothing but what was signed is ever accepted. The fuzzer is given good ones, of
//! which it makes others.

use std::sync::LazyLock;
use std::time::Duration;

use crate::formats::checkpoint::Checkpoint;
use crate::formats::jwk::Ed25519;
use crate::formats::keyset::Keys;
use crate::mint::SigningRequest;
use crate::model::{KeyPurpose, Timestamp};
use crate::verify::{KeySet, Moment, Presented, RevocationState, Settings, Verifier};

macro_rules! golden {
    ($name:literal) => {
        include_str!(concat!("../../tests/golden/formats/", $name))
    };
}

const CERTIFICATE: &[u8] = include_bytes!("../../tests/golden/formats/certificate.der");
const LISTS: [&str; 2] = [golden!("list.jwt"), golden!("delta.jwt")];
const TOKENS: [&str; 2] = [golden!("access-token.jwt"), golden!("jwt-svid.jwt")];
const ORIGIN: &str = "example.org/curfew";

/// The instant at which the golden files are good.
const NOW: Moment = Moment { wall: Timestamp::from_seconds(1_790_000_000), steady: Duration::from_secs(500) };

/// What a service knows that has the golden keys and the golden list.
struct Known {
    keys: KeySet,
    revocations: RevocationState,
    verifier: Verifier,
    checkpoint: Ed25519,
}

static KNOWN: LazyLock<Option<Known>> = LazyLock::new(Known::golden);

impl Known {
    fn golden() -> Option<Self> {
        let keys = || KeySet::from_json(golden!("keys.json")).ok();
        let settings = Settings { bearer: true, ..Settings::new("https://api.example".parse().ok()?) };
        let verifier = Verifier::new(settings, keys()?);
        verifier.apply(golden!("list.jwt"), NOW).ok()?;
        let mut revocations = RevocationState::default();
        revocations.apply(golden!("list.jwt"), &keys()?, NOW).ok()?;
        let all = Keys::from_json(golden!("keys.json")).ok()?.keys;
        let checkpoint = all.into_iter().find(|(_, key)| key.purpose == KeyPurpose::Checkpoint)?;
        Some(Self { keys: keys()?, revocations, verifier, checkpoint: Ed25519::from_spki(&checkpoint.1.material)? })
    }

    #[expect(clippy::expect_used, reason = "without the golden files there is nothing to hold an input against")]
    fn get() -> &'static Self {
        KNOWN.as_ref().expect("the golden files are good")
    }
}

/// What is signed of a compact JWS. The signature itself has two forms (r, s) and (r, n - s).
fn signed(jws: &str) -> Option<&str> {
    jws.rsplit_once('.').map(|(signed, _)| signed)
}

pub(super) fn token(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let accepted = Known::get().verifier.token(text, Presented::Certificate([7; 32]), NOW).is_ok();
    assert!(!accepted || TOKENS.iter().any(|golden| signed(golden) == signed(text)), "a forged token was accepted");
}

pub(super) fn list(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let known = Known::get();
    let mut revocations = known.revocations.clone();
    let applied = revocations.apply(text, &known.keys, NOW).is_ok();
    assert!(!applied || LISTS.iter().any(|golden| signed(golden) == signed(text)), "a forged list was applied");
    assert!(applied || revocations == known.revocations, "a list that was refused changed something");
}

pub(super) fn certificate(input: &[u8]) {
    let accepted = Known::get().verifier.certificate(input, NOW).is_ok();
    // The signature comes last.
    let same = input.len().abs_diff(CERTIFICATE.len()) <= 2
        && input.iter().zip(CERTIFICATE).skip(8).take(CERTIFICATE.len() - 90).all(|(one, other)| one == other);
    assert!(!accepted || same, "a forged certificate was accepted");
}

pub(super) fn checkpoint(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let key = &Known::get().checkpoint;
    let golden = Checkpoint::decode(golden!("checkpoint.txt"), ORIGIN, key);
    let decoded = Checkpoint::decode(text, ORIGIN, key);
    assert!(decoded.is_err() || decoded == golden, "a forged checkpoint was accepted");
}

/// A change of what a request says makes its signature wrong; another change can change nothing
/// that is taken from it.
pub(super) fn signing_request(input: &[u8]) {
    let Ok(request) = SigningRequest::from_der(input) else { return };
    let chosen = input.iter().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
    let at = chosen % input.len();
    let mut changed = input.to_vec();
    changed.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (chosen % 8));
    let forged = SigningRequest::from_der(&changed);
    assert!(forged.is_err() || forged == Ok(request), "a forged request was accepted");
}
