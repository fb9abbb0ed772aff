//! Signs what is recorded, and nothing else: `&Recorded` becomes a token or a certificate.

mod certificate;
mod request;

pub(crate) use certificate::ServerNames;
pub(crate) use request::SigningRequest;

use crate::formats::binding::Binding;
use crate::formats::claims::{TokenClaims, TokenKind};
use crate::formats::jws::EncodeError;
use crate::formats::status_index::Indices;
use crate::formats::status_list::StatusReference;
use crate::formats::urls::Urls;
use crate::keys::{SignError, SigningKey};
use crate::ledger::Recorded;
use crate::model::Position;

/// Signs recorded issuances.
#[derive(Clone, Debug)]
pub(crate) struct Minter {
    urls: Urls,
    indices: Indices,
}

/// Why something recorded was not signed. The row stays, and is harmless.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MintError {
    /// It was recorded as another kind of credential.
    #[error("recorded as another kind of credential")]
    Kind,
    /// It was recorded for another key than the one that was to sign.
    #[error("recorded for the key {recorded}, and {in_use} was to sign")]
    Key {
        /// The key in the record.
        recorded: Position,
        /// The key that was to sign.
        in_use: Position,
    },
    /// The signing request holds another public key than the record.
    #[error("recorded for another public key")]
    PublicKey,
    /// It cannot be written down.
    #[error("cannot be encoded: {0}")]
    Encoding(String),
    /// The key did not sign.
    #[error(transparent)]
    Sign(#[from] SignError),
}

impl Minter {
    /// The place of a token in its status list is that of `indices`.
    pub(crate) const fn new(urls: Urls, indices: Indices) -> Self {
        Self { urls, indices }
    }

    /// `iss` of what this broker signs.
    pub(crate) fn issuer_url(&self) -> &str {
        &self.urls.issuer
    }

    /// Signs a token with `key`.
    ///
    /// # Errors
    /// If it was recorded as something else, or for another key, or the key does not sign.
    pub(crate) fn token(&self, recorded: &Recorded, key: &SigningKey) -> Result<String, MintError> {
        let issued = recorded.issued();
        let kind = TokenKind::of(issued.kind).ok_or(MintError::Kind)?;
        same_key(issued.key, key.number)?;
        let place = self.indices.place(recorded.position());
        let claims = TokenClaims {
            kind,
            issuer: self.urls.issuer.clone(),
            subject: recorded.spiffe_id().clone(),
            audience: issued.audience.clone().ok_or(MintError::Kind)?,
            issued_at: issued.issued_at,
            expires_at: issued.expires_at,
            id: recorded.id(),
            scopes: issued.scopes.clone(),
            confirmation: issued.confirmation,
            status: Some(StatusReference { index: place.index, uri: self.urls.status_list(place.list) }),
            binding: binding(recorded),
        };
        claims.encode(&key.kid, |message| key.sign(message)).map_err(|error| match error {
            EncodeError::Json(error) => MintError::Encoding(error.to_string()),
            EncodeError::Sign(error) => MintError::Sign(error),
        })
    }
}

fn same_key(recorded: Position, in_use: Position) -> Result<(), MintError> {
    if recorded == in_use { Ok(()) } else { Err(MintError::Key { recorded, in_use }) }
}

fn binding(recorded: &Recorded) -> Binding {
    let issued = recorded.issued();
    Binding {
        environment: recorded.environment().clone(),
        position: recorded.position(),
        subjects: issued.subjects,
        further: issued.further(),
    }
}

#[cfg(test)]
mod tests;
