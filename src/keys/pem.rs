//! PEM (RFC 7468): writing; the reading is that of libraries, of keys by one that wipes what it read.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pkcs8::der::SecretDocument;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use zeroize::Zeroizing;

use super::KeyError;
use super::signer::Pkcs8;

/// The label of a private key.
pub(super) const OPEN: &str = "PRIVATE KEY";

/// The label of a sealed one.
pub(super) const SEALED: &str = "ENCRYPTED PRIVATE KEY";

/// One section, in lines of 64 characters.
pub(super) fn write(label: &str, der: &[u8]) -> Zeroizing<String> {
    let encoded = Zeroizing::new(STANDARD.encode(der));
    // Room for all of it, so that no copy of a key is left behind by growing.
    let mut text = Zeroizing::new(String::with_capacity(encoded.len() * 66 / 64 + 2 * label.len() + 40));
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----\n");
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, next) = rest.split_at_checked(64).unwrap_or((rest, ""));
        text.push_str(line);
        text.push('\n');
        rest = next;
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
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
