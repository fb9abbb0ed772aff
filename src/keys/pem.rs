//! PEM (RFC 7468): writing; the reading is rustls's.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use super::KeyError;
use super::signer::Pkcs8;

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
    let key = PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes());
    let key = key.map_err(|_shows_nothing| KeyError::unusable(what, "it has to be PEM with one section `PRIVATE KEY` (PKCS#8)"))?;
    Ok(Zeroizing::new(key.secret_pkcs8_der().to_vec()))
}

pub(super) fn certificate(what: &'static str, text: &str) -> Result<Vec<u8>, KeyError> {
    let certificate = CertificateDer::from_pem_slice(text.as_bytes());
    certificate
        .map(|der| der.to_vec())
        .map_err(|error| KeyError::unusable(what, format_args!("it has to be PEM with a `CERTIFICATE`: {error}")))
}
