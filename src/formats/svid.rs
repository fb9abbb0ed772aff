//! Reading an X509-SVID: SPIFFE's own rules, which path validation does not check, and what a
//! certificate of this broker says of itself.
//!
//! Whether anybody vouches for it is for the caller.

use ring::digest;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, KeyUsage};

use super::binding::{Binding, BindingError, EXTENSION_OID_DER};
use crate::model::{CredentialId, SpiffeId, SpiffeIdError, Timestamp};

/// A certificate is refused beyond this many bytes.
pub const MAX_CERTIFICATE: usize = 16 * 1024;

/// What an X509-SVID says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Svid {
    /// Its one URI name.
    pub spiffe_id: SpiffeId,
    /// SHA-256 of it, DER (RFC 8705, section 3.1).
    pub fingerprint: [u8; 32],
    /// When it begins.
    pub not_before: Timestamp,
    /// `notAfter`: taken as the first instant at which it is no longer good, one second stricter
    /// than RFC 5280, section 4.1.2.5.
    pub expires_at: Timestamp,
    /// The name of its issuer, DER.
    pub issuer: Vec<u8>,
    /// What it says of itself, if it has the extension of this broker.
    pub own: Option<OwnPart>,
}

/// What a certificate of this broker says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnPart {
    /// Its serial number.
    pub id: CredentialId,
    /// Its extension.
    pub binding: Binding,
}

/// Why a certificate is not an X509-SVID of a workload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SvidError {
    /// It is not a certificate, or cannot be read.
    #[error("not an X.509 certificate in DER of at most {MAX_CERTIFICATE} bytes")]
    Der,
    /// It has none or several URI names (X509-SVID, section 2).
    #[error("a certificate names exactly one URI, its SPIFFE ID; this one names {0}")]
    Names(usize),
    /// Its URI name is not the SPIFFE ID of a workload.
    #[error("its URI name is not the SPIFFE ID of a workload: {0}")]
    SpiffeId(#[from] SpiffeIdError),
    /// It is a CA certificate (X509-SVID, section 4.1).
    #[error("a CA certificate does not identify a workload")]
    Authority,
    /// Its key usage is missing or wrong (X509-SVID, section 4.3).
    #[error("its key usage has to include digitalSignature, and neither keyCertSign nor cRLSign")]
    KeyUsage,
    /// The extension stands there twice, or cannot be read.
    #[error("its Curfew extension cannot be used: {0}")]
    Extension(#[from] BindingError),
    /// The serial number and the extension name different positions.
    #[error("its serial number and its Curfew extension contradict each other")]
    Serial,
}

impl Svid {
    /// Reads the certificate of a workload.
    ///
    /// # Errors
    /// If it breaks a rule of X509-SVID for leaves, or its Curfew extension cannot be used.
    pub fn from_der(der: &[u8]) -> Result<Self, SvidError> {
        if der.len() > MAX_CERTIFICATE {
            return Err(SvidError::Der);
        }
        let (rest, certificate) = x509_parser::parse_x509_certificate(der).map_err(|_shows_input| SvidError::Der)?;
        if !rest.is_empty() {
            return Err(SvidError::Der);
        }
        let seconds = |time: x509_parser::time::ASN1Time| u64::try_from(time.timestamp()).map(Timestamp::from_seconds);
        let validity = certificate.validity();
        if certificate.basic_constraints().map_err(|_twice| SvidError::Der)?.is_some_and(|constraints| constraints.value.ca) {
            return Err(SvidError::Authority);
        }
        let usage = certificate.key_usage().map_err(|_twice| SvidError::Der)?.ok_or(SvidError::KeyUsage)?;
        if !identifies(usage.value) {
            return Err(SvidError::KeyUsage);
        }
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(digest::digest(&digest::SHA256, der).as_ref());
        Ok(Self {
            spiffe_id: spiffe_id(&certificate)?,
            fingerprint,
            not_before: seconds(validity.not_before).map_err(|_before_1970| SvidError::Der)?,
            expires_at: seconds(validity.not_after).map_err(|_before_1970| SvidError::Der)?,
            issuer: certificate.issuer().as_raw().to_vec(),
            own: own_part(&certificate)?,
        })
    }
}

/// Whether the key usage of a certificate lets its holder sign others (RFC 5280, section 4.2.1.3). Path validation by
/// webpki asks whether it is a CA's, and not this.
pub fn signs_certificates(der: &[u8]) -> bool {
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(der) else { return false };
    certificate.key_usage().is_ok_and(|usage| usage.is_none_or(|usage| usage.value.key_cert_sign()))
}

fn identifies(usage: &KeyUsage) -> bool {
    usage.digital_signature() && !usage.key_cert_sign() && !usage.crl_sign()
}

fn spiffe_id(certificate: &X509Certificate<'_>) -> Result<SpiffeId, SvidError> {
    let names = certificate.subject_alternative_name().map_err(|_twice| SvidError::Der)?;
    let names = names.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
    let mut uris = names.iter().filter_map(|name| if let GeneralName::URI(uri) = name { Some(*uri) } else { None });
    match (uris.next(), uris.count()) {
        (Some(uri), 0) => Ok(uri.parse()?),
        (first, more) => Err(SvidError::Names(more + usize::from(first.is_some()))),
    }
}

fn own_part(certificate: &X509Certificate<'_>) -> Result<Option<OwnPart>, SvidError> {
    let mut extensions = certificate.extensions().iter().filter(|extension| extension.oid.as_bytes() == EXTENSION_OID_DER);
    let Some(extension) = extensions.next() else { return Ok(None) };
    if extensions.next().is_some() {
        return Err(SvidError::Extension(BindingError::Der));
    }
    let binding = Binding::from_der(extension.value)?;
    let id = CredentialId::from_serial(certificate.raw_serial()).ok_or(SvidError::Serial)?;
    if id.position() == binding.position { Ok(Some(OwnPart { id, binding })) } else { Err(SvidError::Serial) }
}
