//! The claims of a token: an access token (RFC 9068) or a JWT-SVID.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::binding::{Binding, BindingError, Claim};
use super::jws::{self, EncodeError};
use super::status_list::StatusReference;
use crate::model::{Audience, CredentialId, CredentialKind, Scope, SpiffeId, Timestamp};

/// Which kind of token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// An access token (RFC 9068).
    AccessToken,
    /// A SPIFFE JWT-SVID.
    JwtSvid,
}

impl TokenKind {
    /// `typ` of its header (RFC 9068, section 2.1; JWT-SVID, section 2.3).
    pub const fn typ(self) -> &'static str {
        match self {
            Self::AccessToken => "at+jwt",
            Self::JwtSvid => "JWT",
        }
    }

    /// The kind with this `typ`, compared exactly.
    pub fn from_typ(typ: &str) -> Option<Self> {
        [Self::AccessToken, Self::JwtSvid].into_iter().find(|kind| kind.typ() == typ)
    }

    /// The token among the kinds of credential; `None` for a certificate.
    pub const fn of(kind: CredentialKind) -> Option<Self> {
        match kind {
            CredentialKind::AccessToken => Some(Self::AccessToken),
            CredentialKind::JwtSvid => Some(Self::JwtSvid),
            CredentialKind::Certificate => None,
        }
    }
}

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenClaims {
    /// `typ` of the header.
    pub kind: TokenKind,
    /// `iss`: the broker's URL.
    pub issuer: String,
    /// `sub`, and `client_id` of an access token: the workload.
    pub subject: SpiffeId,
    /// `aud`: the one audience, as a string.
    pub audience: Audience,
    /// `iat`, in whole seconds.
    pub issued_at: Timestamp,
    /// `exp`, in whole seconds: the first instant at which it is no longer good.
    pub expires_at: Timestamp,
    /// `jti`.
    pub id: CredentialId,
    /// `scope`, in order; empty but for an access token.
    pub scopes: Vec<Scope>,
    /// `cnf`, `x5t#S256`: SHA-256 of the certificate that it is bound to (RFC 8705, section 3.1);
    /// absent for a bearer token.
    pub confirmation: Option<[u8; 32]>,
    /// `status`, `status_list`: which entry of which status list says whether it is good. Absent in tokens from
    /// before there were such lists.
    pub status: Option<StatusReference>,
    /// `curfew`.
    pub binding: Binding,
}

/// Why a payload is not the claims of a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimsError {
    /// It is not a JSON object of this shape.
    #[error("{0}")]
    Json(String),
    /// This claim has a value that it never has.
    #[error("`{0}` is not valid")]
    Claim(&'static str),
    /// The claim `curfew` contradicts itself.
    #[error("`curfew` is not valid: {0}")]
    Curfew(#[from] BindingError),
}

/// RFC 7800, section 3.1, with the one member that is used: another means another kind of proof.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Confirmation {
    #[serde(rename = "x5t#S256")]
    thumbprint: String,
}

/// The claim `status`. Other ways to tell a status are not known here.
#[derive(Serialize, Deserialize)]
struct Status {
    #[serde(default)]
    status_list: Option<StatusReference>,
}

/// The payload. Claims that are not here are ignored (RFC 7519, section 4).
#[derive(Serialize, Deserialize)]
struct Payload<'a> {
    #[serde(borrow)]
    iss: Cow<'a, str>,
    #[serde(borrow)]
    sub: Cow<'a, str>,
    #[serde(borrow)]
    aud: Cow<'a, str>,
    exp: u64,
    iat: u64,
    #[serde(borrow)]
    jti: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_id: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scope: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cnf: Option<Confirmation>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
    curfew: Claim,
}

impl TokenClaims {
    /// Signs the claims with the key `kid`; `sign` answers r || s.
    ///
    /// # Errors
    /// If `sign` does not sign.
    pub fn encode<E>(&self, kid: &str, sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>) -> Result<String, EncodeError<E>> {
        jws::encode(self.kind.typ(), kid, &self.payload(), sign)
    }

    fn payload(&self) -> Payload<'_> {
        let scopes: Vec<&str> = self.scopes.iter().map(Scope::as_str).collect();
        Payload {
            iss: self.issuer.as_str().into(),
            sub: self.subject.as_str().into(),
            aud: self.audience.as_str().into(),
            exp: self.expires_at.seconds(),
            iat: self.issued_at.seconds(),
            jti: self.id.to_string().into(),
            client_id: (self.kind == TokenKind::AccessToken).then(|| self.subject.as_str().into()),
            scope: (!scopes.is_empty()).then(|| scopes.join(" ").into()),
            cnf: self.confirmation.map(|hash| Confirmation { thumbprint: URL_SAFE_NO_PAD.encode(hash) }),
            status: self.status.clone().map(|reference| Status { status_list: Some(reference) }),
            curfew: Claim::from(&self.binding),
        }
    }

    /// Reads the payload of a token of this kind. Whether it is signed and good is for the caller.
    ///
    /// # Errors
    /// If it is not what [`TokenClaims::encode`] writes, but for claims that are not known here.
    pub fn decode(kind: TokenKind, payload: &[u8]) -> Result<Self, ClaimsError> {
        let payload: Payload<'_> = serde_json::from_slice(payload).map_err(|error| ClaimsError::Json(error.to_string()))?;
        let binding = Binding::try_from(payload.curfew)?;
        // `FromStr` also takes the forms in which a serial number is printed; a token has one form.
        let id = payload.jti.parse::<CredentialId>().ok().filter(|id| id.to_string() == payload.jti);
        let id = id.filter(|id| id.position() == binding.position).ok_or(ClaimsError::Claim("jti"))?;
        let client = match kind {
            TokenKind::AccessToken => Some(&payload.sub),
            TokenKind::JwtSvid => None,
        };
        if payload.client_id.as_ref() != client {
            return Err(ClaimsError::Claim("client_id"));
        }
        let scopes = payload.scope.as_deref().map(|scopes| scopes.split(' ').map(str::parse).collect::<Result<Vec<Scope>, _>>());
        let scopes = scopes.transpose().map_err(|_not_scopes| ClaimsError::Claim("scope"))?.unwrap_or_default();
        let thumbprint = |cnf: Confirmation| URL_SAFE_NO_PAD.decode(cnf.thumbprint).ok()?.try_into().ok();
        let confirmation = payload.cnf.map(|cnf| thumbprint(cnf).ok_or(ClaimsError::Claim("cnf"))).transpose()?;
        Ok(Self {
            kind,
            issuer: payload.iss.into_owned(),
            subject: payload.sub.parse().map_err(|_not_an_id| ClaimsError::Claim("sub"))?,
            audience: payload.aud.parse().map_err(|_not_an_audience| ClaimsError::Claim("aud"))?,
            issued_at: Timestamp::stated(payload.iat).ok_or(ClaimsError::Claim("iat"))?,
            expires_at: Timestamp::stated(payload.exp).ok_or(ClaimsError::Claim("exp"))?,
            id,
            scopes,
            confirmation,
            status: payload.status.and_then(|status| status.status_list),
            binding,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::formats::binding::tests::bindings;
    use crate::formats::jws::MAX_TOKEN;

    fn claims() -> impl Strategy<Value = TokenClaims> {
        let kind = prop_oneof![Just(TokenKind::AccessToken), Just(TokenKind::JwtSvid)];
        let texts = ("\\PC{0,30}", "[!-~&&[^\"\\\\]]{1,40}", proptest::collection::vec("[!-~&&[^\"\\\\]]{1,20}", 0..4));
        let status = proptest::option::of((any::<u32>(), "\\PC{0,30}").prop_map(|(index, uri)| StatusReference { index, uri }));
        let rest = (any::<[u8; 8]>(), proptest::option::of(any::<[u8; 32]>()), status, 0..1u64 << 37, 0..1u64 << 37);
        (kind, texts, rest, bindings()).prop_map(|(kind, (issuer, audience, scopes), (nonce, confirmation, status, iat, exp), binding)| {
            TokenClaims {
                kind,
                issuer,
                subject: "spiffe://example.org/a/b".parse().expect("an id"),
                audience: audience.parse().expect("an audience"),
                issued_at: Timestamp::from_seconds(iat),
                expires_at: Timestamp::from_seconds(exp),
                id: CredentialId::new(binding.position, nonce),
                scopes: scopes.iter().map(|scope| scope.parse().expect("a scope")).collect(),
                confirmation,
                status,
                binding,
            }
        })
    }

    proptest! {
        #[test]
        fn claims_read_back(claims in claims()) {
            let token = claims.encode("kid", |_| Ok::<_, ()>(vec![0; 64])).expect("signs");
            let jws = jws::parse(&token, MAX_TOKEN).expect("was encoded");
            prop_assert_eq!(TokenKind::from_typ(&jws.typ), Some(claims.kind));
            prop_assert_eq!(TokenClaims::decode(claims.kind, &jws.payload), Ok(claims));
        }
    }

    const GOOD: &str = r#"{"iss":"https://b.example","sub":"spiffe://example.org/a","aud":"x","exp":20,"iat":10,"jti":"00000000000000090102030405060708","client_id":"spiffe://example.org/a","scope":"a b","cnf":{"x5t#S256":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},"curfew":{"env":"prod","pos":9,"sub":[1,2,3,9]}}"#;

    #[test]
    fn each_claim_is_taken_in_its_one_form_only() {
        let decode = |text: &str| TokenClaims::decode(TokenKind::AccessToken, text.as_bytes());
        assert!(decode(GOOD).is_ok());
        assert_eq!(decode(&GOOD.replacen('{', r#"{"status":{},"#, 1)), decode(GOOD), "an unknown claim is ignored");
        for (from, to, claim) in [
            (r#""aud":"x""#, r#""aud":"""#, "aud"),
            (r#""sub":"spiffe://example.org/a""#, r#""sub":"spiffe://example.org""#, "client_id"),
            (r#""client_id":"spiffe://example.org/a","#, "", "client_id"),
            (r#""client_id":"spiffe://example.org/a""#, r#""client_id":"spiffe://example.org/b""#, "client_id"),
            ("00000000000000090102030405060708", "90102030405060708", "jti"),
            ("00000000000000090102030405060708", "00000000000000080102030405060708", "jti"),
            (r#""scope":"a b""#, r#""scope":"a  b""#, "scope"),
            (r#""scope":"a b""#, r#""scope":"""#, "scope"),
            ("AAAA\"}", "AAA\"}", "cnf"),
            // Later than anything that can be written.
            (r#""exp":20"#, r#""exp":253402300800"#, "exp"),
            (r#""iat":10"#, r#""iat":253402300800"#, "iat"),
        ] {
            let text = GOOD.replace(from, to);
            assert_ne!(text, GOOD, "{from}");
            assert_eq!(decode(&text), Err(ClaimsError::Claim(claim)), "{to}");
        }
        for (from, to) in [
            (r#""aud":"x""#, r#""aud":["x"]"#),
            (r#""exp":20"#, r#""exp":20.5"#),
            (r#""exp":20"#, r#""exp":"20""#),
            (r#""exp":20,"#, ""),
            (r#""iat":10"#, r#""iat":-10"#),
            (r#""exp":20"#, r#""exp":20,"exp":30"#),
            (r#"{"x5t#S256""#, r#"{"jkt":"a","x5t#S256""#),
            (r#""cnf":{"x5t#S256""#, r#""cnf":{"jkt""#),
            (r#""pos":9"#, r#""pos":9,"v":2"#),
        ] {
            let text = GOOD.replace(from, to);
            assert_ne!(text, GOOD, "{from}");
            assert!(matches!(decode(&text), Err(ClaimsError::Json(_))), "{to}");
        }
        assert_eq!(TokenClaims::decode(TokenKind::JwtSvid, GOOD.as_bytes()), Err(ClaimsError::Claim("client_id")), "another kind");
    }
}
