//! The keys that are trusted, from the document at `/v1/keys`.

use rustls_pki_types::{CertificateDer, TrustAnchor};

use crate::formats::jwk::P256;
use crate::formats::keyset::{Keys, KeysError};
use crate::model::{KeyPurpose, Position, PublicKey, Timestamp, TrustDomain};

/// Why a document gives no key set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// It is not a keys document.
    #[error(transparent)]
    Document(#[from] KeysError),
    /// The issuer's certificate cannot be a trust anchor.
    #[error("the issuer certificate `{0}` cannot be used")]
    Issuer(String),
}

/// The public keys of one broker. Whoever supplies it decides whom to trust: fetch it over an
/// authenticated connection.
#[derive(Clone, Debug)]
pub struct KeySet {
    pub(super) trust_domain: TrustDomain,
    pub(super) issuer: String,
    pub(super) tokens: Vec<Key<P256>>,
    pub(super) lists: Vec<Key<P256>>,
    pub(super) issuers: Vec<Key<Anchor>>,
}

/// A key with what is known of it.
#[derive(Clone, Debug)]
pub(super) struct Key<K> {
    pub(super) number: Position,
    pub(super) kid: String,
    pub(super) not_after: Option<Timestamp>,
    pub(super) key: K,
}

impl<K> Key<K> {
    pub(super) fn has_ended(&self, now: Timestamp) -> bool {
        self.not_after.is_some_and(|end| now > end)
    }
}

/// An issuer's certificate as a trust anchor. Each issuing key has a subject of its own.
#[derive(Clone, Debug)]
pub(super) struct Anchor {
    pub(super) anchor: TrustAnchor<'static>,
    /// The whole DER of its subject.
    pub(super) subject: Vec<u8>,
}

impl KeySet {
    /// Whether credentials that this key signed may be good.
    pub(super) fn has(&self, number: Position, now: Timestamp) -> bool {
        let tokens = self.tokens.iter().map(|key| (key.number, key.has_ended(now)));
        let issuers = self.issuers.iter().map(|key| (key.number, key.has_ended(now)));
        tokens.chain(issuers).any(|(known, ended)| known == number && !ended)
    }

    /// Reads the document at `/v1/keys`.
    ///
    /// # Errors
    /// If it is not one, or a key in it cannot be used.
    pub fn from_json(text: &str) -> Result<Self, KeySetError> {
        let document = Keys::from_json(text)?;
        let elliptic = |purpose| {
            let of_purpose = document.keys.iter().filter(move |(_, key)| key.purpose == purpose);
            of_purpose.filter_map(|(number, key)| Some(described(*number, key, P256::from_spki(&key.material)?))).collect()
        };
        let issuers = document.keys.iter().filter(|(_, key)| key.purpose == KeyPurpose::Issuer);
        Ok(Self {
            tokens: elliptic(KeyPurpose::Token),
            lists: elliptic(KeyPurpose::List),
            issuers: issuers
                .map(|(number, key)| Ok(described(*number, key, anchor(key).ok_or_else(|| KeySetError::Issuer(key.kid.clone()))?)))
                .collect::<Result<_, KeySetError>>()?,
            trust_domain: document.trust_domain,
            issuer: document.issuer,
        })
    }
}

fn described<K>(number: Position, of: &PublicKey, key: K) -> Key<K> {
    Key { number, kid: of.kid.clone(), not_after: of.not_after, key }
}

fn anchor(key: &PublicKey) -> Option<Anchor> {
    let (_, certificate) = x509_parser::parse_x509_certificate(&key.material).ok()?;
    let subject = certificate.subject().as_raw().to_vec();
    let anchor = webpki::anchor_from_trusted_cert(&CertificateDer::from(key.material.as_slice())).ok()?.to_owned();
    Some(Anchor { anchor, subject })
}
