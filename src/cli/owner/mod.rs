//! `curfew owner`: the parties that answer for identities, and the end of everything of one.

mod page;
pub(super) mod report;

use serde::Serialize;

use crate::cli::call::answer;
use crate::cli::output::Layout;
use crate::cli::revoking::{self, Reinstated, Revoked};
use crate::cli::session::Session;
use crate::cli::waiting::Reached;
use crate::cli::wire::{self, Census};
use crate::client::{Client, api};

#[derive(Debug, clap::Subcommand)]
pub(in crate::cli) enum Command {
    /// List all owners.
    List,
    /// Show an owner, its workloads, and what is alive under it.
    Show {
        /// Its id, exact.
        owner: String,
    },
    /// Count what a revocation would end. Changes nothing.
    Preview {
        /// Its id, exact.
        owner: String,
    },
    /// End everything that was issued under an owner, and close it to issuing.
    Revoke {
        /// Its id, exact.
        owner: String,
        #[command(flatten)]
        args: revoking::Args,
    },
    /// The same, expected back. What was issued before stays dead.
    Suspend {
        /// Its id, exact.
        owner: String,
        #[command(flatten)]
        args: revoking::Args,
    },
    /// Write the signed offboarding report of an owner, as of now: what existed, what was revoked, where it stands.
    Report(report::Args),
    /// Open an owner to issuing again. Revives nothing.
    Reinstate {
        /// Its id, exact.
        owner: String,
        /// Why.
        #[arg(long, value_name = "TEXT")]
        note: String,
    },
}

#[derive(Debug, Serialize)]
struct Owner {
    id: String,
    number: u64,
    kind: String,
    business_owner: String,
    technical_owner: String,
    contract_end: Option<String>,
    standing: Option<String>,
    closed_position: Option<u64>,
    source: Option<String>,
    record: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    workloads: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    living: Option<Census>,
}

#[derive(Debug, Serialize)]
struct Owners {
    owners: Vec<Owner>,
}

#[derive(Debug, Serialize)]
struct Preview {
    owner: String,
    standing: Option<String>,
    living: Census,
}

const OWNER: Layout = Layout::fields(&[
    "id",
    "number",
    "kind",
    "business_owner",
    "technical_owner",
    "contract_end",
    "source",
    "record",
    "standing",
    "closed_position",
    "workloads",
    "living.total",
    "living.by_kind",
    "living.last_expiry",
]);
const OWNERS: Layout = Layout::rows("owners", &["id", "kind", "standing", "business_owner", "technical_owner", "contract_end"]);
const PREVIEW: Layout = Layout::fields(&[
    "owner",
    "standing",
    "living.total",
    "living.by_kind",
    "living.by_environment",
    "living.by_workload",
    "living.last_expiry",
    "living.downstreams",
]);

impl Command {
    pub(in crate::cli) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let client = session.connect().await?;
        match self {
            Self::List => session.print(&Owners { owners: list(&client).await? }, OWNERS),
            Self::Show { owner } => {
                let found = answer(client.owners().get(api::OwnersGetRequest { owner })).await?.owner.unwrap_or_default();
                let (workloads, living) = (found.workloads.clone(), found.living.clone().unwrap_or_default());
                let owner = Owner { workloads: Some(workloads), living: Some(living.into()), ..found.into() };
                session.print(&owner, OWNER)
            }
            Self::Preview { owner } => {
                let found = preview(&client, owner.clone()).await?;
                let living = found.living.unwrap_or_default().into();
                session.print(&Preview { owner, standing: wire::standing(found.standing), living }, PREVIEW)
            }
            Self::Revoke { owner, args } => finish(session, &client, owner, args, false).await,
            Self::Suspend { owner, args } => finish(session, &client, owner, args, true).await,
            Self::Report(args) => args.run(session, &client).await,
            Self::Reinstate { owner, note } => {
                let reinstated = answer(client.owners().reinstate(api::OwnersReinstateRequest { owner, note })).await?;
                session.print(&Reinstated::at(reinstated.position), Reinstated::LAYOUT)
            }
        }
    }
}

async fn list(client: &Client) -> anyhow::Result<Vec<Owner>> {
    let mut owners = Vec::new();
    let mut after = String::new();
    loop {
        let page = answer(client.owners().list(api::OwnersListRequest { after, page_size: 1000 })).await?;
        owners.extend(page.owners.into_iter().map(Owner::from));
        if page.next.is_empty() {
            return Ok(owners);
        }
        after = page.next;
    }
}

/// Counts what a revocation would end.
pub(in crate::cli) async fn preview(client: &Client, owner: String) -> anyhow::Result<api::PreviewRevocationResponse> {
    Ok(answer(client.owners().preview_revocation(api::PreviewRevocationRequest { owner })).await?)
}

/// Ends everything of an owner.
pub(in crate::cli) async fn revoke(client: &Client, request: api::RevokeByOwnerRequest) -> anyhow::Result<api::RevokeByOwnerResponse> {
    Ok(answer(client.owners().revoke_by_owner(request)).await?)
}

async fn finish(session: &Session, client: &Client, owner: String, args: revoking::Args, suspend: bool) -> anyhow::Result<()> {
    let request = api::RevokeByOwnerRequest {
        owner: owner.clone(),
        reason: i32::from(args.reason.code()),
        note: args.note.unwrap_or_default(),
        dry_run: args.dry_run,
        max_affected: args.max_affected,
        suspend,
    };
    let revoked = revoke(client, request).await?;
    let revoked = Revoked {
        subject: owner,
        reached: Reached::committed(revoked.committed_at),
        position: wire::number(revoked.position),
        standing: wire::standing(revoked.standing),
        repeated: revoked.repeated,
        ended: revoked.ended.unwrap_or_default().into(),
    };
    revoking::finish(session, client, revoked, args.waiting).await
}

impl From<api::Owner> for Owner {
    fn from(owner: api::Owner) -> Self {
        Self {
            id: owner.id,
            number: owner.number,
            kind: owner.kind,
            business_owner: owner.business_owner,
            technical_owner: owner.technical_owner,
            contract_end: wire::instant(owner.contract_end),
            standing: wire::standing(owner.standing),
            closed_position: wire::number(owner.closed_position),
            source: owner.origin.as_ref().map(|origin| origin.source.clone()),
            record: owner.origin.map(|origin| origin.record),
            workloads: None,
            living: None,
        }
    }
}
