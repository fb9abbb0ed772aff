//! The keys in use, each with its number in the ledger.

use std::sync::Arc;

use super::signer::{SignError, Signer, X509Signer};
use crate::model::{Position, Timestamp};

/// A key that signs one kind of thing.
#[derive(Clone, Debug)]
pub struct SigningKey {
    /// Its number: the position of its activation.
    pub number: Position,
    /// Its name, as verifiers find it.
    pub kid: String,
    /// The last instant at which something signed by it may be good.
    pub not_after: Option<Timestamp>,
    pub(super) signer: Arc<dyn Signer>,
}

impl SigningKey {
    /// Its `SubjectPublicKeyInfo`, DER.
    pub fn public_key(&self) -> &[u8] {
        self.signer.public_key()
    }

    /// Signs: r || s, or 64 bytes for the checkpoint key.
    ///
    /// # Errors
    /// If the key does not sign.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        self.signer.sign(message)
    }
}

/// The key that signs certificates, with its own certificate.
#[derive(Debug)]
pub struct Issuer {
    /// The key.
    pub key: SigningKey,
    /// Its certificate, DER.
    pub certificate: Vec<u8>,
    /// The authority as rcgen takes it.
    pub authority: rcgen::Issuer<'static, X509Signer>,
}

/// Every key in use: a key signs one kind of thing, and nothing else.
#[derive(Debug)]
pub struct Keyring {
    /// Signs access tokens and JWT-SVIDs: ES256.
    pub token: SigningKey,
    /// Signs certificates: ECDSA P-256.
    pub issuer: Issuer,
    /// Signs revocation lists: ES256.
    pub list: SigningKey,
    /// Signs checkpoints: Ed25519.
    pub checkpoint: SigningKey,
}
