//! The signed list of active cuts: a compact JWS, `typ: curfew-revocations+jwt`.
//!
//! Nothing in it is optional to understand: an unknown `typ`, member or reason is refused.

use serde::{Deserialize, Serialize};

use super::jws::{self, EncodeError};
use crate::model::{Cut, Epoch, Position, Reason, Timestamp};

/// `typ` of the header.
pub const TYP: &str = "curfew-revocations+jwt";

/// A list is refused beyond this many bytes: about 200,000 cuts.
pub const MAX_LIST: usize = 16 * 1024 * 1024;

/// What a list says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    /// `iss`: the broker's URL.
    pub issuer: String,
    /// `iat`, rounded down to seconds: an instant before the head of the ledger was read.
    pub issued_at: Timestamp,
    /// `exp`, in whole seconds: `iat` + the longest staleness that verifiers may allow.
    pub expires_at: Timestamp,
    /// `epoch`: which history.
    pub epoch: Epoch,
    /// `pos`: it covers every cut up to here.
    pub position: Position,
    /// `root` of the Merkle tree over the entries up to `pos`.
    pub root: [u8; 32],
    /// `since`, of a delta: it holds only the cuts above this position. Absent in a snapshot.
    pub since: Option<Position>,
    /// `cuts`, by position, ascending; each subject once.
    pub cuts: Vec<Cut>,
}

/// Why a payload is not a list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// It is not a JSON object of this shape.
    #[error("{0}")]
    Json(String),
    /// This member has a value that it never has.
    #[error("`{0}` is not valid")]
    Member(&'static str),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    n: u64,
    p: u64,
    /// Rounded up to seconds, so that a cut never leaves early.
    x: u64,
    r: u8,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    iss: String,
    iat: u64,
    exp: u64,
    epoch: String,
    pos: u64,
    root: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<u64>,
    cuts: Vec<Line>,
}

impl List {
    /// Signs the list with the key `kid`; `sign` answers r || s. The cuts may come in any order; of
    /// a delta, those that are not above `since` are left out.
    ///
    /// # Errors
    /// If `sign` does not sign.
    pub fn encode<E>(&self, kid: &str, sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>) -> Result<String, EncodeError<E>> {
        jws::encode(TYP, kid, &self.payload(), sign)
    }

    fn payload(&self) -> Payload {
        let mut cuts: Vec<&Cut> = self.cuts.iter().filter(|cut| self.since.is_none_or(|since| cut.position > since)).collect();
        cuts.sort_unstable_by_key(|cut| cut.position);
        let line =
            |cut: &Cut| Line { n: cut.number.get(), p: cut.position.get(), x: cut.ends.millis().div_ceil(1000), r: cut.reason.code() };
        Payload {
            iss: self.issuer.clone(),
            iat: self.issued_at.seconds(),
            exp: self.expires_at.seconds(),
            epoch: self.epoch.to_string(),
            pos: self.position.get(),
            root: to_hex(&self.root),
            since: self.since.map(Position::get),
            cuts: cuts.into_iter().map(line).collect(),
        }
    }

    /// Reads the payload of a list. Whether it is signed and fresh is for the caller.
    ///
    /// # Errors
    /// If it is not exactly what [`List::encode`] writes.
    pub fn decode(payload: &[u8]) -> Result<Self, ListError> {
        let payload: Payload = serde_json::from_slice(payload).map_err(|error| ListError::Json(error.to_string()))?;
        let position = Position::new(payload.pos);
        let since = payload.since.map(Position::new);
        if position == Position::ZERO || since.is_some_and(|since| since > position) {
            return Err(ListError::Member("since"));
        }
        let mut cuts = Vec::with_capacity(payload.cuts.len());
        let mut last = since.unwrap_or(Position::ZERO);
        for line in payload.cuts {
            let cut = Cut {
                number: Position::new(line.n),
                position: Position::new(line.p),
                ends: Timestamp::from_seconds(line.x),
                reason: Reason::from_code(line.r).ok_or(ListError::Member("r"))?,
            };
            // A subject is recorded before it is cut.
            let in_order = cut.position > last && cut.position <= position;
            if !in_order || cut.number == Position::ZERO || cut.number >= cut.position {
                return Err(ListError::Member("cuts"));
            }
            last = cut.position;
            cuts.push(cut);
        }
        let mut numbers: Vec<Position> = cuts.iter().map(|cut| cut.number).collect();
        numbers.sort_unstable();
        if numbers.array_windows().any(|[one, next]| one == next) {
            return Err(ListError::Member("cuts"));
        }
        Ok(Self {
            issuer: payload.iss,
            issued_at: Timestamp::from_seconds(payload.iat),
            expires_at: Timestamp::from_seconds(payload.exp),
            epoch: from_hex(&payload.epoch).map(Epoch).ok_or(ListError::Member("epoch"))?,
            position,
            root: from_hex(&payload.root).ok_or(ListError::Member("root"))?,
            since,
            cuts,
        })
    }
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Lowercase digits only: one form.
pub(super) fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N || !text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}
