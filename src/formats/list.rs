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

    /// The delta from `since` on, of a whole list whose cuts stand in the order of their positions.
    #[must_use]
    pub fn after(&self, since: Position) -> Self {
        let first = self.cuts.partition_point(|cut| cut.position <= since);
        let cuts = self.cuts.get(first..).unwrap_or_default().to_vec();
        let Self { issuer, issued_at, expires_at, epoch, position, root, .. } = self;
        Self {
            issuer: issuer.clone(),
            issued_at: *issued_at,
            expires_at: *expires_at,
            epoch: *epoch,
            position: *position,
            root: *root,
            since: Some(since),
            cuts,
        }
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
                ends: Timestamp::stated(line.x).ok_or(ListError::Member("x"))?,
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
            issued_at: Timestamp::stated(payload.iat).ok_or(ListError::Member("iat"))?,
            expires_at: Timestamp::stated(payload.exp).ok_or(ListError::Member("exp"))?,
            epoch: from_hex(&payload.epoch).map(Epoch).ok_or(ListError::Member("epoch"))?,
            position,
            root: from_hex(&payload.root).ok_or(ListError::Member("root"))?,
            since,
            cuts,
        })
    }
}

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Lowercase digits only: one form.
pub(crate) fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N || !text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn lists() -> impl Strategy<Value = List> {
        let cuts = proptest::collection::btree_map(2..1000u64, (1..1000u64, 0..1u64 << 37, 0..Reason::ALL.len()), 0..20);
        ("\\PC{0,30}", any::<[u8; 16]>(), any::<[u8; 32]>(), 1000..1u64 << 37, proptest::option::of(0..1000u64), cuts).prop_map(
            |(issuer, epoch, root, position, since, cuts)| {
                let line = |(position, (number, ends, reason)): (u64, (u64, u64, usize))| Cut {
                    number: Position::new(1 + number % (position - 1)),
                    position: Position::new(position),
                    ends: Timestamp::from_seconds(ends),
                    reason: Reason::ALL[reason],
                };
                let once: BTreeMap<Position, Cut> = cuts.into_iter().map(line).map(|cut| (cut.number, cut)).collect();
                let since = since.map(Position::new);
                let mut cuts: Vec<Cut> = once.into_values().filter(|cut| since.is_none_or(|since| cut.position > since)).collect();
                cuts.sort_by_key(|cut| cut.position);
                let (issued_at, expires_at) = (Timestamp::from_seconds(position), Timestamp::from_seconds(position + 30));
                List { issuer, issued_at, expires_at, epoch: Epoch(epoch), position: Position::new(position), root, since, cuts }
            },
        )
    }

    fn payload(list: &List) -> Vec<u8> {
        serde_json::to_vec(&list.payload()).expect("JSON")
    }

    proptest! {
        #[test]
        fn a_list_reads_back_whatever_the_order_of_its_cuts(list in lists()) {
            prop_assert_eq!(List::decode(&payload(&list)), Ok(list.clone()));
            let reversed = List { cuts: list.cuts.iter().rev().copied().collect(), ..list.clone() };
            prop_assert_eq!(payload(&reversed), payload(&list));
        }

        #[test]
        fn an_end_is_rounded_up_so_that_a_cut_never_leaves_early(millis in 0..1u64 << 45) {
            let ends = Timestamp::from_millis(millis);
            let line = Cut { number: Position::new(1), position: Position::new(2), ends, reason: Reason::Superseded };
            let read = List::decode(&payload(&List { cuts: vec![line], ..sample() })).expect("was written").cuts[0].ends;
            prop_assert!(read >= ends && read.since(ends).as_millis() < 1000);
        }
    }

    fn sample() -> List {
        List {
            issuer: "https://broker.example".to_owned(),
            issued_at: Timestamp::from_seconds(10),
            expires_at: Timestamp::from_seconds(40),
            epoch: Epoch([1; 16]),
            position: Position::new(9),
            root: [2; 32],
            since: None,
            cuts: Vec::new(),
        }
    }

    #[test]
    fn lines_out_of_order_doubled_or_impossible_are_refused() {
        let decode = |since: &str, cuts: &str| {
            let text = String::from_utf8(payload(&sample())).expect("JSON");
            List::decode(text.replace(r#""cuts":[]"#, &format!(r#"{since}"cuts":[{cuts}]"#)).as_bytes())
        };
        assert!(decode("", r#"{"n":1,"p":4,"x":5,"r":1},{"n":2,"p":5,"x":5,"r":3}"#).is_ok());
        assert!(decode(r#""since":3,"#, r#"{"n":1,"p":4,"x":5,"r":1}"#).is_ok());
        for (since, cuts, member) in [
            ("", r#"{"n":1,"p":5,"x":5,"r":1},{"n":2,"p":4,"x":5,"r":3}"#, "cuts"),
            ("", r#"{"n":1,"p":4,"x":5,"r":1},{"n":2,"p":4,"x":5,"r":3}"#, "cuts"),
            ("", r#"{"n":1,"p":4,"x":5,"r":1},{"n":1,"p":5,"x":5,"r":3}"#, "cuts"),
            ("", r#"{"n":1,"p":10,"x":5,"r":1}"#, "cuts"),
            ("", r#"{"n":4,"p":4,"x":5,"r":1}"#, "cuts"),
            ("", r#"{"n":0,"p":4,"x":5,"r":1}"#, "cuts"),
            ("", r#"{"n":1,"p":4,"x":5,"r":0}"#, "r"),
            ("", r#"{"n":1,"p":4,"x":253402300800,"r":1}"#, "x"),
            (r#""since":4,"#, r#"{"n":1,"p":4,"x":5,"r":1}"#, "cuts"),
            (r#""since":10,"#, "", "since"),
        ] {
            assert_eq!(decode(since, cuts), Err(ListError::Member(member)), "{since}{cuts}");
        }
    }

    #[test]
    fn an_unknown_or_missing_member_or_another_form_is_refused() {
        let text = String::from_utf8(payload(&sample())).expect("JSON");
        for (from, to) in [
            (r#""iat":10"#, r#""iat":10,"v":2"#),
            (r#""iat":10"#, r#""iat":10,"iat":11"#),
            (r#""iat":10,"#, ""),
            // Later than anything that can be written; the second would come to another time in milliseconds.
            (r#""iat":10"#, r#""iat":253402300800"#),
            (r#""exp":40"#, r#""exp":17900010101010100000"#),
            (r#""pos":9"#, r#""pos":-9"#),
            (r#""pos":9"#, r#""pos":0"#),
            (r#""epoch":"01"#, r#""epoch":"0"#),
            (r#""root":"02"#, r#""root":"0A"#),
            (r#""root":"02"#, r#""root":"+2"#),
        ] {
            let changed = text.replace(from, to);
            assert_ne!(changed, text, "{from}");
            assert!(List::decode(changed.as_bytes()).is_err(), "{to}");
        }
    }
}
