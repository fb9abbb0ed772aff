//! Compact JWS (RFC 7515, section 7.1), ES256 only, with exactly the header members `alg`, `kid`, `typ`.
//!
//! One algorithm and an exact `typ` per use (RFC 8725, sections 3.1 and 3.11). Any other header
//! member (`crit`, `jku`, `x5u`, …) is refused because it is not one of the three.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

/// A token is refused beyond this many bytes.
pub const MAX_TOKEN: usize = 16 * 1024;

const ALGORITHM: &str = "ES256";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header<'a> {
    #[serde(borrow)]
    alg: Cow<'a, str>,
    #[serde(borrow)]
    kid: Cow<'a, str>,
    #[serde(borrow)]
    typ: Cow<'a, str>,
}

/// Why a text is not such a JWS.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwsError {
    /// It has more bytes than its kind may have.
    #[error("longer than {0} bytes")]
    TooLong(usize),
    /// It is not three parts with a dot between them.
    #[error("not three parts separated by dots")]
    Parts,
    /// A part is not base64url without padding (RFC 7515, section 2).
    #[error("a part is not base64url without padding")]
    Base64,
    /// The header is not a JSON object with exactly `alg`, `kid` and `typ`.
    #[error("the header is not exactly `alg`, `kid`, `typ`: {0}")]
    Header(String),
    /// `alg` is not ES256.
    #[error("`alg` is not ES256")]
    Algorithm,
}

/// Why nothing was encoded.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError<E> {
    /// The payload has no JSON form.
    #[error("cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The key did not sign.
    #[error("cannot be signed: {0}")]
    Sign(E),
}

/// A JWS that was taken apart; nothing in it is verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jws<'a> {
    /// `typ` of the header.
    pub typ: String,
    /// `kid` of the header.
    pub kid: String,
    /// The payload, decoded.
    pub payload: Vec<u8>,
    /// What the signature is over (RFC 7515, section 5.1, step 8).
    pub signing_input: &'a [u8],
    /// r || s (RFC 7518, section 3.4).
    pub signature: Vec<u8>,
}

/// Signs `payload` as `typ` with the key `kid`; `sign` answers r || s.
///
/// # Errors
/// If `sign` does not sign, or `payload` has no JSON form.
pub fn encode<E>(
    typ: &str,
    kid: &str,
    payload: &impl Serialize,
    sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>,
) -> Result<String, EncodeError<E>> {
    let header = serde_json::to_vec(&Header { alg: ALGORITHM.into(), kid: kid.into(), typ: typ.into() })?;
    let payload = serde_json::to_vec(payload)?;
    let mut text = String::with_capacity((header.len() + payload.len() + 64) * 4 / 3 + 8);
    URL_SAFE_NO_PAD.encode_string(header, &mut text);
    text.push('.');
    URL_SAFE_NO_PAD.encode_string(payload, &mut text);
    let signature = sign(text.as_bytes()).map_err(EncodeError::Sign)?;
    text.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut text);
    Ok(text)
}

/// Takes a text of at most `most` bytes apart. Verifies nothing.
///
/// # Errors
/// If it is not exactly of this form.
pub fn parse(text: &str, most: usize) -> Result<Jws<'_>, JwsError> {
    if text.len() > most {
        return Err(JwsError::TooLong(most));
    }
    let (signing_input, signature) = text.rsplit_once('.').ok_or(JwsError::Parts)?;
    let (header, payload) = signing_input.split_once('.').ok_or(JwsError::Parts)?;
    if payload.contains('.') {
        return Err(JwsError::Parts);
    }
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_not_base64| JwsError::Base64);
    let header = decode(header)?;
    let header: Header<'_> = serde_json::from_slice(&header).map_err(|error| JwsError::Header(error.to_string()))?;
    if header.alg != ALGORITHM {
        return Err(JwsError::Algorithm);
    }
    Ok(Jws {
        typ: header.typ.into_owned(),
        kid: header.kid.into_owned(),
        payload: decode(payload)?,
        signing_input: signing_input.as_bytes(),
        signature: decode(signature)?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn with_header(header: &str) -> String {
        format!("{}.e30.AAAA", URL_SAFE_NO_PAD.encode(header))
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_taken_apart_again(typ in "[ -~]{0,20}", kid in "\\PC{0,20}", payload in "\\PC{0,200}", signature: Vec<u8>) {
            let text = encode(&typ, &kid, &payload, |_| Ok::<_, ()>(signature.clone())).expect("signs");
            let jws = parse(&text, MAX_TOKEN).expect("was encoded");
            prop_assert_eq!(&jws.typ, &typ);
            prop_assert_eq!(&jws.kid, &kid);
            prop_assert_eq!(jws.payload, serde_json::to_vec(&payload).expect("a string"));
            prop_assert_eq!(jws.signature, signature);
            prop_assert!(text.as_bytes().starts_with(jws.signing_input));
        }

        #[test]
        fn no_text_brings_the_parser_down(text in "[A-Za-z0-9_.=-]{0,100}") {
            let _ = parse(&text, 64);
        }
    }

    #[test]
    fn only_the_one_form_is_taken() {
        let good = with_header(r#"{"alg":"ES256","kid":"k","typ":"JWT"}"#);
        assert_eq!(parse(&good, good.len()).map(|jws| (jws.typ, jws.kid)), Ok(("JWT".to_owned(), "k".to_owned())));
        assert_eq!(parse(&good, good.len() - 1), Err(JwsError::TooLong(good.len() - 1)));
        for text in ["", "e30", "e30.e30", &format!("{good}.AAAA")] {
            assert_eq!(parse(text, MAX_TOKEN), Err(JwsError::Parts), "{text}");
        }
        for text in [format!("{good}="), good.replace("e30", "e31"), good.replace("e30", "e3+"), good.replace("e30", "e30=")] {
            assert_eq!(parse(&text, MAX_TOKEN), Err(JwsError::Base64), "{text}");
        }
        for alg in ["none", "es256", "HS256", "ES384", ""] {
            let text = with_header(&format!(r#"{{"alg":"{alg}","kid":"k","typ":"JWT"}}"#));
            assert_eq!(parse(&text, MAX_TOKEN), Err(JwsError::Algorithm), "{alg}");
        }
    }

    #[test]
    fn a_header_with_anything_missing_doubled_or_more_is_refused() {
        for header in [
            "{}",
            "[]",
            r#"{"alg":"ES256","typ":"JWT"}"#,
            r#"{"alg":"ES256","kid":"k"}"#,
            r#"{"alg":"ES256","kid":"k","kid":"l","typ":"JWT"}"#,
            r#"{"alg":"ES256","kid":"k","typ":"JWT","crit":[]}"#,
            r#"{"alg":"ES256","kid":"k","typ":"JWT","jku":"https://evil.example"}"#,
            r#"{"alg":"ES256","kid":1,"typ":"JWT"}"#,
            r#"{"alg":"ES256","kid":"k","typ":"JWT"} x"#,
        ] {
            assert!(matches!(parse(&with_header(header), MAX_TOKEN), Err(JwsError::Header(_))), "{header}");
        }
    }
}
