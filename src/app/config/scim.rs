//! The clients that provision over SCIM, as they are configured.

use serde::{Deserialize, Serialize};

use super::check::Problems;
use super::units::{Share, Size};
use crate::broker::Rules;
use crate::directory::scim::meaning::Fallback;
use crate::formats::list::from_hex;
use crate::http::Client;
use crate::model::SourceName;

/// A client, field by field; `docs/scim.md` says what each is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawClient {
    pub(super) name: String,
    /// SHA-256 of the bearer token, hex.
    pub(super) token_hash: String,
    #[serde(default = "Share::tenth")]
    pub(super) max_ended: Share,
    #[serde(default)]
    pub(super) complete: bool,
    #[serde(default = "max_bytes")]
    max_bytes: Size,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) business_owner: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) technical_owner: Option<String>,
}

const fn max_bytes() -> Size {
    Size::mebibytes(256)
}

/// The most that a client may write: all of it is held in memory.
const MOST_BYTES: u64 = 8 << 30;

/// A client beside `others`; notes what is wrong.
pub(super) fn client(raw: &RawClient, others: &[Client], problems: &mut Problems) -> Option<Client> {
    let source: Option<SourceName> = problems.parsed("source.name", &raw.name);
    let token = from_hex::<32>(&raw.token_hash);
    problems.unless(token.is_some(), "source.token_hash", "write the 64 hex digits that `curfew source token` printed as the hash");
    let same_token = others.iter().any(|other| Some(other.token) == token);
    problems.unless(!same_token, "source.token_hash", "two sources have the same token; make one for each with `curfew source token`");
    problems.unless((1..=MOST_BYTES).contains(&raw.max_bytes.bytes()), "source.max_bytes", "write a size from 1B to 8GiB");
    let mut contact = |field, text: &Option<String>| text.as_ref().and_then(|text| problems.parsed(field, text));
    let business_owner = contact("source.business_owner", &raw.business_owner);
    let technical_owner = contact("source.technical_owner", &raw.technical_owner);
    let fallback = Fallback { business_owner, technical_owner };
    let most_bytes = usize::try_from(raw.max_bytes.bytes()).unwrap_or(usize::MAX);
    let rules = Rules { source: source?, fallback, max_ended: raw.max_ended.share(), most_bytes, is_complete: raw.complete };
    Some(Client { token: token?, rules })
}
