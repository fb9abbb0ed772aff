//! The SPIFFE bundle of the broker's trust domain (SPIFFE Trust Domain and Bundle, section 4): what
//! its issuer and its token key sign, and nothing of other authorities of the domain.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::formats::keyset::{Keys, KeysError, certificate_key};
use crate::model::{KeyPurpose, Position};

/// How often to look for a new bundle, in seconds.
const REFRESH_HINT: u64 = 60;

/// The bundle, JSON. `sequence` never goes back.
///
/// # Errors
/// If a key's material is not what its purpose needs.
pub(super) fn encode(keys: &Keys, sequence: Position) -> Result<String, KeysError> {
    let json = |error: serde_json::Error| KeysError::Json(error.to_string());
    let mut bundle: Value = serde_json::from_str(&keys.to_jwks()?).map_err(json)?;
    let mut entries = Vec::new();
    for (_, key) in keys.keys.iter().filter(|(_, key)| key.purpose == KeyPurpose::Issuer) {
        let unusable =
            || KeysError::Key { purpose: key.purpose, kid: key.kid.clone(), problem: "it is not a certificate with a P-256 key" };
        let point = certificate_key(&key.material).ok_or_else(unusable)?;
        entries.push(json!({
            "kty": "EC", "crv": "P-256", "x": point.x(), "y": point.y(),
            "use": "x509-svid", "x5c": [STANDARD.encode(&key.material)],
        }));
    }
    for token in bundle.get_mut("keys").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(members) = token.as_object_mut() {
            members.insert("use".to_owned(), "jwt-svid".into());
        }
        entries.push(token.take());
    }
    bundle = json!({ "spiffe_sequence": sequence.get(), "spiffe_refresh_hint": REFRESH_HINT, "keys": entries });
    Ok(bundle.to_string())
}
