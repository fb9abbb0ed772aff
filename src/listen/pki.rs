//! Authorities and certificates for tests, made as they run.

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    SanType, SerialNumber, date_time_ymd,
};
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::ambient::Entropy;
use crate::formats::binding::{Binding, EXTENSION_OID};
use crate::model::{CredentialId, Position, Subjects, Timestamp};

/// The instant at which the tests take place: 2026-06-01.
pub(crate) const NOW: Timestamp = Timestamp::from_seconds(1_780_272_000);

/// An authority.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate with its private key.
pub(crate) struct Leaf {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: KeyPair,
}

fn key() -> KeyPair {
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, Entropy::system().generator()).expect("a key");
    KeyPair::try_from(pkcs8.as_ref()).expect("the same key")
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// What a good workload certificate says.
pub(crate) fn svid(uri: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![self::uri(uri)];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2027, 1, 1);
    params
}

pub(crate) fn uri(text: &str) -> SanType {
    SanType::URI(Ia5String::try_from(text).expect("ASCII"))
}

/// A certificate of this broker's: `position` is its own, 7 its owner.
pub(crate) fn of_ours(uri: &str, position: u64) -> CertificateParams {
    let position = Position::new(position);
    let subjects =
        Subjects { owner: Position::new(7), workload: Position::new(8), environment: Position::new(9), task: None, lineage: None };
    let binding = Binding { environment: "production".parse().expect("a name"), position, subjects, further: Vec::new() };
    let mut params = svid(uri);
    params.serial_number = Some(SerialNumber::from_slice(CredentialId::new(position, [1; 8]).as_bytes()));
    params.custom_extensions = vec![CustomExtension::from_oid_content(EXTENSION_OID, binding.to_der())];
    params
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        Self(CertifiedIssuer::self_signed(authority_params(name), key()).expect("signed"))
    }

    pub(crate) fn intermediate(&self, name: &str) -> Self {
        self.intermediate_for(name, authority_params(name).key_usages)
    }

    /// An intermediate whose key is for this.
    pub(crate) fn intermediate_for(&self, name: &str, key_usages: Vec<KeyUsagePurpose>) -> Self {
        let mut params = authority_params(name);
        params.key_usages = key_usages;
        Self(CertifiedIssuer::signed_by(params, key(), &self.0).expect("signed"))
    }

    pub(crate) fn der(&self) -> Vec<u8> {
        self.0.der().to_vec()
    }

    pub(crate) fn pem(&self) -> Vec<u8> {
        self.0.pem().into_bytes()
    }

    pub(crate) fn sign(&self, params: &CertificateParams) -> Leaf {
        let key = key();
        Leaf { chain: vec![params.signed_by(&key, &self.0).expect("signed").der().clone()], key }
    }
}

impl Leaf {
    pub(crate) fn self_signed(params: &CertificateParams) -> Self {
        let key = key();
        Self { chain: vec![params.self_signed(&key).expect("signed").der().clone()], key }
    }

    pub(crate) fn with(mut self, intermediate: &Authority) -> Self {
        self.chain.push(intermediate.der().into());
        self
    }

    pub(crate) fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.serialize_der()).into()
    }
}
