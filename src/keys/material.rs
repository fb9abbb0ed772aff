//! All the private keys of a broker.

use super::private::{KeyText, PrivateKey, Source};
use super::{KeyError, Keyring};
use crate::ambient::Entropy;
use crate::model::{Facts, KeyPurpose, PublicKey, Timestamp, TrustDomain};

/// The private halves of every key that there is: one or more of each purpose.
#[derive(Debug)]
pub(crate) struct Material(Vec<PrivateKey>);

impl Material {
    /// New keys for a trust domain, one of each purpose; the issuer's certificate begins at `now`.
    ///
    /// # Errors
    /// If there are no random bytes.
    pub(crate) fn generate(trust_domain: &TrustDomain, entropy: &Entropy, now: Timestamp) -> Result<Self, KeyError> {
        let keys = KeyPurpose::ALL.iter().map(|purpose| PrivateKey::generate(*purpose, trust_domain, entropy, now));
        keys.collect::<Result<_, _>>().map(Self)
    }

    /// Takes what [`Material::to_texts`] wrote, or keys that an operator brings.
    ///
    /// # Errors
    /// If a key is not what it has to be, or an issuer's certificate is not the CA certificate of
    /// its key for this trust domain.
    pub(crate) fn open(trust_domain: &TrustDomain, sources: Vec<Source>, entropy: &Entropy) -> Result<Self, KeyError> {
        sources.into_iter().map(|source| PrivateKey::open(source, trust_domain, entropy)).collect::<Result<_, _>>().map(Self)
    }

    /// The text of the files.
    pub(crate) fn to_texts(&self) -> Vec<KeyText> {
        self.0.iter().map(PrivateKey::to_text).collect()
    }

    /// The public halves, as their activations are recorded.
    pub(crate) fn public_keys(&self) -> Vec<PublicKey> {
        self.0.iter().map(|key| key.public().clone()).collect()
    }

    /// The keys with their numbers, ready to sign.
    ///
    /// # Errors
    /// If one of them was never activated in this ledger, or those of a purpose are all retired.
    pub(crate) fn into_keyring(self, facts: &Facts) -> Result<Keyring, KeyError> {
        for purpose in KeyPurpose::ALL {
            usable(*purpose, self.0.iter().map(PrivateKey::public), facts)?;
        }
        let keyring = Keyring::default();
        for key in self.0 {
            let PublicKey { purpose, kid, .. } = key.public();
            let known = facts.signing_keys().named(*purpose, kid);
            let number = known.ok_or_else(|| KeyError::NotActivated { purpose: *purpose, kid: kid.clone() })?.number;
            keyring.add(key, number)?;
        }
        Ok(keyring)
    }
}

/// Refuses keys of which none may sign: of another ledger, of an earlier epoch, or of an old backup.
fn usable<'a>(purpose: KeyPurpose, held: impl Iterator<Item = &'a PublicKey>, facts: &Facts) -> Result<(), KeyError> {
    let mut refused = None;
    for key in held.filter(|key| key.purpose == purpose) {
        let kid = key.kid.clone();
        let Some(known) = facts.signing_keys().named(purpose, &key.kid) else { return Err(KeyError::NotActivated { purpose, kid }) };
        match known.cut.map(|(position, _)| position).or(known.retired.map(|retired| retired.at)) {
            Some(position) => refused = Some(KeyError::Retired { purpose, kid, position }),
            None => return Ok(()),
        }
    }
    Err(refused.unwrap_or(KeyError::Missing { purpose }))
}
