//! What is stored or sent, whether or not anybody signed it: what is read encodes, and reads the
//! same again.

use crate::formats::binding::Binding;
use crate::formats::claims::{TokenClaims, TokenKind};
use crate::formats::crl::{self, Crl, Revoked};
use crate::formats::jws::{self, EncodeError, MAX_TOKEN};
use crate::formats::keyset::Keys;
use crate::formats::list::{List, MAX_LIST};
use crate::formats::status_list::StatusListToken;
use crate::ledger::codec;
use crate::model::{Position, Timestamp};
use crate::verify::KeySet;

/// Where the golden entries stand.
const POSITION: Position = Position::new(300);

pub(super) fn entry(input: &[u8]) {
    let Ok(entry) = codec::decode(POSITION, input) else { return };
    assert_eq!(codec::decode(POSITION, &codec::encode(&entry)), Ok(entry), "an entry reads back");
}

pub(super) fn binding(input: &[u8]) {
    if let Ok(binding) = Binding::from_der(input) {
        assert_eq!(binding.to_der(), input, "a binding has one form");
    }
}

/// A compact JWS around `encode`, and its payload taken out again.
fn payload(encoded: Result<String, EncodeError<()>>, most: usize) -> Option<Vec<u8>> {
    Some(jws::parse(&encoded.ok()?, most).ok()?.payload)
}

pub(super) fn claims(input: &[u8]) {
    for kind in [TokenKind::AccessToken, TokenKind::JwtSvid] {
        let Ok(claims) = TokenClaims::decode(kind, input) else { continue };
        let again = payload(claims.encode("k", |_| Ok(vec![0; 64])), MAX_LIST);
        assert_eq!(again.map(|again| TokenClaims::decode(kind, &again)), Some(Ok(claims)), "claims read back");
    }
}

pub(super) fn list(input: &[u8]) {
    let Ok(list) = List::decode(input) else { return };
    let again = payload(list.encode("k", |_| Ok(vec![0; 64])), MAX_LIST);
    assert_eq!(again.map(|again| List::decode(&again)), Some(Ok(list)), "a list reads back");
}

pub(super) fn jws(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let Ok(parsed) = jws::parse(text, MAX_TOKEN) else { return };
    assert!(text.as_bytes().starts_with(parsed.signing_input), "what is signed is what was sent");
    let Ok(json) = serde_json::from_slice::<serde_json::Value>(&parsed.payload) else { return };
    let encoded = jws::encode(&parsed.typ, &parsed.kid, &json, |_| Ok::<_, ()>(parsed.signature.clone()));
    let encoded = encoded.unwrap_or_default();
    let again = jws::parse(&encoded, 2 * MAX_TOKEN).map(|again| (again.typ, again.kid, again.signature));
    assert_eq!(again, Ok((parsed.typ, parsed.kid, parsed.signature)), "a JWS is taken apart again");
}

pub(super) fn keys(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let _usable_or_not = KeySet::from_json(text);
    let Ok(keys) = Keys::from_json(text) else { return };
    // A certificate is not looked into before it is used or written.
    let Ok(written) = keys.to_json() else { return };
    assert_eq!(Keys::from_json(&written), Ok(keys), "a keys document reads back");
}

pub(super) fn crl(input: &[u8]) {
    let Some(named) = crl::revoked(input) else { return };
    let at = Timestamp::EPOCH;
    let list = Crl { issuer: vec![0x30, 0], key_identifier: None, number: 1, this_update: at, next_update: at };
    let again = list.encode(named.iter().map(|(id, reason)| Revoked { id: *id, at, reason: *reason }), |_| Ok::<_, ()>(vec![0x30, 0]));
    assert_eq!(again.map(|again| crl::revoked(&again)), Ok(Some(named)), "a CRL reads back");
}

pub(super) fn status_list(input: &[u8]) {
    let Ok(token) = StatusListToken::decode(input) else { return };
    let Ok(text) = token.encode("k", |_| Ok::<_, ()>(vec![0; 64])) else { return };
    let again = jws::parse(&text, text.len()).map(|jws| StatusListToken::decode(&jws.payload));
    assert_eq!(again, Ok(Ok(token)), "a status list reads back");
}
