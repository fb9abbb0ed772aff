//! `curfew cred show`: the whole story of one credential.

use serde::Serialize;

use super::{Credential, Death};
use crate::cli::output::Layout;
use crate::cli::session::Session;
use crate::cli::wire;
use crate::client::api;

#[derive(Debug, Serialize)]
struct Story {
    #[serde(flatten)]
    credential: Credential,
    business_owner: Option<String>,
    technical_owner: Option<String>,
    task_purpose: Option<String>,
    /// alive, expired or cut.
    state: Option<String>,
    /// When it ended, or will at the latest.
    ends_at: Option<String>,
    cut: Option<Cut>,
    obtained: Vec<Obtained>,
    /// Whether `cred list --through` may find more of these.
    more_obtained: bool,
}

#[derive(Debug, Serialize)]
struct Cut {
    subject: String,
    position: u64,
    reason: Option<String>,
    note: Option<String>,
    actor: Option<String>,
}

#[derive(Debug, Serialize)]
struct Obtained {
    credential_id: String,
    kind: Option<String>,
    audience: Option<String>,
    issued_at: Option<String>,
    expires_at: Option<String>,
    death: Option<Death>,
}

const LAYOUT: Layout = Layout::fields(&[
    "credential_id",
    "position",
    "kind",
    "state",
    "ends_at",
    "cut",
    "spiffe_id",
    "owner",
    "business_owner",
    "technical_owner",
    "purpose",
    "environment",
    "task",
    "task_purpose",
    "audience",
    "scopes",
    "downstreams",
    "exception",
    "asked_from",
    "policies",
    "policy_hash",
    "issued_at",
    "expires_at",
    "bound_by",
    "parent",
    "lineage",
    "more_obtained",
])
.and_rows("obtained", &["credential_id", "kind", "audience", "issued_at", "expires_at", "death"]);

/// Prints it.
pub(super) fn print(session: &Session, found: api::CredentialsGetResponse) -> anyhow::Result<()> {
    session.print(&Story::from(found), LAYOUT)
}

impl From<api::CredentialsGetResponse> for Story {
    fn from(mut found: api::CredentialsGetResponse) -> Self {
        let end = found.end.take().unwrap_or_default();
        let is_cut = end.state() == api::CredentialState::Cut;
        let obtained = std::mem::take(&mut found.obtained);
        Self {
            business_owner: wire::text(std::mem::take(&mut found.business_owner)),
            technical_owner: wire::text(std::mem::take(&mut found.technical_owner)),
            task_purpose: wire::text(std::mem::take(&mut found.task_purpose)),
            state: wire::state(end.state),
            ends_at: wire::instant(end.at),
            cut: is_cut.then(|| Cut {
                subject: end.subject,
                position: end.position,
                reason: wire::reason(end.reason),
                note: wire::text(end.note),
                actor: wire::text(end.actor),
            }),
            obtained: obtained.into_iter().map(Obtained::from).collect(),
            more_obtained: found.obtained_next != 0,
            credential: found.into(),
        }
    }
}

impl From<api::ObtainedCredential> for Obtained {
    fn from(obtained: api::ObtainedCredential) -> Self {
        Self {
            credential_id: obtained.credential_id,
            kind: wire::kind(obtained.kind),
            audience: wire::text(obtained.audience),
            issued_at: wire::instant(obtained.issued_at),
            expires_at: wire::instant(obtained.expires_at),
            death: obtained.death.map(Death::from),
        }
    }
}
