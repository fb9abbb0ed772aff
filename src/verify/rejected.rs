//! Why a credential is not accepted: one variant per way to fail.

use crate::model::{Position, Reason, Timestamp};

macro_rules! rejections {
    ($($(#[$doc:meta])* $variant:ident $({ $($field:ident: $type:ty),+ })? = $code:literal, $text:literal;)+) => {
        /// Why a credential is not accepted.
        #[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
        #[expect(missing_docs, reason = "the fields are what their names say; the variants are documented")]
        pub enum Rejected { $($(#[$doc])* #[error($text)] $variant $({ $($field: $type),+ })?),+ }

        impl Rejected {
            /// Every code, in the order in which a check finds them.
            pub const CODES: &[&str] = &[$($code),+];

            /// The stable code, for machines.
            pub const fn code(&self) -> &'static str {
                match self { $(Self::$variant $({ $($field: _),+ })? => $code),+ }
            }
        }
    };
}

rejections! {
    /// No list was applied yet.
    NoList = "NO_LIST", "no revocation list was applied yet; everything is rejected until one is";
    /// The list is too old.
    Stale { seconds: u64 } = "LIST_STALE", "the revocation list is {seconds} s old; everything is rejected until a fresh one is applied";
    /// It is not a token, or not a certificate, at all.
    Malformed { problem: String } = "MALFORMED", "not a credential of Curfew: {problem}";
    /// It is another kind of token.
    Type = "TYPE", "the header's `typ` is neither at+jwt nor JWT";
    /// No such key.
    KeyUnknown = "KEY_UNKNOWN", "signed by a key that is not in the key set; fetch the keys again if the broker has new ones";
    /// The signing key has ended.
    KeyExpired = "KEY_EXPIRED", "the key that signed it has ended";
    /// The signature, or the path to the issuer, is wrong.
    Signature = "SIGNATURE", "the signature is wrong";
    /// Another broker issued it.
    Issuer = "ISSUER", "`iss` is not the broker of the key set";
    /// It is for somebody else.
    Audience = "AUDIENCE", "issued for another audience; ask the broker for one with the audience of this service";
    /// It is bound to another environment.
    Environment = "ENVIRONMENT", "bound to another environment than this service runs in";
    /// Its subject is in another trust domain.
    TrustDomain = "TRUST_DOMAIN", "names an identity of another trust domain";
    /// It has expired.
    Expired { at: Timestamp } = "EXPIRED", "expired at {at}; ask the broker for a new one";
    /// It is not good yet.
    NotYet { from: Timestamp } = "NOT_YET", "good from {from} only; compare the clocks of this machine and of the broker";
    /// It is bound to nothing, and that is not allowed here.
    BearerNotAllowed = "BEARER_NOT_ALLOWED", "a bearer token, which this service does not accept; ask for a bound one";
    /// It is bound to a certificate, and none was presented.
    CertificateMissing = "CERTIFICATE_MISSING", "bound to a client certificate, and none was presented";
    /// It is bound to another certificate than was presented.
    CertificateMismatch = "CERTIFICATE_MISMATCH", "bound to another client certificate than the one presented; renewing a certificate ends its tokens";
    /// The certificate breaks a rule of SPIFFE or of this issuer.
    Profile { problem: &'static str } = "PROFILE", "not a certificate as this issuer makes them: {problem}";
    /// The key that signed it was revoked.
    KeyRevoked { reason: Reason, position: Position } = "KEY_REVOKED", "the key that signed it was revoked ({reason}) at position {position}";
    /// One of its subjects was cut after it was issued.
    Revoked { reason: Reason, subject: Position, position: Position } = "REVOKED", "revoked ({reason}) at position {position}, through subject {subject}";
}
