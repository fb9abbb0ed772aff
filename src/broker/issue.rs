//! Issuing: decide, record, sign, in this order.

use std::sync::Arc;
use std::time::Duration;

use super::{Broker, Error};
use crate::keys::{Issuer, KeyError, SigningKey};
use crate::ledger::{LedgerError, Recorded};
use crate::mint::SigningRequest;
use crate::model::{
    Audience, Bound, CredentialId, CredentialKind, EnvironmentName, KeyPurpose, KnownKey, Note, Position, Scope, Timestamp,
};
use crate::policy::{Caller, IssueRequest, Role};

/// How often a request is decided when what it was decided on keeps changing.
const DECISIONS: usize = 4;

/// Asks for a token.
#[derive(Clone, Debug)]
pub(crate) struct TokenRequest {
    /// Access token or JWT-SVID.
    pub kind: CredentialKind,
    /// The environment to be bound to.
    pub environment: EnvironmentName,
    /// What it is for.
    pub audience: Audience,
    /// The scopes of an access token.
    pub scopes: Vec<Scope>,
    /// The task to be bound to.
    pub task: Option<Position>,
    /// The life wanted.
    pub ttl: Option<Duration>,
    /// Not bound to the client certificate.
    pub bearer: bool,
    /// Why, for people.
    pub purpose: Option<Note>,
    /// What the caller calls the request, for tracing.
    pub request_id: Option<String>,
}

/// Asks for a certificate.
#[derive(Clone, Debug)]
pub(crate) struct CertificateRequest {
    /// The signing request, PKCS#10 in DER: the public key, proved by its signature.
    pub csr: Vec<u8>,
    /// The environment to be bound to.
    pub environment: EnvironmentName,
    /// The task to be bound to.
    pub task: Option<Position>,
    /// The life wanted.
    pub ttl: Option<Duration>,
    /// Why, for people.
    pub purpose: Option<Note>,
    /// What the caller calls the request, for tracing.
    pub request_id: Option<String>,
}

/// What was issued, apart from the credential itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Issuance {
    /// Its id.
    pub id: CredentialId,
    /// Its position.
    pub position: Position,
    /// When it ends.
    pub expires_at: Timestamp,
    /// What set the end.
    pub bound_by: Bound,
}

impl Issuance {
    pub(super) fn of(recorded: &Recorded) -> Self {
        let issued = recorded.issued();
        Self { id: recorded.id(), position: recorded.position(), expires_at: issued.expires_at, bound_by: issued.bound_by }
    }
}

impl Broker {
    /// Issues a token to the caller.
    ///
    /// # Errors
    /// `Denied` with the reason; `Conflict` if what it was decided on kept changing; `Limited`;
    /// `Unavailable` if it could not be made durable. No token exists then.
    pub(crate) async fn issue_token(&self, caller: &Caller, ask: TokenRequest) -> Result<(String, Issuance), Error> {
        self.answers(KeyPurpose::Token)?;
        let (role, taken) = self.count_issuance(caller)?;
        let request = IssueRequest {
            kind: ask.kind,
            environment: ask.environment,
            audience: Some(ask.audience),
            scopes: ask.scopes,
            task: ask.task,
            ttl: ask.ttl,
            bearer: ask.bearer,
            purpose: ask.purpose,
            public_key_hash: None,
            key: Position::ZERO,
            key_not_after: None,
            request_id: ask.request_id,
        };
        let (recorded, key) = self.record((&role, caller), request).await?;
        taken.spend();
        let _turn = self.signing_tokens.acquire().await;
        Ok((self.minter.token(&recorded, &key)?, Issuance::of(&recorded)))
    }

    /// Issues a certificate to the caller: leaf first, then the issuer, DER.
    ///
    /// # Errors
    /// As for [`Broker::issue_token`]; `Invalid` for the signing request.
    pub(crate) async fn issue_certificate(&self, caller: &Caller, ask: CertificateRequest) -> Result<(Vec<Vec<u8>>, Issuance), Error> {
        self.answers(KeyPurpose::Issuer)?;
        let (role, taken) = self.count_issuance(caller)?;
        // Its signature costs more to check than all the rest to decide.
        let signing_request = SigningRequest::from_der(&ask.csr)?;
        let request = IssueRequest {
            kind: CredentialKind::Certificate,
            environment: ask.environment,
            audience: None,
            scopes: Vec::new(),
            task: ask.task,
            ttl: ask.ttl,
            bearer: false,
            purpose: ask.purpose,
            public_key_hash: Some(signing_request.public_key_hash()),
            key: Position::ZERO,
            key_not_after: None,
            request_id: ask.request_id,
        };
        let (recorded, key) = self.record((&role, caller), request).await?;
        taken.spend();
        let _turn = self.signing_certificates.acquire().await;
        Ok((self.minter.certificate(&recorded, &signing_request, &*self.issuer(&key)?)?, Issuance::of(&recorded)))
    }

    /// Decides and records, again while what it was decided on changes under way: which key signs, too.
    /// That key is given with the record, so that it can be used though it is let go of meanwhile.
    async fn record(&self, (role, caller): (&Role, &Caller), mut request: IssueRequest) -> Result<(Recorded, Arc<SigningKey>), Error> {
        let purpose = if request.kind == CredentialKind::Certificate { KeyPurpose::Issuer } else { KeyPurpose::Token };
        for _ in 0..DECISIONS {
            let now = self.clock.now();
            let decided = self.decide(|engine, facts| -> Result<_, Error> {
                let key = self.keyring.signing(purpose, facts)?;
                request.key = key.number;
                request.key_not_after = facts.signing_keys().get(key.number).and_then(KnownKey::ends);
                Ok((engine.decide(role, caller, &request, facts, now), key))
            })??;
            let (grant, key) = match decided {
                (Ok(grant), key) => (grant, key),
                (Err(denial), _) => return Err(self.of_past_task(denial, request.task).await.into()),
            };
            match self.ledger.record(grant, self.entropy.bytes()?).await {
                Err(LedgerError::Stale) => {}
                outcome => return Ok((outcome?, key)),
            }
        }
        Err(Error::Conflict)
    }

    /// Whether what holds the key answers: what could not be signed is not recorded.
    fn answers(&self, purpose: KeyPurpose) -> Result<(), Error> {
        let key = self.keyring.signing(purpose, &self.ledger.facts())?;
        if key.answering().silent { Err(Error::Unsigned) } else { Ok(()) }
    }

    /// The issuer with this key.
    pub(super) fn issuer(&self, key: &SigningKey) -> Result<Arc<Issuer>, Error> {
        Ok(self.keyring.issuer(key.number).ok_or(KeyError::Missing { purpose: key.purpose })?)
    }
}
