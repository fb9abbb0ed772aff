//! PEM (RFC 7468): writing; the reading is that of libraries, of keys by one that wipes what it read.

use pkcs8::der::SecretDocument;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use zeroize::Zeroizing;

use super::KeyError;
use super::signer::Pkcs8;
use crate::formats::pem;

/// The label of a private key.
pub(super) const OPEN: &str = "PRIVATE KEY";

/// The label of a sealed one.
pub(super) const SEALED: &str = "ENCRYPTED PRIVATE KEY";

/// One section, wiped once it is dropped.
pub(super) fn write(label: &str, der: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(pem::write(label, der))
}

pub(super) fn private_key(what: &'static str, text: &str) -> Result<Pkcs8, KeyError> {
    match SecretDocument::from_pem(text) {
        Ok((OPEN, document)) => Ok(Zeroizing::new(document.as_bytes().to_vec())),
        _ => Err(KeyError::unusable(what, "it has to be PEM with one section `PRIVATE KEY` (PKCS#8)")),
    }
}

pub(super) fn certificate(what: &'static str, text: &str) -> Result<Vec<u8>, KeyError> {
    let certificate = CertificateDer::from_pem_slice(text.as_bytes());
    certificate
        .map(|der| der.to_vec())
        .map_err(|error| KeyError::unusable(what, format_args!("it has to be PEM with a `CERTIFICATE`: {error}")))
}
