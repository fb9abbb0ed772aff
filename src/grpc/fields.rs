//! Fields of requests, parsed into the vocabulary; and its words, as they are sent.

use std::fmt::Display;
use std::str::FromStr;

use super::time;
use crate::broker::NamedCensus;
use crate::model::{Bound, CredentialKind, Invalid, Origin, Position, Reason, Standing};
use crate::proto::api;

/// A field that has to be there.
pub(super) fn required<T: FromStr<Err: Display>>(field: &'static str, text: &str) -> Result<T, Invalid> {
    text.parse().map_err(|error| Invalid::new(field, error))
}

/// A field that may be left empty.
pub(super) fn optional<T: FromStr<Err: Display>>(field: &'static str, text: &str) -> Result<Option<T>, Invalid> {
    if text.is_empty() { Ok(None) } else { required(field, text).map(Some) }
}

/// Where a record comes from, as it is sent.
pub(super) fn origin(origin: &Origin) -> api::Origin {
    api::Origin { source: origin.source.to_string(), record: origin.record.to_string() }
}

/// A number that has to be there.
pub(super) fn position(field: &'static str, number: u64) -> Result<Position, Invalid> {
    Position::new(number).non_zero().ok_or_else(|| Invalid::new(field, "it is 0; give a number from 1 on"))
}

/// So many bytes, that have to be there.
pub(super) fn bytes<const N: usize>(field: &'static str, bytes: &[u8]) -> Result<[u8; N], Invalid> {
    bytes.try_into().map_err(|_unequal| Invalid::new(field, format!("it has {} bytes; give {N}", bytes.len())))
}

/// The longest name of a request.
const LONGEST_REQUEST_ID: usize = 128;

/// What the caller calls its request, for tracing.
pub(super) fn request_id(text: String) -> Result<Option<String>, Invalid> {
    if text.is_empty() {
        return Ok(None);
    }
    if text.len() > LONGEST_REQUEST_ID || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Invalid::new("request_id", "give at most 128 printable ASCII characters, without spaces"));
    }
    Ok(Some(text))
}

/// Why something is revoked. The numbers on the wire are those of RFC 5280.
pub(super) fn reason(number: i32) -> Result<Reason, Invalid> {
    let known = || Reason::ALL.iter().map(|reason| reason.as_str()).collect::<Vec<_>>().join(", ");
    let reason = u8::try_from(number).ok().and_then(Reason::from_code);
    reason.ok_or_else(|| Invalid::new("reason", format!("say why: one of {}", known())))
}

/// A kind of credential; any if it is not specified.
pub(super) fn kind(field: &'static str, number: i32) -> Result<Option<CredentialKind>, Invalid> {
    match api::CredentialKind::try_from(number) {
        Ok(api::CredentialKind::Unspecified) => Ok(None),
        Ok(api::CredentialKind::AccessToken) => Ok(Some(CredentialKind::AccessToken)),
        Ok(api::CredentialKind::JwtSvid) => Ok(Some(CredentialKind::JwtSvid)),
        Ok(api::CredentialKind::Certificate) => Ok(Some(CredentialKind::Certificate)),
        Err(_unknown) => Err(Invalid::new(field, format!("{number} is no kind of credential"))),
    }
}

/// How many to list: the default for 0, and never more than the most.
pub(super) fn page_size(asked: u32) -> usize {
    const DEFAULT: usize = 100;
    const MOST: usize = 1000;
    match usize::try_from(asked) {
        Ok(0) => DEFAULT,
        Ok(asked) => asked.min(MOST),
        Err(_too_large) => MOST,
    }
}

/// Bytes in lower-case hex digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A number that may be absent: 0 then.
pub(super) fn number(position: Option<Position>) -> u64 {
    position.unwrap_or(Position::ZERO).get()
}

impl From<Standing> for api::Standing {
    fn from(standing: Standing) -> Self {
        match standing {
            Standing::Active => Self::Active,
            Standing::Suspended => Self::Suspended,
            Standing::Offboarding => Self::Offboarding,
            Standing::Offboarded => Self::Offboarded,
            Standing::AwaitsOwner => Self::AwaitsOwner,
        }
    }
}

impl From<CredentialKind> for api::CredentialKind {
    fn from(kind: CredentialKind) -> Self {
        match kind {
            CredentialKind::AccessToken => Self::AccessToken,
            CredentialKind::JwtSvid => Self::JwtSvid,
            CredentialKind::Certificate => Self::Certificate,
        }
    }
}

impl From<Reason> for api::RevocationReason {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::KeyCompromise => Self::KeyCompromise,
            Reason::AffiliationChanged => Self::AffiliationChanged,
            Reason::Superseded => Self::Superseded,
            Reason::CessationOfOperation => Self::CessationOfOperation,
            Reason::PrivilegeWithdrawn => Self::PrivilegeWithdrawn,
        }
    }
}

impl From<Bound> for api::Bound {
    fn from(bound: Bound) -> Self {
        match bound {
            Bound::Requested => Self::Requested,
            Bound::Default => Self::Default,
            Bound::Policy => Self::Policy,
            Bound::Kind => Self::Kind,
            Bound::Task => Self::Task,
            Bound::Workload => Self::Workload,
            Bound::Contract => Self::Contract,
            Bound::SigningKey => Self::SigningKey,
            Bound::ClientCertificate => Self::ClientCertificate,
            Bound::Exception => Self::Exception,
        }
    }
}

impl From<NamedCensus> for api::Census {
    fn from(census: NamedCensus) -> Self {
        let named = |counts: Vec<(String, u64)>| counts.into_iter().map(|(name, count)| api::NamedCount { name, count }).collect();
        Self {
            total: census.total,
            by_kind: named(census.by_kind.into_iter().map(|(kind, count)| (kind.to_string(), count)).collect()),
            by_environment: named(census.by_environment),
            by_workload: named(census.by_workload),
            last_expiry: census.last_expiry.map(time::timestamp),
            downstreams: census.downstreams.into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::OwnerId;

    #[test]
    fn reasons_have_one_number_in_the_api_and_in_rfc_5280() {
        for known in Reason::ALL {
            let wire = i32::from(api::RevocationReason::from(*known));
            assert_eq!((wire, reason(wire)), (i32::from(known.code()), Ok(*known)));
        }
        for unknown in [0, 2, 6, 8, 10, 257, -1] {
            assert_eq!(reason(unknown).map_err(|invalid| invalid.field), Err("reason"), "{unknown}");
        }
    }

    #[test]
    fn an_empty_or_padded_name_is_refused_and_never_means_all() {
        for text in ["", " ", " payments", "payments ", "Payments"] {
            assert!(required::<OwnerId>("owner", text).is_err(), "{text:?}");
        }
        assert_eq!(optional::<OwnerId>("owner", ""), Ok(None));
        assert!(optional::<OwnerId>("owner", " ").is_err());
        assert!(position("task", 0).is_err());
    }

    #[test]
    fn a_page_is_never_empty_and_never_too_long() {
        assert_eq!([0, 1, 1000, 1001, u32::MAX].map(page_size), [100, 1, 1000, 1000, 1000]);
    }

    #[test]
    fn a_request_id_is_one_short_word() {
        assert_eq!(request_id(String::new()), Ok(None));
        assert_eq!(request_id("a-1".to_owned()), Ok(Some("a-1".to_owned())));
        for text in ["a b".to_owned(), "a\n".to_owned(), "é".to_owned(), "a".repeat(129)] {
            assert!(request_id(text).is_err());
        }
    }
}
