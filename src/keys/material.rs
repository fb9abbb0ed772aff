//! The private halves, as they are made by `init`, read from files, or held by something that signs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::certificate::Authority;
use super::keyring::{Issuer, Keyring, SigningKey};
use super::seal::{SealingSecret, seal};
use super::signer::{MemoryEd25519, MemoryP256, Pkcs8, Signer, X509Signer};
use super::{KeyError, pem};
use crate::ambient::Entropy;
use crate::formats::checkpoint;
use crate::formats::jwk::{Ed25519, P256};
use crate::model::{Facts, KeyPurpose, PublicKey, Timestamp, TrustDomain};

/// How long a new issuer certificate is good.
const ISSUER_LIFE: Duration = Duration::from_secs(365 * 24 * 60 * 60);

const TOKEN: &str = "token key";
const ISSUER: &str = "issuer key";
const ISSUER_CERTIFICATE: &str = "issuer certificate";
const LIST: &str = "list key";
const CHECKPOINT: &str = "checkpoint key";

/// The private halves of every key, and the issuer's certificate.
pub(crate) struct Material {
    trust_domain: TrustDomain,
    token: Held,
    issuer: Held,
    issuer_certificate: Vec<u8>,
    issuer_ends: Timestamp,
    list: Held,
    checkpoint: Held,
}

struct Held {
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

/// Where every private half is, and the issuer's own certificate.
pub(crate) struct Sources {
    pub(crate) token: Private,
    pub(crate) issuer: Private,
    pub(crate) issuer_certificate: String,
    pub(crate) list: Private,
    pub(crate) checkpoint: Zeroizing<String>,
}

impl Held {
    fn p256(what: &'static str, pkcs8: Pkcs8, entropy: &Entropy) -> Result<Self, KeyError> {
        let signer = Arc::new(MemoryP256::open(what, &pkcs8, entropy)?);
        Ok(Self { pkcs8: Some(pkcs8), signer })
    }

    fn open_p256(what: &'static str, private: Private, entropy: &Entropy) -> Result<Self, KeyError> {
        match private {
            Private::Pem(text) => Self::p256(what, pem::private_key(what, &text)?, entropy),
            Private::Elsewhere(signer) => Ok(Self { pkcs8: None, signer }),
        }
    }

    fn ed25519(what: &'static str, pkcs8: Pkcs8) -> Result<Self, KeyError> {
        let signer = Arc::new(MemoryEd25519::open(what, &pkcs8)?);
        Ok(Self { pkcs8: Some(pkcs8), signer })
    }

    fn thumbprint(&self) -> String {
        P256::from_spki(self.signer.public_key()).map(|key| key.thumbprint()).unwrap_or_default()
    }
}

/// The material as the text of five files. Keys are PKCS#8; `Debug` shows none of it.
pub(crate) struct PemFiles {
    /// P-256: signs tokens.
    pub(crate) token_key: Zeroizing<String>,
    /// P-256: signs certificates.
    pub(crate) issuer_key: Zeroizing<String>,
    /// The issuer's own certificate.
    pub(crate) issuer_certificate: Zeroizing<String>,
    /// P-256: signs revocation lists.
    pub(crate) list_key: Zeroizing<String>,
    /// Ed25519: signs checkpoints.
    pub(crate) checkpoint_key: Zeroizing<String>,
}

impl fmt::Debug for PemFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PemFiles(..)")
    }
}

impl PemFiles {
    /// The same keys, sealed under a secret.
    ///
    /// # Errors
    /// If there are no random bytes.
    pub(crate) fn sealed(&self, secret: &SealingSecret, entropy: &Entropy) -> Result<Self, KeyError> {
        let sealed = |what, key| seal(what, key, secret, entropy);
        Ok(Self {
            token_key: sealed(TOKEN, &self.token_key)?,
            issuer_key: sealed(ISSUER, &self.issuer_key)?,
            issuer_certificate: self.issuer_certificate.clone(),
            list_key: sealed(LIST, &self.list_key)?,
            checkpoint_key: sealed(CHECKPOINT, &self.checkpoint_key)?,
        })
    }
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Material").field("keys", &self.public_keys()).finish_non_exhaustive()
    }
}

impl Material {
    /// New keys for a trust domain; the issuer's certificate begins at `now`.
    ///
    /// # Errors
    /// If there are no random bytes.
    pub(crate) fn generate(trust_domain: &TrustDomain, entropy: &Entropy, now: Timestamp) -> Result<Self, KeyError> {
        let p256 = |what| Held::p256(what, MemoryP256::generate(entropy)?, entropy);
        let issuer = p256(ISSUER)?;
        let (issuer_certificate, ends) = certify(trust_domain, &issuer.signer, entropy, now)?;
        Ok(Self {
            trust_domain: trust_domain.clone(),
            token: p256(TOKEN)?,
            issuer,
            issuer_certificate,
            issuer_ends: ends,
            list: p256(LIST)?,
            checkpoint: Held::ed25519(CHECKPOINT, MemoryEd25519::generate(entropy)?)?,
        })
    }

    /// Takes what [`Material::to_pem`] wrote, or keys that an operator brings.
    ///
    /// # Errors
    /// If a key is not what it has to be, or the issuer's certificate is not the CA certificate of
    /// the issuer's key for this trust domain.
    pub(crate) fn open(trust_domain: &TrustDomain, sources: Sources, entropy: &Entropy) -> Result<Self, KeyError> {
        let issuer = Held::open_p256(ISSUER, sources.issuer, entropy)?;
        let issuer_certificate = pem::certificate(ISSUER_CERTIFICATE, &sources.issuer_certificate)?;
        let issuer_ends = check_issuer(&issuer_certificate, issuer.signer.public_key(), trust_domain)?;
        Ok(Self {
            trust_domain: trust_domain.clone(),
            token: Held::open_p256(TOKEN, sources.token, entropy)?,
            issuer,
            issuer_certificate,
            issuer_ends,
            list: Held::open_p256(LIST, sources.list, entropy)?,
            checkpoint: Held::ed25519(CHECKPOINT, pem::private_key(CHECKPOINT, &sources.checkpoint)?)?,
        })
    }

    /// The text of the files, to be kept with mode 0600; empty for a key that is elsewhere.
    pub(crate) fn to_pem(&self) -> PemFiles {
        let key = |held: &Held| held.pkcs8.as_ref().map(|pkcs8| pem::write(pem::OPEN, pkcs8)).unwrap_or_default();
        PemFiles {
            token_key: key(&self.token),
            issuer_key: key(&self.issuer),
            issuer_certificate: pem::write("CERTIFICATE", &self.issuer_certificate),
            list_key: key(&self.list),
            checkpoint_key: key(&self.checkpoint),
        }
    }

    /// The public halves, as their activations are recorded.
    pub(crate) fn public_keys(&self) -> Vec<PublicKey> {
        let key = |purpose, held: &Held| PublicKey {
            purpose,
            kid: held.thumbprint(),
            material: held.signer.public_key().to_vec(),
            not_after: None,
        };
        let name = checkpoint::origin(&self.trust_domain);
        let checkpoint_kid = Ed25519::from_spki(self.checkpoint.signer.public_key()).map(|key| checkpoint::kid(&name, &key));
        vec![
            key(KeyPurpose::Token, &self.token),
            PublicKey {
                material: self.issuer_certificate.clone(),
                not_after: Some(self.issuer_ends),
                ..key(KeyPurpose::Issuer, &self.issuer)
            },
            key(KeyPurpose::List, &self.list),
            PublicKey { kid: checkpoint_kid.unwrap_or_default(), ..key(KeyPurpose::Checkpoint, &self.checkpoint) },
        ]
    }

    /// The keys with their numbers, ready to sign.
    ///
    /// # Errors
    /// If one of them was never activated in this ledger, or was retired.
    pub(crate) fn into_keyring(self, facts: &Facts) -> Result<Keyring, KeyError> {
        let [token, issuer, list, checkpoint] =
            [&self.token, &self.issuer, &self.list, &self.checkpoint].map(|held| Arc::clone(&held.signer));
        let activated = |signer: Arc<dyn Signer>, purpose| {
            let mut keys = self.public_keys().into_iter();
            let PublicKey { kid, not_after, .. } = keys.find(|key| key.purpose == purpose).ok_or(KeyError::Generate("no such key"))?;
            let Some(number) = facts.key_number(purpose, &kid) else { return Err(KeyError::NotActivated { purpose, kid }) };
            match facts.cuts().get(number) {
                Some(cut) => Err(KeyError::Retired { purpose, kid, position: cut.position }),
                None => Ok(SigningKey { number, kid, not_after, signer }),
            }
        };
        let key = activated(Arc::clone(&issuer), KeyPurpose::Issuer)?;
        let authority = rcgen::Issuer::from_ca_cert_der(&self.issuer_certificate.as_slice().into(), X509Signer::new(ISSUER, issuer)?)
            .map_err(|error| KeyError::unusable(ISSUER_CERTIFICATE, error))?;
        Ok(Keyring {
            token: activated(token, KeyPurpose::Token)?,
            issuer: Issuer { key, certificate: self.issuer_certificate.clone(), authority },
            list: activated(list, KeyPurpose::List)?,
            checkpoint: activated(checkpoint, KeyPurpose::Checkpoint)?,
        })
    }
}

/// A certificate for the issuer's key from `now` on, PEM: for a key that was made elsewhere.
///
/// # Errors
/// If the key cannot be used.
pub(crate) fn issuer_certificate(domain: &TrustDomain, issuer: Private, entropy: &Entropy, now: Timestamp) -> Result<String, KeyError> {
    let issuer = Held::open_p256(ISSUER, issuer, entropy)?;
    let (certificate, _ends) = certify(domain, &issuer.signer, entropy, now)?;
    Ok(pem::write("CERTIFICATE", &certificate).to_string())
}

/// The issuer's own certificate, DER, and its end.
fn certify(
    trust_domain: &TrustDomain,
    issuer: &Arc<dyn Signer>,
    entropy: &Entropy,
    now: Timestamp,
) -> Result<(Vec<u8>, Timestamp), KeyError> {
    let ends = now.plus(ISSUER_LIFE).floor_to_second();
    let authority = Authority { what: ISSUER_CERTIFICATE, title: "Curfew issuer", trust_domain, made: now, ends };
    Ok((authority.certificate(&X509Signer::new(ISSUER, Arc::clone(issuer))?, entropy)?, ends))
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
