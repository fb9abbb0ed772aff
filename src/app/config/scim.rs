//! The clients that provision over SCIM, as they are configured.

use serde::{Deserialize, Serialize};

use super::check::Problems;
use super::units::Share;
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) business_owner: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) technical_owner: Option<String>,
}

/// A client beside `others`; notes what is wrong.
pub(super) fn client(raw: &RawClient, others: &[Client], problems: &mut Problems) -> Option<Client> {
    let source: Option<SourceName> = problems.parsed("source.name", &raw.name);
    let token = from_hex::<32>(&raw.token_hash);
    problems.unless(token.is_some(), "source.token_hash", "write the 64 hex digits that `curfew source token` printed as the hash");
    let same_token = others.iter().any(|other| Some(other.token) == token);
    problems.unless(!same_token, "source.token_hash", "two sources have the same token; make one for each with `curfew source token`");
    let mut contact = |field, text: &Option<String>| text.as_ref().and_then(|text| problems.parsed(field, text));
    let business_owner = contact("source.business_owner", &raw.business_owner);
    let technical_owner = contact("source.technical_owner", &raw.technical_owner);
    let fallback = Fallback { business_owner, technical_owner };
    let rules = Rules { source: source?, fallback, max_ended: raw.max_ended.share(), is_complete: raw.complete };
    Some(Client { token: token?, rules })
}
