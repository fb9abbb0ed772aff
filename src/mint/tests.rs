//! What is signed is what is recorded, and of a signing request only the key.

use std::sync::Arc;
use std::time::Duration;

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{DistributionPointName, GeneralName, ParsedExtension};

use super::*;
use crate::ambient::Entropy;
use crate::formats::binding::EXTENSION_OID_DER;
use crate::formats::jwk::P256;
use crate::formats::jws::{self, MAX_TOKEN};
use crate::formats::svid::{OwnPart, Svid};
use crate::keys::{Issuer, Material};
use crate::model::{Bound, CredentialKind, Entry, Epoch, Event, Facts, Issued, KeyPurpose, Subjects, Timestamp};

const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

/// Signing requests that openssl made: each asks for a CA, for foreign names and for keyCertSign.
macro_rules! request {
    ($name:literal) => {
        include_bytes!(concat!("../../tests/golden/requests/", $name, ".der")).as_slice()
    };
}

/// A minter, with what it signs with.
fn minter() -> (Minter, Arc<SigningKey>, Arc<Issuer>) {
    let domain = "example.org".parse().expect("a trust domain");
    let material = Material::generate(&domain, &Entropy::system(), NOW).expect("random bytes");
    let mut facts = Facts::default();
    let opened = Event::LedgerOpened { epoch: Epoch([1; 16]), trust_domain: domain };
    for (event, position) in std::iter::once(opened).chain(material.public_keys().into_iter().map(Event::KeyActivated)).zip(1..) {
        facts.apply(&Entry { position: Position::new(position), time: NOW, actor: None, request_id: None, event });
    }
    let keyring = material.into_keyring(&facts).expect("all activated");
    let token = keyring.signing(KeyPurpose::Token, &facts).expect("one signs");
    let issuer = keyring.issuers().remove(0);
    let urls = Urls { issuer: "https://broker.example".to_owned(), crl: "http://crl.example".to_owned() };
    (Minter::new(urls, Indices::new(&[1; 32])), token, issuer)
}

fn recorded(issued: Issued) -> Recorded {
    let id = "spiffe://example.org/payments/worker".parse().expect("an id");
    Recorded::for_test(Position::new(100), issued, id, "production".parse().expect("a name"))
}

fn issued(kind: CredentialKind, key: Position) -> Issued {
    let number = Position::new;
    Issued {
        kind,
        subjects: Subjects {
            owner: number(10),
            workload: number(11),
            environment: number(12),
            task: Some(number(13)),
            lineage: Some(number(90)),
        },
        parent: None,
        nonce: [9; 8],
        issued_at: NOW,
        expires_at: NOW.plus(Duration::from_secs(300)),
        bound_by: Bound::Default,
        audience: "https://api.example".parse().ok(),
        scopes: vec!["read".parse().expect("a scope"), "write".parse().expect("a scope")],
        confirmation: Some([7; 32]),
        key,
        downstreams: vec![number(14)],
        policies: Vec::new(),
        policy_hash: [0; 32],
        purpose: None,
        exception: None,
        asked_from: None,
    }
}

/// The record of a certificate for the key of this request.
fn for_request(issuer: &Issuer, request: &SigningRequest) -> Recorded {
    let key = issuer.key.number;
    recorded(Issued { confirmation: Some(request.public_key_hash()), audience: None, ..issued(CredentialKind::Certificate, key) })
}

#[test]
fn a_token_says_what_is_recorded_and_verifies() {
    let (minter, key, _) = minter();
    for (kind, token, scopes) in
        [(CredentialKind::AccessToken, TokenKind::AccessToken, 2), (CredentialKind::JwtSvid, TokenKind::JwtSvid, 0)]
    {
        for confirmation in [Some([7; 32]), None] {
            let mut issued = Issued { confirmation, ..issued(kind, key.number) };
            issued.scopes.truncate(scopes);
            let recorded = recorded(issued.clone());
            let text = minter.token(&recorded, &key).expect("recorded");
            let jws = jws::parse(&text, MAX_TOKEN).expect("a JWS");
            assert_eq!((jws.typ.as_str(), &jws.kid), (token.typ(), &key.kid));
            assert!(P256::from_spki(key.public_key()).expect("P-256").verifies(jws.signing_input, &jws.signature));
            let claims = TokenClaims::decode(token, &jws.payload).expect("claims");
            let expected = TokenClaims {
                kind: token,
                issuer: "https://broker.example".to_owned(),
                subject: recorded.spiffe_id().clone(),
                audience: issued.audience.expect("a token has one"),
                issued_at: issued.issued_at,
                expires_at: issued.expires_at,
                id: recorded.id(),
                scopes: issued.scopes,
                confirmation,
                status: Some(StatusReference {
                    index: minter.indices.place(Position::new(100)).index,
                    uri: "https://broker.example/v1/status/0".to_owned(),
                }),
                binding: Binding {
                    environment: recorded.environment().clone(),
                    position: Position::new(100),
                    subjects: issued.subjects,
                    further: vec![Position::new(14)],
                },
            };
            assert_eq!(claims, expected);
        }
    }
}

#[test]
fn what_was_recorded_as_something_else_or_for_another_key_is_not_signed() {
    let (minter, signing, authority) = minter();
    let request = SigningRequest::from_der(request!("p256")).expect("a request");
    let other = SigningRequest::from_der(request!("p384")).expect("a request");
    let (token, issuer) = (signing.number, authority.key.number);
    let certificate = |issued| minter.certificate(&recorded(issued), &request, &authority).expect_err("not recorded");
    assert!(matches!(minter.token(&recorded(issued(CredentialKind::Certificate, token)), &signing), Err(MintError::Kind)));
    assert!(matches!(minter.token(&recorded(issued(CredentialKind::AccessToken, issuer)), &signing), Err(MintError::Key { .. })));
    assert!(matches!(certificate(issued(CredentialKind::AccessToken, issuer)), MintError::Kind));
    assert!(matches!(certificate(issued(CredentialKind::Certificate, token)), MintError::Key { .. }));
    assert!(matches!(certificate(issued(CredentialKind::Certificate, issuer)), MintError::PublicKey));
    assert!(matches!(minter.certificate(&for_request(&authority, &request), &other, &authority), Err(MintError::PublicKey)));
}

fn uris_and_others(certificate: &X509Certificate<'_>) -> (Vec<String>, usize) {
    let names = certificate.subject_alternative_name().expect("once").expect("there");
    let names = &names.value.general_names;
    let uris = names.iter().filter_map(|name| if let GeneralName::URI(uri) = name { Some((*uri).to_owned()) } else { None });
    (uris.collect(), names.len())
}

#[test]
fn a_certificate_takes_the_public_key_of_the_request_and_nothing_else() {
    let (minter, _, authority) = minter();
    let (_, issuer) = x509_parser::parse_x509_certificate(&authority.certificate).expect("a certificate");
    for der in
        [request!("p256"), request!("p384"), request!("p384-sha384"), request!("ed"), request!("rsa2048"), request!("rsa2048-sha512")]
    {
        let request = SigningRequest::from_der(der).expect("a good request");
        let recorded = for_request(&authority, &request);
        let chain = minter.certificate(&recorded, &request, &authority).expect("recorded");
        assert_eq!(chain[1], authority.certificate);

        let (rest, leaf) = x509_parser::parse_x509_certificate(&chain[0]).expect("a certificate");
        assert!(rest.is_empty());
        leaf.verify_signature(Some(issuer.public_key())).expect("signed by the issuer");
        assert_eq!(leaf.issuer().as_raw(), issuer.subject().as_raw());
        assert_eq!(ring::digest::digest(&ring::digest::SHA256, leaf.public_key().raw).as_ref(), request.public_key_hash());

        assert_eq!(leaf.subject().iter().count(), 0, "no subject");
        assert_eq!(uris_and_others(&leaf), (vec![recorded.spiffe_id().to_string()], 1));
        assert!(leaf.subject_alternative_name().expect("once").expect("there").critical);
        assert!(!leaf.is_ca());
        let usage = leaf.key_usage().expect("once").expect("there");
        assert!(usage.critical);
        assert_eq!(usage.value.flags, 1, "digitalSignature alone");
        let extended = leaf.extended_key_usage().expect("once").expect("there").value;
        assert!(extended.server_auth && extended.client_auth && !extended.any && extended.other.is_empty());
        let names: Vec<String> = leaf.extensions().iter().map(|extension| extension.oid.to_id_string()).collect();
        assert_eq!(names.len(), 8, "{names:?}");
        let points = leaf.extensions().iter().find_map(|extension| {
            if let ParsedExtension::CRLDistributionPoints(points) = extension.parsed_extension() { Some(points) } else { None }
        });
        let [point] = points.expect("it says where its CRL is").points.as_slice() else { panic!("one point") };
        let Some(DistributionPointName::FullName(uris)) = &point.distribution_point else { panic!("a name") };
        let uri = format!("http://crl.example/v1/crl/{}.crl", authority.key.number);
        assert_eq!((uris.as_slice(), &point.crl_issuer, point.reasons.is_none()), ([GeneralName::URI(&uri)].as_slice(), &None, true));
        let own = leaf.extensions().iter().find(|extension| extension.oid.as_bytes() == EXTENSION_OID_DER).expect("there");
        assert!(!own.critical, "a stock library passes over it");

        let svid = Svid::from_der(&chain[0]).expect("an X509-SVID");
        assert_eq!(svid.own, Some(OwnPart { id: recorded.id(), binding: binding(&recorded) }));
        assert_eq!(svid.not_before, NOW.minus(Duration::from_secs(30)));
        assert_eq!(svid.expires_at, recorded.issued().expires_at);
    }
}

#[test]
fn the_brokers_own_certificate_has_names_of_a_server_beside_its_id() {
    let (minter, _, issuer) = minter();
    let request = SigningRequest::from_der(request!("p256")).expect("a request");
    let names = ServerNames { dns: vec!["broker.example".to_owned()], addresses: vec!["127.0.0.1".parse().expect("an address")] };
    let chain = minter.server_certificate(&for_request(&issuer, &request), &request, &names, &issuer).expect("recorded");
    let (_, leaf) = x509_parser::parse_x509_certificate(&chain[0]).expect("a certificate");
    assert_eq!(uris_and_others(&leaf), (vec!["spiffe://example.org/payments/worker".to_owned()], 3));
}

#[test]
fn a_request_with_another_kind_of_key_or_digest_is_refused_with_what_to_bring() {
    for (der, says) in [
        (request!("p521"), "its public key has to be ECDSA P-256"),
        (request!("k256"), "its public key has to be ECDSA P-256"),
        (request!("rsa1024"), "RSA of 2048 to 8192 bits"),
        (request!("rsa2048-sha1"), "with SHA-256 or stronger"),
        (b"", "not a PKCS#10 request"),
        (&[request!("p256"), &[0]].concat(), "bytes follow"),
        (&vec![0x30; 16 * 1024 + 1], "more than 16384 bytes"),
    ] {
        let invalid = SigningRequest::from_der(der).expect_err(says);
        assert!(invalid.field == "csr" && invalid.problem.contains(says), "{invalid}");
    }
}

/// RFC 2986, section 4.2: the signature proves that the sender has the private key.
#[test]
fn a_request_that_was_changed_anywhere_gives_no_other_key() {
    for good in [request!("p256"), request!("ed"), request!("rsa2048")] {
        let key = SigningRequest::from_der(good).expect("a good request");
        for at in 0..good.len() {
            let mut changed = good.to_vec();
            changed[at] ^= 1;
            if let Ok(request) = SigningRequest::from_der(&changed) {
                assert_eq!(request, key, "byte {at}");
            }
        }
    }
}
