//! The only mapping from errors to `Status`: a code by the caller's remedy, a stable reason in
//! `google.rpc.ErrorInfo`, and `RetryInfo` where a retry can help.

use std::collections::HashMap;
use std::error::Error as _;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::broker::{Error, Limit};
use crate::model::{DenialCode, Invalid};

/// `ErrorInfo.domain` of every error.
const DOMAIN: &str = "curfew";

/// The longest text sent, in bytes: headers are bounded, and the text travels in them twice.
const LONGEST_TEXT: usize = 2000;

/// When to try again what was decided on something that has changed.
const AFTER_CONFLICT: Duration = Duration::from_millis(10);
/// When to try again what could not be recorded.
const AFTER_OUTAGE: Duration = Duration::from_secs(1);

/// The stable reasons beside those of refusals and limits, each with its code.
macro_rules! reasons {
    ($($(#[$doc:meta])+ $variant:ident = $text:literal, $code:ident;)+) => {
        /// Why a call failed: nothing is sent with a reason that is not here. `docs/reasons.md` says what to do about each.
        #[derive(Clone, Copy, Debug)]
        pub(super) enum Reason {
            /// Understood and not allowed.
            Denied(DenialCode),
            /// More than may be asked for.
            Limited(Limit),
            $($(#[$doc])+ $variant,)+
        }

        impl Reason {
            /// All of them.
            #[cfg(test)]
            fn all() -> impl Iterator<Item = Self> {
                let denied = DenialCode::ALL.iter().copied().map(Self::Denied);
                let limited = Limit::ALL.iter().copied().map(Self::Limited);
                denied.chain(limited).chain([$(Self::$variant),+])
            }

            /// As it stands in `google.rpc.ErrorInfo`.
            pub(super) const fn as_str(self) -> &'static str {
                match self {
                    Self::Denied(code) => code.as_str(),
                    Self::Limited(limit) => limit.as_str(),
                    $(Self::$variant => $text,)+
                }
            }

            const fn code(self) -> Code {
                match self {
                    Self::Denied(code) => of_denial(code),
                    Self::Limited(_) => Code::ResourceExhausted,
                    $(Self::$variant => Code::$code,)+
                }
            }
        }
    };
}

reasons! {
    /// Not understood.
    Invalid = "INVALID_ARGUMENT", InvalidArgument;
    /// What is named does not exist.
    NotFound = "NOT_FOUND", NotFound;
    /// What it was decided on kept changing.
    Conflict = "CONFLICT", Aborted;
    /// The ledger cannot commit.
    Unavailable = "LEDGER_UNAVAILABLE", Unavailable;
    /// What holds the signing key does not sign.
    Unsigned = "SIGNER_UNAVAILABLE", Unavailable;
    /// A fault of the broker.
    Internal = "INTERNAL", Internal;
    /// It took longer than a call may.
    OutOfTime = "DEADLINE_EXCEEDED", DeadlineExceeded;
    /// Refused before it is a call: its request is longer than one may be.
    TooLong = "MESSAGE_TOO_LARGE", ResourceExhausted;
    /// Refused before it is a call: there is no room for its request.
    TooMuch = "TOO_MUCH_IN_FLIGHT", ResourceExhausted;
}

/// What is sent for an error. A fault of the broker is logged under `fault`, and only that is sent.
pub(super) fn status(error: &Error, fault: &str) -> Status {
    let text = error.to_string();
    match error {
        Error::Denied(denial) if denial.code == DenialCode::TooManyTasks => again(Reason::Denied(denial.code), &text, AFTER_OUTAGE),
        Error::Denied(denial) => answer(Reason::Denied(denial.code), &text, []),
        Error::Invalid(Invalid { field, problem: _ }) => answer(Reason::Invalid, &text, [("field", *field)]),
        Error::NotFound { kind, name } => answer(Reason::NotFound, &text, [("kind", *kind), ("name", name)]),
        Error::Conflict => again(Reason::Conflict, &text, AFTER_CONFLICT),
        Error::Limited { limit, retry_after } => again(Reason::Limited(*limit), &text, *retry_after),
        Error::Unavailable(_) => again(Reason::Unavailable, &text, AFTER_OUTAGE),
        Error::Unsigned => again(Reason::Unsigned, &text, AFTER_OUTAGE),
        Error::Internal(_) => {
            tracing::error!(fault, error = causes(error), "a fault of the broker");
            let text = format!("a fault of the broker; its log says more under {fault}");
            answer(Reason::Internal, &text, [("fault", fault)])
        }
    }
}

/// What is behind an error, down to the first cause.
fn causes(error: &Error) -> String {
    let mut causes = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        causes.push(cause.to_string());
        next = cause.source();
    }
    causes.join(": ")
}

/// What a call is told that took longer than it may. What it asked for may have been done.
pub(super) fn out_of_time() -> Status {
    let text = "the call took longer than it may, and what it asked for may have been done; repeat it, or raise limits.call";
    again(Reason::OutOfTime, text, AFTER_OUTAGE)
}

/// What a call is told whose request is longer than it may be.
pub(super) fn too_long() -> Status {
    answer(Reason::TooLong, "the request is longer than it may be; split it, or raise limits.message", [])
}

/// What a call is told for whose request there is no room now.
pub(super) fn too_much() -> Status {
    let text = "too many bytes of requests are in flight, of this identity or of all; wait for answers, or raise limits.identity_in_flight \
                and limits.in_flight";
    again(Reason::TooMuch, text, AFTER_OUTAGE)
}

/// The code of a refusal: who the caller is, what it may do, what does not exist, or what state
/// something is in.
const fn of_denial(code: DenialCode) -> Code {
    match code {
        DenialCode::CertificateRevoked | DenialCode::CertificateExpired | DenialCode::CertificateUntrusted => Code::Unauthenticated,
        DenialCode::IdentityUnknown
        | DenialCode::EnvironmentNotAllowed
        | DenialCode::OutsideLineage
        | DenialCode::TaskNotAllowed
        | DenialCode::PolicyDenied
        | DenialCode::PolicyError
        | DenialCode::OwnException
        | DenialCode::BearerNotAllowed => Code::PermissionDenied,
        DenialCode::EnvironmentUnknown | DenialCode::AudienceUnknown | DenialCode::TaskUnknown => Code::NotFound,
        DenialCode::OwnerNotActive
        | DenialCode::WorkloadNotActive
        | DenialCode::WorkloadAwaitsOwner
        | DenialCode::EnvironmentNotActive
        | DenialCode::DownstreamNotActive
        | DenialCode::TaskClosed
        | DenialCode::NoLifeLeft
        | DenialCode::MaxAffectedExceeded
        | DenialCode::AudienceTooWide
        | DenialCode::ExceptionOver
        | DenialCode::EndNotAllowed
        | DenialCode::HistoryDiffers
        | DenialCode::PositionUnknown => Code::FailedPrecondition,
        DenialCode::TooManyTasks | DenialCode::TooManyExceptions => Code::ResourceExhausted,
    }
}

fn answer<const N: usize>(reason: Reason, text: &str, metadata: [(&str, &str); N]) -> Status {
    Status::with_error_details(reason.code(), shortened(text), details(reason, metadata))
}

fn again(reason: Reason, text: &str, after: Duration) -> Status {
    let mut details = details(reason, []);
    details.set_retry_info(Some(after));
    Status::with_error_details(reason.code(), shortened(text), details)
}

fn details<const N: usize>(reason: Reason, metadata: [(&str, &str); N]) -> ErrorDetails {
    let metadata: HashMap<_, _> = metadata.into_iter().map(|(name, value)| (name.to_owned(), shortened(value))).collect();
    ErrorDetails::with_error_info(reason.as_str(), DOMAIN, metadata)
}

fn shortened(text: &str) -> String {
    let end = text.floor_char_boundary(LONGEST_TEXT);
    match text.get(..end) {
        Some(beginning) if end < text.len() => format!("{beginning} …"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grpc::calls::code_name;
    use crate::ledger::LedgerError;
    use crate::model::Denial;
    use crate::verify::Rejected;

    #[test]
    fn each_error_has_its_code_and_a_stable_reason() {
        let denied = |code| Error::Denied(Denial::new(code, "so it is"));
        for (error, code, reason, retry) in [
            (denied(DenialCode::CertificateRevoked), Code::Unauthenticated, "CERTIFICATE_REVOKED", None),
            (denied(DenialCode::PolicyDenied), Code::PermissionDenied, "POLICY_DENIED", None),
            (denied(DenialCode::OwnerNotActive), Code::FailedPrecondition, "OWNER_NOT_ACTIVE", None),
            (denied(DenialCode::AudienceUnknown), Code::NotFound, "AUDIENCE_UNKNOWN", None),
            (Error::Invalid(Invalid::new("owner", "it is empty")), Code::InvalidArgument, "INVALID_ARGUMENT", None),
            (Error::NotFound { kind: "owner", name: "x".to_owned() }, Code::NotFound, "NOT_FOUND", None),
            (Error::Conflict, Code::Aborted, "CONFLICT", Some(AFTER_CONFLICT)),
            (Error::from(LedgerError::Overloaded), Code::ResourceExhausted, "THROTTLED", Some(Duration::from_millis(100))),
            (Error::Unavailable("the disk is full".to_owned()), Code::Unavailable, "LEDGER_UNAVAILABLE", Some(AFTER_OUTAGE)),
            (Error::Unsigned, Code::Unavailable, "SIGNER_UNAVAILABLE", Some(AFTER_OUTAGE)),
            (Error::Internal("secret detail".into()), Code::Internal, "INTERNAL", None),
        ] {
            let status = status(&error, "f17");
            let info = status.get_details_error_info().expect("every error has it");
            assert_eq!((status.code(), info.reason.as_str(), info.domain.as_str()), (code, reason, "curfew"));
            assert_eq!(status.get_details_retry_info().and_then(|info| info.retry_delay), retry, "{reason}");
        }
        let early =
            [out_of_time(), too_long(), too_much()].map(|status| status.get_details_error_info().expect("every error has it").reason);
        assert_eq!(early, ["DEADLINE_EXCEEDED", "MESSAGE_TOO_LARGE", "TOO_MUCH_IN_FLIGHT"]);
    }

    #[test]
    fn every_reason_stands_in_the_documentation_with_its_remedy() {
        const PAGE: &str = include_str!("../../docs/reasons.md");
        let (broker, verifier) = PAGE.split_once("## From the verifier").expect("two tables");
        // Code, then gRPC code, meaning and remedy in the first; meaning and remedy in the second.
        let rows = |text: &'static str| -> Vec<Vec<&str>> {
            let rows = text.lines().filter(|line| line.starts_with("| `"));
            rows.map(|row| row.trim_matches('|').split(" | ").map(|cell| cell.trim().trim_matches('`')).collect()).collect()
        };
        let mut expected: Vec<(&str, &str)> = Reason::all().map(|reason| (reason.as_str(), code_name(reason.code()))).collect();
        expected.sort();
        expected.dedup();
        let mut found: Vec<(&str, &str)> = rows(broker).iter().map(|row| (row[0], row[1])).collect();
        found.sort();
        assert_eq!(found, expected);
        for code in DenialCode::ALL {
            let row = rows(broker).into_iter().find(|row| row[0] == code.as_str()).expect("seen above");
            assert_eq!(row[3], code.remedy(), "{}", code.as_str());
        }
        assert_eq!(rows(verifier).iter().map(|row| row[0]).collect::<Vec<_>>(), Rejected::CODES);
        let told = |row: &Vec<&str>| row.iter().all(|cell| !cell.is_empty());
        assert!(rows(broker).iter().all(|row| row.len() == 4 && told(row)) && rows(verifier).iter().all(|row| row.len() == 3 && told(row)));
    }

    #[test]
    fn what_is_inside_a_fault_stays_inside() {
        let status = status(&Error::Internal("secret detail".into()), "f17");
        assert_eq!(status.message(), "a fault of the broker; its log says more under f17");
        assert!(!format!("{status:?}").contains("secret detail"));
    }

    #[test]
    fn machines_find_the_field_and_the_name() {
        let metadata = |error: Error| status(&error, "").get_details_error_info().expect("every error has it").metadata;
        assert_eq!(metadata(Invalid::new("owner", "it is empty").into()).get("field").map(String::as_str), Some("owner"));
        let missing = metadata(Error::NotFound { kind: "owner", name: "payments".to_owned() });
        assert_eq!((missing.get("kind").map(String::as_str), missing.get("name").map(String::as_str)), (Some("owner"), Some("payments")));
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let status = status(&Invalid::new("document", "é".repeat(5000)).into(), "");
        assert!(status.message().len() <= LONGEST_TEXT + 4, "{}", status.message().len());
        assert!(status.message().ends_with("é …"));
    }
}
