//! From one pass to the lists as they are served: signed, with their entity tags.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use rcgen::SigningKey as _;
use ring::digest::{SHA256, digest};

use super::pass::{Made, Pass};
use super::{Lifetimes, ListsError};
use crate::formats::crl::{Crl, Revoked};
use crate::formats::status_index::Indices;
use crate::formats::status_list::{StatusList, StatusListToken};
use crate::formats::urls::Urls;
use crate::keys::{BACKDATED, Issuer, KeyError, Keyring, SigningKey};
use crate::model::{Position, Timestamp};

/// Bytes that are served, and the entity tag that names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Body {
    pub(crate) bytes: Bytes,
    pub(crate) tag: String,
}

/// A CRL as it is served.
#[derive(Clone, Debug)]
pub(crate) struct ServedCrl {
    pub(crate) body: Body,
    /// Its `cRLNumber`.
    pub(super) number: u64,
    /// Which pass it was made of.
    pub(super) made: Made,
}

/// A status list as it is served.
#[derive(Clone, Debug)]
pub(crate) struct ServedStatus {
    pub(crate) body: Body,
    pub(crate) gzip: Body,
}

/// Everything that is served.
#[derive(Clone, Debug, Default)]
pub(crate) struct Served {
    pub(super) made: Made,
    pub(super) crls: BTreeMap<Position, Arc<ServedCrl>>,
    pub(super) status: BTreeMap<u64, Arc<ServedStatus>>,
    /// The issuing keys for which nothing new can be said, each with the entry that cannot be read.
    pub(super) withheld: Vec<(Position, Position)>,
}

/// Gives the key that signs tokens now.
type TokenKey = Box<dyn Fn() -> Result<Arc<SigningKey>, KeyError> + Send + Sync>;

/// What lists are made with.
pub(super) struct Recipe {
    pub(super) keyring: Arc<Keyring>,
    pub(super) token_key: TokenKey,
    pub(super) urls: Urls,
    pub(super) indices: Indices,
    pub(super) lifetimes: Lifetimes,
}

impl Served {
    /// The CRL of an issuing key.
    pub(crate) fn crl(&self, key: Position) -> Option<&ServedCrl> {
        self.crls.get(&key).map(|crl| &**crl)
    }

    /// Whether the CRL of an issuing key is held back.
    pub(crate) fn withholds(&self, key: Position) -> bool {
        self.withheld.iter().any(|(withheld, _)| *withheld == key)
    }

    /// The status list with this number.
    pub(crate) fn status(&self, list: u64) -> Option<&ServedStatus> {
        self.status.get(&list).map(|list| &**list)
    }

    /// The numbers of all status lists, ascending.
    pub(crate) fn status_lists(&self) -> impl Iterator<Item = u64> {
        self.status.keys().copied()
    }
}

impl Recipe {
    /// Builds everything that `pass` says, after `last`.
    ///
    /// # Errors
    /// If a key does not sign.
    pub(super) fn build(&self, pass: &Pass, last: Option<&Served>) -> Result<Served, ListsError> {
        let mut served = Served { made: pass.made, ..Served::default() };
        for issuer in &self.keyring.issuers() {
            let key = issuer.key.number;
            let before = last.and_then(|last| last.crls.get(&key));
            let crl = match pass.unnameable(key) {
                None => Some(Arc::new(self.crl(issuer, pass, before.map(|crl| crl.number))?)),
                Some(entry) => {
                    served.withheld.push((key, entry));
                    before.map(Arc::clone)
                }
            };
            served.crls.extend(crl.map(|crl| (key, crl)));
        }
        for (number, list) in &pass.tokens {
            served.status.insert(*number, Arc::new(self.status(*number, list, pass.made.taken_at)?));
        }
        Ok(served)
    }

    /// The CRL of one issuing key: full, and good for as long as its lifetime from when the ledger was read.
    fn crl(&self, issuer: &Issuer, pass: &Pass, last: Option<u64>) -> Result<ServedCrl, ListsError> {
        let key = issuer.key.number;
        let (subject, key_identifier) = names(&issuer.certificate).ok_or(ListsError::Issuer(key))?;
        // For verifiers whose clocks are behind, as in certificates.
        let this_update = pass.made.taken_at.minus(BACKDATED);
        let crl = Crl {
            issuer: subject,
            key_identifier,
            number: last.map_or(0, |last| last.saturating_add(1)).max(pass.not_before.millis()),
            this_update,
            next_update: pass.made.taken_at.plus(self.lifetimes.crl),
        };
        let revoked = pass.certificates(key).map(|dead| Revoked {
            id: dead.id,
            at: pass.cut_at.get(&dead.cut).copied().unwrap_or(this_update).min(this_update),
            reason: dead.reason,
        });
        let der = crl.encode(revoked, |list| issuer.authority.key().sign(list)).map_err(|error| ListsError::Sign(error.to_string()))?;
        Ok(ServedCrl { body: Body::of(der), number: crl.number, made: pass.made })
    }

    fn status(&self, number: u64, list: &StatusList, taken_at: Timestamp) -> Result<ServedStatus, ListsError> {
        let token = StatusListToken {
            uri: self.urls.status_list(number),
            issued_at: taken_at,
            expires_at: Some(taken_at.plus(self.lifetimes.status)),
            ttl: Some(self.lifetimes.ttl),
            aggregation_uri: Some(self.urls.status_lists()),
            list: list.clone(),
        };
        let key = (self.token_key)().map_err(|error| ListsError::Sign(error.to_string()))?;
        let text = token.encode(&key.kid, |input| key.sign(input)).map_err(|error| ListsError::Sign(error.to_string()))?;
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        let gzip = gzip.write_all(text.as_bytes()).and_then(|()| gzip.finish()).map_err(|error| ListsError::Sign(error.to_string()))?;
        Ok(ServedStatus { body: Body::of(text.into_bytes()), gzip: Body::of(gzip) })
    }
}

impl Body {
    fn of(bytes: Vec<u8>) -> Self {
        Self { tag: entity_tag(&bytes), bytes: bytes.into() }
    }
}

/// The entity tag of what is served: the same for the same bytes, whoever serves them.
pub(crate) fn entity_tag(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// The subject of an issuer's certificate and its subject key identifier.
fn names(certificate: &[u8]) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
    use x509_parser::extensions::ParsedExtension;
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let key_identifier = certificate.extensions().iter().find_map(|extension| {
        if let ParsedExtension::SubjectKeyIdentifier(key) = extension.parsed_extension() { Some(key.0.to_vec()) } else { None }
    });
    Some((certificate.subject().as_raw().to_vec(), key_identifier))
}
