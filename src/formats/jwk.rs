//! Public keys: `SubjectPublicKeyInfo` (RFC 5280, section 4.1.2.7), the members of a JWK
//! (RFC 7517, RFC 7518 section 6.2, RFC 8037), and the thumbprint that names a key (RFC 7638).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use ring::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey};

/// DER of a P-256 `SubjectPublicKeyInfo` up to the coordinates of an uncompressed point.
const P256_PREFIX: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01,
    0x07, 0x03, 0x42, 0x00, 0x04,
];
/// DER of an Ed25519 `SubjectPublicKeyInfo` up to the key (RFC 8410, section 4).
const ED25519_PREFIX: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// A P-256 public key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct P256 {
    /// `04 || x || y` (SEC 1, section 2.3.3).
    point: [u8; 65],
}

impl std::fmt::Debug for P256 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "P256({})", self.thumbprint())
    }
}

impl P256 {
    /// The key in this `SubjectPublicKeyInfo`, if it is an uncompressed P-256 one.
    pub fn from_spki(spki: &[u8]) -> Option<Self> {
        let coordinates = spki.strip_prefix(P256_PREFIX)?;
        let (x, y) = coordinates.split_at_checked(32)?;
        Self::from_coordinates(x, y)
    }

    /// The key with these coordinates of 32 bytes each.
    pub fn from_coordinates(x: &[u8], y: &[u8]) -> Option<Self> {
        let (x, y): ([u8; 32], [u8; 32]) = (x.try_into().ok()?, y.try_into().ok()?);
        let mut point = [4; 65];
        let (_, coordinates) = point.split_at_mut(1);
        coordinates.iter_mut().zip(x.iter().chain(&y)).for_each(|(to, from)| *to = *from);
        Some(Self { point })
    }

    /// Its `SubjectPublicKeyInfo`, DER.
    pub fn to_spki(&self) -> Vec<u8> {
        [P256_PREFIX, self.point.get(1..).unwrap_or_default()].concat()
    }

    /// The point, uncompressed.
    pub const fn point(&self) -> &[u8; 65] {
        &self.point
    }

    /// `x` of its JWK.
    pub fn x(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.point.get(1..33).unwrap_or_default())
    }

    /// `y` of its JWK.
    pub fn y(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.point.get(33..).unwrap_or_default())
    }

    /// Its RFC 7638 thumbprint with SHA-256, base64url: how it is named.
    pub fn thumbprint(&self) -> String {
        let members = format!(r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#, self.x(), self.y());
        URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, members.as_bytes()))
    }

    /// Whether `signature` (r || s) is this key's ES256 over `message`.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.point).verify(message, signature).is_ok()
    }
}

/// An Ed25519 public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ed25519(pub [u8; 32]);

impl Ed25519 {
    /// The key in this `SubjectPublicKeyInfo`, if it is an Ed25519 one.
    pub fn from_spki(spki: &[u8]) -> Option<Self> {
        spki.strip_prefix(ED25519_PREFIX)?.try_into().ok().map(Self)
    }

    /// Its `SubjectPublicKeyInfo`, DER.
    pub fn to_spki(&self) -> Vec<u8> {
        [ED25519_PREFIX, &self.0].concat()
    }

    /// Whether `signature` is this key's over `message`.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(message, signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_from_its_subject_public_key_info() {
        let key = P256::from_coordinates(&[1; 32], &[2; 32]).expect("32 bytes each");
        assert_eq!(P256::from_spki(&key.to_spki()), Some(key));
        let edwards = Ed25519([3; 32]);
        assert_eq!(Ed25519::from_spki(&edwards.to_spki()), Some(edwards));
        assert_eq!(P256::from_spki(&edwards.to_spki()), None);
        assert_eq!(Ed25519::from_spki(&key.to_spki()), None);
        assert_eq!(P256::from_spki(&key.to_spki()[..90]), None);
        assert_eq!(P256::from_coordinates(&[1; 31], &[2; 32]), None);
    }

    /// The key of RFC 7515, appendix A.3, and its thumbprint as other libraries compute it.
    #[test]
    fn the_thumbprint_is_that_of_rfc_7638() {
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).expect("base64url");
        let x = decode("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU");
        let y = decode("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0");
        let key = P256::from_coordinates(&x, &y).expect("32 bytes each");
        assert_eq!(key.thumbprint(), "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U");
        let signed = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let signature = decode("DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q");
        assert!(key.verifies(signed.as_bytes(), &signature));
        assert!(!key.verifies(b"another", &signature));
    }
}
