//! `curfew workload`: non-human identities.

use anyhow::Context as _;
use serde::Serialize;

use super::call::answer;
use super::exit::Refused;
use super::output::Layout;
use super::revoking;
use super::session::Session;
use super::wire;
use crate::client::api;
use crate::model::Standing;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List the workloads of the registry.
    List {
        /// Only those of this owner.
        #[arg(long)]
        owner: Option<String>,
        /// Only those that were moved to an owner who has not accepted them.
        #[arg(long)]
        awaiting: bool,
    },
    /// Show a workload.
    Show {
        /// Its SPIFFE ID.
        spiffe_id: String,
    },
    /// End everything that was issued to a workload, and close it to issuing.
    Revoke {
        /// Its SPIFFE ID.
        spiffe_id: String,
        #[command(flatten)]
        args: revoking::Args,
    },
    /// The same, expected back. What was issued before stays dead.
    Suspend {
        /// Its SPIFFE ID.
        spiffe_id: String,
        #[command(flatten)]
        args: revoking::Args,
    },
    /// Accept a workload that was moved to an owner: it is open to issuing under that one. Revives nothing.
    Accept {
        /// Its SPIFFE ID.
        spiffe_id: String,
        /// Refuse if it is of another owner than this one.
        #[arg(long)]
        owner: Option<String>,
        /// Why.
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
    },
    /// Open a workload to issuing again. Revives nothing.
    Reinstate {
        /// Its SPIFFE ID.
        spiffe_id: String,
        /// Why.
        #[arg(long, value_name = "TEXT")]
        note: String,
    },
}

#[derive(Debug, Serialize)]
struct Workload {
    spiffe_id: String,
    owner: String,
    purpose: String,
    environments: Vec<String>,
    valid_until: Option<String>,
    standing: Option<String>,
    business_owner: Option<String>,
    technical_owner: Option<String>,
    source: Option<String>,
    record: Option<String>,
}

#[derive(Debug, Serialize)]
struct Workloads {
    workloads: Vec<Workload>,
}

/// An acceptance.
#[derive(Debug, Serialize)]
struct Accepted {
    spiffe_id: String,
    owner: String,
    position: Option<u64>,
    was_waiting: bool,
}

const ACCEPTED: Layout = Layout::fields(&["spiffe_id", "owner", "position", "was_waiting"]);
const WORKLOAD: Layout = Layout::fields(&[
    "spiffe_id",
    "owner",
    "purpose",
    "environments",
    "valid_until",
    "standing",
    "business_owner",
    "technical_owner",
    "source",
    "record",
]);
const WORKLOADS: Layout = Layout::rows("workloads", &["spiffe_id", "owner", "environments", "standing", "valid_until", "purpose"]);

impl Command {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        use api::{revocations_reinstate_request, revoke_request};
        let ended = |spiffe_id| revoke_request::Subject::Workload(spiffe_id);
        match self {
            Self::List { owner, awaiting } => {
                let mut workloads = all(session).await?;
                workloads.retain(|workload| owner.as_ref().is_none_or(|owner| workload.owner == *owner));
                workloads.retain(|workload| !awaiting || workload.standing.as_deref() == Some(Standing::AwaitsOwner.as_str()));
                session.print(&Workloads { workloads }, WORKLOADS)
            }
            Self::Show { spiffe_id } => {
                let found = all(session).await?.into_iter().find(|workload| workload.spiffe_id == spiffe_id);
                let missing = || Refused(format!("no workload `{spiffe_id}` in the registry; names are matched exactly"));
                session.print(&found.with_context(missing)?, WORKLOAD)
            }
            Self::Revoke { spiffe_id, args } => revoking::revoke(session, ended(spiffe_id), args, false).await,
            Self::Suspend { spiffe_id, args } => revoking::revoke(session, ended(spiffe_id), args, true).await,
            Self::Accept { spiffe_id, owner, note } => {
                let ask = api::RegistryAcceptRequest {
                    workload: spiffe_id.clone(),
                    owner: owner.unwrap_or_default(),
                    note: note.unwrap_or_default(),
                };
                let api::RegistryAcceptResponse { position, owner } = answer(session.connect().await?.registry().accept(ask)).await?;
                session.print(&Accepted { spiffe_id, owner, position: wire::number(position), was_waiting: position != 0 }, ACCEPTED)
            }
            Self::Reinstate { spiffe_id, note } => {
                revoking::reinstate(session, revocations_reinstate_request::Subject::Workload(spiffe_id), note).await
            }
        }
    }
}

async fn all(session: &Session) -> anyhow::Result<Vec<Workload>> {
    let client = session.connect().await?;
    let exported = answer(client.registry().export(api::RegistryExportRequest {})).await?;
    let (closed, sourced) = (exported.closed, exported.sourced);
    let origin = |name: &str| wire::origin(&sourced, "workload", name);
    let shown = |workload: api::WorkloadRecord| Workload {
        source: origin(&workload.spiffe_id).map(|origin| origin.source),
        record: origin(&workload.spiffe_id).map(|origin| origin.record),
        business_owner: wire::text(workload.business_owner),
        technical_owner: wire::text(workload.technical_owner),
        standing: wire::standing_of(&closed, "workload", &workload.spiffe_id),
        spiffe_id: workload.spiffe_id,
        owner: workload.owner,
        purpose: workload.purpose,
        environments: workload.environments,
        valid_until: wire::instant(workload.valid_until),
    };
    Ok(exported.document.unwrap_or_default().workloads.into_iter().map(shown).collect())
}
