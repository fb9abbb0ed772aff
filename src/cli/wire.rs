//! From what the broker sends to what is printed: instants as RFC 3339, enums as their words.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::client::api;
use crate::model::Timestamp;

/// Where a record comes from, if it is of a source.
pub(super) fn origin(sourced: &[api::SourcedRecord], subject: &str, name: &str) -> Option<api::Origin> {
    sourced.iter().find(|record| record.subject == subject && record.name == name).and_then(|record| record.origin.clone())
}

/// Where a registered record stands: active, unless it is among those that are closed.
pub(super) fn standing_of(closed: &[api::ClosedRecord], subject: &str, name: &str) -> Option<String> {
    let found = closed.iter().find(|record| record.subject == subject && record.name == name);
    standing(found.map_or(api::Standing::Active.into(), |record| record.standing))
}

/// An instant, if there is one.
pub(super) fn instant(time: Option<prost_types::Timestamp>) -> Option<String> {
    Some(timestamp(&time?)?.to_string())
}

/// An instant as it was sent.
pub(super) fn timestamp(time: &prost_types::Timestamp) -> Option<Timestamp> {
    let millis = u64::try_from(time.seconds).ok()?.saturating_mul(1000).saturating_add(u64::try_from(time.nanos).ok()? / 1_000_000);
    Some(Timestamp::from_millis(millis))
}

/// An instant, to be sent.
pub(super) fn sent_instant(time: Timestamp) -> prost_types::Timestamp {
    let nanos = i32::try_from(time.millis() % 1000).unwrap_or(0) * 1_000_000;
    prost_types::Timestamp { seconds: i64::try_from(time.seconds()).unwrap_or(i64::MAX), nanos }
}

/// A length of time, to be sent.
pub(super) fn sent_duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or(0),
    }
}

/// A length of time in whole seconds, if there is one.
pub(super) fn seconds(duration: Option<prost_types::Duration>) -> Option<i64> {
    duration.map(|duration| duration.seconds)
}

/// A text, unless it is empty, which stands for none.
pub(super) fn text(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// A number, unless it is 0, which stands for none.
pub(super) fn number(number: u64) -> Option<u64> {
    (number != 0).then_some(number)
}

/// The word for an enum's value, as files and reports write it: `STANDING_ACTIVE` is `active`.
macro_rules! words {
    ($($(#[$doc:meta])* $name:ident: $wire:ident, $prefix:literal;)+) => {
        $($(#[$doc])*
        pub(super) fn $name(value: i32) -> Option<String> {
            match api::$wire::try_from(value) {
                Ok(api::$wire::Unspecified) => None,
                Ok(value) => Some(value.as_str_name().trim_start_matches($prefix).to_lowercase().replace('_', "-")),
                Err(_) => Some(format!("unknown-{value}")),
            }
        })+
    };
}

words! {
    /// What kind of credential.
    kind: CredentialKind, "CREDENTIAL_KIND_";
    /// Where a subject stands.
    standing: Standing, "STANDING_";
    /// Why something was revoked.
    reason: RevocationReason, "REVOCATION_REASON_";
    /// What bounded a life.
    bound: Bound, "BOUND_";
    /// Whether a credential lives.
    state: CredentialState, "CREDENTIAL_STATE_";
    /// How a revocation stands at a downstream.
    enforcement_state: EnforcementState, "ENFORCEMENT_STATE_";
    /// How an exception stands.
    exception_state: ExceptionState, "EXCEPTION_STATE_";
    /// How a follower stands.
    follower_state: FollowerState, "FOLLOWER_STATE_";
}

/// The living of a subject.
#[derive(Debug, Serialize)]
pub(super) struct Census {
    pub(super) total: u64,
    by_kind: BTreeMap<String, u64>,
    by_environment: BTreeMap<String, u64>,
    by_workload: BTreeMap<String, u64>,
    last_expiry: Option<String>,
    downstreams: Vec<String>,
}

impl From<api::Census> for Census {
    fn from(census: api::Census) -> Self {
        let counts = |counts: Vec<api::NamedCount>| counts.into_iter().map(|count| (count.name, count.count)).collect();
        Self {
            total: census.total,
            by_kind: counts(census.by_kind),
            by_environment: counts(census.by_environment),
            by_workload: counts(census.by_workload),
            last_expiry: instant(census.last_expiry),
            downstreams: census.downstreams,
        }
    }
}

/// What was issued, apart from the credential itself.
#[derive(Debug, Serialize)]
pub(super) struct Issuance {
    credential_id: String,
    position: u64,
    expires_at: Option<String>,
    bound_by: Option<String>,
}

impl From<api::Issuance> for Issuance {
    fn from(issuance: api::Issuance) -> Self {
        Self {
            credential_id: issuance.credential_id,
            position: issuance.position,
            expires_at: instant(issuance.expires_at),
            bound_by: bound(issuance.bound_by),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Bound, CredentialKind, Reason, Standing};

    #[test]
    fn the_words_are_those_of_the_vocabulary() {
        fn known<W: ToString>(all: &[W], word: fn(i32) -> Option<String>) {
            let mut sent: Vec<String> = (0..16).filter_map(word).filter(|word| !word.starts_with("unknown-")).collect();
            let mut all: Vec<String> = all.iter().map(ToString::to_string).collect();
            sent.sort();
            all.sort();
            assert_eq!(sent, all);
        }
        known(CredentialKind::ALL, kind);
        known(Standing::ALL, standing);
        known(Reason::ALL, reason);
        known(Bound::ALL, bound);
        assert_eq!(standing(77).as_deref(), Some("unknown-77"));
    }

    #[test]
    fn an_instant_survives_the_wire() {
        for text in ["2027-03-31T17:00:00Z", "2026-11-22T23:59:59.250Z"] {
            let time: Timestamp = text.parse().expect("an instant");
            assert_eq!(instant(Some(sent_instant(time))).as_deref(), Some(text));
        }
        assert_eq!(instant(None), None);
    }
}
