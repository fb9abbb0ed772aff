//! What an entry of the ledger says.

use super::{
    Closing, Concerns, Contract, Cut, Downstream, Environment, Exception, Finding, FindingChange, Issued, Note, Origin, Owner, Person,
    PolicyName, Position, PublicKey, Reason, Resource, SourceName, SpiffeId, Task, Timestamp, TrustDomain, Workload,
};

/// One entry: an event with its place, its time and who caused it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the one total order.
    pub position: Position,
    /// When it was committed; never earlier than the entry before it.
    pub time: Timestamp,
    /// The caller that caused it; absent for what the broker did by itself, and for an issuance,
    /// where the caller is the workload.
    pub actor: Option<SpiffeId>,
    /// What the caller called the request, for tracing only.
    pub request_id: Option<String>,
    /// What happened.
    pub event: Event,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The ledger was opened: always the first entry, and the broker's own number.
    LedgerOpened {
        /// Distinguishes this history from any other, until an epoch is begun.
        epoch: Epoch,
        /// The domain whose identities it issues.
        trust_domain: TrustDomain,
    },
    /// A signing key is known, and in use unless one from before it still is.
    KeyActivated(PublicKey),
    /// A signing key signs no more.
    KeyRetired {
        /// Its number.
        number: Position,
        /// The last instant at which something that it signed may be good; absent for no end.
        ends: Option<Timestamp>,
    },
    /// The policy text is now this.
    PolicyChanged(PolicyText),
    /// An owner is known, or known anew with `number` from before.
    OwnerRecorded(Recording<Owner>),
    /// The same of an environment.
    EnvironmentRecorded(Recording<Environment>),
    /// The same of a workload.
    WorkloadRecorded(Recording<Workload>),
    /// The same of a downstream.
    DownstreamRecorded(Recording<Downstream>),
    /// A downstream accepts nothing any more.
    DownstreamRemoved {
        /// Its number.
        number: Position,
    },
    /// A task began. Its number is the position of this entry.
    TaskOpened(Task),
    /// A credential may now be signed.
    CredentialIssued(Box<Issued>),
    /// Everything issued before under a subject is dead.
    Cut(CutMade),
    /// A closed subject is open to issuing again. Revives nothing.
    Reinstated {
        /// The subject.
        number: Position,
        /// Why.
        note: Option<Note>,
    },
    /// An owner accepted a workload that was moved to it. Revives nothing.
    WorkloadAccepted {
        /// The workload.
        number: Position,
        /// The owner.
        owner: Position,
        /// Why.
        note: Option<Note>,
    },
    /// An administrator looked at something; coalesced, so it stands for `count` calls or more.
    AdministrativeRead {
        /// The action, as policy names it.
        action: String,
        /// The subject that was looked at, if it was one.
        number: Option<Position>,
    },
    /// A history began anew, after entries may have been lost: see [`EpochBegun`].
    EpochBegun(EpochBegun),
    /// Everybody who follows for a downstream has passed a cut that concerns it.
    DownstreamConfirmed(DownstreamConfirmed),
    /// Requests were refused; coalesced, so that a flood of them adds few entries.
    RequestsRefused(Refused),
    /// An exception was asked for. Its number is the position of this entry.
    ExceptionRequested(Box<Exception>),
    /// Something does not fit together. Its number is the position of this entry.
    FindingRaised(Box<Finding>),
    /// Something became of a finding.
    FindingChanged {
        /// Its number.
        number: Position,
        /// What.
        change: FindingChange,
        /// Why.
        note: Option<Note>,
    },
    /// Somebody else approved it.
    ExceptionApproved {
        /// Its number.
        number: Position,
        /// Why.
        note: Option<Note>,
    },
    /// A person is known, or known anew.
    PersonRecorded(Recording<Person>),
    /// A source names a person no longer.
    PersonEnded {
        /// Its number.
        number: Position,
    },
    /// A contract of an owner is known, or known anew; the owner stays the same.
    ContractRecorded(Recording<Contract>),
    /// A source names a contract no longer.
    ContractEnded {
        /// Its number.
        number: Position,
        /// The owner's number.
        owner: Position,
    },
    /// A client of a source wrote a record, or deleted it.
    ResourceRecorded(Recording<Resource>),
    /// What a source says was not believed, and nothing of it applied.
    SourceHeld(Held),
    /// A person confirmed what a source says.
    SourceConfirmed {
        /// The source.
        source: SourceName,
        /// Of what it says, SHA-256.
        digest: [u8; 32],
    },
    /// A source ended records of its own, and that was believed.
    SourceEnded {
        /// The source.
        source: SourceName,
        /// The numbers of the records.
        records: Vec<Position>,
    },
}

/// What a source says that was not believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The source.
    pub source: SourceName,
    /// Of what it says, SHA-256; absent if it could not be read.
    pub digest: Option<[u8; 32]>,
    /// Why it was not believed.
    pub why: Note,
    /// How many records it would have ended within a day.
    pub ends: u64,
    /// Of how many: those that there are, and those that ended within it.
    pub of: u64,
}

/// The beginning of a new history on what is left of the one before. The keys of that one are cut
/// in the same transaction: whatever it issued and lost the record of is dead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochBegun {
    /// Distinguishes the history from here on from any other.
    pub epoch: Epoch,
    /// The last position that the history before is known to have reached; what lies between it and
    /// this entry is lost. Absent if it is not known.
    pub reached: Option<Position>,
    /// Why, for people.
    pub note: Option<Note>,
}

/// Requests of one caller that were refused for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The workload that asked, if it was one.
    pub workload: Option<Position>,
    /// The identity that asked; absent where more of them asked than are told apart.
    pub identity: Option<SpiffeId>,
    /// The stable reason, as it was sent.
    pub reason: String,
    /// How many.
    pub count: u64,
    /// When the first of them was refused.
    pub since: Timestamp,
}

/// Distinguishes one history of a ledger from any other. Sixteen random bytes, written as 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch(pub [u8; 16]);

impl std::fmt::Display for Epoch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl std::fmt::Debug for Epoch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// A record and, if it was known before, its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording<T> {
    /// The number from its first recording; `None` makes this the first.
    pub number: Option<Position>,
    /// Where it comes from; `None` for what an administrator recorded.
    pub origin: Option<Origin>,
    /// What is now known of it.
    pub record: T,
}

/// The whole policy text, by file name, sorted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyText {
    /// SHA-256 over the files; names the version.
    pub hash: [u8; 32],
    /// Name and text of each file.
    pub files: Vec<(PolicyName, String)>,
}

/// A cut, as it stands in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CutMade {
    /// The subject.
    pub number: Position,
    /// Why, for verifiers.
    pub reason: Reason,
    /// When it leaves the list; absent if nothing was alive, so that it never enters it.
    pub ends: Option<Timestamp>,
    /// What else it does.
    pub closing: Closing,
    /// Why, for people.
    pub note: Option<Note>,
    /// Where something was alive that it ended; absent where that was not looked at.
    pub concerns: Option<Concerns>,
    /// The source that caused it, if one did.
    pub source: Option<SourceName>,
}

/// Everybody who follows for a downstream has applied the list, or has had to fail closed since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DownstreamConfirmed {
    /// The downstream.
    pub number: Position,
    /// Up to which position.
    pub position: Position,
    /// How many processes have confirmed it.
    pub confirmed: u64,
    /// How many have not, and had a list that has ended.
    pub lapsed: u64,
}

impl CutMade {
    /// The line of the list that this makes when it stands at `position`.
    pub fn listed(&self, position: Position) -> Option<Cut> {
        self.ends.map(|ends| Cut { number: self.number, position, ends, reason: self.reason })
    }
}

impl Event {
    /// What was issued, if it is an issuance.
    pub fn issued(self) -> Option<Issued> {
        if let Self::CredentialIssued(issued) = self { Some(*issued) } else { None }
    }

    /// The subject recorded before that it is about, if it is about one.
    pub const fn subject(&self) -> Option<Position> {
        match self {
            Self::OwnerRecorded(Recording { number, .. }) => *number,
            Self::EnvironmentRecorded(Recording { number, .. }) => *number,
            Self::WorkloadRecorded(Recording { number, .. }) => *number,
            Self::DownstreamRecorded(Recording { number, .. }) => *number,
            Self::PersonRecorded(Recording { number, .. }) => *number,
            Self::ResourceRecorded(Recording { number, .. }) => *number,
            Self::ContractRecorded(Recording { number, .. }) => *number,
            Self::Cut(CutMade { number, .. })
            | Self::KeyRetired { number, .. }
            | Self::DownstreamRemoved { number }
            | Self::ExceptionApproved { number, .. }
            | Self::FindingChanged { number, .. }
            | Self::DownstreamConfirmed(DownstreamConfirmed { number, .. })
            | Self::PersonEnded { number }
            | Self::ContractEnded { number, .. }
            | Self::Reinstated { number, .. }
            | Self::WorkloadAccepted { number, .. } => Some(*number),
            Self::LedgerOpened { .. }
            | Self::KeyActivated(_)
            | Self::PolicyChanged(_)
            | Self::TaskOpened(_)
            | Self::CredentialIssued(_)
            | Self::AdministrativeRead { .. }
            | Self::EpochBegun(_)
            | Self::ExceptionRequested(_)
            | Self::FindingRaised(_)
            | Self::RequestsRefused(_)
            | Self::SourceHeld(_)
            | Self::SourceConfirmed { .. }
            | Self::SourceEnded { .. } => None,
        }
    }

    /// Whether it changes what is decided by. What does not is no fence, and wakes nobody.
    pub const fn changes_facts(&self) -> bool {
        !matches!(
            self,
            Self::CredentialIssued(_)
                | Self::AdministrativeRead { .. }
                | Self::RequestsRefused(_)
                | Self::DownstreamConfirmed(_)
                | Self::SourceHeld(_)
                | Self::SourceConfirmed { .. }
        )
    }

    /// The word for it in listings, stable.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::LedgerOpened { .. } => "ledger_opened",
            Self::KeyActivated(_) => "key_activated",
            Self::KeyRetired { .. } => "key_retired",
            Self::PolicyChanged(_) => "policy_changed",
            Self::OwnerRecorded(_) => "owner_recorded",
            Self::EnvironmentRecorded(_) => "environment_recorded",
            Self::WorkloadRecorded(_) => "workload_recorded",
            Self::DownstreamRecorded(_) => "downstream_recorded",
            Self::DownstreamRemoved { .. } => "downstream_removed",
            Self::TaskOpened(_) => "task_opened",
            Self::CredentialIssued(_) => "credential_issued",
            Self::Cut(_) => "cut",
            Self::Reinstated { .. } => "reinstated",
            Self::WorkloadAccepted { .. } => "workload_accepted",
            Self::AdministrativeRead { .. } => "administrative_read",
            Self::EpochBegun(_) => "epoch_begun",
            Self::DownstreamConfirmed(_) => "downstream_confirmed",
            Self::RequestsRefused(_) => "requests_refused",
            Self::ExceptionRequested(_) => "exception_requested",
            Self::ExceptionApproved { .. } => "exception_approved",
            Self::PersonRecorded(_) => "person_recorded",
            Self::PersonEnded { .. } => "person_ended",
            Self::ContractRecorded(_) => "contract_recorded",
            Self::ContractEnded { .. } => "contract_ended",
            Self::ResourceRecorded(_) => "resource_recorded",
            Self::SourceHeld(_) => "source_held",
            Self::SourceConfirmed { .. } => "source_confirmed",
            Self::SourceEnded { .. } => "source_ended",
            Self::FindingRaised(_) => "finding_raised",
            Self::FindingChanged { .. } => "finding_changed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_is_shown_as_it_is_written() {
        let epoch = Epoch([0x0a; 16]);
        assert_eq!((format!("{epoch:?}"), epoch.to_string()), ("0a".repeat(16), "0a".repeat(16)));
    }
}
