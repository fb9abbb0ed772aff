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
pub(crate) mod seal;
mod signer;

#[cfg(test)]
pub(crate) use aside::{Aside, Remote};
pub(crate) use certificate::{BACKDATED, set_validity, uri};
pub(crate) use keyring::{Issuer, Keyring, SigningKey};
pub(crate) use material::{Material, PemFiles, Private, Sources, issuer_certificate};
pub(crate) use signer::{SignError, fresh_key};

use crate::model::{KeyPurpose, Position};

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
    /// The key was cut: nothing that it signs is accepted.
    #[error(
        "the {purpose} key `{kid}` was retired at entry {position}, and nothing that it signs is accepted: \
         put its successors into keys_dir; `curfew ledger recover` makes new ones"
    )]
    Retired {
        /// What it signed.
        purpose: KeyPurpose,
        /// Its name.
        kid: String,
        /// Where it was cut.
        position: Position,
    },
}

impl KeyError {
    fn unusable(what: &'static str, problem: impl std::fmt::Display) -> Self {
        Self::Unusable { what, problem: problem.to_string() }
    }
}

#[cfg(test)]
mod tests;
