//! What is done, and to what, in the words of the policies.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::model::{CredentialId, CredentialKind, Downstream, Issued, KnownTask, Owner, Position, Subjects, Task};

macro_rules! actions {
    ($($(#[$doc:meta])* $action:ident),+ $(,)?) => {
        /// What a call does. Each is an action of the schema.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(crate) enum Action { $($(#[$doc])* $action),+ }

        impl Action {
            /// All of them, in the order of the documentation.
            pub(crate) const ALL: &[Self] = &[$(Self::$action),+];

            /// The name of the action in policies and in entries.
            pub(crate) const fn as_str(self) -> &'static str {
                match self { $(Self::$action => stringify!($action)),+ }
            }
        }
    };
}

actions! {
    /// Get an access token or a JWT-SVID.
    IssueToken,
    /// Get a certificate.
    IssueCertificate,
    /// Open a task.
    OpenTask,
    /// Close a task.
    CloseTask,
    /// Look at a task, at those of an owner, or at all.
    ReadTask,
    /// Look at one credential.
    ReadCredential,
    /// Look at one owner, or at all.
    ReadOwner,
    /// Count what a revocation of an owner would end.
    PreviewRevocation,
    /// End everything of an owner.
    RevokeOwner,
    /// Open an owner to issuing again.
    ReinstateOwner,
    /// End everything of a workload.
    RevokeWorkload,
    /// Open a workload to issuing again.
    ReinstateWorkload,
    /// Give an owner a workload of another, without asking it.
    MoveWorkload,
    /// Accept a workload that was moved to an owner.
    AcceptWorkload,
    /// End everything in an environment.
    RevokeEnvironment,
    /// Open an environment to issuing again.
    ReinstateEnvironment,
    /// End everything that was issued for a downstream.
    RevokeDownstream,
    /// Open a downstream to issuing again.
    ReinstateDownstream,
    /// End everything of a task, with a reason.
    RevokeTask,
    /// End one credential, and what was obtained through it.
    RevokeCredential,
    /// Follow the signed list.
    ReadList,
    /// Look at who follows the list, and how far each revocation is enforced.
    ReadFollowers,
    /// Export or compare the registry.
    ReadRegistry,
    /// Change the registry.
    ApplyRegistry,
    /// Read entries of the ledger.
    ReadLedger,
    /// Validate a policy text.
    CheckPolicy,
    /// Change the policy text.
    ApplyPolicy,
    /// Ask whether a request of somebody would pass, and why.
    ExplainPolicy,
    /// Look at the signing keys.
    ReadKeys,
    /// Change a signing key.
    RotateKey,
    /// End everything that a signing key ever signed.
    RevokeKey,
    /// Ask for an exception of a workload.
    RequestException,
    /// Approve an exception that somebody else asked for.
    ApproveException,
    /// End an exception and everything that was issued by it.
    RevokeException,
    /// Look at the exceptions of a workload, or at all.
    ReadException,
    /// Look at where records come from.
    ReadSource,
    /// Let through what a source says and was not believed.
    ConfirmSource,
    /// Compare what is registered with what was seen, and act.
    Reconcile,
    /// Look at findings.
    ReadFinding,
    /// Say that a finding is settled.
    ResolveFinding,
    /// Have nothing done about a finding for a time.
    WaiveFinding,
}

impl Action {
    /// Whether a workload must be open to do it. Following the list needs an identity, not a
    /// standing: who is cut off from it would go on trusting what is dead.
    pub(super) const fn needs_standing(self) -> bool {
        !matches!(self, Self::ReadList)
    }
}

impl Action {
    /// Whether it ends something for a reason: no limit may stand in its way.
    pub(crate) const fn revokes(self) -> bool {
        matches!(
            self,
            Self::RevokeOwner
                | Self::RevokeWorkload
                | Self::RevokeEnvironment
                | Self::RevokeDownstream
                | Self::RevokeTask
                | Self::RevokeCredential
                | Self::RevokeKey
                | Self::RevokeException
        )
    }

    /// Whether the schema lets it be done to this.
    pub(crate) const fn concerns(self, resource: &Resource) -> bool {
        match self {
            Self::IssueToken | Self::RevokeDownstream | Self::ReinstateDownstream => matches!(resource, Resource::Downstream(_)),
            Self::IssueCertificate | Self::RevokeEnvironment | Self::ReinstateEnvironment => matches!(resource, Resource::Environment(_)),
            Self::OpenTask | Self::CloseTask | Self::RevokeTask => matches!(resource, Resource::Task { .. }),
            Self::ReadTask => matches!(resource, Resource::Task { .. } | Resource::Owner(_) | Resource::System),
            Self::ReadCredential => matches!(resource, Resource::Credential { .. } | Resource::Owner(_) | Resource::System),
            Self::RevokeCredential => matches!(resource, Resource::Credential { .. }),
            Self::ReadOwner => matches!(resource, Resource::Owner(_) | Resource::System),
            Self::PreviewRevocation | Self::RevokeOwner | Self::ReinstateOwner | Self::AcceptWorkload => {
                matches!(resource, Resource::Owner(_))
            }
            Self::MoveWorkload => matches!(resource, Resource::Owner(_) | Resource::OwnerToBe(_)),
            Self::RevokeWorkload | Self::ReinstateWorkload | Self::RequestException | Self::ApproveException | Self::RevokeException => {
                matches!(resource, Resource::Workload(_))
            }
            Self::ExplainPolicy | Self::ReadException => matches!(resource, Resource::Workload(_) | Resource::System),
            Self::ReadList
            | Self::ReadFollowers
            | Self::ReadRegistry
            | Self::ApplyRegistry
            | Self::ReadLedger
            | Self::CheckPolicy
            | Self::ApplyPolicy
            | Self::ReadKeys
            | Self::RotateKey
            | Self::RevokeKey
            | Self::ReadSource
            | Self::ConfirmSource
            | Self::Reconcile
            | Self::ReadFinding
            | Self::ResolveFinding
            | Self::WaiveFinding => matches!(resource, Resource::System),
        }
    }

    /// Whether it is issuing, which is decided and not merely asked.
    pub(crate) const fn issues(self) -> bool {
        matches!(self, Self::IssueToken | Self::IssueCertificate)
    }

    /// Whether it only looks.
    pub(crate) const fn is_read(self) -> bool {
        matches!(
            self,
            Self::ReadTask
                | Self::ReadCredential
                | Self::ReadOwner
                | Self::PreviewRevocation
                | Self::ReadFollowers
                | Self::ReadRegistry
                | Self::ReadLedger
                | Self::CheckPolicy
                | Self::ExplainPolicy
                | Self::ReadKeys
                | Self::ReadException
                | Self::ReadSource
                | Self::ReadFinding
        )
    }
}

/// Why a text is no action.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no action; docs/policy.md lists them")]
pub(crate) struct NoAction(String);

impl FromStr for Action {
    type Err = NoAction;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.iter().copied().find(|action| action.as_str() == text).ok_or_else(|| NoAction(text.to_owned()))
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What it is done to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Resource {
    /// A service that a token is for.
    Downstream(Arc<Downstream>),
    /// An environment, by number.
    Environment(Position),
    /// An owner, by number.
    Owner(Position),
    /// An owner as it is about to be recorded.
    OwnerToBe(Arc<Owner>),
    /// A workload, by number.
    Workload(Position),
    /// A task.
    Task {
        /// Its number; absent if it is about to be opened.
        number: Option<Position>,
        /// How it was or would be opened.
        record: Arc<Task>,
    },
    /// A credential.
    Credential {
        /// Its id.
        id: CredentialId,
        /// What it is.
        kind: CredentialKind,
        /// What it stands on.
        subjects: Subjects,
    },
    /// The broker as a whole.
    System,
}

impl Resource {
    /// A task that would be opened.
    pub(crate) fn new_task(record: Task) -> Self {
        Self::Task { number: None, record: Arc::new(record) }
    }

    /// The credential issued at `position`.
    pub(crate) fn credential(position: Position, issued: &Issued) -> Self {
        Self::Credential { id: CredentialId::new(position, issued.nonce), kind: issued.kind, subjects: issued.subjects }
    }
}

impl Resource {
    /// The number of the subject, if it is one that has a number in the ledger.
    pub(crate) fn number(&self) -> Option<Position> {
        match self {
            Self::Environment(number) | Self::Owner(number) | Self::Workload(number) => Some(*number),
            Self::Task { number, .. } => *number,
            Self::Credential { id, .. } => Some(id.position()),
            Self::Downstream(_) | Self::OwnerToBe(_) | Self::System => None,
        }
    }
}

impl From<&KnownTask> for Resource {
    fn from(task: &KnownTask) -> Self {
        Self::Task { number: Some(task.number), record: Arc::clone(&task.record) }
    }
}
