//! What is asked, by whom, and what policy makes of it.

use std::time::Duration;

use crate::model::{
    Address, Audience, Bounds, CredentialId, CredentialKind, Denial, EnvironmentName, Facts, Issued, NoLifeLeft, Note, Position, Scope,
    SpiffeId, Subjects, Timestamp,
};

/// The caller, as its client certificate proves it, and where its connection comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The one SPIFFE ID in the certificate.
    pub spiffe_id: SpiffeId,
    /// SHA-256 of the certificate, DER (RFC 8705, section 3.1).
    pub fingerprint: [u8; 32],
    /// When the certificate ends.
    pub expires_at: Timestamp,
    /// What the certificate says of itself if this broker issued it.
    pub issued_here: Option<OwnCertificate>,
    /// From where it calls, if it does.
    pub address: Option<Address>,
}

impl Caller {
    /// The end of a certificate that is only supposed: it bounds nothing.
    pub(crate) const NO_END: Timestamp = Timestamp::from_millis(u64::MAX);

    /// A caller that is asked about and is not there: with an identity from outside, unless
    /// `issued_here` says otherwise.
    pub(crate) const fn supposed(spiffe_id: SpiffeId, issued_here: Option<OwnCertificate>) -> Self {
        Self { spiffe_id, fingerprint: [0; 32], expires_at: Self::NO_END, issued_here, address: None }
    }
}

/// A certificate of ours, as its extension describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OwnCertificate {
    /// Its id.
    pub id: CredentialId,
    /// What it stands on.
    pub subjects: Subjects,
    /// The number of the key that signed it.
    pub key: Position,
    /// The exception by which it was issued.
    pub exception: Option<Position>,
}

impl OwnCertificate {
    /// Everything that it dies with, itself included.
    pub(super) fn numbers(&self) -> impl Iterator<Item = Position> + use<> {
        self.subjects.numbers(self.id.position()).chain(self.exception)
    }
}

/// A request to issue, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IssueRequest {
    /// What kind.
    pub kind: CredentialKind,
    /// The environment to be bound to.
    pub environment: EnvironmentName,
    /// The audience; present exactly for tokens.
    pub audience: Option<Audience>,
    /// The scopes; empty but for access tokens.
    pub scopes: Vec<Scope>,
    /// The task to be bound to.
    pub task: Option<Position>,
    /// The life wanted.
    pub ttl: Option<Duration>,
    /// Not bound to the client certificate.
    pub bearer: bool,
    /// What it is for.
    pub purpose: Option<Note>,
    /// SHA-256 of the `SubjectPublicKeyInfo` of the signing request; present exactly for certificates.
    pub public_key_hash: Option<[u8; 32]>,
    /// The number of the key that would sign it.
    pub key: Position,
    /// The end of that key, if it has one.
    pub key_not_after: Option<Timestamp>,
    /// What the caller calls the request, for tracing only.
    pub request_id: Option<String>,
}

/// The certificate with which the broker serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerCertificate {
    /// The broker's own identity.
    pub spiffe_id: SpiffeId,
    /// The environment that it states; the registry need not know it.
    pub environment: EnvironmentName,
    /// SHA-256 of the `SubjectPublicKeyInfo` of its key.
    pub public_key_hash: [u8; 32],
    /// The number of the key that would sign it.
    pub key: Position,
    /// The end of that key, if it has one.
    pub key_not_after: Option<Timestamp>,
    /// The life wanted.
    pub ttl: Option<Duration>,
}

/// An approved, not yet recorded issuance. Only `policy` makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(super) issued: Issued,
    pub(super) spiffe_id: SpiffeId,
    pub(super) environment: EnvironmentName,
    pub(super) fence: Position,
    pub(super) request_id: Option<String>,
}

impl Grant {
    /// The broker's certificate for itself. It stands in the ledger as every other, under the
    /// broker's own number. No policy is asked: a policy that refused it would leave nobody to
    /// correct the policy with, and who can make the broker ask can read its keys anyway.
    ///
    /// # Errors
    /// If the signing key leaves it no life.
    pub(crate) fn own_certificate(server: ServerCertificate, facts: &Facts, now: Timestamp) -> Result<Self, Denial> {
        let ServerCertificate { spiffe_id, environment, public_key_hash, key, key_not_after, ttl } = server;
        let kind = CredentialKind::Certificate;
        let bounds = Bounds {
            kind,
            requested: ttl,
            policy: None,
            task: None,
            workload: None,
            contract: None,
            signing_key: key_not_after,
            client_certificate: None,
            exception: None,
        };
        let life = bounds.life(now).map_err(|NoLifeLeft(bound)| Denial::no_life_left(bound))?;
        let broker = Position::BROKER;
        let issued = Issued {
            kind,
            subjects: Subjects { owner: broker, workload: broker, environment: broker, task: None, lineage: None },
            parent: None,
            nonce: [0; 8],
            issued_at: life.issued_at,
            expires_at: life.expires_at,
            bound_by: life.bound_by,
            audience: None,
            scopes: Vec::new(),
            confirmation: Some(public_key_hash),
            key,
            downstreams: Vec::new(),
            policies: Vec::new(),
            policy_hash: [0; 32],
            purpose: None,
            exception: None,
            asked_from: None,
        };
        Ok(Self { issued, spiffe_id, environment, fence: facts.changed(), request_id: None })
    }

    /// Whether it is the broker's certificate for itself.
    pub(crate) fn is_own_certificate(&self) -> bool {
        self.issued.subjects.owner == Position::BROKER
    }

    /// What will be recorded; its nonce is set when it is.
    pub(crate) const fn issued(&self) -> &Issued {
        &self.issued
    }

    /// The workload's identity.
    #[cfg_attr(not(test), expect(dead_code, reason = "for tests of decisions; the ledger takes the parts"))]
    pub(crate) const fn spiffe_id(&self) -> &SpiffeId {
        &self.spiffe_id
    }

    /// The environment's name.
    #[cfg_attr(not(test), expect(dead_code, reason = "for tests of decisions; the ledger takes the parts"))]
    pub(crate) const fn environment(&self) -> &EnvironmentName {
        &self.environment
    }

    /// The position of the facts that it was decided on.
    pub(crate) const fn fence(&self) -> Position {
        self.fence
    }

    /// What the caller calls the request, for tracing only.
    pub(crate) fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    /// The parts, for the ledger to make a record of.
    pub(crate) fn into_parts(self) -> (Issued, SpiffeId, EnvironmentName) {
        (self.issued, self.spiffe_id, self.environment)
    }
}

#[cfg(test)]
impl Grant {
    /// A grant that nobody decided, for tests of what comes after the decision.
    pub(crate) fn for_test(issued: Issued, spiffe_id: SpiffeId, environment: EnvironmentName, fence: Position) -> Self {
        Self { issued, spiffe_id, environment, fence, request_id: None }
    }
}
