//! Signing requests (PKCS#10, RFC 2986). The public key is taken, after its signature was checked,
//! and nothing else: names, usages, CA flag and extensions are ours.

use std::fmt;

use rcgen::SubjectPublicKeyInfo;
use ring::digest;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA384_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, UnparsedPublicKey, VerificationAlgorithm,
};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::oid_registry::{
    OID_PKCS1_SHA256WITHRSA, OID_PKCS1_SHA384WITHRSA, OID_PKCS1_SHA512WITHRSA, OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ECDSA_WITH_SHA384,
    OID_SIG_ED25519,
};
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;

use crate::model::Invalid;

/// A request is refused beyond this many bytes.
const MAX_REQUEST: usize = 16 * 1024;

const FIELD: &str = "csr";

/// A signing request whose sender has the private key.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SigningRequest {
    public_key: SubjectPublicKeyInfo,
    hash: [u8; 32],
}

impl fmt::Debug for SigningRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningRequest(..)")
    }
}

#[derive(Clone, Copy)]
enum Kind {
    P256,
    P384,
    Ed25519,
    Rsa,
}

impl SigningRequest {
    /// Reads a request, DER, and checks its signature.
    ///
    /// # Errors
    /// If it is not one, its signature is wrong, or its key is none of ECDSA P-256, ECDSA P-384,
    /// Ed25519 and RSA from 2048 bits on.
    pub(crate) fn from_der(der: &[u8]) -> Result<Self, Invalid> {
        let invalid = |problem: &str| Invalid::new(FIELD, problem);
        if der.len() > MAX_REQUEST {
            return Err(Invalid::new(FIELD, format_args!("it has more than {MAX_REQUEST} bytes")));
        }
        let (rest, request) =
            X509CertificationRequest::from_der(der).map_err(|_shows_input| invalid("it is not a PKCS#10 request in DER"))?;
        if !rest.is_empty() {
            return Err(invalid("bytes follow the request"));
        }
        let info = &request.certification_request_info;
        let kind = kind(&info.subject_pki).ok_or_else(|| {
            invalid("its public key has to be ECDSA P-256, ECDSA P-384, Ed25519, or RSA of 2048 to 8192 bits; make a new key")
        })?;
        let algorithm = algorithm(kind, &request).ok_or_else(|| invalid("it has to be signed by its own key, with SHA-256 or stronger"))?;
        UnparsedPublicKey::new(algorithm, &info.subject_pki.subject_public_key.data)
            .verify(info.raw, &request.signature_value.data)
            .map_err(|ring::error::Unspecified| invalid("its signature is wrong: the sender does not have the private key"))?;
        let spki = info.subject_pki.raw;
        let public_key = SubjectPublicKeyInfo::from_der(spki).map_err(|error| Invalid::new(FIELD, error))?;
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, spki).as_ref());
        Ok(Self { public_key, hash })
    }

    /// SHA-256 of its `SubjectPublicKeyInfo`, DER.
    pub(crate) const fn public_key_hash(&self) -> [u8; 32] {
        self.hash
    }

    pub(super) const fn public_key(&self) -> &SubjectPublicKeyInfo {
        &self.public_key
    }
}

fn kind(spki: &x509_parser::x509::SubjectPublicKeyInfo<'_>) -> Option<Kind> {
    match spki.parsed().ok()? {
        PublicKey::RSA(key) => (2048..=8192).contains(&key.key_size()).then_some(Kind::Rsa),
        PublicKey::EC(_) => {
            let curve = spki.algorithm.parameters.as_ref()?.as_oid().ok()?;
            [(x509_parser::oid_registry::OID_EC_P256, Kind::P256), (x509_parser::oid_registry::OID_NIST_EC_P384, Kind::P384)]
                .into_iter()
                .find_map(|(oid, kind)| (oid == curve).then_some(kind))
        }
        PublicKey::DSA(_) | PublicKey::GostR3410(_) | PublicKey::GostR3410_2012(_) | PublicKey::Unknown(_) => {
            (spki.algorithm.algorithm == OID_SIG_ED25519).then_some(Kind::Ed25519)
        }
    }
}

fn algorithm(kind: Kind, request: &X509CertificationRequest<'_>) -> Option<&'static dyn VerificationAlgorithm> {
    let oid = &request.signature_algorithm.algorithm;
    let known: &[(_, &'static dyn VerificationAlgorithm)] = match kind {
        Kind::P256 => &[(OID_SIG_ECDSA_WITH_SHA256, &ECDSA_P256_SHA256_ASN1), (OID_SIG_ECDSA_WITH_SHA384, &ECDSA_P256_SHA384_ASN1)],
        Kind::P384 => &[(OID_SIG_ECDSA_WITH_SHA256, &ECDSA_P384_SHA256_ASN1), (OID_SIG_ECDSA_WITH_SHA384, &ECDSA_P384_SHA384_ASN1)],
        Kind::Ed25519 => &[(OID_SIG_ED25519, &ED25519)],
        Kind::Rsa => &[
            (OID_PKCS1_SHA256WITHRSA, &RSA_PKCS1_2048_8192_SHA256),
            (OID_PKCS1_SHA384WITHRSA, &RSA_PKCS1_2048_8192_SHA384),
            (OID_PKCS1_SHA512WITHRSA, &RSA_PKCS1_2048_8192_SHA512),
        ],
    };
    known.iter().find_map(|(known, algorithm)| (known == oid).then_some(*algorithm))
}
