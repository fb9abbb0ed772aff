//! Why a call changed nothing, by what the caller can do about it.

use std::time::Duration;

use crate::ambient::NoEntropy;
use crate::keys::{KeyError, SignError};
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
    /// More than may be asked for.
    #[error("{limit}")]
    Limited {
        /// Which limit.
        limit: Limit,
        /// When to try again.
        retry_after: Duration,
    },
    /// The ledger cannot commit. Repeating is safe: see the service's documentation.
    #[error("the ledger cannot commit: {0}")]
    Unavailable(String),
    /// What holds the signing key does not sign.
    #[error("what holds the signing key does not sign; nothing was issued; repeat the request")]
    Unsigned,
    /// A fault of the broker.
    #[error("a fault of the broker")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// The stable reason, if the caller was refused: for what it is, or for how much it asks. A
    /// mistake in a request is no refusal, nor is that the broker is busy.
    pub(crate) const fn refusal(&self) -> Option<&'static str> {
        match self {
            Self::Denied(denial) => Some(denial.code.as_str()),
            Self::Limited { limit: Limit::Queue, .. } => None,
            Self::Limited { limit, .. } => Some(limit.as_str()),
            Self::Invalid(_) | Self::NotFound { .. } | Self::Conflict | Self::Unavailable(_) | Self::Unsigned | Self::Internal(_) => None,
        }
    }
}

/// The limits, each with the stable reason that stands in `google.rpc.ErrorInfo`.
macro_rules! limits {
    ($($(#[$meta:meta])+ $variant:ident = $reason:literal,)+) => {
        /// What was asked for too much.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
        pub(crate) enum Limit {
            $($(#[$meta])+ $variant,)+
        }

        impl Limit {
            /// All of them.
            #[cfg(test)]
            pub(crate) const ALL: &[Self] = &[$(Self::$variant),+];

            /// The stable reason.
            pub(crate) const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $reason),+ }
            }
        }
    };
}

limits! {
    /// Too much is under way.
    #[error("too much waits to be recorded; repeat the request in a moment")]
    Queue = "THROTTLED",
    /// A workload asks too often.
    #[error("this workload asks too often; wait, or raise limits.workload_rate")]
    WorkloadRate = "RATE_LIMITED",
    /// A workload has the past looked through too often.
    #[error("this workload has the ledger searched too often; wait")]
    Searches = "RATE_LIMITED",
    /// The workloads of an owner ask too often.
    #[error("the workloads of this owner ask too often; wait, or raise limits.owner_rate")]
    OwnerRate = "RATE_LIMITED",
    /// An administrator makes a call too often.
    #[error("this administrator makes this call too often; wait, or raise limits.administrator_rate")]
    AdministratorRate = "RATE_LIMITED",
    /// A source asks too often.
    #[error("this source asks too often; wait, or raise limits.source_rate")]
    SourceRate = "RATE_LIMITED",
    /// As many processes follow the list as are told apart.
    #[error(
        "more processes follow the list than are told apart; a follower names itself once for its whole life, and not anew at each connection"
    )]
    Followers = "TOO_MANY_FOLLOWERS",
    /// A workload has as many living credentials as it may have.
    #[error("this workload has as many living credentials as it may have; let some expire or revoke them, or raise limits.workload_live")]
    WorkloadLive = "QUOTA_EXCEEDED",
    /// An identity follows the list through as many streams as it may.
    #[error("this identity follows the list through as many streams as it may; end some, or raise limits.identity_watches")]
    IdentityWatches = "TOO_MANY_WATCHES",
    /// As many streams of the list are open as there may be.
    #[error("as many streams of the list are open as there may be; fetch it over HTTPS meanwhile, or raise limits.watches")]
    Watches = "TOO_MANY_WATCHES",
    /// A follower took nothing for so long that everything is rejected behind it.
    #[error("this follower took nothing for longer than a list lasts; begin again from the position that is applied")]
    SlowFollower = "FOLLOWER_TOO_SLOW",
}

impl Limit {
    /// Reached, until `retry_after` has passed.
    pub(crate) const fn after(self, retry_after: Duration) -> Error {
        Error::Limited { limit: self, retry_after }
    }
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
            LedgerError::Overloaded => Limit::Queue.after(RETRY_AFTER),
            LedgerError::Unavailable(why) => Self::Unavailable(why),
        }
    }
}

impl From<KeyError> for Error {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Missing { .. } | KeyError::Kept { .. } => Self::Unavailable(error.to_string()),
            KeyError::Elsewhere { .. } => Self::Invalid(Invalid::new("purpose", error)),
            KeyError::Generate(_) | KeyError::Unusable { .. } | KeyError::NotActivated { .. } | KeyError::Retired { .. } => {
                Self::Internal(error.into())
            }
        }
    }
}

impl From<MintError> for Error {
    fn from(error: MintError) -> Self {
        match error {
            MintError::Sign(SignError) => Self::Unsigned,
            error @ (MintError::Kind | MintError::Key { .. } | MintError::PublicKey | MintError::Encoding(_)) => {
                Self::Internal(error.into())
            }
        }
    }
}

impl From<NoEntropy> for Error {
    fn from(error: NoEntropy) -> Self {
        Self::Internal(error.into())
    }
}
