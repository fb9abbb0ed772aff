//! The check of a token.

use super::{Moment, Rejected, SKEW, Verifier};
use crate::formats::claims::{TokenClaims, TokenKind};
use crate::formats::jws::{self, MAX_TOKEN};
use crate::model::Position;

/// What the caller presented beside its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presented {
    /// SHA-256 of the client certificate of its connection, DER.
    Certificate([u8; 32]),
    /// No client certificate.
    Nothing,
}

/// A token that was good when it was checked. Only [`Verifier::token`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedToken {
    claims: TokenClaims,
    /// The number of the key that signed it.
    key: Position,
}

impl AcceptedToken {
    /// What it says.
    pub const fn claims(&self) -> &TokenClaims {
        &self.claims
    }
}

impl Verifier {
    /// Checks a token that was presented at `moment`.
    ///
    /// # Errors
    /// Says the first thing that is wrong; the order is that of [`Rejected::CODES`].
    pub fn token(&self, text: &str, presented: Presented, moment: Moment) -> Result<AcceptedToken, Rejected> {
        let known = self.known();
        known.fresh(&self.settings, moment)?;
        let malformed = |problem: &dyn std::fmt::Display| Rejected::Malformed { problem: problem.to_string() };
        let jws = jws::parse(text, MAX_TOKEN).map_err(|error| malformed(&error))?;
        let kind = TokenKind::from_typ(&jws.typ).ok_or(Rejected::Type)?;
        let key = known.keys.tokens.iter().find(|key| key.kid == jws.kid).ok_or(Rejected::KeyUnknown)?;
        if key.has_ended(moment.wall) {
            return Err(Rejected::KeyExpired);
        }
        if !key.key.verifies(jws.signing_input, &jws.signature) {
            return Err(Rejected::Signature);
        }
        let claims = TokenClaims::decode(kind, &jws.payload).map_err(|error| malformed(&error))?;
        if claims.issuer != known.keys.issuer {
            return Err(Rejected::Issuer);
        }
        if !self.settings.audiences.contains(&claims.audience) {
            return Err(Rejected::Audience);
        }
        self.settings.place(&known.keys, &claims.subject, &claims.binding)?;
        if moment.wall >= claims.expires_at {
            return Err(Rejected::Expired { at: claims.expires_at });
        }
        if claims.issued_at > moment.wall.plus(SKEW) {
            return Err(Rejected::NotYet { from: claims.issued_at });
        }
        self.bound(claims.confirmation, presented)?;
        known.alive(key.number, &claims.binding)?;
        Ok(AcceptedToken { claims, key: key.number })
    }

    /// Whether a token that was accepted still is: what it says does not change, what is known of it does.
    ///
    /// # Errors
    /// Says why it is not.
    pub fn token_again(&self, accepted: &AcceptedToken, moment: Moment) -> Result<(), Rejected> {
        let AcceptedToken { claims, key } = accepted;
        self.again(*key, claims.expires_at, &claims.binding, moment)
    }

    /// Whether the one who presents a token is the one to whom it is bound (RFC 8705, section 3).
    fn bound(&self, confirmation: Option<[u8; 32]>, presented: Presented) -> Result<(), Rejected> {
        match (confirmation, presented) {
            (None, _) if self.settings.bearer => Ok(()),
            (None, _) => Err(Rejected::BearerNotAllowed),
            (Some(_), Presented::Nothing) => Err(Rejected::CertificateMissing),
            (Some(bound), Presented::Certificate(presented)) if bound == presented => Ok(()),
            (Some(_), Presented::Certificate(_)) => Err(Rejected::CertificateMismatch),
        }
    }
}
