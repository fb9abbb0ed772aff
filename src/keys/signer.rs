//! The seam to whatever holds a private key, and the keys that are held in memory.

use std::fmt;
use std::sync::Arc;

use rcgen::{PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use zeroize::Zeroizing;

use super::KeyError;
use crate::ambient::Entropy;
use crate::formats::jwk::{Ed25519, P256};

/// The key did not sign. Nothing more is known, and nothing was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signing key did not sign")]
pub(crate) struct SignError;

/// A private key, wherever it is held.
pub(crate) trait Signer: Send + Sync + fmt::Debug {
    /// Its `SubjectPublicKeyInfo`, DER.
    fn public_key(&self) -> &[u8];

    /// Signs: r || s for ES256 (RFC 7518, section 3.4), 64 bytes for Ed25519 (RFC 8032).
    ///
    /// # Errors
    /// If the key does not sign.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError>;

    /// How what holds the key answers. What is in memory always does.
    fn answering(&self) -> Answering {
        Answering::default()
    }
}

/// How something that signs answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answering {
    /// It does not, so that nothing should be asked of it now.
    pub(crate) silent: bool,
    /// Signatures that were not made.
    pub(crate) failures: u64,
}

/// PKCS#8 DER, wiped when dropped.
pub(super) type Pkcs8 = Zeroizing<Vec<u8>>;

/// A P-256 key in memory.
pub(super) struct MemoryP256 {
    pair: EcdsaKeyPair,
    public_key: Vec<u8>,
    entropy: Entropy,
}

impl MemoryP256 {
    pub(super) fn generate(entropy: &Entropy) -> Result<Pkcs8, KeyError> {
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, entropy.generator());
        document
            .map(|pkcs8| Zeroizing::new(pkcs8.as_ref().to_vec()))
            .map_err(|ring::error::Unspecified| KeyError::Generate("no random bytes"))
    }

    pub(super) fn open(what: &'static str, pkcs8: &[u8], entropy: &Entropy) -> Result<Self, KeyError> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, entropy.generator())
            .map_err(|rejected| KeyError::unusable(what, format_args!("it has to be an ECDSA P-256 key in PKCS#8 ({rejected})")))?;
        let (x, y) = pair.public_key().as_ref().get(1..).and_then(|point| point.split_at_checked(32)).unwrap_or_default();
        let public_key = P256::from_coordinates(x, y).ok_or_else(|| KeyError::unusable(what, "its public point is compressed"))?.to_spki();
        Ok(Self { pair, public_key, entropy: entropy.clone() })
    }
}

impl Signer for MemoryP256 {
    fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let signature = self.pair.sign(self.entropy.generator(), message);
        signature.map(|signature| signature.as_ref().to_vec()).map_err(|ring::error::Unspecified| SignError)
    }
}

impl fmt::Debug for MemoryP256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryP256(..)")
    }
}

/// An Ed25519 key in memory.
pub(super) struct MemoryEd25519 {
    pair: Ed25519KeyPair,
    public_key: Vec<u8>,
}

impl MemoryEd25519 {
    pub(super) fn generate(entropy: &Entropy) -> Result<Pkcs8, KeyError> {
        let document = Ed25519KeyPair::generate_pkcs8(entropy.generator());
        document
            .map(|pkcs8| Zeroizing::new(pkcs8.as_ref().to_vec()))
            .map_err(|ring::error::Unspecified| KeyError::Generate("no random bytes"))
    }

    pub(super) fn open(what: &'static str, pkcs8: &[u8]) -> Result<Self, KeyError> {
        // OpenSSL writes PKCS#8 without the public half; ring then derives it.
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8)
            .map_err(|rejected| KeyError::unusable(what, format_args!("it has to be an Ed25519 key in PKCS#8 ({rejected})")))?;
        let key = pair.public_key().as_ref().try_into().map_err(|_length| KeyError::unusable(what, "its public half is not 32 bytes"))?;
        Ok(Self { pair, public_key: Ed25519(key).to_spki() })
    }
}

impl Signer for MemoryEd25519 {
    fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        Ok(self.pair.sign(message).as_ref().to_vec())
    }
}

impl fmt::Debug for MemoryEd25519 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryEd25519(..)")
    }
}

/// A P-256 signer as rcgen wants it: X.509 holds ECDSA signatures as DER (RFC 3279, section 2.2.3).
#[derive(Debug)]
pub(crate) struct X509Signer {
    signer: Arc<dyn Signer>,
    key: P256,
}

impl X509Signer {
    pub(super) fn new(what: &'static str, signer: Arc<dyn Signer>) -> Result<Self, KeyError> {
        let key = P256::from_spki(signer.public_key()).ok_or_else(|| KeyError::unusable(what, "it is not a P-256 key"))?;
        Ok(Self { signer, key })
    }

    /// Its public key.
    pub(crate) const fn key(&self) -> &P256 {
        &self.key
    }
}

impl PublicKeyData for X509Signer {
    fn der_bytes(&self) -> &[u8] {
        self.key.point()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for X509Signer {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature = self.signer.sign(message).map_err(|SignError| rcgen::Error::RemoteKeyError)?;
        ecdsa_der(&signature).ok_or(rcgen::Error::RemoteKeyError)
    }
}

/// `ECDSA-Sig-Value` of r || s.
fn ecdsa_der(signature: &[u8]) -> Option<Vec<u8>> {
    let (r, s) = signature.split_at_checked(32).filter(|(_, s)| s.len() == 32)?;
    let mut integers = Vec::with_capacity(70);
    for half in [r, s] {
        let magnitude: Vec<u8> = half.iter().copied().skip_while(|byte| *byte == 0).collect();
        let sign = magnitude.first().is_none_or(|first| *first >= 0x80);
        integers.extend([0x02, u8::try_from(magnitude.len()).ok()?.checked_add(u8::from(sign))?]);
        integers.extend(sign.then_some(0));
        integers.extend(magnitude);
    }
    let length = u8::try_from(integers.len()).ok()?;
    Some([&[0x30, length], integers.as_slice()].concat())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};

    use super::*;

    #[test]
    fn both_forms_of_a_signature_verify() {
        let entropy = Entropy::system();
        let pkcs8 = MemoryP256::generate(&entropy).expect("random bytes");
        let key = MemoryP256::open("key", &pkcs8, &entropy).expect("just made");
        let public = P256::from_spki(key.public_key()).expect("P-256");
        for round in 0..50u8 {
            let signature = key.sign(&[round]).expect("signs");
            assert!(public.verifies(&[round], &signature));
            let der = ecdsa_der(&signature).expect("64 bytes");
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, public.point()).verify(&[round], &der).expect("the same signature");
        }
    }

    #[test]
    fn an_ed25519_signature_verifies() {
        let pkcs8 = MemoryEd25519::generate(&Entropy::system()).expect("random bytes");
        let key = MemoryEd25519::open("key", &pkcs8).expect("just made");
        let public = Ed25519::from_spki(key.public_key()).expect("Ed25519");
        assert!(public.verifies(b"message", &key.sign(b"message").expect("signs")));
    }

    #[test]
    fn a_key_of_another_kind_is_refused_without_being_shown() {
        let entropy = Entropy::system();
        let edwards = MemoryEd25519::generate(&entropy).expect("random bytes");
        let error = MemoryP256::open("token key", &edwards, &entropy).expect_err("Ed25519");
        assert!(error.to_string().starts_with("the token key cannot be used: it has to be an ECDSA P-256 key in PKCS#8"), "{error}");
        let elliptic = MemoryP256::generate(&entropy).expect("random bytes");
        assert!(MemoryEd25519::open("checkpoint key", &elliptic).is_err());
    }

    proptest! {
        #[test]
        fn integers_are_as_short_as_they_go_and_never_negative(r: [u8; 32], s: [u8; 32], zeros in 0..32usize) {
            let (mut r, s) = (r, s);
            r[..zeros].fill(0);
            let der = ecdsa_der(&[r, s].concat()).expect("64 bytes");
            let (rest, integers) = x509_parser::der_parser::parse_der(&der).expect("DER");
            prop_assert!(rest.is_empty());
            let read = integers.as_sequence().expect("a sequence").iter().map(|half| half.as_biguint().expect("not negative").to_bytes_be());
            let trimmed = |half: [u8; 32]| { let start = half.iter().position(|byte| *byte != 0).unwrap_or(31); half[start..].to_vec() };
            prop_assert_eq!(read.collect::<Vec<_>>(), vec![trimmed(r), trimmed(s)]);
        }
    }
}
