//! What the registry and the ledger know of owners, workloads, environments, downstreams and tasks.
//! References are numbers, so that a name that is used again never means an old subject.

use super::{
    Audience, Closing, Contact, DownstreamName, EnvironmentName, KeyPurpose, Note, OwnerId, OwnerKind, Position, RecordId, SourceName,
    SpiffeId, Standing, Timestamp, VerifierKind,
};

/// Where a record comes from: the source that answers for it, and what it is called there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The source.
    pub source: SourceName,
    /// The id of the record at the source.
    pub record: RecordId,
}

/// The party that answers for identities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its id.
    pub id: OwnerId,
    /// What sort of party.
    pub kind: OwnerKind,
    /// Who answers for the purpose.
    pub business_owner: Contact,
    /// Who answers for the running.
    pub technical_owner: Contact,
    /// When the contract ends; every vendor has one.
    pub contract_end: Option<Timestamp>,
}

/// A non-human identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Its identity.
    pub spiffe_id: SpiffeId,
    /// The owner's number.
    pub owner: Position,
    /// What it is for.
    pub purpose: Note,
    /// The numbers of the environments in which it may act, ascending.
    pub environments: Vec<Position>,
    /// When it ends by itself.
    pub valid_until: Option<Timestamp>,
    /// Who answers for the purpose, if not who does for all of the owner.
    pub business_owner: Option<Contact>,
    /// Who answers for the running, if not who does for all of the owner.
    pub technical_owner: Option<Contact>,
}

/// A binding that every credential has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// Its name.
    pub name: EnvironmentName,
}

/// A service that accepts credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Downstream {
    /// Its name.
    pub name: DownstreamName,
    /// Whether it accepts access tokens and JWT-SVIDs.
    pub accepts_tokens: bool,
    /// Whether it accepts certificates.
    pub accepts_certificates: bool,
    /// The audiences that it answers to, sorted; none unless it accepts tokens.
    pub audiences: Vec<Audience>,
    /// The numbers of its environments, ascending.
    pub environments: Vec<Position>,
    /// How it checks.
    pub verifier_kind: VerifierKind,
    /// The identity under which its verifiers follow the list.
    pub verifier: Option<SpiffeId>,
    /// Who answers for the purpose.
    pub business_owner: Option<Contact>,
    /// Who answers for the running.
    pub technical_owner: Option<Contact>,
}

/// What a client of a source wrote of a record there, so that it is shown the same again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// The source that it belongs to.
    pub source: SourceName,
    /// The number of the owner that it is; absent for a person.
    pub owner: Option<Position>,
    /// What was written; absent once it was deleted.
    pub text: Option<String>,
    /// When it ended, if it has: it was deleted, or is not active.
    pub ended: Option<Timestamp>,
}

/// Somebody whom owners, workloads and downstreams may name as business or technical owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// What those name: a mail address or a user name, matched without case.
    pub id: Contact,
    /// Whether the person still answers for anything.
    pub active: bool,
}

/// A contract under which an owner works. The earliest end of several is the one that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contract {
    /// The owner's number.
    pub owner: Position,
    /// When it ends.
    pub end: Timestamp,
}

/// A bounded piece of work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// The owner under which it runs.
    pub owner: Position,
    /// The environment in which it runs.
    pub environment: Position,
    /// The only workload that may use it; any of the owner's if absent.
    pub workload: Option<Position>,
    /// When it ends by itself.
    pub deadline: Timestamp,
    /// What it is for.
    pub purpose: Note,
    /// The caller that opened it.
    pub opened_by: SpiffeId,
}

/// The public half of a signing key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// What it signs.
    pub purpose: KeyPurpose,
    /// Under which name verifiers find it.
    pub kid: String,
    /// `SubjectPublicKeyInfo`, DER; for the issuer its certificate, DER.
    pub material: Vec<u8>,
    /// The last instant at which something signed by it may be good.
    pub not_after: Option<Timestamp>,
    /// From when it is meant to sign, where it was published ahead of that.
    pub signs_from: Option<Timestamp>,
}

/// How a subject was closed to issuing, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Suspended, offboarded, no longer registered, moved to an owner that has not accepted it, or a task's end.
    pub by: Closing,
    /// The position of the cut that closed it: what a repeated call answers.
    pub at: Position,
    /// When everything issued before has expired everywhere.
    pub settled: Timestamp,
}

impl Closed {
    /// Where a subject that was closed in this way stands at `now`.
    pub fn standing(self, now: Timestamp) -> Standing {
        if self.by == Closing::Suspend {
            Standing::Suspended
        } else if self.by == Closing::AwaitOwner {
            Standing::AwaitsOwner
        } else if self.settled <= now {
            Standing::Offboarded
        } else {
            Standing::Offboarding
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offboarding_ends_when_the_last_credential_has_expired_and_suspending_never_does() {
        let closed = |by| Closed { by, at: Position::new(7), settled: Timestamp::from_seconds(60) };
        let standings = |by| [59, 60, 61].map(|now| closed(by).standing(Timestamp::from_seconds(now)));
        use Standing::{AwaitsOwner, Offboarded, Offboarding, Suspended};
        assert_eq!(standings(Closing::Suspend), [Suspended; 3]);
        assert_eq!(standings(Closing::AwaitOwner), [AwaitsOwner; 3]);
        assert_eq!(standings(Closing::Offboard), [Offboarding, Offboarded, Offboarded]);
        assert_eq!(standings(Closing::Unregister), [Offboarding, Offboarded, Offboarded]);
    }
}
