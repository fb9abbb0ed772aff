//! Why a ledger is not opened, and what to do.

use std::path::PathBuf;

use rusqlite::ErrorCode;

use crate::model::{Position, TrustDomain};

/// Why a ledger was not opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// Another process has it open.
    #[error("the ledger {} is in use by another process: one file serves one broker; stop the other one first", .0.display())]
    InUse(PathBuf),
    /// It is of another trust domain.
    #[error("the ledger belongs to the trust domain `{found}`, not `{wanted}`: correct the configuration, or name another file")]
    TrustDomain {
        /// That of the ledger.
        found: TrustDomain,
        /// That of the options.
        wanted: TrustDomain,
    },
    /// An older copy was put in its place.
    #[error(
        "the ledger ends at entry {found}, and it had come to entry {reached}: an older copy stands in its place, and what was revoked \
         since would live again. Put the newest copy there is in its place; if there is none, run `curfew ledger recover`"
    )]
    WentBack {
        /// Where it ends.
        found: Position,
        /// Where the high-water mark stands.
        reached: Position,
    },
    /// Another ledger was put in its place.
    #[error(
        "the ledger is not the one that had come to entry {reached}: {what}. Put that one in its place; if it is lost, or if \
         `curfew ledger recover` was interrupted, run `curfew ledger recover`"
    )]
    AnotherHistory {
        /// Where the high-water mark stands.
        reached: Position,
        /// What differs.
        what: &'static str,
    },
    /// It contradicts itself.
    #[error("the ledger is damaged: {0}; look with `curfew ledger verify`, and restore a backup")]
    Damaged(String),
    /// What is there is no ledger, or none any more.
    #[error("the ledger's file is damaged, or is no ledger: {0}; restore a backup")]
    NotALedger(String),
    /// The file cannot be used.
    #[error("the ledger cannot be opened: {0}")]
    Store(String),
}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> Self {
        Self::of(&error)
    }
}

impl OpenError {
    /// What SQLite said, wherever in the chain of an error it stands.
    pub(super) fn in_chain(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut causes = std::iter::successors(Some(error), |error| error.source());
        match causes.find_map(|cause| cause.downcast_ref::<rusqlite::Error>()) {
            Some(cause) => Self::of(cause),
            None => Self::Store(error.to_string()),
        }
    }

    fn of(error: &rusqlite::Error) -> Self {
        let corrupt = matches!(error.sqlite_error_code(), Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt));
        // The tables are strict: no program that kept to them wrote a value of another type.
        let foreign = matches!(error, rusqlite::Error::InvalidColumnType(..) | rusqlite::Error::FromSqlConversionFailure(..));
        if corrupt || foreign { Self::NotALedger(error.to_string()) } else { Self::Store(error.to_string()) }
    }
}
