//! A small CA for identities, for people without a PKI. What it signs is outside the ledger: it
//! proves who a workload is, and is ended by ending the workload.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, DistinguishedName, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SerialNumber};
use zeroize::Zeroizing;

use super::certificate::{Authority, set_validity, uri};
use super::seal::{SealingSecret, seal};
use super::signer::{MemoryP256, Pkcs8, X509Signer};
use super::{KeyError, pem};
use crate::ambient::Entropy;
use crate::model::{SpiffeId, Timestamp, TrustDomain};

/// How long a new identity CA is good.
const LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

const CA: &str = "identity CA";

/// A CA that signs identities.
pub(crate) struct IdentityCa {
    pkcs8: Pkcs8,
    certificate: Vec<u8>,
    authority: rcgen::Issuer<'static, X509Signer>,
}

/// A certificate with its key, PEM.
pub(crate) struct Identity {
    /// The certificate.
    pub(crate) certificate: String,
    /// The private key, PKCS#8.
    pub(crate) key: Zeroizing<String>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

impl fmt::Debug for IdentityCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdentityCa(..)")
    }
}

impl IdentityCa {
    /// A new CA for a trust domain.
    ///
    /// # Errors
    /// If there are no random bytes.
    pub(crate) fn generate(trust_domain: &TrustDomain, entropy: &Entropy, now: Timestamp) -> Result<Self, KeyError> {
        let pkcs8 = MemoryP256::generate(entropy)?;
        let authority = Authority { what: CA, title: "Curfew identities", trust_domain, made: now, ends: now.plus(LIFE) };
        let certificate = authority.certificate(&signer(&pkcs8, entropy)?, entropy)?;
        Self::open(pkcs8, certificate, entropy)
    }

    /// Reads the CA's certificate and PKCS#8 key.
    ///
    /// # Errors
    /// If they are not PEM of a certificate and its P-256 key.
    pub(crate) fn from_pem(certificate: &str, key: &str, entropy: &Entropy) -> Result<Self, KeyError> {
        Self::open(pem::private_key(CA, key)?, pem::certificate(CA, certificate)?, entropy)
    }

    fn open(pkcs8: Pkcs8, certificate: Vec<u8>, entropy: &Entropy) -> Result<Self, KeyError> {
        let signer = signer(&pkcs8, entropy)?;
        if crate::formats::keyset::certificate_key(&certificate).as_ref() != Some(signer.key()) {
            return Err(KeyError::unusable(CA, "its certificate is not of its key"));
        }
        let authority =
            rcgen::Issuer::from_ca_cert_der(&certificate.as_slice().into(), signer).map_err(|error| KeyError::unusable(CA, error))?;
        Ok(Self { pkcs8, certificate, authority })
    }

    /// Its certificate, PEM: the trust bundle.
    pub(crate) fn certificate_pem(&self) -> String {
        pem::write("CERTIFICATE", &self.certificate).to_string()
    }

    /// Its key, PEM, sealed if there is a secret.
    ///
    /// # Errors
    /// If there are no random bytes.
    pub(crate) fn key_pem(&self, secret: Option<&SealingSecret>, entropy: &Entropy) -> Result<Zeroizing<String>, KeyError> {
        let key = pem::write(pem::OPEN, &self.pkcs8);
        secret.map_or(Ok(key.clone()), |secret| seal(CA, &key, secret, entropy))
    }

    /// A new key with a certificate for `id` until `ends`: an X509-SVID for clients.
    ///
    /// # Errors
    /// If there are no random bytes.
    pub(crate) fn issue(&self, id: &SpiffeId, now: Timestamp, ends: Timestamp, entropy: &Entropy) -> Result<Identity, KeyError> {
        let refused = |error: rcgen::Error| KeyError::unusable(CA, error);
        let pkcs8 = MemoryP256::generate(entropy)?;
        let serial: [u8; 15] = entropy.bytes().map_err(|_no_entropy| KeyError::Generate("no random bytes"))?;
        let mut params = CertificateParams::default();
        set_validity(&mut params, now, ends);
        // A first byte that is neither zero nor negative keeps the serial number positive.
        params.serial_number = Some(SerialNumber::from_slice(&[&[0x40], serial.as_slice()].concat()));
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = vec![uri(id.as_str()).map_err(refused)?];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&signer(&pkcs8, entropy)?, &self.authority).map_err(refused)?;
        Ok(Identity { certificate: pem::write("CERTIFICATE", certificate.der()).to_string(), key: pem::write(pem::OPEN, &pkcs8) })
    }
}

fn signer(pkcs8: &[u8], entropy: &Entropy) -> Result<X509Signer, KeyError> {
    X509Signer::new(CA, Arc::new(MemoryP256::open(CA, pkcs8, entropy)?))
}
