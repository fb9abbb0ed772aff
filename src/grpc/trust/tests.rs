//! Which client certificates are accepted, and as whom.

use std::time::Duration;

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose};

use super::*;
use crate::listen::pki::{Authority, Leaf, NOW, of_ours, svid, uri};
use crate::model::{SpiffeIdError, Subjects, Timestamp};

const ID: &str = "spiffe://a.example/billing";

/// Two domains with an authority each, and the broker of the first.
struct World {
    a: Authority,
    b: Authority,
    issuer: Authority,
    trust: Trust,
}

fn domain(name: &str) -> TrustDomain {
    name.parse().expect("a domain")
}

fn bundles(texts: &[(&str, Vec<u8>)]) -> Result<TrustBundles, TrustError> {
    TrustBundles::parse(texts.iter().map(|(name, text)| (domain(name), text.clone())).collect())
}

impl World {
    fn new() -> Self {
        let (a, b, issuer) = (Authority::new("A"), Authority::new("B"), Authority::new("broker of A"));
        let bundles = bundles(&[("a.example", a.pem()), ("b.example", b.pem())]).expect("usable");
        let own = Issuer { number: Position::new(3), certificate: issuer.der() };
        let trust = Trust::new(domain("a.example"), &[own], bundles).expect("usable");
        Self { a, b, issuer, trust }
    }

    fn verify(&self, leaf: &Leaf) -> Result<Caller, Refused> {
        self.verify_at(leaf, NOW)
    }

    fn verify_at(&self, leaf: &Leaf, now: Timestamp) -> Result<Caller, Refused> {
        self.trust.verify(&leaf.chain[0], &leaf.chain[1..], UnixTime::since_unix_epoch(Duration::from_secs(now.seconds())))
    }
}

fn changed(change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let mut params = svid(ID);
    change(&mut params);
    params
}

#[test]
fn a_workload_is_who_its_own_domain_says_it_is() {
    let world = World::new();
    let caller = world.verify(&world.a.sign(&svid(ID))).expect("accepted");
    assert_eq!((caller.spiffe_id.as_str(), caller.issued_here), (ID, None));
    assert_eq!(caller.expires_at.to_string(), "2027-01-01T00:00:00Z");
    world.verify(&world.b.sign(&svid("spiffe://b.example/x"))).expect("the other domain, by its own authority");
}

#[test]
fn no_authority_vouches_for_a_name_of_another_domain() {
    let world = World::new();
    for leaf in [world.b.sign(&svid(ID)), world.a.sign(&svid("spiffe://b.example/x"))] {
        assert!(matches!(world.verify(&leaf), Err(Refused::Path { problem: webpki::Error::UnknownIssuer, .. })));
    }
    let elsewhere = world.a.sign(&svid("spiffe://c.example/x"));
    assert_eq!(world.verify(&elsewhere), Err(Refused::TrustDomain(domain("c.example"))));
}

#[test]
fn an_intermediate_is_accepted_under_its_own_domain_only() {
    let world = World::new();
    let (ours, theirs) = (world.a.intermediate("A 1"), world.b.intermediate("B 1"));
    world.verify(&ours.sign(&svid(ID)).with(&ours)).expect("accepted");
    let crossed = world.verify(&theirs.sign(&svid(ID)).with(&theirs));
    assert!(matches!(crossed, Err(Refused::Path { problem: webpki::Error::UnknownIssuer, .. })), "{crossed:?}");
    assert!(world.verify(&ours.sign(&svid(ID))).is_err(), "without its intermediate there is no path");
}

#[test]
fn an_intermediate_whose_key_is_not_for_certificates_vouches_for_nobody() {
    let world = World::new();
    for (usages, is_good) in [
        (vec![], true),
        (vec![KeyUsagePurpose::CrlSign], false),
        (vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign], true),
    ] {
        let between = world.a.intermediate_for("A 1", usages.clone());
        assert_eq!(world.verify(&between.sign(&svid(ID)).with(&between)).is_ok(), is_good, "{usages:?}");
    }
}

#[test]
fn a_certificate_is_good_from_its_beginning_to_its_end() {
    let world = World::new();
    let leaf = world.a.sign(&svid(ID));
    let at = |text: &str| world.verify_at(&leaf, text.parse().expect("an instant"));
    assert!(matches!(at("2025-12-31T23:59:59Z"), Err(Refused::Path { problem: webpki::Error::CertNotValidYet { .. }, .. })));
    at("2026-01-01T00:00:00Z").expect("from the first second");
    at("2027-01-01T00:00:00Z").expect("to the last");
    assert!(matches!(at("2027-01-01T00:00:01Z"), Err(Refused::Path { problem: webpki::Error::CertExpired { .. }, .. })));
}

#[test]
fn nobody_vouches_for_himself() {
    let world = World::new();
    let refused = world.verify(&Leaf::self_signed(&svid(ID)));
    assert!(matches!(refused, Err(Refused::Path { problem: webpki::Error::UnknownIssuer, .. })), "{refused:?}");
}

#[test]
fn what_breaks_a_rule_of_spiffe_is_refused_by_name() {
    let world = World::new();
    let usages = |usages: &[KeyUsagePurpose]| changed(|params| params.key_usages = usages.to_vec());
    for (params, expected) in [
        (changed(|params| params.subject_alt_names.clear()), SvidError::Names(0)),
        (changed(|params| params.subject_alt_names.push(uri("spiffe://a.example/other"))), SvidError::Names(2)),
        (changed(|params| params.subject_alt_names.push(uri("https://a.example/"))), SvidError::Names(2)),
        (svid("https://a.example/billing"), SpiffeIdError::Scheme.into()),
        (svid("spiffe://a.example"), SpiffeIdError::NoPath.into()),
        (svid("spiffe://a.example/billing/"), SpiffeIdError::Path.into()),
        (changed(|params| params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained)), SvidError::Authority),
        (usages(&[]), SvidError::KeyUsage),
        (usages(&[KeyUsagePurpose::KeyAgreement]), SvidError::KeyUsage),
        (usages(&[KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign]), SvidError::KeyUsage),
        (usages(&[KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::CrlSign]), SvidError::KeyUsage),
    ] {
        assert_eq!(world.verify(&world.a.sign(&params)), Err(Refused::NotAnSvid(expected)));
    }
    let server_only =
        world.verify(&world.a.sign(&changed(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth])));
    assert!(matches!(server_only, Err(Refused::Path { problem: webpki::Error::RequiredEkuNotFoundContext(_), .. })), "{server_only:?}");
    let with_dns = changed(|params| params.subject_alt_names.push(rcgen::SanType::DnsName("a.example".try_into().expect("a name"))));
    world.verify(&world.a.sign(&with_dns)).expect("other names may stand beside the one URI");
    world.verify(&world.a.sign(&changed(|params| params.extended_key_usages.clear()))).expect("no extended key usage is no limit");
}

#[test]
fn bytes_that_are_no_certificate_are_refused() {
    let world = World::new();
    let mut leaf = world.a.sign(&svid(ID));
    let mut trailing = leaf.chain[0].to_vec();
    trailing.push(0);
    for bytes in [Vec::new(), b"nonsense".to_vec(), trailing] {
        leaf.chain[0] = bytes.into();
        assert_eq!(world.verify(&leaf), Err(Refused::NotAnSvid(SvidError::Der)));
    }
}

#[test]
fn a_certificate_of_the_broker_says_what_it_stands_on() {
    let world = World::new();
    let caller = world.verify(&world.issuer.sign(&of_ours(ID, 21))).expect("accepted");
    let own = caller.issued_here.expect("issued here");
    assert_eq!((own.id.position().get(), own.key.get()), (21, 3));
    assert!(matches!(own.subjects, Subjects { owner, lineage: None, .. } if owner == Position::new(7)));
}

#[test]
fn the_broker_vouches_for_its_own_domain_and_with_its_own_key_only() {
    let world = World::new();
    let foreign = world.issuer.sign(&of_ours("spiffe://b.example/x", 21));
    assert_eq!(world.verify(&foreign), Err(Refused::TrustDomain(domain("b.example"))));

    let plain = world.issuer.sign(&svid(ID));
    assert_eq!(world.verify(&plain), Err(Refused::NotOurs), "it must say what it stands on");

    let mut renumbered = of_ours(ID, 21);
    renumbered.serial_number = of_ours(ID, 22).serial_number;
    assert_eq!(world.verify(&world.issuer.sign(&renumbered)), Err(SvidError::Serial.into()));

    // An intermediate that takes the issuer's name cannot pass its holders off as ours, nor may
    // an authority add to what our issuer says of an outside identity.
    let impostor = world.a.intermediate("broker of A");
    assert!(matches!(world.verify(&impostor.sign(&of_ours(ID, 21)).with(&impostor)), Err(Refused::Path { .. })));
    let outside = world.verify(&world.a.sign(&of_ours(ID, 21))).expect("an identity from outside");
    assert_eq!(outside.issued_here, None);
}

#[test]
fn bundles_are_replaced_whole_and_a_bad_one_leaves_the_good_one() {
    let world = World::new();
    let leaf = world.a.sign(&svid(ID));
    let stolen = bundles(&[("a.example", world.issuer.pem())]).expect("readable");
    let refused = world.trust.replace(stolen).expect_err("the issuer's own certificate");
    assert_eq!(
        refused.to_string(),
        "trust bundle of a.example, certificate 1: it has the name or the key of this broker's issuer, which is trusted without it"
    );
    world.verify(&leaf).expect("the bundles from before");
    world.trust.replace(bundles(&[("a.example", Authority::new("A 2").pem())]).expect("usable")).expect("replaced");
    assert!(world.verify(&leaf).is_err());
    world.verify(&world.issuer.sign(&of_ours(ID, 21))).expect("what the broker issued does not depend on bundles");
}

#[test]
fn a_bad_bundle_is_refused_by_domain_and_certificate() {
    let a = Authority::new("A");
    let leaf = a.sign(&svid(ID));
    let pem = |der: &[u8]| format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", base64(der)).into_bytes();
    let second = [a.pem(), pem(&leaf.chain[0])].concat();
    let error = |texts: &[(&str, Vec<u8>)]| bundles(texts).expect_err("unusable").to_string();
    assert_eq!(error(&[("a.example", second)]), "trust bundle of a.example, certificate 2: not an authority's: it is not marked cA");
    assert!(error(&[("a.example", b"nothing".to_vec())]).contains("no certificate in it"));
    assert!(error(&[("a.example", b"-----BEGIN CERTIFICATE-----\n***".to_vec())]).starts_with("trust bundle of a.example: not PEM"));
    let shared = error(&[("a.example", a.pem()), ("b.example", a.pem())]);
    assert_eq!(shared, "trust bundle of b.example, certificate 1: the same key vouches for a.example; trust domains do not mix");
    let two = bundles(&[("a.example", a.pem()), ("a.example", Authority::new("A 2").pem())]).expect("two texts of one domain");
    assert_eq!(two.0.len(), 1);
}

fn base64(der: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(der)
}
