//! Certificate revocation lists (RFC 5280, section 5): of one issuing key, with everything that it signed
//! in their scope, so without an issuing distribution point; each entry with its reason.
//!
//! Written as a stream of entries: a hundred thousand of them need little more than their own bytes. Read
//! likewise, one entry after the other.

use chrono::{DateTime, Utc};

use super::der::{
    BIT_STRING, ENUMERATED, GENERALIZED_TIME, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE, UTC_TIME, element, integer, read,
    unsigned, write,
};
use crate::model::{CredentialId, Reason, Timestamp};

/// `ecdsa-with-SHA256` (RFC 5758, section 3.2): 1.2.840.10045.4.3.2.
const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
/// id-ce-cRLNumber: 2.5.29.20.
const CRL_NUMBER: &[u8] = &[0x55, 0x1d, 0x14];
/// id-ce-cRLReasons: 2.5.29.21.
const REASON: &[u8] = &[0x55, 0x1d, 0x15];
/// id-ce-authorityKeyIdentifier: 2.5.29.35.
const AUTHORITY_KEY: &[u8] = &[0x55, 0x1d, 0x23];
/// `[0]`, constructed: the extensions of a list.
const EXTENSIONS: u8 = 0xa0;
/// `[0] IMPLICIT` key identifier.
const KEY_IDENTIFIER: u8 = 0x80;
/// Up to here a time is a `UTCTime` (RFC 5280, section 5.1.2.4): the first second of 2050.
const GENERALIZED_FROM: u64 = 2_524_608_000;

/// What a list says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crl {
    /// The subject of the issuer's certificate, DER.
    pub issuer: Vec<u8>,
    /// Its subject key identifier, if it has one.
    pub key_identifier: Option<Vec<u8>>,
    /// Higher than in every list before.
    pub number: u64,
    /// When it was made.
    pub this_update: Timestamp,
    /// Until when it is good.
    pub next_update: Timestamp,
}

/// One certificate that is revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// Its serial number.
    pub id: CredentialId,
    /// When it was revoked.
    pub at: Timestamp,
    /// Why.
    pub reason: Reason,
}

impl Crl {
    /// Signs a list of these certificates; `sign` answers an `ECDSA-Sig-Value` of P-256 with SHA-256, DER.
    ///
    /// # Errors
    /// If `sign` does not sign.
    pub fn encode<E>(&self, revoked: impl Iterator<Item = Revoked>, sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>) -> Result<Vec<u8>, E> {
        let signed_with = element(SEQUENCE, &[&element(OBJECT_IDENTIFIER, &[ECDSA_SHA256])]);
        let mut fields = element(INTEGER, &[&[1]]);
        fields.extend_from_slice(&signed_with);
        fields.extend_from_slice(&self.issuer);
        fields.extend_from_slice(&time(self.this_update));
        fields.extend_from_slice(&time(self.next_update));
        let entries = entries(revoked);
        if !entries.is_empty() {
            write(&mut fields, SEQUENCE, &entries);
        }
        drop(entries);
        write(&mut fields, EXTENSIONS, &self.extensions());
        let mut list = Vec::with_capacity(fields.len() + 128);
        write(&mut list, SEQUENCE, &fields);
        drop(fields);
        let signature = sign(&list)?;
        list.extend_from_slice(&signed_with);
        write(&mut list, BIT_STRING, &[&[0], signature.as_slice()].concat());
        let mut der = Vec::with_capacity(list.len() + 8);
        write(&mut der, SEQUENCE, &list);
        Ok(der)
    }

    fn extensions(&self) -> Vec<u8> {
        let extension = |oid, value: &[u8]| element(SEQUENCE, &[&element(OBJECT_IDENTIFIER, &[oid]), &element(OCTET_STRING, &[value])]);
        let number = extension(CRL_NUMBER, &element(INTEGER, &[&integer(self.number)]));
        let authority = |key: &Vec<u8>| extension(AUTHORITY_KEY, &element(SEQUENCE, &[&element(KEY_IDENTIFIER, &[key])]));
        let authority = self.key_identifier.as_ref().map(authority).unwrap_or_default();
        element(SEQUENCE, &[&authority, &number])
    }
}

fn entries(revoked: impl Iterator<Item = Revoked>) -> Vec<u8> {
    let mut entries = Vec::new();
    // Most were revoked by one cut, and so at one instant.
    let mut last = (Timestamp::EPOCH, time(Timestamp::EPOCH));
    let mut entry = Vec::with_capacity(64);
    for one in revoked {
        if last.0 != one.at {
            last = (one.at, time(one.at));
        }
        entry.clear();
        write(&mut entry, INTEGER, &unsigned(one.id.as_bytes()));
        entry.extend_from_slice(&last.1);
        entry.extend_from_slice(&reason(one.reason));
        write(&mut entries, SEQUENCE, &entry);
    }
    entries
}

/// The extensions of an entry: its reason, alone, and never `unspecified` (RFC 5280, section 5.3.1).
fn reason(reason: Reason) -> Vec<u8> {
    let value = element(ENUMERATED, &[&[reason.code()]]);
    element(SEQUENCE, &[&element(SEQUENCE, &[&element(OBJECT_IDENTIFIER, &[REASON]), &element(OCTET_STRING, &[&value])])])
}

fn time(at: Timestamp) -> Vec<u8> {
    let instant = i64::try_from(at.seconds()).ok().and_then(|seconds| DateTime::<Utc>::from_timestamp(seconds, 0)).unwrap_or_default();
    if at.seconds() < GENERALIZED_FROM {
        element(UTC_TIME, &[instant.format("%y%m%d%H%M%SZ").to_string().as_bytes()])
    } else {
        element(GENERALIZED_TIME, &[instant.format("%Y%m%d%H%M%SZ").to_string().as_bytes()])
    }
}

/// The serial numbers and reasons in a list that [`Crl::encode`] wrote, in its order; `None` if it is none.
/// Verifies nothing.
pub fn revoked(der: &[u8]) -> Option<Vec<(CredentialId, Reason)>> {
    let mut input = der;
    let mut list = read(&mut input, SEQUENCE)?;
    let mut fields = read(&mut list, SEQUENCE)?;
    read(&mut fields, INTEGER)?;
    read(&mut fields, SEQUENCE)?;
    read(&mut fields, SEQUENCE)?;
    for _update in 0..2 {
        read(&mut fields, UTC_TIME).or_else(|| read(&mut fields, GENERALIZED_TIME))?;
    }
    let mut entries = read(&mut fields, SEQUENCE).unwrap_or_default();
    read(&mut fields, EXTENSIONS)?;
    let mut found = Vec::new();
    while !entries.is_empty() {
        let mut entry = read(&mut entries, SEQUENCE)?;
        let id = CredentialId::from_serial(read(&mut entry, INTEGER)?)?;
        read(&mut entry, UTC_TIME).or_else(|| read(&mut entry, GENERALIZED_TIME))?;
        let mut extension = read(&mut read(&mut entry, SEQUENCE)?, SEQUENCE)?;
        let is_reason = read(&mut extension, OBJECT_IDENTIFIER)? == REASON;
        let code = read(&mut read(&mut extension, OCTET_STRING)?, ENUMERATED)?;
        found.push((id, code.first().copied().filter(|_| is_reason).and_then(Reason::from_code)?));
    }
    (input.is_empty() && fields.is_empty()).then_some(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use x509_parser::prelude::{CertificateRevocationList, FromDer as _};

    use super::*;
    use crate::model::Position;

    fn crl(this_update: u64) -> Crl {
        Crl {
            issuer: element(SEQUENCE, &[]),
            key_identifier: Some(vec![7; 20]),
            number: 1_790_000_000_123,
            this_update: Timestamp::from_seconds(this_update),
            next_update: Timestamp::from_seconds(this_update + 600),
        }
    }

    fn written(crl: &Crl, revoked: &[Revoked]) -> Vec<u8> {
        crl.encode(revoked.iter().copied(), |_| Ok::<_, ()>(vec![0x30, 0x00])).expect("signs")
    }

    proptest! {
        /// Against a reader that nobody here wrote.
        #[test]
        fn what_is_written_is_read(
            entries in proptest::collection::btree_map(1..1u64 << 62, (any::<[u8; 8]>(), 0..1u64 << 32, 0..Reason::ALL.len()), 0..40),
            this_update in 0..1u64 << 33,
        ) {
            let entries: Vec<Revoked> = entries.into_iter().map(|(position, (nonce, at, reason))| {
                Revoked { id: CredentialId::new(Position::new(position), nonce), at: Timestamp::from_seconds(at), reason: Reason::ALL[reason] }
            }).collect();
            let der = written(&crl(this_update), &entries);
            prop_assert_eq!(revoked(&der), Some(entries.iter().map(|one| (one.id, one.reason)).collect()));
            let (rest, list) = CertificateRevocationList::from_der(&der).expect("a list");
            prop_assert!(rest.is_empty());
            prop_assert_eq!(list.crl_number().expect("a number").to_string(), "1790000000123");
            let seconds = |time: x509_parser::time::ASN1Time| u64::try_from(time.timestamp()).expect("after 1970");
            prop_assert_eq!(seconds(list.last_update()), this_update);
            prop_assert_eq!(list.next_update().map(seconds), Some(this_update + 600));
            let found: Vec<_> = list.iter_revoked_certificates().map(|one| {
                (CredentialId::from_serial(one.raw_serial()), seconds(one.revocation_date), one.reason_code().map(|(_, reason)| reason.0))
            }).collect();
            let expected: Vec<_> = entries.iter().map(|one| (Some(one.id), one.at.seconds(), Some(one.reason.code()))).collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn nothing_brings_the_reader_down(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = revoked(&bytes);
        }
    }

    #[test]
    fn an_empty_list_has_no_entries_at_all_and_nothing_is_left_out_of_its_scope() {
        let der = written(&crl(1_790_000_000), &[]);
        assert_eq!(revoked(&der), Some(Vec::new()));
        let (_, list) = CertificateRevocationList::from_der(&der).expect("a list");
        assert!(list.tbs_cert_list.revoked_certificates.is_empty());
        let names: Vec<String> = list.extensions().iter().map(|extension| extension.oid.to_id_string()).collect();
        assert_eq!(names, ["2.5.29.35", "2.5.29.20"], "no issuing distribution point");
        assert_eq!(list.version().map(|version| version.0), Some(1), "v2");
        for cut in 0..der.len() {
            assert_eq!(revoked(&der[..cut]), None, "cut short at {cut}");
        }
    }
}
