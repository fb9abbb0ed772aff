//! The private half of one key, as it is made, read from a file, or held by something that signs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::certificate::Authority;
use super::keyring::{Issuer, SigningKey};
use super::seal::{SealingSecret, seal};
use super::signer::{MemoryEd25519, MemoryP256, Pkcs8, Signer, X509Signer};
use super::{KeyError, pem};
use crate::ambient::Entropy;
use crate::formats::checkpoint;
use crate::formats::jwk::{Ed25519, P256};
use crate::model::{KeyPurpose, Position, PublicKey, Timestamp, TrustDomain};

/// How long a new issuer certificate is good.
const ISSUER_LIFE: Duration = Duration::from_secs(365 * 24 * 60 * 60);

const ISSUER_CERTIFICATE: &str = "issuer certificate";

/// What people know a key as.
const fn what(purpose: KeyPurpose) -> &'static str {
    match purpose {
        KeyPurpose::Token => "token key",
        KeyPurpose::Issuer => "issuer key",
        KeyPurpose::List => "list key",
        KeyPurpose::Checkpoint => "checkpoint key",
    }
}

/// A private key, and what the ledger says of it.
pub(crate) struct PrivateKey {
    public: PublicKey,
    /// Absent where only the signer has it.
    pkcs8: Option<Pkcs8>,
    signer: Arc<dyn Signer>,
}

/// Where the private half of a key is.
pub(crate) enum Private {
    /// In a text, PKCS#8 PEM.
    Pem(Zeroizing<String>),
    /// With something that signs and does not give it away.
    Elsewhere(Arc<dyn Signer>),
}

/// Where a key is.
pub(crate) struct Source {
    pub(crate) purpose: KeyPurpose,
    pub(crate) private: Private,
    /// Of an issuer: its own certificate, PEM.
    pub(crate) certificate: Option<String>,
}

/// A key as the text of its file, or two. `Debug` shows nothing of the private half.
pub(crate) struct KeyText {
    pub(crate) purpose: KeyPurpose,
    /// Its name.
    pub(crate) kid: String,
    /// PKCS#8; empty for a key that is elsewhere. To be kept with mode 0600.
    pub(crate) private: Zeroizing<String>,
    /// Of an issuer: its own certificate.
    pub(crate) certificate: Option<String>,
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateKey").field("public", &self.public).finish_non_exhaustive()
    }
}

impl fmt::Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyText").field("purpose", &self.purpose).field("kid", &self.kid).finish_non_exhaustive()
    }
}

impl KeyText {
    /// The same key, sealed under a secret.
    ///
    /// # Errors
    /// If there are no random bytes.
    pub(crate) fn sealed(&self, secret: &SealingSecret, entropy: &Entropy) -> Result<Self, KeyError> {
        let private = seal(what(self.purpose), &self.private, secret, entropy)?;
        Ok(Self { purpose: self.purpose, kid: self.kid.clone(), private, certificate: self.certificate.clone() })
    }
}

impl PrivateKey {
    /// A new key; an issuer's certificate begins at `now`.
    ///
    /// # Errors
    /// If there are no random bytes.
    pub(crate) fn generate(purpose: KeyPurpose, domain: &TrustDomain, entropy: &Entropy, now: Timestamp) -> Result<Self, KeyError> {
        let pkcs8 = match purpose {
            KeyPurpose::Token | KeyPurpose::Issuer | KeyPurpose::List => MemoryP256::generate(entropy)?,
            KeyPurpose::Checkpoint => MemoryEd25519::generate(entropy)?,
        };
        let signer = signer(purpose, &pkcs8, entropy)?;
        let certificate = match purpose {
            KeyPurpose::Issuer => Some(certify(domain, &signer, entropy, now)?),
            KeyPurpose::Token | KeyPurpose::List | KeyPurpose::Checkpoint => None,
        };
        Ok(Self { public: public(purpose, domain, &*signer, certificate), pkcs8: Some(pkcs8), signer })
    }

    /// Takes what [`PrivateKey::to_text`] wrote, or a key that an operator brings.
    ///
    /// # Errors
    /// If the key is not what it has to be, or an issuer's certificate is not the CA certificate of
    /// the key for this trust domain.
    pub(crate) fn open(source: Source, domain: &TrustDomain, entropy: &Entropy) -> Result<Self, KeyError> {
        let Source { purpose, private, certificate } = source;
        let (pkcs8, signer) = open(purpose, private, entropy)?;
        let certificate = match (purpose, certificate) {
            (KeyPurpose::Issuer, None) => return Err(KeyError::unusable(ISSUER_CERTIFICATE, "there is none")),
            (KeyPurpose::Issuer, Some(text)) => {
                let der = pem::certificate(ISSUER_CERTIFICATE, &text)?;
                let ends = check_issuer(&der, signer.public_key(), domain)?;
                Some((der, ends))
            }
            (KeyPurpose::Token | KeyPurpose::List | KeyPurpose::Checkpoint, _) => None,
        };
        Ok(Self { public: public(purpose, domain, &*signer, certificate), pkcs8, signer })
    }

    /// The public half, as its activation is recorded.
    pub(crate) const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The text of its files.
    pub(crate) fn to_text(&self) -> KeyText {
        KeyText {
            purpose: self.public.purpose,
            kid: self.public.kid.clone(),
            private: self.pkcs8.as_ref().map(|pkcs8| pem::write(pem::OPEN, pkcs8)).unwrap_or_default(),
            certificate: (self.public.purpose == KeyPurpose::Issuer)
                .then(|| pem::write("CERTIFICATE", &self.public.material).as_str().to_owned()),
        }
    }

    /// Ready to sign, under its number.
    pub(super) fn into_signing(self, number: Position) -> Result<(Arc<SigningKey>, Option<Arc<Issuer>>), KeyError> {
        let Self { public, signer, .. } = self;
        let authority = Arc::clone(&signer);
        let key = Arc::new(SigningKey { purpose: public.purpose, number, kid: public.kid, signer });
        if public.purpose != KeyPurpose::Issuer {
            return Ok((key, None));
        }
        let certificate = public.material;
        let authority = X509Signer::new(what(KeyPurpose::Issuer), authority)?;
        let authority = rcgen::Issuer::from_ca_cert_der(&certificate.as_slice().into(), authority)
            .map_err(|error| KeyError::unusable(ISSUER_CERTIFICATE, error))?;
        Ok((Arc::clone(&key), Some(Arc::new(Issuer { key, certificate, authority }))))
    }
}

/// A certificate for the issuer's key from `now` on, PEM: for a key that was made elsewhere.
///
/// # Errors
/// If the key cannot be used.
pub(crate) fn issuer_certificate(domain: &TrustDomain, issuer: Private, entropy: &Entropy, now: Timestamp) -> Result<String, KeyError> {
    let (_, signer) = open(KeyPurpose::Issuer, issuer, entropy)?;
    let (certificate, _ends) = certify(domain, &signer, entropy, now)?;
    Ok(pem::write("CERTIFICATE", &certificate).to_string())
}

fn open(purpose: KeyPurpose, private: Private, entropy: &Entropy) -> Result<(Option<Pkcs8>, Arc<dyn Signer>), KeyError> {
    match private {
        Private::Pem(text) => {
            let pkcs8 = pem::private_key(what(purpose), &text)?;
            let signer = signer(purpose, &pkcs8, entropy)?;
            Ok((Some(pkcs8), signer))
        }
        Private::Elsewhere(signer) => Ok((None, signer)),
    }
}

fn signer(purpose: KeyPurpose, pkcs8: &Pkcs8, entropy: &Entropy) -> Result<Arc<dyn Signer>, KeyError> {
    Ok(match purpose {
        KeyPurpose::Token | KeyPurpose::Issuer | KeyPurpose::List => Arc::new(MemoryP256::open(what(purpose), pkcs8, entropy)?),
        KeyPurpose::Checkpoint => Arc::new(MemoryEd25519::open(what(purpose), pkcs8)?),
    })
}

fn public(purpose: KeyPurpose, domain: &TrustDomain, signer: &dyn Signer, certificate: Option<(Vec<u8>, Timestamp)>) -> PublicKey {
    let spki = signer.public_key();
    let kid = match purpose {
        KeyPurpose::Token | KeyPurpose::Issuer | KeyPurpose::List => P256::from_spki(spki).map(|key| key.thumbprint()),
        KeyPurpose::Checkpoint => Ed25519::from_spki(spki).map(|key| checkpoint::kid(&checkpoint::origin(domain), &key)),
    };
    let (material, not_after) = certificate.map_or_else(|| (spki.to_vec(), None), |(der, ends)| (der, Some(ends)));
    PublicKey { purpose, kid: kid.unwrap_or_default(), material, not_after, signs_from: None }
}

/// The issuer's own certificate, DER, and its end.
fn certify(domain: &TrustDomain, issuer: &Arc<dyn Signer>, entropy: &Entropy, now: Timestamp) -> Result<(Vec<u8>, Timestamp), KeyError> {
    let ends = now.plus(ISSUER_LIFE).floor_to_second();
    let authority = Authority { what: ISSUER_CERTIFICATE, title: "Curfew issuer", trust_domain: domain, made: now, ends };
    Ok((authority.certificate(&X509Signer::new(what(KeyPurpose::Issuer), Arc::clone(issuer))?, entropy)?, ends))
}

/// Checks that `der` is the CA certificate of this key for this trust domain; gives its end.
fn check_issuer(der: &[u8], public_key: &[u8], trust_domain: &TrustDomain) -> Result<Timestamp, KeyError> {
    let unusable = |problem: &str| KeyError::unusable(ISSUER_CERTIFICATE, problem);
    let (_, certificate) = x509_parser::parse_x509_certificate(der).map_err(|error| KeyError::unusable(ISSUER_CERTIFICATE, error))?;
    if certificate.public_key().raw != public_key {
        return Err(unusable("it is of another key than the issuer key"));
    }
    let signs = certificate.key_usage().ok().flatten().is_some_and(|usage| usage.value.key_cert_sign());
    if !certificate.is_ca() || !signs {
        return Err(unusable("it has to be a CA certificate with the key usage keyCertSign"));
    }
    let names = certificate.subject_alternative_name().ok().flatten().map(|names| names.value.general_names.as_slice()).unwrap_or_default();
    let wanted = format!("spiffe://{trust_domain}");
    if !names.iter().any(|name| matches!(name, x509_parser::extensions::GeneralName::URI(uri) if *uri == wanted)) {
        return Err(unusable(&format!("it has to name the trust domain: the URI {wanted} as subject alternative name")));
    }
    let ends = u64::try_from(certificate.validity().not_after.timestamp()).map_err(|_before_1970| unusable("it has ended"))?;
    Ok(Timestamp::from_seconds(ends))
}
