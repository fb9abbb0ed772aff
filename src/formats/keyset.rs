//! The public keys: the document at `/v1/keys`, and the JWK set of the token keys for stock
//! libraries (RFC 7517) at `/.well-known/jwks.json`.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use super::jwk::{Ed25519, P256};
use crate::model::{KeyPurpose, Position, PublicKey, Timestamp, TrustDomain};

/// The document is refused beyond this many bytes.
pub const MAX_KEYS: usize = 1024 * 1024;

/// What the document says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// The domain whose identities are issued.
    pub trust_domain: TrustDomain,
    /// `iss` of tokens and lists.
    pub issuer: String,
    /// Each key with its number.
    pub keys: Vec<(Position, PublicKey)>,
}

/// Why a document is not a set of keys, or keys cannot be written as one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// It is not a JSON object of this shape.
    #[error("not a keys document: {0}")]
    Json(String),
    /// The trust domain is not one.
    #[error("the trust domain of the keys document is not valid")]
    TrustDomain,
    /// A key of a known purpose cannot be used.
    #[error("the {purpose} key `{kid}` cannot be used: {problem}")]
    Key {
        /// What it signs.
        purpose: KeyPurpose,
        /// Its name.
        kid: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

#[derive(Serialize, Deserialize)]
struct Document<'a> {
    trust_domain: String,
    issuer: String,
    #[serde(borrow)]
    keys: Vec<Jwk<'a>>,
}

/// One key. Members that are not here are ignored (RFC 7517, section 4).
#[derive(Serialize, Deserialize)]
struct Jwk<'a> {
    kty: &'a str,
    #[serde(default)]
    crv: &'a str,
    #[serde(default)]
    x: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    y: Option<String>,
    #[serde(rename = "use", default)]
    usage: &'a str,
    #[serde(default)]
    alg: &'a str,
    #[serde(default)]
    kid: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    x5c: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    purpose: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    n: Option<u64>,
    /// Unix milliseconds, as in the ledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    not_after: Option<u64>,
    /// The same, of a key that waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signs_from: Option<u64>,
}

#[derive(Serialize)]
struct JwkSet<'a> {
    keys: Vec<Jwk<'a>>,
}

/// The public key of a certificate, if it is a P-256 one.
pub fn certificate_key(der: &[u8]) -> Option<P256> {
    let (rest, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    rest.is_empty().then(|| P256::from_spki(certificate.public_key().raw)).flatten()
}

impl Keys {
    /// The document at `/v1/keys`: every key with its purpose, number and end.
    ///
    /// # Errors
    /// If a key's material is not what its purpose needs.
    pub fn to_json(&self) -> Result<String, KeysError> {
        let keys = self.keys.iter().map(|(number, key)| {
            Ok(Jwk {
                purpose: Some(key.purpose.to_string()),
                n: Some(number.get()),
                not_after: key.not_after.map(Timestamp::millis),
                signs_from: key.signs_from.map(Timestamp::millis),
                ..jwk(key)?
            })
        });
        let document = Document {
            trust_domain: self.trust_domain.to_string(),
            issuer: self.issuer.clone(),
            keys: keys.collect::<Result<_, KeysError>>()?,
        };
        serde_json::to_string(&document).map_err(|error| KeysError::Json(error.to_string()))
    }

    /// The JWK set of the token keys only: what verifies a token must not verify a list.
    ///
    /// # Errors
    /// If a key's material is not what its purpose needs.
    pub fn to_jwks(&self) -> Result<String, KeysError> {
        let tokens = self.keys.iter().filter(|(_, key)| key.purpose == KeyPurpose::Token);
        let set = JwkSet { keys: tokens.map(|(_, key)| jwk(key)).collect::<Result<_, _>>()? };
        serde_json::to_string(&set).map_err(|error| KeysError::Json(error.to_string()))
    }

    /// Reads the document at `/v1/keys`. A key whose purpose is not known here is left out, so that
    /// a newer broker does not stop an older verifier.
    ///
    /// # Errors
    /// If it is not such a document, or a key of a known purpose cannot be used.
    pub fn from_json(text: &str) -> Result<Self, KeysError> {
        if text.len() > MAX_KEYS {
            return Err(KeysError::Json(format!("longer than {MAX_KEYS} bytes")));
        }
        let document: Document<'_> = serde_json::from_str(text).map_err(|error| KeysError::Json(error.to_string()))?;
        let trust_domain = document.trust_domain.parse().map_err(|_not_a_domain| KeysError::TrustDomain)?;
        let known = document.keys.iter().filter_map(|jwk| Some((jwk.purpose.as_ref()?.parse().ok()?, jwk)));
        let keys = known.map(|(purpose, jwk)| public_key(purpose, jwk)).collect::<Result<_, _>>()?;
        Ok(Self { trust_domain, issuer: document.issuer, keys })
    }
}

fn jwk(key: &PublicKey) -> Result<Jwk<'static>, KeysError> {
    let unusable = |problem| KeysError::Key { purpose: key.purpose, kid: key.kid.clone(), problem };
    let elliptic = |point: P256, x5c| Jwk {
        kty: "EC",
        crv: "P-256",
        x: point.x(),
        y: Some(point.y()),
        usage: "sig",
        alg: "ES256",
        kid: key.kid.clone(),
        x5c,
        purpose: None,
        n: None,
        not_after: None,
        signs_from: None,
    };
    match key.purpose {
        KeyPurpose::Token | KeyPurpose::List => {
            P256::from_spki(&key.material).map(|point| elliptic(point, None)).ok_or_else(|| unusable("it is not a P-256 key"))
        }
        KeyPurpose::Issuer => certificate_key(&key.material)
            .map(|point| elliptic(point, Some(vec![STANDARD.encode(&key.material)])))
            .ok_or_else(|| unusable("it is not a certificate with a P-256 key")),
        KeyPurpose::Checkpoint => Ed25519::from_spki(&key.material)
            .map(|edwards| Jwk {
                kty: "OKP",
                crv: "Ed25519",
                x: URL_SAFE_NO_PAD.encode(edwards.0),
                y: None,
                usage: "sig",
                alg: "EdDSA",
                kid: key.kid.clone(),
                x5c: None,
                purpose: None,
                n: None,
                not_after: None,
                signs_from: None,
            })
            .ok_or_else(|| unusable("it is not an Ed25519 key")),
    }
}

fn public_key(purpose: KeyPurpose, found: &Jwk<'_>) -> Result<(Position, PublicKey), KeysError> {
    let unusable = |problem| KeysError::Key { purpose, kid: found.kid.clone(), problem };
    let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
    let material = match purpose {
        KeyPurpose::Token | KeyPurpose::List => {
            let point = bytes(&found.x).zip(found.y.as_deref().and_then(bytes));
            point.and_then(|(x, y)| P256::from_coordinates(&x, &y)).map(|point| point.to_spki())
        }
        KeyPurpose::Issuer => match found.x5c.as_deref() {
            Some([certificate]) => STANDARD.decode(certificate).ok(),
            Some(_) | None => None,
        },
        KeyPurpose::Checkpoint => bytes(&found.x).and_then(|key| key.try_into().ok()).map(|key| Ed25519(key).to_spki()),
    };
    let key = PublicKey {
        purpose,
        kid: found.kid.clone(),
        material: material.ok_or_else(|| unusable("its members are not valid"))?,
        not_after: found.not_after.map(Timestamp::from_millis),
        signs_from: found.signs_from.map(Timestamp::from_millis),
    };
    let number = found.n.map(Position::new).and_then(Position::non_zero).ok_or_else(|| unusable("it has no number `n`"))?;
    // The members say twice what the key is: they have to agree.
    let again = Jwk { purpose: None, n: None, not_after: None, signs_from: None, ..jwk(&key)? };
    let same = (again.kty, again.crv, again.alg, again.usage, &again.x, &again.y, &again.x5c)
        == (found.kty, found.crv, found.alg, found.usage, &found.x, &found.y, &found.x5c);
    if same { Ok((number, key)) } else { Err(unusable("its members contradict each other")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        let point = |byte| P256::from_coordinates(&[byte; 32], &[byte; 32]).expect("32 bytes");
        let key = |purpose, kid: &str, material| PublicKey { purpose, kid: kid.to_owned(), material, not_after: None, signs_from: None };
        Keys {
            trust_domain: "example.org".parse().expect("a trust domain"),
            issuer: "https://broker.example".to_owned(),
            keys: vec![
                (Position::new(2), key(KeyPurpose::Token, "t", point(1).to_spki())),
                (
                    Position::new(4),
                    PublicKey {
                        not_after: Some(Timestamp::from_millis(5)),
                        signs_from: Some(Timestamp::from_millis(4)),
                        ..key(KeyPurpose::List, "l", point(2).to_spki())
                    },
                ),
                (Position::new(5), key(KeyPurpose::Checkpoint, "c", Ed25519([3; 32]).to_spki())),
            ],
        }
    }

    #[test]
    fn the_document_reads_back() {
        assert_eq!(Keys::from_json(&keys().to_json().expect("usable")), Ok(keys()));
    }

    #[test]
    fn a_document_has_so_many_bytes_and_no_more() {
        let text = keys().to_json().expect("usable");
        let filled = |length: usize| text.clone() + &" ".repeat(length - text.len());
        assert_eq!(Keys::from_json(&filled(1 << 20)), Ok(keys()));
        for length in [(1 << 20) + 1, 1 << 21] {
            assert!(Keys::from_json(&filled(length)).is_err_and(|error| error.to_string().contains("longer than")), "{length}");
        }
    }

    #[test]
    fn the_jwk_set_holds_the_token_keys_and_nothing_that_stock_libraries_do_not_know() {
        let set: serde_json::Value = serde_json::from_str(&keys().to_jwks().expect("usable")).expect("JSON");
        let coordinate = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE";
        let key = serde_json::json!({
            "kty": "EC", "crv": "P-256", "x": coordinate, "y": coordinate, "use": "sig", "alg": "ES256", "kid": "t",
        });
        assert_eq!(set, serde_json::json!({ "keys": [key] }));
    }

    #[test]
    fn a_key_of_an_unknown_purpose_is_left_out_and_a_broken_one_is_not() {
        let text = keys().to_json().expect("usable");
        let newer = text.replacen(r#"{"kty""#, r#"{"kty":"RSA","n":7,"purpose":"status-list"},{"kty""#, 1);
        assert_eq!(Keys::from_json(&newer), Ok(keys()));
        for (from, to) in [
            (r#""crv":"P-256""#, r#""crv":"P-384""#),
            (r#""kty":"EC""#, r#""kty":"OKP""#),
            (r#""alg":"ES256""#, r#""alg":"none""#),
            (r#""use":"sig""#, r#""use":"enc""#),
            (r#""purpose":"token""#, r#""purpose":"checkpoint""#),
            (r#""purpose":"token""#, r#""purpose":"issuer""#),
            (r#""x":"AQEB"#, r#""x":"AQE"#),
            (r#""n":2"#, r#""n":0"#),
        ] {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text, "{from}");
            assert!(matches!(Keys::from_json(&changed), Err(KeysError::Key { .. })), "{to}");
        }
        assert_eq!(Keys::from_json(&text.replace("example.org", "Example.org")), Err(KeysError::TrustDomain));
        assert!(matches!(Keys::from_json("[]"), Err(KeysError::Json(_))));
    }
}
