//! Certificates: each way to fail, and changes of every byte.

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType, SerialNumber,
};

use super::*;
use crate::formats::binding::EXTENSION_OID;
use crate::formats::svid::{Svid, SvidError};

/// An issuer as `keys` makes it.
pub(super) struct Issuer {
    pub(super) der: Vec<u8>,
    authority: rcgen::Issuer<'static, KeyPair>,
}

impl Issuer {
    pub(super) fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("random bytes");
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let der = params.self_signed(&key).expect("signs").der().to_vec();
        Self { der, authority: rcgen::Issuer::new(params, key) }
    }

    fn sign(&self, params: &CertificateParams) -> Vec<u8> {
        let key = KeyPair::generate().expect("random bytes");
        params.signed_by(&key, &self.authority).expect("signs").der().to_vec()
    }
}

fn seconds(params: &mut CertificateParams, from: u64, to: u64) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    (params.not_before, params.not_after) = (epoch + Duration::from_secs(from), epoch + Duration::from_secs(to));
}

fn spiffe(id: &str) -> SanType {
    SanType::URI(id.try_into().expect("ASCII"))
}

fn extension(binding: &Binding) -> CustomExtension {
    CustomExtension::from_oid_content(EXTENSION_OID, binding.to_der())
}

/// A good certificate at position 100.
fn good() -> CertificateParams {
    let mut params = CertificateParams::default();
    seconds(&mut params, NOW - 30, NOW + 3600);
    params.serial_number = Some(SerialNumber::from_slice(CredentialId::new(Position::new(100), [9; 8]).as_bytes()));
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = vec![spiffe("spiffe://example.org/payments/worker")];
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.custom_extensions = vec![extension(&binding(100))];
    params
}

fn with(change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let mut params = good();
    change(&mut params);
    params
}

/// One certificate for each way in which a certificate can fail, with how it failed.
pub(super) fn failures() -> Vec<Rejected> {
    let broker = Broker::new();
    let verifier = broker.verifier(&[]);
    let leaf = broker.issuer.sign(&good());
    let mut found = Vec::new();
    let mut check = |verifier: &Verifier, leaf: &[u8], moment, code: &str| {
        let rejected = verifier.certificate(leaf, moment).expect_err(code);
        assert_eq!(rejected.code(), code, "{rejected}");
        found.push(rejected);
    };

    check(&Verifier::new(Settings::new(audience()), broker.keys()), &leaf, now(), "NO_LIST");
    check(&verifier, &leaf, later(31), "LIST_STALE");
    check(&verifier, b"no certificate", now(), "MALFORMED");
    check(&verifier, &[leaf.as_slice(), &[0]].concat(), now(), "MALFORMED");
    check(&verifier, &Issuer::new("another").sign(&good()), now(), "KEY_UNKNOWN");
    check(&verifier, &Issuer::new("Curfew issuer 1").sign(&good()), now(), "SIGNATURE");
    check(&verifier, &broker.issuer.der, now(), "PROFILE");

    for (params, code) in [
        (with(|params| params.subject_alt_names.push(spiffe("spiffe://example.org/other"))), "PROFILE"),
        (with(|params| params.subject_alt_names = vec![SanType::DnsName("a.example".try_into().expect("ASCII"))]), "PROFILE"),
        (with(|params| params.subject_alt_names = vec![spiffe("spiffe://example.org")]), "PROFILE"),
        (with(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)), "PROFILE"),
        (with(|params| params.key_usages.push(KeyUsagePurpose::KeyCertSign)), "PROFILE"),
        (with(|params| params.key_usages.push(KeyUsagePurpose::CrlSign)), "PROFILE"),
        (with(|params| params.key_usages = vec![KeyUsagePurpose::KeyAgreement]), "PROFILE"),
        (with(|params| params.key_usages.clear()), "PROFILE"),
        (with(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]), "PROFILE"),
        (with(|params| params.custom_extensions.clear()), "PROFILE"),
        (with(|params| params.custom_extensions = vec![extension(&binding(101))]), "PROFILE"),
        (with(|params| params.custom_extensions = vec![CustomExtension::from_oid_content(EXTENSION_OID, vec![5, 0])]), "PROFILE"),
        (with(|params| params.subject_alt_names = vec![spiffe("spiffe://example.net/payments/worker")]), "TRUST_DOMAIN"),
        (
            with(|params| {
                let staging = Binding { environment: "staging".parse().expect("a name"), ..binding(100) };
                params.custom_extensions = vec![extension(&staging)];
            }),
            "ENVIRONMENT",
        ),
        (with(|params| seconds(params, NOW - 100, NOW)), "EXPIRED"),
        (with(|params| seconds(params, NOW + 1, NOW + 100)), "NOT_YET"),
    ] {
        check(&verifier, &broker.issuer.sign(&params), now(), code);
    }
    let expired = Issuer::new("Curfew issuer 1").sign(&with(|params| seconds(params, NOW - 100, NOW)));
    check(&verifier, &expired, now(), "SIGNATURE");

    let ended = Broker { ends: Some(Timestamp::from_seconds(NOW - 1)), ..Broker::new() };
    check(&ended.verifier(&[]), &ended.issuer.sign(&good()), now(), "KEY_EXPIRED");
    check(&broker.verifier(&[cut(ISSUER_KEY, 50)]), &leaf, now(), "KEY_REVOKED");
    for number in 10..14 {
        check(&broker.verifier(&[cut(number, 101)]), &leaf, now(), "REVOKED");
    }
    check(&broker.verifier(&[cut(100, 101)]), &leaf, now(), "REVOKED");
    found
}

#[test]
fn a_good_certificate_is_accepted_with_what_it_says() {
    let broker = Broker::new();
    let verifier = broker.verifier(&[cut(10, 100), cut(TOKEN_KEY, 500)]);
    let leaf = broker.issuer.sign(&with(|params| params.subject_alt_names.push(SanType::DnsName("a.example".try_into().expect("ASCII")))));
    let accepted = verifier.certificate(&leaf, now()).expect("good");
    assert_eq!(accepted.id(), CredentialId::new(Position::new(100), [9; 8]));
    assert_eq!(accepted.spiffe_id().as_str(), "spiffe://example.org/payments/worker");
    assert_eq!(accepted.binding(), &binding(100));
    assert_eq!(accepted.expires_at(), Timestamp::from_seconds(NOW + 3600));
    assert_eq!(accepted.fingerprint().as_slice(), ring::digest::digest(&ring::digest::SHA256, &leaf).as_ref());
}

#[test]
fn a_certificate_without_one_name_says_how_many_it_has_and_a_giant_one_is_not_read() {
    let issuer = Issuer::new("Curfew issuer 1");
    let read = |params: &CertificateParams| Svid::from_der(&issuer.sign(params));
    let named = |count: usize| with(|params| params.subject_alt_names = vec![spiffe("spiffe://example.org/payments/worker"); count]);
    assert!(read(&named(1)).is_ok());
    for count in [2, 3] {
        assert_eq!(read(&named(count)), Err(SvidError::Names(count)));
    }
    assert_eq!(read(&with(|params| params.subject_alt_names.clear())), Err(SvidError::Names(0)));
    let padded =
        |bytes: usize| with(|params| params.custom_extensions.push(CustomExtension::from_oid_content(&[1, 3, 6, 1], vec![0; bytes])));
    assert!(read(&padded((16 << 10) - 1000)).is_ok());
    assert_eq!(read(&padded(16 << 10)), Err(SvidError::Der));
}

#[test]
fn the_first_instant_of_a_certificate_and_the_last_of_its_issuer_are_good() {
    let broker = Broker { ends: Some(Timestamp::from_seconds(NOW)), ..Broker::new() };
    let leaf = broker.issuer.sign(&with(|params| seconds(params, NOW, NOW + 100)));
    assert!(broker.verifier(&[]).certificate(&leaf, now()).is_ok());
    let after = Moment { wall: Timestamp::from_millis(NOW * 1000 + 1), ..now() };
    assert_eq!(broker.verifier(&[]).certificate(&leaf, after).map(|_| ()), Err(Rejected::KeyExpired));
}

#[test]
fn every_change_of_a_byte_is_rejected() {
    let broker = Broker::new();
    let verifier = broker.verifier(&[]);
    let leaf = broker.issuer.sign(&good());
    assert!(verifier.certificate(&leaf, now()).is_ok());
    for at in 0..leaf.len() {
        for flip in [0x01, 0x80] {
            let mut changed = leaf.clone();
            changed[at] ^= flip;
            assert!(verifier.certificate(&changed, now()).is_err(), "byte {at}");
        }
    }
}
