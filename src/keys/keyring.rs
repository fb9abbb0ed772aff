//! The private keys in use, by their numbers in the ledger. Which of them signs, the ledger says: it may
//! hold the next one already, and an issuer that issues no more and still signs its revocations.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::KeyError;
use super::private::PrivateKey;
use super::signer::{Answering, SignError, Signer, X509Signer};
use crate::model::{Facts, KeyPurpose, Position};

/// A key that signs one kind of thing.
#[derive(Debug)]
pub(crate) struct SigningKey {
    /// What it signs.
    pub(crate) purpose: KeyPurpose,
    /// Its number: the position of its activation.
    pub(crate) number: Position,
    /// Its name, as verifiers find it.
    pub(crate) kid: String,
    pub(super) signer: Arc<dyn Signer>,
}

impl SigningKey {
    /// Its `SubjectPublicKeyInfo`, DER.
    pub(crate) fn public_key(&self) -> &[u8] {
        self.signer.public_key()
    }

    /// Signs: r || s, or 64 bytes for the checkpoint key.
    ///
    /// # Errors
    /// If the key does not sign.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        self.signer.sign(message)
    }

    /// How what holds it answers.
    pub(crate) fn answering(&self) -> Answering {
        self.signer.answering()
    }
}

/// A key that signs certificates, with its own certificate.
#[derive(Debug)]
pub(crate) struct Issuer {
    /// The key.
    pub(crate) key: Arc<SigningKey>,
    /// Its certificate, DER.
    pub(crate) certificate: Vec<u8>,
    /// The authority as rcgen takes it.
    pub(crate) authority: rcgen::Issuer<'static, X509Signer>,
}

type Held = (Arc<SigningKey>, Option<Arc<Issuer>>);

/// Every private key that is held. It changes while the broker runs.
#[derive(Debug, Default)]
pub(crate) struct Keyring(ArcSwap<BTreeMap<Position, Held>>);

impl Keyring {
    /// Holds one more key.
    ///
    /// # Errors
    /// If it cannot be used.
    pub(crate) fn add(&self, key: PrivateKey, number: Position) -> Result<(), KeyError> {
        let held = key.into_signing(number)?;
        self.0.rcu(|keys| {
            let mut keys = BTreeMap::clone(keys);
            keys.insert(number, held.clone());
            keys
        });
        Ok(())
    }

    /// Lets go of a key. What is signing with it may finish.
    pub(crate) fn remove(&self, number: Position) {
        self.0.rcu(|keys| {
            let mut keys = BTreeMap::clone(keys);
            keys.remove(&number);
            keys
        });
    }

    /// The numbers of the keys that are held.
    pub(crate) fn numbers(&self) -> BTreeSet<Position> {
        self.0.load().keys().copied().collect()
    }

    /// The key with this number.
    pub(crate) fn find(&self, number: Position) -> Option<Arc<SigningKey>> {
        self.0.load().get(&number).map(|(key, _)| Arc::clone(key))
    }

    /// The issuer with this number.
    pub(crate) fn issuer(&self, number: Position) -> Option<Arc<Issuer>> {
        self.0.load().get(&number).and_then(|(_, issuer)| issuer.clone())
    }

    /// Every issuer that is held, by number: those whose certificates may be alive, and the next one.
    pub(crate) fn issuers(&self) -> Vec<Arc<Issuer>> {
        self.0.load().values().filter_map(|(_, issuer)| issuer.clone()).collect()
    }

    /// The key that signs now, as the ledger says.
    ///
    /// # Errors
    /// If none does, or its private half is not held.
    pub(crate) fn signing(&self, purpose: KeyPurpose, facts: &Facts) -> Result<Arc<SigningKey>, KeyError> {
        let number = facts.signing_keys().signing(purpose).map(|key| key.number);
        number.and_then(|number| self.find(number)).ok_or(KeyError::Missing { purpose })
    }

    /// How many of the keys do not answer now, and how many signatures were not made by all.
    pub(crate) fn trouble(&self) -> (usize, u64) {
        let answers: Vec<Answering> = self.0.load().values().map(|(key, _)| key.answering()).collect();
        (answers.iter().filter(|answer| answer.silent).count(), answers.iter().map(|answer| answer.failures).sum())
    }
}
