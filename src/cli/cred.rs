//! `curfew cred`: one credential.

use serde::Serialize;

use super::call::answer;
use super::output::Layout;
use super::revoking;
use super::session::Session;
use super::wire;
use crate::client::api;
use crate::model::CredentialId;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Show what the ledger knows of a credential.
    Show {
        /// Its id (jti), or the serial number of a certificate as openssl prints it.
        id: CredentialId,
    },
    /// End a credential; of a certificate, everything that was obtained through it too.
    Revoke {
        /// Its id (jti), or the serial number of a certificate as openssl prints it.
        id: CredentialId,
        #[command(flatten)]
        args: revoking::Args,
    },
}

#[derive(Debug, Serialize)]
struct Credential {
    credential_id: String,
    position: u64,
    kind: Option<String>,
    spiffe_id: String,
    owner: String,
    environment: String,
    task: Option<u64>,
    audience: Option<String>,
    scopes: Vec<String>,
    parent: Option<String>,
    lineage: Option<u64>,
    issued_at: Option<String>,
    expires_at: Option<String>,
    bound_by: Option<String>,
    policies: Vec<String>,
    policy_hash: String,
    purpose: Option<String>,
    downstreams: Vec<String>,
    death: Option<Death>,
}

#[derive(Debug, Serialize)]
struct Death {
    subject: String,
    position: u64,
    reason: Option<String>,
}

const LAYOUT: Layout = Layout::fields(&[
    "credential_id",
    "position",
    "kind",
    "spiffe_id",
    "owner",
    "environment",
    "task",
    "audience",
    "scopes",
    "parent",
    "lineage",
    "issued_at",
    "expires_at",
    "bound_by",
    "policies",
    "policy_hash",
    "purpose",
    "downstreams",
    "death",
]);

impl Command {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        match self {
            Self::Show { id } => {
                let client = session.connect().await?;
                let request = api::CredentialsGetRequest { credential_id: id.to_string() };
                let found = answer(client.credentials().get(request)).await?;
                session.print(&Credential::from(found), LAYOUT)
            }
            Self::Revoke { id, args } => {
                let subject = api::revoke_request::Subject::CredentialId(id.to_string());
                revoking::revoke(session, subject, args, false).await
            }
        }
    }
}

impl From<api::CredentialsGetResponse> for Credential {
    fn from(found: api::CredentialsGetResponse) -> Self {
        let death = |death: api::Death| Death { subject: death.subject, position: death.position, reason: wire::reason(death.reason) };
        Self {
            credential_id: found.credential_id,
            position: found.position,
            kind: wire::kind(found.kind),
            spiffe_id: found.spiffe_id,
            owner: found.owner,
            environment: found.environment,
            task: wire::number(found.task),
            audience: wire::text(found.audience),
            scopes: found.scopes,
            parent: wire::text(found.parent),
            lineage: wire::number(found.lineage),
            issued_at: wire::instant(found.issued_at),
            expires_at: wire::instant(found.expires_at),
            bound_by: wire::bound(found.bound_by),
            policies: found.policies,
            policy_hash: found.policy_hash,
            purpose: wire::text(found.purpose),
            downstreams: found.downstreams,
            death: found.death.map(death),
        }
    }
}
