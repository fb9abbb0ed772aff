//! How long verifiers may go on with what they have.

use std::time::Duration;

/// How long a verifier may go on with what it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// How old a revocation list may be.
    pub max_staleness: Duration,
    /// How long a CRL is good for.
    pub crl: Duration,
    /// How long a status list is good for.
    pub status_list: Duration,
    /// What the clock of a verifier may be wrong by.
    pub skew: Duration,
}

impl Windows {
    /// What the clock of a verifier may be wrong by.
    pub const SKEW: Duration = Duration::from_secs(30);
    /// How long a CRL is good for, unless it is configured.
    pub const CRL: Duration = Duration::from_secs(600);
    /// How long a status list is good for, unless it is configured.
    pub const STATUS_LIST: Duration = Duration::from_secs(600);

    /// With everything else by default.
    pub const fn of_lists(max_staleness: Duration) -> Self {
        Self { max_staleness, crl: Self::CRL, status_list: Self::STATUS_LIST, skew: Self::SKEW }
    }

    /// How long a list that a follower holds can be in use, from its `iat` on.
    pub const fn list(&self) -> Duration {
        self.max_staleness.saturating_add(self.skew)
    }
}
