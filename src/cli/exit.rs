//! What the exit code says: part of the interface, for scripts.

use std::io;

use crate::client::{Failure, Outcome};

/// Done; for a revocation, to the stage that was waited for.
pub(super) const DONE: u8 = 0;
/// Usage, or an error on this side: nothing was sent.
pub(super) const LOCAL: u8 = 1;
/// Refused by the broker; nothing was changed.
pub(super) const REFUSED: u8 = 2;
/// Revoked, and the stage that was waited for has not come within the time given.
pub(super) const NOT_YET: u8 = 3;
/// Revoked, and something is known to have failed: a verifier has another history.
pub(super) const FAILED: u8 = 4;
/// The credential, or the file, that was to be verified is not valid.
pub(super) const NOT_VALID: u8 = 5;
/// The outcome is unknown: repeat it, it is idempotent.
pub(super) const UNKNOWN: u8 = 6;

/// Revoked, and not yet at the stage that was waited for.
#[derive(Debug, thiserror::Error)]
#[error("revoked at position {position}, and not seen {wanted}: {problem}")]
pub(super) struct NotYet {
    pub(super) position: u64,
    pub(super) wanted: &'static str,
    pub(super) problem: String,
}

/// Revoked, and something is known to have failed.
#[derive(Debug, thiserror::Error)]
#[error("revoked at position {position}, and not enforced everywhere: {problem}")]
pub(super) struct Failed {
    pub(super) position: u64,
    pub(super) problem: String,
}

/// What was to be verified is not valid.
#[derive(Debug, thiserror::Error)]
#[error("not valid: {0}")]
pub(super) struct NotValid(pub(super) String);

/// The broker looked at it, and it cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Refused(pub(super) String);

/// The exit code for an error; 0 for a reader that has seen enough and closed the pipe.
pub(super) fn code(error: &anyhow::Error) -> u8 {
    if let Some(failure) = error.downcast_ref::<Failure>() {
        match failure.outcome {
            Outcome::NotSent => LOCAL,
            Outcome::Refused => REFUSED,
            Outcome::Unknown => UNKNOWN,
        }
    } else if error.is::<Refused>() {
        REFUSED
    } else if error.is::<NotYet>() {
        NOT_YET
    } else if error.is::<Failed>() {
        FAILED
    } else if error.is::<NotValid>() {
        NOT_VALID
    } else if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
        DONE
    } else {
        LOCAL
    }
}

/// What happened, for people, with the stable reason in front if the broker gave one.
pub(super) fn explain(error: &anyhow::Error) -> String {
    match error.downcast_ref::<Failure>().and_then(|failure| failure.reason.as_deref()) {
        Some(reason) => format!("{reason}: {error:#}"),
        None => format!("{error:#}"),
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;
    use tonic::{Code, Status};

    use super::*;

    fn of(error: impl Into<anyhow::Error>) -> u8 {
        code(&error.into())
    }

    #[test]
    fn each_outcome_has_its_own_code() {
        assert_eq!(of(Failure::from(Status::new(Code::PermissionDenied, "no"))), 2);
        assert_eq!(of(Failure::from(Status::new(Code::NotFound, "no owner `x`"))), 2);
        assert_eq!(of(Failure::from(Status::new(Code::Unavailable, "the ledger cannot commit"))), 6);
        assert_eq!(of(Refused("two problems".to_owned())), 2);
        assert_eq!(of(NotYet { position: 7, wanted: "enforced", problem: "60s have passed".to_owned() }), 3);
        assert_eq!(of(Failed { position: 7, problem: "another history".to_owned() }), 4);
        assert_eq!(of(NotValid("expired".to_owned())), 5);
        assert_eq!(of(anyhow::anyhow!("no such file")), 1);
        assert_eq!(of(io::Error::from(io::ErrorKind::BrokenPipe)), 0);
        assert_eq!(of(io::Error::from(io::ErrorKind::StorageFull)), 1);
    }

    #[test]
    fn a_context_does_not_change_the_code() {
        let error = Err::<(), _>(NotValid("expired".to_owned())).context("token.jwt").expect_err("an error");
        assert_eq!(code(&error), 5);
    }
}
