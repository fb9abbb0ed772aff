//! A key that is made for one certificate, and the request for that certificate.

use std::fmt;

use rcgen::{CertificateParams, KeyPair};
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use zeroize::Zeroizing;

use super::Failure;
use crate::ambient::Entropy;
use crate::formats::pem;

/// A private key of P-256, in no file. This form of it is wiped once it is dropped; what libraries make of it to sign with is
/// not.
#[derive(Clone)]
pub struct FreshKey(Zeroizing<Vec<u8>>);

impl FreshKey {
    /// A new one.
    ///
    /// # Errors
    /// If the operating system gives no random bytes.
    pub fn generate(entropy: &Entropy) -> Result<Self, Failure> {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, entropy.generator());
        let pkcs8 =
            pkcs8.map_err(|ring::error::Unspecified| Failure::unusable("no key can be made: there are no random bytes".to_owned()))?;
        Ok(Self(Zeroizing::new(pkcs8.as_ref().to_vec())))
    }

    /// A signing request (PKCS #10), DER. It says nothing but the public key: everything else is for the broker to say.
    ///
    /// # Errors
    /// If nothing can be signed with it.
    pub fn request(&self) -> Result<Vec<u8>, Failure> {
        let unusable = |error: rcgen::Error| Failure::unusable(format!("no signing request can be made: {error}"));
        let pair = Zeroizing::new(KeyPair::try_from(self.pkcs8()).map_err(unusable)?);
        Ok(CertificateParams::default().serialize_request(&*pair).map_err(unusable)?.der().to_vec())
    }

    /// PKCS #8, DER. A secret.
    pub fn pkcs8(&self) -> &[u8] {
        &self.0
    }

    /// The same, to keep.
    pub fn into_pkcs8(self) -> Zeroizing<Vec<u8>> {
        self.0
    }

    /// PKCS #8, PEM. A secret.
    pub fn to_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(pem::write("PRIVATE KEY", self.pkcs8()))
    }
}

impl fmt::Debug for FreshKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FreshKey(..)")
    }
}
