//! An issuance, as it stands in the ledger.

use super::{Address, Audience, Bound, CredentialId, CredentialKind, Note, PolicyName, Position, Scope, Subjects, Timestamp};

/// An issuance, before it is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// What kind.
    pub kind: CredentialKind,
    /// What it stands on.
    pub subjects: Subjects,
    /// The credential of ours that it was obtained with, if any.
    pub parent: Option<CredentialId>,
    /// The random half of its id.
    pub nonce: [u8; 8],
    /// The decision's instant, rounded down.
    pub issued_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// What set the end.
    pub bound_by: Bound,
    /// For a token: its audience.
    pub audience: Option<Audience>,
    /// For an access token: its scopes, in the order asked for.
    pub scopes: Vec<Scope>,
    /// SHA-256 of the certificate that a token is bound to, or of the public key in a certificate.
    pub confirmation: Option<[u8; 32]>,
    /// The number of the key that signs it.
    pub key: Position,
    /// The numbers of the downstreams that it concerns, ascending.
    pub downstreams: Vec<Position>,
    /// The policies that allowed it.
    pub policies: Vec<PolicyName>,
    /// Their version.
    pub policy_hash: [u8; 32],
    /// What the caller says it is for.
    pub purpose: Option<Note>,
    /// The exception by which it was issued, or with a certificate that was.
    pub exception: Option<Position>,
    /// From where it was asked for; absent if the broker asked itself, and in entries of before this was recorded.
    pub asked_from: Option<Address>,
}

impl Issued {
    /// The numbers that it carries beside its subjects, ascending: the downstreams that a token was issued for, and
    /// its exception. A certificate is for every downstream of its environment, and carries none of them.
    pub fn further(&self) -> Vec<Position> {
        let mut further: Vec<Position> = self.own_downstreams().iter().copied().chain(self.exception).collect();
        further.sort_unstable();
        further
    }

    /// Everything that it dies with when it stands at `position`, itself included.
    pub fn numbers(&self, position: Position) -> impl Iterator<Item = Position> {
        self.subjects.numbers(position).chain(self.own_downstreams().iter().copied()).chain(self.exception)
    }

    /// The downstreams that a token was issued for; none of a certificate.
    pub fn own_downstreams(&self) -> &[Position] {
        if self.kind == CredentialKind::Certificate { &[] } else { &self.downstreams }
    }
}
