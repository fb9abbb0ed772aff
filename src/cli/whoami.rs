//! `curfew whoami`: who the caller is to the broker, and what policy allows.

use serde::Serialize;

use super::call::answer;
use super::output::Layout;
use super::session::Session;
use super::wire;
use crate::client::api;

#[derive(Debug, Serialize)]
struct Answer {
    spiffe_id: String,
    role: String,
    owner: Option<String>,
    owner_standing: Option<String>,
    workload_standing: Option<String>,
    certificate_expires_at: Option<String>,
    credential_id: Option<String>,
    allowed: Vec<Allowed>,
}

#[derive(Debug, Serialize)]
struct Allowed {
    action: String,
    resource: Option<String>,
    environment: Option<String>,
    allowed: bool,
    reason: Option<String>,
    longest_life_seconds: Option<i64>,
}

const LAYOUT: Layout =
    Layout::fields(&["spiffe_id", "role", "owner", "owner_standing", "workload_standing", "certificate_expires_at", "credential_id"])
        .and_rows("allowed", &["action", "resource", "environment", "allowed", "longest_life_seconds", "reason"]);

pub(super) async fn run(session: &Session) -> anyhow::Result<()> {
    let client = session.connect().await?;
    let found = answer(client.trust().who_am_i(api::WhoAmIRequest {})).await?;
    session.print(&Answer::from(found), LAYOUT)
}

impl From<api::WhoAmIResponse> for Answer {
    fn from(found: api::WhoAmIResponse) -> Self {
        Self {
            spiffe_id: found.spiffe_id,
            role: found.role,
            owner: wire::text(found.owner),
            owner_standing: wire::standing(found.owner_standing),
            workload_standing: wire::standing(found.workload_standing),
            certificate_expires_at: wire::instant(found.certificate_expires_at),
            credential_id: wire::text(found.credential_id),
            allowed: found.allowed.into_iter().map(Allowed::from).collect(),
        }
    }
}

impl From<api::Allowed> for Allowed {
    fn from(found: api::Allowed) -> Self {
        Self {
            action: found.action,
            resource: wire::text(found.resource),
            environment: wire::text(found.environment),
            allowed: found.allowed,
            reason: wire::text(found.reason),
            longest_life_seconds: wire::seconds(found.longest_life),
        }
    }
}
