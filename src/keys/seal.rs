//! Private keys at rest, sealed: PKCS#8 `EncryptedPrivateKeyInfo` (RFC 5958, section 3) by scrypt and
//! AES-256-CBC (PBES2; RFC 8018, RFC 7914), which OpenSSL reads and writes too.
//!
//! The format hides a key and does not authenticate it: what was altered is found by the public half
//! that stands beside the private one. Where keys have to be sealed, a key that is not is refused, so
//! that who can write the folder and does not know the secret cannot bring a key of his own.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pkcs5::EncryptionScheme;
use pkcs5::pbes2::{self, Kdf};
use pkcs5::scrypt::Params;
use pkcs8::EncryptedPrivateKeyInfo;
use pkcs8::der::{Decode as _, Encode as _, SecretDocument};
use zeroize::Zeroizing;

use super::signer::{MemoryEd25519, MemoryP256, Pkcs8};
use super::{KeyError, pem};
use crate::ambient::Entropy;

/// scrypt with 16 MiB, five times over: what OWASP asks of a passphrase, in as much memory as
/// OpenSSL allows without being told.
const LOG_N: u8 = 14;
const R: u32 = 8;
const P: u32 = 5;

/// More than this is not a stronger seal but a file that was made to exhaust its reader.
const MOST_MEMORY: u64 = 1 << 30;
const MOST_PASSES: u16 = 64;
const MOST_ITERATIONS: u32 = 10_000_000;

/// The fewest characters of a secret under which something is sealed.
const SHORTEST: usize = 12;

/// A passphrase or a key-encryption key. `Debug` shows none of it.
#[derive(PartialEq, Eq)]
pub(crate) struct SealingSecret(Zeroizing<String>);

impl fmt::Debug for SealingSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingSecret(..)")
    }
}

impl SealingSecret {
    /// The first line of a text, without its end: what OpenSSL takes from `-passin file:`.
    ///
    /// # Errors
    /// If the line is empty.
    pub(crate) fn first_line(text: &str) -> Result<Self, KeyError> {
        match text.split('\n').next() {
            Some(line) if !line.is_empty() => Ok(Self(Zeroizing::new(line.to_owned()))),
            _ => Err(KeyError::unusable("sealing secret", "its first line is empty; write the passphrase there")),
        }
    }

    /// A new key-encryption key of 256 random bits, with the text of its file.
    ///
    /// # Errors
    /// If there are no random bytes.
    pub(crate) fn generate(entropy: &Entropy) -> Result<(Self, Zeroizing<String>), KeyError> {
        let bytes = Zeroizing::new(entropy.bytes::<32>().map_err(|_no_entropy| KeyError::Generate("no random bytes"))?);
        let secret = Zeroizing::new(URL_SAFE_NO_PAD.encode(*bytes));
        let mut text = Zeroizing::new(String::with_capacity(secret.len() + 1));
        text.push_str(&secret);
        text.push('\n');
        Ok((Self(secret), text))
    }

    /// Refuses what is too short to seal anything under.
    ///
    /// # Errors
    /// If it has fewer than 12 characters.
    pub(crate) fn long_enough(self) -> Result<Self, KeyError> {
        if self.0.chars().count() < SHORTEST {
            return Err(KeyError::unusable("sealing secret", format_args!("take at least {SHORTEST} characters")));
        }
        Ok(self)
    }
}

/// Whether a PEM text holds a sealed key.
pub(crate) fn is_sealed(text: &str) -> bool {
    text.lines().any(|line| line.trim_end() == concat!("-----BEGIN ", "ENCRYPTED PRIVATE KEY-----"))
}

/// Seals a private key: PEM in, PEM out.
///
/// # Errors
/// If it is not a key that this broker can use, or there are no random bytes.
pub(crate) fn seal(what: &'static str, text: &str, secret: &SealingSecret, entropy: &Entropy) -> Result<Zeroizing<String>, KeyError> {
    let pkcs8 = usable(what, pem::private_key(what, text)?, entropy)?;
    let random = |_no_entropy| KeyError::Generate("no random bytes");
    let (salt, iv) = (entropy.bytes::<16>().map_err(random)?, entropy.bytes::<16>().map_err(random)?);
    let refused = |error: &dyn fmt::Display| KeyError::unusable(what, format_args!("it cannot be sealed: {error}"));
    let params = Params::new(LOG_N, R, P, Params::RECOMMENDED_LEN).map_err(|error| refused(&error))?;
    let scheme = pbes2::Parameters::scrypt_aes256cbc(params, &salt, &iv).map_err(|error| refused(&error))?;
    let sealed = scheme.encrypt(secret.0.as_bytes(), &pkcs8).map_err(|error| refused(&error))?;
    let info = EncryptedPrivateKeyInfo { encryption_algorithm: scheme.into(), encrypted_data: &sealed };
    Ok(pem::write(pem::SEALED, &info.to_der().map_err(|error| refused(&error))?))
}

/// Opens a sealed private key: PEM in, PEM out.
///
/// # Errors
/// If the secret is another one, or the file was truncated or altered: the two look alike.
pub(crate) fn unseal(what: &'static str, text: &str, secret: &SealingSecret, entropy: &Entropy) -> Result<Zeroizing<String>, KeyError> {
    let (label, document) = SecretDocument::from_pem(text).map_err(|_shows_nothing| damaged(what))?;
    let sealed = EncryptedPrivateKeyInfo::from_der(document.as_bytes()).map_err(|_shows_nothing| damaged(what))?;
    if label != pem::SEALED || !bounded(&sealed.encryption_algorithm) {
        return Err(damaged(what));
    }
    let mut buffer = Zeroizing::new(sealed.encrypted_data.to_vec());
    let opened = sealed.encryption_algorithm.decrypt_in_place(secret.0.as_bytes(), &mut buffer);
    let opened = opened.map_err(|_shows_nothing| does_not_open(what))?;
    let pkcs8 = usable(what, Zeroizing::new(opened.to_vec()), entropy).map_err(|_shows_nothing| does_not_open(what))?;
    Ok(pem::write(pem::OPEN, &pkcs8))
}

fn damaged(what: &'static str) -> KeyError {
    KeyError::unusable(
        what,
        "it has to be PEM with one section `ENCRYPTED PRIVATE KEY`, by PBES2 with scrypt or PBKDF2 and AES; it was truncated or altered",
    )
}

fn does_not_open(what: &'static str) -> KeyError {
    KeyError::unusable(what, "it does not open: it was sealed under another secret, or was altered since")
}

/// Whether opening it takes bounded memory and time.
fn bounded(scheme: &EncryptionScheme<'_>) -> bool {
    match scheme.pbes2().map(|parameters| &parameters.kdf) {
        Some(Kdf::Scrypt(scrypt)) => {
            let memory = scrypt.cost_parameter.saturating_mul(128).saturating_mul(u64::from(scrypt.block_size));
            memory <= MOST_MEMORY && scrypt.parallelization <= MOST_PASSES
        }
        Some(Kdf::Pbkdf2(pbkdf2)) => pbkdf2.iteration_count <= MOST_ITERATIONS,
        _ => false,
    }
}

/// The key, if it is one of the two sorts that sign here: what opens by accident is neither.
fn usable(what: &'static str, pkcs8: Pkcs8, entropy: &Entropy) -> Result<Pkcs8, KeyError> {
    if MemoryEd25519::open(what, &pkcs8).is_err() {
        MemoryP256::open(what, &pkcs8, entropy)?;
    }
    Ok(pkcs8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::Config;

    use super::*;

    fn secret(text: &str) -> SealingSecret {
        SealingSecret::first_line(text).expect("not empty")
    }

    fn key() -> Zeroizing<String> {
        pem::write(pem::OPEN, &MemoryP256::generate(&Entropy::system()).expect("random bytes"))
    }

    #[test]
    fn a_sealed_key_opens_with_its_secret_alone() {
        let entropy = Entropy::system();
        let edwards = pem::write(pem::OPEN, &MemoryEd25519::generate(&entropy).expect("random bytes"));
        for key in [key(), edwards] {
            let sealed = seal("token key", &key, &secret("correct horse battery\nstaple"), &entropy).expect("sealed");
            assert!(is_sealed(&sealed) && !is_sealed(&key));
            assert_eq!(unseal("token key", &sealed, &secret("correct horse battery"), &entropy).expect("opens"), key);
            for wrong in ["correct horse batter", "correct horse battery ", "x"] {
                let error = unseal("token key", &sealed, &secret(wrong), &entropy).expect_err("another secret").to_string();
                assert_eq!(
                    error,
                    "the token key cannot be used: it does not open: it was sealed under another secret, or was altered since"
                );
            }
        }
    }

    #[test]
    fn the_same_key_never_looks_the_same_twice() {
        let (entropy, key) = (Entropy::system(), key());
        let [one, other] = [(); 2].map(|()| seal("key", &key, &secret("correct horse battery"), &entropy).expect("sealed"));
        assert_ne!(one, other);
    }

    #[test]
    fn what_would_exhaust_its_reader_is_refused_before_it_does() {
        let entropy = Entropy::system();
        let scrypt = |log_n, r, p| pbes2::Parameters::scrypt_aes256cbc(Params::new(log_n, r, p, 32).expect("sound"), &[7; 16], &[7; 16]);
        let sealed = |scheme: pkcs5::Result<pbes2::Parameters<'_>>| {
            let info = EncryptedPrivateKeyInfo { encryption_algorithm: scheme.expect("sound").into(), encrypted_data: &[7; 64] };
            pem::write(pem::SEALED, &info.to_der().expect("small"))
        };
        let long = pbes2::Parameters::pbkdf2_sha256_aes256cbc(100_000_000, &[7; 16], &[7; 16]);
        for text in [sealed(scrypt(30, 8, 1)), sealed(scrypt(14, 8, 65)), sealed(long)] {
            let error = unseal("key", &text, &secret("correct horse battery"), &entropy).expect_err("too much").to_string();
            assert!(error.contains("truncated or altered"), "{error}");
        }
    }

    #[test]
    fn a_secret_is_long_enough_and_never_shown() {
        let (made, text) = SealingSecret::generate(&Entropy::system()).expect("random bytes");
        assert_eq!((made.0.len(), text.as_str()), (43, format!("{}\n", *made.0).as_str()));
        assert!(!format!("{made:?}").contains(made.0.as_str()));
        assert!(made.long_enough().is_ok());
        assert!(secret("elevenchars").long_enough().expect_err("short").to_string().contains("at least 12"));
        for empty in ["", "\nsecond line"] {
            assert!(SealingSecret::first_line(empty).is_err());
        }
    }

    proptest! {
        #![proptest_config(Config::with_cases(64))]

        #[test]
        fn a_file_that_was_truncated_or_altered_never_opens(at in 0..1000usize, bit in 0..6u8, cut: bool) {
            let (entropy, secret) = (Entropy::system(), secret("correct horse battery"));
            let sealed = seal("key", &key(), &secret, &entropy).expect("sealed");
            let mut bytes = sealed.as_bytes().to_vec();
            let at = at % (bytes.len() - 1);
            if cut { bytes.truncate(at) } else { bytes[at] ^= 1 << bit }
            let altered = String::from_utf8(bytes).expect("ASCII");
            let outcome = unseal("key", &altered, &secret, &entropy);
            // A line break that became another white space changes nothing.
            prop_assume!(cut || !sealed.as_bytes()[at].is_ascii_whitespace());
            let error = outcome.expect_err("altered").to_string();
            prop_assert!(error.starts_with("the key cannot be used: it "), "{}", error);
        }
    }
}
