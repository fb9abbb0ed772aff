//! The lists for verifiers that know no other: a CRL for each issuing key, and Token Status Lists.
//!
//! One pass over everything that can be unexpired finds the dead, by the rule that every verifier
//! goes by; the lists are [built](build) from it, [held against it](compare) as they will be served, and only
//! then [handed out](keeper). A revocation never waits for any of this.

mod build;
mod compare;
mod keeper;
mod pass;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub(crate) use build::{Served, entity_tag};
pub(crate) use keeper::{Lists, Parts};

use crate::model::Position;

/// How often lists are built, and how long they are good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lifetimes {
    /// How often they are built though nothing was revoked.
    pub(crate) interval: Duration,
    /// Of a CRL: until its `nextUpdate`.
    pub(crate) crl: Duration,
    /// Of a status list: until its `exp`.
    pub(crate) status: Duration,
    /// How long a copy of a status list may be kept: its `ttl`.
    pub(crate) ttl: Duration,
}

/// Why there are no new lists. The last good ones stay.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListsError {
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] crate::ledger::LedgerError),
    /// A certificate of an issuer cannot be read.
    #[error("the certificate of the issuing key {0} cannot be read")]
    Issuer(Position),
    /// A key did not sign, or nothing could be compressed.
    #[error("a list cannot be signed: {0}")]
    Sign(String),
    /// What was built does not say what the ledger says.
    #[error("a list that was built contradicts the ledger: {0}")]
    Contradiction(compare::Difference),
    /// The process ends.
    #[error("the work was stopped")]
    Stopped,
}
