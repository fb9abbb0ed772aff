//! What signs: one key per purpose, behind a seam that a hardware module fits.
//!
//! Bytes go in, a signature comes out; the private half never leaves. A key signs only after its
//! activation stands in the ledger.

mod aside;
mod certificate;
pub(crate) mod hsm;
pub(crate) mod identity;
mod keyring;
mod material;
mod pem;
mod private;
pub(crate) mod rotation;
pub(crate) mod seal;
mod signer;

#[cfg(test)]
pub(crate) use aside::{Aside, Remote};
pub(crate) use certificate::{BACKDATED, set_validity, uri};
pub(crate) use keyring::{Issuer, Keyring, SigningKey};
pub(crate) use material::Material;
pub(crate) use private::{KeyText, Private, PrivateKey, Source, issuer_certificate};
pub(crate) use signer::SignError;

use crate::model::{KeyPurpose, Position, PublicKey, Timestamp};

/// Why keys cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyError {
    /// The operating system gave no random bytes to make a key of.
    #[error("no key could be made: {0}")]
    Generate(&'static str),
    /// The material is not what it has to be. Never shows the material.
    #[error("the {what} cannot be used: {problem}")]
    Unusable {
        /// Which key or certificate.
        what: &'static str,
        /// What is wrong, and what to bring.
        problem: String,
    },
    /// The ledger does not know the key.
    #[error("the {purpose} key `{kid}` was never activated in this ledger: the keys belong to another one")]
    NotActivated {
        /// What it signs.
        purpose: KeyPurpose,
        /// Its name.
        kid: String,
    },
    /// The key was retired or cut: nothing that it signs is accepted.
    #[error(
        "the {purpose} key `{kid}` was retired at entry {position}, and nothing that it signs is accepted: \
         put its successors into keys_dir; `curfew ledger recover` makes new ones"
    )]
    Retired {
        /// What it signed.
        purpose: KeyPurpose,
        /// Its name.
        kid: String,
        /// Where.
        position: Position,
    },
    /// No key signs this.
    #[error("there is no {purpose} key that signs")]
    Missing {
        /// What it would sign.
        purpose: KeyPurpose,
    },
    /// The broker makes no such keys.
    #[error(
        "a PKCS#11 module holds the {purpose} key, and the broker makes none in it: make the next one there, name its label as \
         next_{purpose}_key in [pkcs11], and restart"
    )]
    Elsewhere {
        /// What it signs.
        purpose: KeyPurpose,
    },
    /// Its private half could not be put where it is kept, or taken away from there.
    #[error("the {purpose} key cannot be kept: {problem}")]
    Kept {
        /// What it signs.
        purpose: KeyPurpose,
        /// What is wrong.
        problem: String,
    },
}

/// Where the private halves of keys are kept for the next start.
pub(crate) trait Keeper: Send + Sync + std::fmt::Debug {
    /// Makes a key. It is lasting when this returns, so that no key is recorded that could be lost.
    ///
    /// # Errors
    /// If it cannot be made or kept.
    fn make(&self, purpose: KeyPurpose, now: Timestamp) -> Result<PrivateKey, KeyError>;

    /// Wipes a key that is not needed any more. One that is gone already is no error.
    ///
    /// # Errors
    /// If it cannot be wiped.
    fn discard(&self, key: &PublicKey) -> Result<(), KeyError>;
}

impl KeyError {
    fn unusable(what: &'static str, problem: impl std::fmt::Display) -> Self {
        Self::Unusable { what, problem: problem.to_string() }
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod unkept;
