//! Tokens, as a source holds them.

use super::Credential;
use crate::ambient::Entropy;
use crate::client::{Client, Failure, api};
use crate::formats::binding::Binding;
use crate::formats::claims::{TokenClaims, TokenKind};
use crate::formats::jws::{self, MAX_TOKEN};
use crate::model::Timestamp;

/// A token as it was issued.
#[derive(Clone, PartialEq, Eq)]
pub struct HeldToken {
    /// The token itself. A secret.
    pub token: String,
    /// What it says.
    pub claims: TokenClaims,
}

impl Credential for HeldToken {
    type Request = api::IssueTokenRequest;

    async fn fetch(request: &Self::Request, client: &Client, _entropy: &Entropy) -> Result<Self, Failure> {
        let token = client.credentials().issue_token(request.clone()).await?.into_inner().token;
        let claims = claims(&token).ok_or_else(|| Failure::unusable("the broker's answer is no token".to_owned()))?;
        Ok(Self { token, claims })
    }

    fn expires_at(&self) -> Timestamp {
        self.claims.expires_at
    }

    fn binding(&self) -> &Binding {
        &self.claims.binding
    }
}

/// What a token says, which comes from the broker itself over mutual TLS.
fn claims(token: &str) -> Option<TokenClaims> {
    let jws = jws::parse(token, MAX_TOKEN).ok()?;
    TokenClaims::decode(TokenKind::from_typ(&jws.typ)?, &jws.payload).ok()
}

impl std::fmt::Debug for HeldToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HeldToken").field("claims", &self.claims).finish_non_exhaustive()
    }
}
