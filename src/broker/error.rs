//! Why a call changed nothing, by what the caller can do about it.

use std::time::Duration;

use crate::ambient::NoEntropy;
use crate::ledger::LedgerError;
use crate::mint::MintError;
use crate::model::{Denial, Invalid, Refusal};

/// Why a call failed. `Unavailable` may have been stored; everything else changed nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Understood and not allowed.
    #[error(transparent)]
    Denied(#[from] Denial),
    /// Not understood.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// What it names does not exist.
    #[error("no {kind} `{name}`; names are matched exactly")]
    NotFound {
        /// What sort of thing.
        kind: &'static str,
        /// The name as it was given.
        name: String,
    },
    /// What it was decided on kept changing.
    #[error("what the request was decided on kept changing; repeat it")]
    Conflict,
    /// Too much is under way.
    #[error("too much waits to be recorded; repeat the request in a moment")]
    Throttled {
        /// When to try again.
        retry_after: Duration,
    },
    /// The ledger cannot commit. Repeating is safe: see the service's documentation.
    #[error("the ledger cannot commit: {0}")]
    Unavailable(String),
    /// A fault of the broker.
    #[error("a fault of the broker")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// How long a caller that was turned away should wait.
const RETRY_AFTER: Duration = Duration::from_millis(100);

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Denied(denial) => Self::Denied(denial),
            Refusal::Invalid(invalid) => Self::Invalid(invalid),
            Refusal::NotFound { kind, name } => Self::NotFound { kind, name },
        }
    }
}

impl From<LedgerError> for Error {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Stale => Self::Conflict,
            LedgerError::Refused(refusal) => refusal.into(),
            LedgerError::Overloaded => Self::Throttled { retry_after: RETRY_AFTER },
            LedgerError::Unavailable(why) => Self::Unavailable(why),
        }
    }
}

impl From<MintError> for Error {
    fn from(error: MintError) -> Self {
        Self::Internal(error.into())
    }
}

impl From<NoEntropy> for Error {
    fn from(error: NoEntropy) -> Self {
        Self::Internal(error.into())
    }
}
