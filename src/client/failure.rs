//! Why a call failed, and what is known of its outcome.

use std::collections::HashMap;
use std::error::Error;
use std::time::Duration;

use tonic::{Code, ConnectError, Status, TimeoutExpired};
use tonic_types::StatusExt;

/// What is known of a call that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The call never reached the broker: nothing was changed.
    NotSent,
    /// The broker refused it: nothing was changed.
    Refused,
    /// The call was sent and not answered, or the broker does not know itself. Repeat it: what
    /// changes something is idempotent, and what issues leaves a harmless record.
    Unknown,
}

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The gRPC status code.
    pub code: Code,
    /// The stable reason, such as `OWNER_NOT_ACTIVE`; absent if the failure is not the broker's.
    pub reason: Option<String>,
    /// What happened and what to do, for people.
    pub message: String,
    /// What the broker adds for machines, such as `field`.
    pub metadata: HashMap<String, String>,
    /// When a retry can help.
    pub retry_after: Option<Duration>,
    /// What is known of the outcome.
    pub outcome: Outcome,
}

impl Failure {
    /// The configuration cannot be used.
    pub fn unusable(message: String) -> Self {
        Self::not_sent(Code::InvalidArgument, message)
    }

    /// Whether repeating the call cannot help: it was refused for what it asks or for who asks, or was never a call.
    pub fn is_final(&self) -> bool {
        match self.outcome {
            Outcome::Refused => self.retry_after.is_none(),
            Outcome::NotSent => self.code == Code::InvalidArgument,
            Outcome::Unknown => false,
        }
    }

    fn not_sent(code: Code, message: String) -> Self {
        Self { code, reason: None, message, metadata: HashMap::new(), retry_after: None, outcome: Outcome::NotSent }
    }
}

impl From<tonic::transport::Error> for Failure {
    /// Of connecting, or of a configuration that cannot be used.
    fn from(error: tonic::transport::Error) -> Self {
        Self::not_sent(Code::Unavailable, format!("cannot connect to the broker: {}", innermost(&error)))
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        if let Some(error) = status.source() {
            return Self::of_connection(status.code(), error);
        }
        let info = status.get_details_error_info();
        let (reason, metadata) = info.map_or_else(Default::default, |info| (Some(info.reason), info.metadata));
        Self {
            code: status.code(),
            reason,
            message: status.message().to_owned(),
            metadata,
            retry_after: status.get_details_retry_info().and_then(|retry| retry.retry_delay),
            outcome: outcome(status.code()),
        }
    }
}

impl Failure {
    /// The connection failed: the broker gave no answer.
    fn of_connection(code: Code, error: &(dyn Error + 'static)) -> Self {
        let innermost = innermost(error);
        if chain(error).any(|error| error.is::<ConnectError>()) {
            return Self::not_sent(code, format!("cannot connect to the broker: {innermost}"));
        }
        if chain(error).any(|error| error.is::<TimeoutExpired>()) {
            let message = "the broker did not answer within the deadline; the outcome is unknown, repeat the call".to_owned();
            return Self { outcome: Outcome::Unknown, ..Self::not_sent(Code::DeadlineExceeded, message) };
        }
        // HTTP/2 keeps no more of an error of the connection than its text. The broker sends
        // alerts in the handshake only, before it looks at any call.
        if innermost.contains("received fatal alert") {
            let message = format!("the broker does not accept the client certificate: {innermost}");
            return Self { outcome: Outcome::Refused, ..Self::not_sent(Code::Unauthenticated, message) };
        }
        let message = format!("the connection was lost after sending; the outcome is unknown, repeat the call: {innermost}");
        Self { outcome: Outcome::Unknown, ..Self::not_sent(code, message) }
    }
}

/// What an answer of the broker with this code says of the outcome.
const fn outcome(code: Code) -> Outcome {
    match code {
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::Unimplemented
        | Code::Unauthenticated => Outcome::Refused,
        // The broker never answers `OutOfRange`; tonic does, for an answer that is too long.
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::OutOfRange
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => Outcome::Unknown,
    }
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
}

/// The text of the error at the end of the chain, which names the cause.
fn innermost(error: &(dyn Error + 'static)) -> String {
    chain(error).last().map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    fn answered(code: Code, reason: &str) -> Failure {
        let mut details = ErrorDetails::with_error_info(reason, "curfew", [("field".to_owned(), "owner".to_owned())]);
        details.set_retry_info(Some(Duration::from_millis(100)));
        Status::with_error_details(code, "what happened; what to do", details).into()
    }

    #[test]
    fn what_the_broker_says_is_kept() {
        let failure = answered(Code::FailedPrecondition, "OWNER_NOT_ACTIVE");
        assert_eq!(failure.to_string(), "what happened; what to do");
        assert_eq!((failure.reason.as_deref(), failure.outcome), (Some("OWNER_NOT_ACTIVE"), Outcome::Refused));
        assert_eq!(failure.retry_after, Some(Duration::from_millis(100)));
        assert_eq!(failure.metadata.get("field").map(String::as_str), Some("owner"));
    }

    #[test]
    fn what_may_have_been_stored_is_not_called_refused() {
        assert_eq!(answered(Code::Unavailable, "LEDGER_UNAVAILABLE").outcome, Outcome::Unknown);
        assert_eq!(answered(Code::Internal, "INTERNAL").outcome, Outcome::Unknown);
        assert_eq!(Failure::from(Status::out_of_range("the answer is too long")).outcome, Outcome::Unknown);
        assert_eq!(answered(Code::ResourceExhausted, "THROTTLED").outcome, Outcome::Refused);
    }

    #[test]
    fn a_connection_that_never_was_carried_nothing() {
        let status = Status::from_error(Box::new(ConnectError("connection refused".into())));
        assert_eq!(Failure::from(status).outcome, Outcome::NotSent);
    }

    #[test]
    fn a_refused_certificate_is_told_apart_from_a_lost_connection() {
        let lost = |text: &str| Failure::from(Status::from_error(std::io::Error::other(text.to_owned()).into()));
        let refused = lost("received fatal alert: UnknownCA");
        assert_eq!((refused.code, refused.outcome), (Code::Unauthenticated, Outcome::Refused));
        assert!(refused.message.starts_with("the broker does not accept the client certificate"), "{refused}");
        let reset = lost("connection reset by peer");
        assert_eq!((reset.outcome, reset.reason.as_deref()), (Outcome::Unknown, None));
        assert!(reset.message.ends_with("connection reset by peer"), "{reset}");
    }
}
