//! Token Status Lists (draft-ietf-oauth-status-list): what a token says of its entry, and the signed list.
//!
//! A list has one bit for each token: 0 is valid, 1 invalid. Lists of others, with two, four or eight bits, are
//! read too.

use std::io::{Read as _, Write as _};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use serde::{Deserialize, Serialize};

use super::jws::{self, EncodeError};
use super::status_index::LIST_BITS;
use crate::model::Timestamp;

/// `typ` of the header.
pub const TYP: &str = "statuslist+jwt";

/// A signed list is refused beyond this many bytes. A list of 2^20 random bits has a quarter of it.
pub const MAX_STATUS_LIST: usize = 1024 * 1024;

/// An inflated list is refused beyond this many bytes: 2^20 entries of eight bits.
pub const MAX_INFLATED: usize = 1 << LIST_BITS;

/// A token is good.
pub const VALID: u8 = 0;

/// Which entry of which list says whether a token is good: `status_list` in its claim `status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusReference {
    /// `idx`.
    #[serde(rename = "idx")]
    pub index: u32,
    /// `uri` of the list, the same as its `sub`.
    pub uri: String,
}

/// The statuses of as many tokens as it has room for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusList {
    /// 1, 2, 4 or 8.
    bits: u8,
    bytes: Vec<u8>,
}

/// What a signed list says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusListToken {
    /// `sub`: the URI under which it is found.
    pub uri: String,
    /// `iat`, rounded down: an instant before the ledger was read.
    pub issued_at: Timestamp,
    /// `exp`: from then on it must not be used.
    pub expires_at: Option<Timestamp>,
    /// `ttl`: how long a copy may be kept before it is asked for again.
    pub ttl: Option<Duration>,
    /// `aggregation_uri`: where all lists are named.
    pub aggregation_uri: Option<String>,
    /// `status_list`.
    pub list: StatusList,
}

/// Why something is not a status list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatusListError {
    /// It is not a JSON object of this shape.
    #[error("{0}")]
    Json(String),
    /// A time that is none.
    #[error("`{0}` is no time")]
    Time(&'static str),
    /// `bits` is not 1, 2, 4 or 8.
    #[error("`bits` is not 1, 2, 4 or 8")]
    Bits,
    /// `lst` is not base64url without padding of zlib data (RFC 1950), or ends too early.
    #[error("`lst` is not base64url of zlib data")]
    Compressed,
    /// `lst` goes on for ever, or as good as.
    #[error("`lst` inflates to more than {MAX_INFLATED} bytes")]
    TooLong,
}

#[derive(Serialize, Deserialize)]
struct Payload {
    sub: String,
    iat: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exp: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ttl: Option<u64>,
    status_list: Compressed,
}

#[derive(Serialize, Deserialize)]
struct Compressed {
    bits: u8,
    lst: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    aggregation_uri: Option<String>,
}

impl StatusList {
    /// A list of 2^20 tokens, all valid.
    pub fn all_valid() -> Self {
        Self { bits: 1, bytes: vec![0; 1 << (LIST_BITS - 3)] }
    }

    /// Says that a token is not good any more.
    pub fn invalidate(&mut self, index: u32) {
        let (byte, shift) = self.locate(index);
        if let Some(byte) = byte.and_then(|byte| self.bytes.get_mut(byte)) {
            *byte |= 1 << shift;
        }
    }

    /// The status of a token; `None` if the list has no such index, and then the token is to be rejected.
    pub fn status(&self, index: u32) -> Option<u8> {
        let (byte, shift) = self.locate(index);
        let byte = self.bytes.get(byte?)?;
        Some(byte >> shift & (u8::MAX >> (8 - self.bits)))
    }

    /// The indexes of the tokens that are not valid, ascending.
    pub fn not_valid(&self) -> impl Iterator<Item = u32> {
        let per_byte = u32::from(8 / self.bits);
        let some = (0u32..).zip(&self.bytes).filter(|(_, byte)| **byte != 0);
        let indexes = some.flat_map(move |(at, _)| (0..per_byte).filter_map(move |entry| at.checked_mul(per_byte)?.checked_add(entry)));
        indexes.filter(|index| self.status(*index).is_some_and(|status| status != VALID))
    }

    /// The first index that `other` says is not valid and this list does not.
    pub fn lacks(&self, other: &Self) -> Option<u32> {
        other.not_valid().find(|index| self.status(*index).is_none_or(|status| status == VALID))
    }

    /// Which byte, and how far from its least significant bit.
    fn locate(&self, index: u32) -> (Option<usize>, u32) {
        let per_byte = u32::from(8 / self.bits);
        (usize::try_from(index / per_byte).ok(), index % per_byte * u32::from(self.bits))
    }

    fn compressed(&self) -> std::io::Result<String> {
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        zlib.write_all(&self.bytes)?;
        Ok(URL_SAFE_NO_PAD.encode(zlib.finish()?))
    }

    /// Reads `bits` and `lst`. However much `lst` inflates to, no more than [`MAX_INFLATED`] is kept.
    ///
    /// # Errors
    /// If they are not those of a list.
    pub fn inflate(bits: u8, lst: &str) -> Result<Self, StatusListError> {
        if !matches!(bits, 1 | 2 | 4 | 8) {
            return Err(StatusListError::Bits);
        }
        let compressed = URL_SAFE_NO_PAD.decode(lst).map_err(|_not_base64| StatusListError::Compressed)?;
        let most = u64::try_from(MAX_INFLATED).unwrap_or(u64::MAX);
        let mut bytes = Vec::new();
        ZlibDecoder::new(&*compressed).take(most + 1).read_to_end(&mut bytes).map_err(|_not_zlib| StatusListError::Compressed)?;
        if bytes.len() > MAX_INFLATED { Err(StatusListError::TooLong) } else { Ok(Self { bits, bytes }) }
    }
}

/// Why a list was not signed.
#[derive(Debug, thiserror::Error)]
pub enum SealError<E> {
    /// It was not compressed.
    #[error("cannot be compressed: {0}")]
    Compress(#[from] std::io::Error),
    /// It was not encoded or signed.
    #[error(transparent)]
    Encode(#[from] EncodeError<E>),
}

impl StatusListToken {
    /// Signs the list with the key `kid`; `sign` answers r || s.
    ///
    /// # Errors
    /// If `sign` does not sign.
    pub fn encode<E>(&self, kid: &str, sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>) -> Result<String, SealError<E>> {
        let payload = Payload {
            sub: self.uri.clone(),
            iat: self.issued_at.seconds(),
            exp: self.expires_at.map(Timestamp::seconds),
            ttl: self.ttl.map(|ttl| ttl.as_secs()),
            status_list: Compressed { bits: self.list.bits, lst: self.list.compressed()?, aggregation_uri: self.aggregation_uri.clone() },
        };
        Ok(jws::encode(TYP, kid, &payload, sign)?)
    }

    /// Reads the payload of a signed list. Whether it is signed and fresh, and whether `uri` is the one in the
    /// token, is for the caller.
    ///
    /// # Errors
    /// If it is not one.
    pub fn decode(payload: &[u8]) -> Result<Self, StatusListError> {
        let payload: Payload = serde_json::from_slice(payload).map_err(|error| StatusListError::Json(error.to_string()))?;
        Ok(Self {
            uri: payload.sub,
            issued_at: Timestamp::stated(payload.iat).ok_or(StatusListError::Time("iat"))?,
            expires_at: payload.exp.map(|exp| Timestamp::stated(exp).ok_or(StatusListError::Time("exp"))).transpose()?,
            ttl: payload.ttl.map(Duration::from_secs),
            list: StatusList::inflate(payload.status_list.bits, &payload.status_list.lst)?,
            aggregation_uri: payload.status_list.aggregation_uri,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Section 4.1 of the draft: bytes `b9 a3`, and with two bits an entry `c9 44 f9`.
    #[test]
    fn the_examples_of_the_draft_are_read() {
        let statuses = |bits, lst, count| {
            let list = StatusList::inflate(bits, lst).expect("a list");
            assert_eq!(list.status(count), None, "an index out of range has no status");
            (0..count).map(|index| list.status(index).expect("in range")).collect::<Vec<_>>()
        };
        assert_eq!(statuses(1, "eNrbuRgAAhcBXQ", 16), [1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1]);
        assert_eq!(statuses(2, "eNo76fITAAPfAgc", 12), [1, 2, 0, 3, 0, 1, 0, 1, 1, 2, 3, 3]);
    }

    /// The test vector of the draft for lists of one bit: 2^20 entries, as ours have.
    const ONE_BIT: &str = "eNrt3AENwCAMAEGogklACtKQPg9LugC9k_ACvreiogEAAKkeCQAAAAAAAAAAAAAAAAAAAIBylgQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAXG9IAAAAAAAAAPwsJAAAAAAAAAAAAAAAvhsSAAAAAAAAAAAA7KpLAAAAAAAAAAAAAAAAAAAAAJsLCQAAAAAAAAAAADjelAAAAAAAAAAAKjDMAQAAAACAZC8L2AEb";

    #[test]
    fn the_test_vector_of_the_draft_is_read_and_written() {
        let invalid = [0, 1993, 25460, 159_495, 495_669, 554_353, 645_645, 723_232, 854_545, 934_534, 1_000_345];
        let read = StatusList::inflate(1, ONE_BIT).expect("a list");
        assert_eq!(read.not_valid().collect::<Vec<_>>(), invalid);
        let mut written = StatusList::all_valid();
        assert_eq!(written.not_valid().count(), 0);
        invalid.into_iter().for_each(|index| written.invalidate(index));
        assert_eq!((written.lacks(&read), read.lacks(&written)), (None, None));
        assert_eq!(written, read);
        assert_eq!(StatusList::all_valid().lacks(&read), Some(0));
    }

    #[test]
    fn a_list_that_inflates_without_end_is_refused_and_so_is_what_is_none() {
        let deflated = |length: usize| StatusList { bits: 8, bytes: vec![0; length] }.compressed().expect("in memory");
        assert!(StatusList::inflate(8, &deflated(MAX_INFLATED)).is_ok());
        let bomb = deflated(64 * MAX_INFLATED);
        assert!(bomb.len() < 100_000, "small on the wire: {}", bomb.len());
        assert_eq!(StatusList::inflate(8, &bomb), Err(StatusListError::TooLong));
        for bits in [0, 3, 5, 7, 9, 255] {
            assert_eq!(StatusList::inflate(bits, ONE_BIT), Err(StatusListError::Bits));
        }
        let cut_short = ONE_BIT.get(..100).expect("ASCII");
        for lst in ["", "eNrbuRgAAhcBXQ=", "eNrbuRgAAhcBX", "eNrbuRgAAhcBXR", cut_short, "AAAA"] {
            assert_eq!(StatusList::inflate(1, lst), Err(StatusListError::Compressed), "{lst}");
        }
    }

    proptest! {
        #[test]
        fn a_list_reads_back(invalid in proptest::collection::btree_set(0u32..1 << LIST_BITS, 0..200), uri in "\\PC{0,40}", iat in 0..1u64 << 37) {
            let mut list = StatusList::all_valid();
            invalid.iter().for_each(|index| list.invalidate(*index));
            list.invalidate(1 << LIST_BITS);
            prop_assert_eq!(list.not_valid().collect::<Vec<_>>(), invalid.into_iter().collect::<Vec<_>>());
            let token = StatusListToken {
                uri,
                issued_at: Timestamp::from_seconds(iat),
                expires_at: Some(Timestamp::from_seconds(iat + 600)),
                ttl: Some(Duration::from_secs(60)),
                aggregation_uri: Some("https://broker.example/v1/status".to_owned()),
                list,
            };
            let text = token.encode("kid", |_| Ok::<_, ()>(vec![0; 64])).expect("signs");
            let jws = jws::parse(&text, MAX_STATUS_LIST).expect("was encoded");
            prop_assert_eq!(jws.typ.as_str(), TYP);
            prop_assert_eq!(StatusListToken::decode(&jws.payload), Ok(token));
        }

        #[test]
        fn no_text_brings_the_reader_down(bits: u8, lst in "[A-Za-z0-9_-]{0,60}") {
            let _ = StatusList::inflate(bits, &lst);
        }
    }
}
