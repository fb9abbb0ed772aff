//! The formats that cannot change: what is written today is written byte for byte as it was when
//! the golden files were made, and those files are still read.

use super::binding::{Binding, EXTENSION_OID_DER};
use super::checkpoint::Checkpoint;
use super::claims::{TokenClaims, TokenKind};
use super::jwk::{Ed25519, P256};
use super::jws::{self, MAX_TOKEN};
use super::keyset::Keys;
use super::list::{List, TYP};
use super::status_list::StatusReference;
use super::svid::Svid;
use crate::model::{CredentialId, Cut, Epoch, KeyPurpose, Position, PublicKey, Reason, Subjects, Timestamp};

macro_rules! golden {
    ($name:literal) => {
        include_str!(concat!("../../tests/golden/formats/", $name))
    };
}

const NOW: u64 = 1_790_000_000;

fn keys() -> Keys {
    Keys::from_json(golden!("keys.json")).expect("the golden keys")
}

fn key(purpose: KeyPurpose) -> PublicKey {
    keys().keys.into_iter().find_map(|(_, key)| (key.purpose == purpose).then_some(key)).expect("one of each")
}

/// Checks header and signature of a golden JWS, and that its payload is the golden JSON.
fn check_jws(text: &str, json: &str, typ: &str, purpose: KeyPurpose) {
    let key = key(purpose);
    let jws = jws::parse(text, MAX_TOKEN).expect("a golden JWS");
    assert_eq!((jws.typ.as_str(), &jws.kid), (typ, &key.kid));
    assert_eq!(String::from_utf8_lossy(&jws.payload), json);
    assert!(P256::from_spki(&key.material).expect("P-256").verifies(jws.signing_input, &jws.signature));
}

/// What `encode` signs, without the signature.
fn unsigned(text: &str) -> &str {
    text.rsplit_once('.').expect("three parts").0
}

fn subjects(task: Option<u64>, lineage: Option<u64>) -> Subjects {
    let number = Position::new;
    Subjects { owner: number(10), workload: number(11), environment: number(12), task: task.map(number), lineage: lineage.map(number) }
}

fn binding(subjects: Subjects) -> Binding {
    Binding { environment: "production".parse().expect("a name"), position: Position::new(100), subjects, further: Vec::new() }
}

fn access_token() -> TokenClaims {
    TokenClaims {
        kind: TokenKind::AccessToken,
        issuer: "https://broker.example".to_owned(),
        subject: "spiffe://example.org/payments/worker".parse().expect("an id"),
        audience: "https://api.example".parse().expect("an audience"),
        issued_at: Timestamp::from_seconds(NOW),
        expires_at: Timestamp::from_seconds(NOW + 300),
        id: CredentialId::new(Position::new(100), [9; 8]),
        scopes: vec!["read".parse().expect("a scope"), "write".parse().expect("a scope")],
        confirmation: Some([7; 32]),
        status: None,
        binding: binding(subjects(Some(13), Some(90))),
    }
}

/// Neither scopes nor a confirmation, without a task, and the first of its lineage.
fn jwt_svid() -> TokenClaims {
    TokenClaims {
        kind: TokenKind::JwtSvid,
        scopes: Vec::new(),
        confirmation: None,
        binding: binding(subjects(None, None)),
        ..access_token()
    }
}

#[test]
fn tokens() {
    for (text, json, claims) in [
        (golden!("access-token.jwt"), golden!("access-token.json"), access_token()),
        (golden!("jwt-svid.jwt"), golden!("jwt-svid.json"), jwt_svid()),
    ] {
        check_jws(text, json, claims.kind.typ(), KeyPurpose::Token);
        assert_eq!(TokenClaims::decode(claims.kind, json.as_bytes()), Ok(claims.clone()));
        let written = claims.encode(&key(KeyPurpose::Token).kid, |_| Ok::<_, ()>(Vec::new())).expect("signs");
        assert_eq!(unsigned(&written), unsigned(text));
    }
}

/// A token that says where its status stands; those above are of before there were status lists.
#[test]
fn tokens_with_a_status() {
    let status = StatusReference { index: 417, uri: "https://broker.example/v1/status/0".to_owned() };
    let claims = TokenClaims { status: Some(status), ..access_token() };
    let json = golden!("access-token-listed.json");
    assert_eq!(TokenClaims::decode(claims.kind, json.as_bytes()), Ok(claims.clone()));
    let written = claims.encode("kid", |_| Ok::<_, ()>(Vec::new())).expect("signs");
    assert_eq!(String::from_utf8_lossy(&jws::parse(&written, MAX_TOKEN).expect("was encoded").payload), json);
}

/// A token that carries the numbers of the downstreams that it was issued for; those above are of before that was so.
#[test]
fn tokens_with_further_numbers() {
    let with = |claims: TokenClaims| TokenClaims {
        binding: Binding { further: [14, 15].map(Position::new).to_vec(), ..claims.binding.clone() },
        ..claims
    };
    for (json, claims) in
        [(golden!("access-token-further.json"), with(access_token())), (golden!("jwt-svid-further.json"), with(jwt_svid()))]
    {
        assert_eq!(TokenClaims::decode(claims.kind, json.as_bytes()), Ok(claims.clone()));
        let written = claims.encode("kid", |_| Ok::<_, ()>(Vec::new())).expect("signs");
        assert_eq!(String::from_utf8_lossy(&jws::parse(&written, MAX_TOKEN).expect("was encoded").payload), json);
    }
}

#[test]
fn lists() {
    let cut = |number, position, ends, reason| Cut {
        number: Position::new(number),
        position: Position::new(position),
        ends: Timestamp::from_seconds(ends),
        reason,
    };
    let snapshot = List {
        issuer: "https://broker.example".to_owned(),
        issued_at: Timestamp::from_seconds(NOW),
        expires_at: Timestamp::from_seconds(NOW + 30),
        epoch: Epoch([1; 16]),
        position: Position::new(1000),
        root: [2; 32],
        since: None,
        cuts: vec![cut(20, 60, NOW + 420, Reason::CessationOfOperation), cut(10, 99, NOW + 401, Reason::KeyCompromise)],
    };
    let delta = List {
        position: Position::new(1001),
        root: [3; 32],
        since: Some(Position::new(1000)),
        cuts: vec![cut(10, 1001, NOW + 420, Reason::AffiliationChanged)],
        ..snapshot.clone()
    };
    for (text, json, list) in [(golden!("list.jwt"), golden!("list.json"), snapshot), (golden!("delta.jwt"), golden!("delta.json"), delta)]
    {
        check_jws(text, json, TYP, KeyPurpose::List);
        assert_eq!(List::decode(json.as_bytes()), Ok(list.clone()));
        let written = list.encode(&key(KeyPurpose::List).kid, |_| Ok::<_, ()>(Vec::new())).expect("signs");
        assert_eq!(unsigned(&written), unsigned(text));
    }
}

#[test]
fn keys_documents() {
    let numbers: Vec<(u64, KeyPurpose)> = keys().keys.iter().map(|(number, key)| (number.get(), key.purpose)).collect();
    assert_eq!(numbers, (2..).zip(KeyPurpose::ALL.iter().copied()).collect::<Vec<_>>());
    assert_eq!(keys().to_json().as_deref(), Ok(golden!("keys.json")));
    assert_eq!(keys().to_jwks().as_deref(), Ok(golden!("jwks.json")));
}

#[test]
fn certificates() {
    let der = include_bytes!("../../tests/golden/formats/certificate.der");
    let svid = Svid::from_der(der).expect("an X509-SVID");
    let own = svid.own.expect("the extension");
    assert_eq!((own.id, &own.binding), (access_token().id, &access_token().binding));
    assert_eq!(svid.spiffe_id, access_token().subject);
    let value = own.binding.to_der();
    let short = |bytes: &[u8]| u8::try_from(bytes.len()).expect("short");
    let extension = [&[0x06, short(EXTENSION_OID_DER)], EXTENSION_OID_DER, &[0x04, short(&value)], &value].concat();
    assert!(der.windows(extension.len()).any(|window| window == extension), "not critical, so the value follows the OID");
}

#[test]
fn checkpoints() {
    let ed25519 = Ed25519::from_spki(&key(KeyPurpose::Checkpoint).material).expect("Ed25519");
    let checkpoint = Checkpoint::decode(golden!("checkpoint.txt"), "example.org/curfew", &ed25519).expect("a golden checkpoint");
    let origin = "example.org/curfew".to_owned();
    assert_eq!(checkpoint, Checkpoint { origin, size: Position::new(1000), root: [2; 32], epoch: Epoch([1; 16]) });
    let written = checkpoint.encode(&ed25519, |_| Ok::<_, ()>(Vec::new())).expect("signs");
    assert_eq!(
        written.split_once("\u{2014}").map(|(body, _)| body),
        golden!("checkpoint.txt").split_once("\u{2014}").map(|(body, _)| body)
    );
}

/// Ids in every place where they are written.
#[test]
fn ids() {
    let id = CredentialId::new(Position::new(0x0102_0304), [0xf0, 1, 2, 3, 4, 5, 6, 0x0f]);
    assert_eq!(id.to_string(), "0000000001020304f00102030405060f");
    assert_eq!(CredentialId::from_serial(&[1, 2, 3, 4, 0xf0, 1, 2, 3, 4, 5, 6, 0x0f]), Some(id));
    assert_eq!(Epoch([0xab; 16]).to_string(), "abababababababababababababababab");
}
