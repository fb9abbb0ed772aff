//! Why a call failed, and what is known of its outcome.

use std::collections::HashMap;
use std::error::Error;
use std::time::Duration;

use tonic::{Code, ConnectError, Status};
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
    pub(super) fn unusable(message: String) -> Self {
        Self::not_sent(Code::InvalidArgument, message)
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
        // HTTP/2 keeps no more of an error of the connection than its text. The broker sends
        // alerts in the handshake only, before it looks at any call.
        if innermost.contains("received fatal alert") {
            return Self::not_sent(Code::Unauthenticated, format!("the broker does not accept the client certificate: {innermost}"));
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
