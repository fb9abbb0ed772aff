//! The offboarding report: what existed under an owner, what was revoked, and where it stands. A compact
//! JWS, `typ: curfew-report+jwt`, signed by a list key.
//!
//! Members are only ever added, and unknown ones are ignored: a report is read by people years later.

use serde::{Deserialize, Serialize};

use super::jws::{self, EncodeError};

/// `typ` of the header.
pub const TYP: &str = "curfew-report+jwt";

/// A report is refused beyond this many bytes.
pub const MAX_REPORT: usize = 4 * 1024 * 1024;

/// What a report says. Instants are RFC 3339, words those of the command line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The broker's URL.
    pub iss: String,
    /// When it was made, in Unix seconds.
    pub iat: u64,
    /// Which history, 32 hex digits.
    pub epoch: String,
    /// The last position of the ledger that it rests on.
    pub pos: u64,
    /// The root of the tree over the entries up to `pos`, 64 hex digits.
    pub root: String,
    /// Whose report it is.
    pub owner: Owner,
    /// The revocation; absent if the owner is not revoked.
    pub revocation: Option<Revocation>,
    /// What was ever issued under the owner before the revocation, or until now.
    pub issued: Issued,
    /// Each downstream at which something was alive that the revocation ended.
    pub downstreams: Vec<Downstream>,
    /// Revocations of parts of the owner whose credentials may not have ended everywhere.
    pub others: Vec<Other>,
    /// The last moment at which anything that was revoked could still be accepted, and where; absent if it could
    /// nowhere from the revocation on.
    pub last_moment: Option<LastMoment>,
    /// `enforced`, `waiting`, `failed` or `not_revoked`.
    pub verdict: Verdict,
    /// Why, in words.
    pub why: String,
    /// The entries that it rests on, by position, ascending.
    pub entries: Vec<u64>,
}

/// How it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing that was revoked is accepted anywhere.
    Enforced,
    /// Something may still be accepted.
    Waiting,
    /// Something is known to have failed.
    Failed,
    /// The owner is not revoked.
    NotRevoked,
}

impl Verdict {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enforced => "enforced",
            Self::Waiting => "waiting",
            Self::Failed => "failed",
            Self::NotRevoked => "not_revoked",
        }
    }
}

/// An owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Its id.
    pub id: String,
    /// Its number: the position of the entry that first recorded it.
    pub number: u64,
    /// team, vendor or person.
    pub kind: String,
    /// Who answers for the purpose.
    pub business_owner: String,
    /// Who answers for the running.
    pub technical_owner: String,
    /// When the contract ends, if it does.
    pub contract_end: Option<String>,
    /// active, suspended, offboarding or offboarded.
    pub standing: String,
}

/// The revocation of the owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// Where it stands.
    pub position: u64,
    /// When it was committed.
    pub committed_at: String,
    /// When the first list that covers it was out, as far as the broker remembers.
    pub published_at: Option<String>,
    /// Who asked for it, by SPIFFE ID; absent for the broker itself.
    pub requested_by: Option<String>,
    /// Why, for verifiers.
    pub reason: String,
    /// Why, for people.
    pub note: Option<String>,
    /// offboard, suspend or unregister.
    pub closing: String,
    /// What was alive and was ended, by kind and environment.
    pub ended: Vec<Count>,
}

/// How many of a kind, in an environment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Count {
    /// access-token, jwt-svid or certificate.
    pub kind: String,
    /// The environment's name.
    pub environment: String,
    /// The environment's number.
    pub environment_number: u64,
    /// How many.
    pub count: u64,
}

/// What was issued under the owner.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issued {
    /// Before the revocation, by kind and environment.
    pub before: Vec<Count>,
    /// How many after it: none, unless the owner was reinstated.
    pub after: u64,
    /// The position of the first.
    pub first: Option<u64>,
    /// The position of the last before the revocation.
    pub last: Option<u64>,
}

/// How the revocation stands at a downstream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Downstream {
    /// Its name; absent for what no downstream of the registry accepts any more.
    pub name: Option<String>,
    /// Its number.
    pub number: Option<u64>,
    /// follower, guard, crl, status_list or none.
    pub kind: String,
    /// How many were alive there; 0 if they could not be counted.
    pub living: u64,
    /// When the last of them expires.
    pub last_expiry: String,
    /// waiting, forked, confirmed, stale or expired.
    pub state: String,
    /// Since when it is enforced, or until when at the latest it is not.
    pub at: String,
    /// The entry that says that it was confirmed.
    pub entry: Option<u64>,
    /// Up to which position it was confirmed in that entry, by how many processes.
    pub confirmed: Option<Confirmed>,
    /// The processes that it waits for.
    pub waiting_for: Vec<String>,
}

/// What an entry `downstream_confirmed` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmed {
    /// Up to which position.
    pub position: u64,
    /// When it was taken down.
    pub at: String,
    /// How many processes had confirmed it.
    pub processes: u64,
}

/// Another revocation under the owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Other {
    /// Where it stands.
    pub position: u64,
    /// What was revoked: workload, task or credential, with its number.
    pub subject: String,
    /// Why.
    pub reason: String,
    /// Until when at the latest something may be accepted; absent if it is enforced.
    pub until: Option<String>,
}

/// The last moment at which something could be accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastMoment {
    /// When.
    pub at: String,
    /// Where: the name of the downstream, or what was revoked otherwise.
    pub downstream: String,
}

/// Why a text is not a report.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// It is no compact JWS.
    #[error(transparent)]
    Jws(#[from] jws::JwsError),
    /// It is signed as something else.
    #[error("it is signed as `{0}`, not as a report")]
    Type(String),
    /// Its payload is not that of a report.
    #[error("its payload is not that of a report: {0}")]
    Json(String),
}

impl Report {
    /// Signs the report with the list key `kid`; `sign` answers r || s.
    ///
    /// # Errors
    /// If `sign` does not sign.
    pub fn encode<E>(&self, kid: &str, sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>) -> Result<String, EncodeError<E>> {
        jws::encode(TYP, kid, self, sign)
    }

    /// Reads a report. Whether it is signed is for the caller, by the JWS that it gets back.
    ///
    /// # Errors
    /// If it is not one.
    pub fn decode(text: &str) -> Result<(Self, jws::Jws<'_>), ReportError> {
        let jws = jws::parse(text, MAX_REPORT)?;
        if jws.typ != TYP {
            return Err(ReportError::Type(jws.typ));
        }
        let report = serde_json::from_slice(&jws.payload).map_err(|error| ReportError::Json(error.to_string()))?;
        Ok((report, jws))
    }
}

impl Report {
    /// What in it contradicts itself, if anything does.
    pub fn contradiction(&self) -> Option<&'static str> {
        let enforced = |state: &str| matches!(state, "confirmed" | "stale" | "expired");
        let open = self.downstreams.iter().any(|at| !enforced(&at.state)) || self.others.iter().any(|other| other.until.is_some());
        let confirmed =
            |at: &Downstream| at.confirmed.as_ref().is_none_or(|confirmed| at.entry.is_some() && Some(confirmed.position) >= self.cut());
        let beyond = self.entries.iter().any(|entry| *entry > self.pos) || self.cut() > Some(self.pos);
        match self.verdict {
            Verdict::NotRevoked if self.revocation.is_some() => Some("it tells of a revocation, and says that there is none"),
            Verdict::Enforced | Verdict::Waiting | Verdict::Failed if self.revocation.is_none() => Some("it tells of no revocation"),
            Verdict::Enforced if open => Some("it says that all is enforced, and tells where it is not"),
            Verdict::Enforced if self.issued.after > 0 => Some("it says that all is enforced, and that something was issued after it"),
            _ if !self.downstreams.iter().all(confirmed) => Some("a confirmation in it does not reach the revocation"),
            _ if beyond => Some("it rests on entries beyond the position that it is of"),
            Verdict::Enforced | Verdict::Waiting | Verdict::Failed | Verdict::NotRevoked => None,
        }
    }

    fn cut(&self) -> Option<u64> {
        self.revocation.as_ref().map(|revocation| revocation.position)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A report in which everything is said.
    pub(crate) fn full() -> Report {
        let count =
            |kind: &str, count| Count { kind: kind.to_owned(), environment: "production".to_owned(), environment_number: 12, count };
        let text = str::to_owned;
        Report {
            iss: text("https://broker.example"),
            iat: 1_790_000_000,
            epoch: "01".repeat(16),
            pos: 50,
            root: "02".repeat(32),
            owner: Owner {
                id: text("payments"),
                number: 10,
                kind: text("vendor"),
                business_owner: text("pat@example.org"),
                technical_owner: text("tea@example.org"),
                contract_end: Some(text("2027-06-30T00:00:00Z")),
                standing: text("offboarding"),
            },
            revocation: Some(Revocation {
                position: 40,
                committed_at: text("2026-09-21T13:33:20Z"),
                published_at: Some(text("2026-09-21T13:33:21Z")),
                requested_by: Some(text("spiffe://example.org/admin")),
                reason: text("cessation-of-operation"),
                note: Some(text("the contract ended")),
                closing: text("offboard"),
                ended: vec![count("access-token", 2)],
            }),
            issued: Issued { before: vec![count("access-token", 20), count("certificate", 1)], after: 0, first: Some(20), last: Some(39) },
            downstreams: vec![Downstream {
                name: Some(text("ledger-api")),
                number: Some(14),
                kind: text("follower"),
                living: 2,
                last_expiry: text("2026-09-21T13:38:20Z"),
                state: text("confirmed"),
                at: text("2026-09-21T13:33:22Z"),
                entry: Some(41),
                confirmed: Some(Confirmed { position: 40, at: text("2026-09-21T13:33:22Z"), processes: 2 }),
                waiting_for: Vec::new(),
            }],
            others: Vec::new(),
            last_moment: Some(LastMoment { at: text("2026-09-21T13:33:22Z"), downstream: text("ledger-api") }),
            verdict: Verdict::Enforced,
            why: text("every process has confirmed"),
            entries: vec![10, 14, 20, 39, 40, 41],
        }
    }

    /// Reports are kept for years: their members are only ever added.
    #[test]
    fn the_members_are_those_of_the_golden_file() {
        let golden = include_str!("../../tests/golden/formats/report.json");
        assert_eq!(serde_json::to_string(&full()).expect("written"), golden.trim_end());
        assert_eq!(serde_json::from_str::<Report>(golden).expect("read"), full());
        let newer = golden.replacen('{', "{\"colour\":\"blue\",", 1);
        assert_eq!(serde_json::from_str::<Report>(&newer).expect("what is unknown is passed over"), full());
    }

    #[test]
    fn a_report_reads_back_and_is_never_taken_for_another_thing() {
        let signed = full().encode("key-1", |_| Ok::<_, ()>(vec![0; 64])).expect("signs");
        let (report, jws) = Report::decode(&signed).expect("a report");
        assert_eq!((report, jws.kid.as_str()), (full(), "key-1"));
        let other = jws::encode("curfew-revocations+jwt", "key-1", &full(), |_| Ok::<_, ()>(vec![0; 64])).expect("signs");
        assert_eq!(Report::decode(&other).map(|_| ()), Err(ReportError::Type("curfew-revocations+jwt".to_owned())));
        assert!(crate::formats::list::List::decode(&jws.payload).is_err());
    }

    #[test]
    fn what_contradicts_itself_is_found() {
        assert_eq!(full().contradiction(), None);
        let wrong: [fn(&mut Report); 7] = [
            |report| report.revocation = None,
            |report| report.verdict = Verdict::NotRevoked,
            |report| report.downstreams[0].state = "waiting".to_owned(),
            |report| report.issued.after = 1,
            |report| report.entries.push(51),
            |report| report.downstreams[0].entry = None,
            |report| report.revocation.as_mut().expect("revoked").position = 41,
        ];
        for change in wrong {
            let mut report = full();
            change(&mut report);
            assert!(report.contradiction().is_some(), "{report:?}");
        }
    }
}
