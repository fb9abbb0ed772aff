//! The SPIFFE bundle of the broker's trust domain (SPIFFE Trust Domain and Bundle, section 4): what
//! its issuer and its token key sign, and nothing of other authorities of the domain.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::formats::keyset::{Keys, KeysError, certificate_key};
use crate::model::KeyPurpose;

/// The bundle, JSON. `sequence` grows with each change of it; look for another after `refresh`.
///
/// # Errors
/// If a key's material is not what its purpose needs.
pub(super) fn encode(keys: &Keys, sequence: u64, refresh: Duration) -> Result<String, KeysError> {
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
    bundle = json!({ "spiffe_sequence": sequence, "spiffe_refresh_hint": refresh.as_secs(), "keys": entries });
    Ok(bundle.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ambient::Entropy;
    use crate::keys::Material;
    use crate::model::{Position, Timestamp};

    #[test]
    fn it_holds_the_issuer_and_the_token_key_and_no_other() {
        let trust_domain = "a.example".parse().expect("a domain");
        let material = Material::generate(&trust_domain, &Entropy::system(), Timestamp::from_seconds(1_780_272_000)).expect("keys");
        let keys = material.public_keys().into_iter().zip(2..).map(|(key, number)| (Position::new(number), key)).collect();
        let keys = Keys { trust_domain, issuer: "https://curfew.a.example".to_owned(), keys };
        let bundle: Value = serde_json::from_str(&encode(&keys, 5, Duration::from_secs(60)).expect("encoded")).expect("JSON");
        assert_eq!((&bundle["spiffe_sequence"], &bundle["spiffe_refresh_hint"]), (&json!(5), &json!(60)));
        let members =
            |of: &str| bundle["keys"].as_array().expect("a list").iter().filter(|key| key["use"] == of).cloned().collect::<Vec<_>>();
        let [x509] = &*members("x509-svid") else { panic!("one issuer: {bundle}") };
        let [jwt] = &*members("jwt-svid") else { panic!("one token key: {bundle}") };
        assert_eq!(bundle["keys"].as_array().map(Vec::len), Some(2));
        assert_eq!((x509["x5c"].as_array().map(Vec::len), x509.get("kid")), (Some(1), None));
        assert_eq!((jwt["alg"].as_str(), jwt["kid"].is_string()), (Some("ES256"), true));
    }
}
