//! The keys in use, each with its number in the ledger.

use std::sync::Arc;

use super::signer::{Answering, SignError, Signer, X509Signer};
use crate::model::{Position, Timestamp};

/// A key that signs one kind of thing.
#[derive(Clone, Debug)]
pub(crate) struct SigningKey {
    /// Its number: the position of its activation.
    pub(crate) number: Position,
    /// Its name, as verifiers find it.
    pub(crate) kid: String,
    /// The last instant at which something signed by it may be good.
    pub(crate) not_after: Option<Timestamp>,
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

/// The key that signs certificates, with its own certificate.
#[derive(Debug)]
pub(crate) struct Issuer {
    /// The key.
    pub(crate) key: SigningKey,
    /// Its certificate, DER.
    pub(crate) certificate: Vec<u8>,
    /// The authority as rcgen takes it.
    pub(crate) authority: rcgen::Issuer<'static, X509Signer>,
}

/// Every key in use: a key signs one kind of thing, and nothing else.
#[derive(Debug)]
pub(crate) struct Keyring {
    /// Signs access tokens and JWT-SVIDs: ES256.
    pub(crate) token: SigningKey,
    /// Signs certificates: ECDSA P-256.
    pub(crate) issuer: Issuer,
    /// Signs revocation lists: ES256.
    pub(crate) list: SigningKey,
    /// Signs checkpoints: Ed25519.
    pub(crate) checkpoint: SigningKey,
}

impl Keyring {
    /// How many of the keys do not answer now, and how many signatures were not made by all.
    pub(crate) fn trouble(&self) -> (usize, u64) {
        let answers = [&self.token, &self.issuer.key, &self.list, &self.checkpoint].map(SigningKey::answering);
        (answers.iter().filter(|answer| answer.silent).count(), answers.iter().map(|answer| answer.failures).sum())
    }
}
