//! Why a request was refused: a stable code for machines, and what to do for people.

use super::Bound;
use super::vocabulary::WordError;

macro_rules! denials {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $remedy:literal;)+) => {
        /// The stable reason of a refusal, as it stands in `google.rpc.ErrorInfo`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum DenialCode { $($(#[$doc])* $variant),+ }

        impl DenialCode {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The code as it is sent.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code),+ }
            }

            /// What the caller can do.
            pub const fn remedy(self) -> &'static str {
                match self { $(Self::$variant => $remedy),+ }
            }
        }
    };
}

denials! {
    /// The identity is in no record.
    IdentityUnknown = "IDENTITY_UNKNOWN", "record the workload in the registry, or use a registered identity";
    /// The caller's certificate was issued by this broker and is dead.
    CertificateRevoked = "CERTIFICATE_REVOKED", "start again with an identity from outside; what was issued before the revocation stays dead";
    /// The caller's certificate has expired on an open connection.
    CertificateExpired = "CERTIFICATE_EXPIRED", "connect again with a current certificate";
    /// No trusted authority vouches for the caller's certificate any more, on an open connection.
    CertificateUntrusted = "CERTIFICATE_UNTRUSTED", "connect again with a certificate of an authority that is trusted for its domain";
    /// The owner is closed to issuing.
    OwnerNotActive = "OWNER_NOT_ACTIVE", "an administrator can reinstate the owner; old credentials stay dead";
    /// The workload is closed to issuing.
    WorkloadNotActive = "WORKLOAD_NOT_ACTIVE", "an administrator can reinstate the workload; old credentials stay dead";
    /// The workload was moved to an owner that has not accepted it.
    WorkloadAwaitsOwner = "WORKLOAD_AWAITS_OWNER", "somebody whom policy lets speak for the new owner runs `curfew workload accept`; old credentials stay dead";
    /// The environment is closed to issuing.
    EnvironmentNotActive = "ENVIRONMENT_NOT_ACTIVE", "an administrator can reinstate the environment; old credentials stay dead";
    /// A downstream that accepts the audience is closed to issuing.
    DownstreamNotActive = "DOWNSTREAM_NOT_ACTIVE", "an administrator can reinstate the downstream; old tokens stay dead";
    /// No such environment.
    EnvironmentUnknown = "ENVIRONMENT_UNKNOWN", "name an environment of the registry";
    /// The registry does not let this workload act there.
    EnvironmentNotAllowed = "ENVIRONMENT_NOT_ALLOWED", "add the environment to the workload in the registry";
    /// The request asks for another environment or task than the certificate it was made with.
    OutsideLineage = "OUTSIDE_LINEAGE", "ask for the environment and task of the certificate in use, or use an identity from outside";
    /// No downstream of the environment declares the audience.
    AudienceUnknown = "AUDIENCE_UNKNOWN", "declare the audience at a downstream of this environment in the registry";
    /// So many downstreams declare the audience that a token could not carry the number of each.
    AudienceTooWide = "AUDIENCE_TOO_WIDE", "let at most 15 downstreams of an environment declare one audience, or give them one each";
    /// No such task.
    TaskUnknown = "TASK_UNKNOWN", "open a task first, and use its number";
    /// The task has ended.
    TaskClosed = "TASK_CLOSED", "open a new task; a closed one is closed for good";
    /// The task belongs to another owner, workload or environment.
    TaskNotAllowed = "TASK_NOT_ALLOWED", "use a task of the same owner and environment that is open to this workload";
    /// The owner has as many open tasks as one may have.
    TooManyTasks = "TOO_MANY_TASKS", "close tasks that are done, or raise limits.owner_tasks";
    /// As many exceptions of the workload are known as may be.
    TooManyExceptions = "TOO_MANY_EXCEPTIONS", "wait until one has been over for an hour, or raise limits.workload_exceptions";
    /// Whoever asked for an exception would approve it.
    OwnException = "OWN_EXCEPTION", "let somebody else approve it";
    /// The exception has ended.
    ExceptionOver = "EXCEPTION_OVER", "ask for a new one";
    /// Less than a second would be left.
    NoLifeLeft = "NO_LIFE_LEFT", "extend what bounds the life, or renew the client certificate";
    /// No policy allows it.
    PolicyDenied = "POLICY_DENIED", "see with `curfew whoami` what policy allows, and change the policy or the request";
    /// A policy could not be evaluated, which counts as a refusal.
    PolicyError = "POLICY_ERROR", "an operator finds the failing policy in the broker's log and corrects it";
    /// A bearer token was asked for and not every policy that allows the token allows that.
    BearerNotAllowed = "BEARER_NOT_ALLOWED", "ask for a bound token, or add @bearer(\"allowed\") to the policies that allow it";
    /// More would end than the caller allowed.
    MaxAffectedExceeded = "MAX_AFFECTED_EXCEEDED", "look at the preview, and repeat with a higher limit";
    /// What a follower says that it applied is not of this history.
    HistoryDiffers = "HISTORY_DIFFERS", "an operator finds out which history is the right one: run `curfew ledger verify` with a checkpoint from before, and see that the follower follows this broker alone";
    /// Nothing is known of the position that a follower confirms.
    PositionUnknown = "POSITION_UNKNOWN", "apply the list as it is now, and confirm the position of that";
    /// More records would end than the caller allowed.
    EndNotAllowed = "END_NOT_ALLOWED", "look at the difference, and repeat with --allow-end";
}

/// A refusal: why, what about, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}; {}", code.remedy())]
pub struct Denial {
    /// The stable reason.
    pub code: DenialCode,
    /// What was wrong with this request, in words. Never holds a secret.
    pub detail: String,
}

impl Denial {
    /// A refusal for `code`.
    pub fn new(code: DenialCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }

    /// No life is left within `bound`.
    pub fn no_life_left(bound: Bound) -> Self {
        Self::new(DenialCode::NoLifeLeft, format!("no life is left: bounded by {bound}"))
    }
}

/// Why a request could not be understood. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct Invalid {
    /// The field or argument.
    pub field: &'static str,
    /// What is wrong with it, and what to write.
    pub problem: String,
}

impl Invalid {
    /// `field` cannot be used because of `problem`.
    pub fn new(field: &'static str, problem: impl std::fmt::Display) -> Self {
        Self { field, problem: problem.to_string() }
    }
}

impl From<WordError> for Invalid {
    fn from(error: WordError) -> Self {
        Self::new("word", error)
    }
}

/// Why a request changed nothing, by what the caller can do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is understood and not allowed.
    #[error(transparent)]
    Denied(#[from] Denial),
    /// It cannot be understood.
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
}

impl Refusal {
    /// There is no `kind` of this name.
    pub fn not_found(kind: &'static str, name: impl std::fmt::Display) -> Self {
        Self::NotFound { kind, name: name.to_string() }
    }
}
