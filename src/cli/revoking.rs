//! What all commands that end something share: why, how much at most, and how far to wait.

use serde::Serialize;

use super::call::answer;
use super::output::Layout;
use super::session::Session;
use super::waiting::{Reached, Waiting};
use super::wire::{self, Census};
use crate::client::{Client, api};
use crate::model::Reason;

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// cessation-of-operation, affiliation-changed, superseded, privilege-withdrawn or key-compromise.
    #[arg(long)]
    pub(super) reason: Reason,
    /// Why, for people; to the ledger only.
    #[arg(long, value_name = "TEXT")]
    pub(super) note: Option<String>,
    /// Check and count, change nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Refuse if more than this many living credentials would end.
    #[arg(long, value_name = "NUMBER")]
    pub(super) max_affected: Option<u64>,
    #[command(flatten)]
    pub(super) waiting: Waiting,
}

/// What ended.
#[derive(Debug, Serialize)]
pub(super) struct Revoked {
    pub(super) subject: String,
    #[serde(flatten)]
    pub(super) reached: Reached,
    pub(super) position: Option<u64>,
    pub(super) standing: Option<String>,
    pub(super) repeated: bool,
    pub(super) ended: Census,
}

const LAYOUT: Layout = Layout::fields(&[
    "subject",
    "stage",
    "position",
    "standing",
    "repeated",
    "ended.total",
    "ended.by_kind",
    "ended.by_environment",
    "ended.by_workload",
    "ended.last_expiry",
    "ended.downstreams",
    "accepted_at",
    "committed_at",
    "published_at",
    "enforced_at",
    "until",
])
.and_rows("enforcement", &["downstream", "kind", "state", "at", "confirmed", "waiting_for", "entry"]);

/// Revokes anything but an owner.
pub(super) async fn revoke(session: &Session, subject: api::revoke_request::Subject, args: Args, suspend: bool) -> anyhow::Result<()> {
    let client = session.connect().await?;
    let request = api::RevokeRequest {
        subject: Some(subject.clone()),
        reason: i32::from(args.reason.code()),
        note: args.note.clone().unwrap_or_default(),
        dry_run: args.dry_run,
        max_affected: args.max_affected,
        suspend,
    };
    let revoked = answer(client.revocations().revoke(request)).await?;
    let revoked = Revoked {
        subject: named(subject),
        reached: Reached::committed(revoked.committed_at),
        position: wire::number(revoked.position),
        standing: None,
        repeated: revoked.repeated,
        ended: revoked.ended.unwrap_or_default().into(),
    };
    finish(session, &client, revoked, args.waiting).await
}

fn named(subject: api::revoke_request::Subject) -> String {
    use api::revoke_request::Subject;
    match subject {
        Subject::Workload(name) | Subject::Environment(name) | Subject::CredentialId(name) | Subject::Downstream(name) => name,
        Subject::Task(number) => number.to_string(),
    }
}

/// Waits for the stage that was asked for, and prints how far it has come, whatever that is.
pub(super) async fn finish(session: &Session, client: &Client, revoked: Revoked, waiting: Waiting) -> anyhow::Result<()> {
    let Some(position) = revoked.position else {
        return session.print(&Revoked { reached: Reached::nothing(), ..revoked }, LAYOUT);
    };
    let (reached, ended) = waiting.until_reached(session, client, (position, revoked.reached)).await;
    session.print(&Revoked { reached, ..revoked }, LAYOUT)?;
    ended
}

/// Opens anything but an owner again.
pub(super) async fn reinstate(session: &Session, subject: api::revocations_reinstate_request::Subject, note: String) -> anyhow::Result<()> {
    let client = session.connect().await?;
    let request = api::RevocationsReinstateRequest { subject: Some(subject), note };
    let reinstated = answer(client.revocations().reinstate(request)).await?;
    session.print(&Reinstated::at(reinstated.position), Reinstated::LAYOUT)
}

/// Where a reinstatement stands.
#[derive(Debug, Serialize)]
pub(super) struct Reinstated {
    position: Option<u64>,
    was_active: bool,
}

impl Reinstated {
    pub(super) const LAYOUT: Layout = Layout::fields(&["position", "was_active"]);

    pub(super) fn at(position: u64) -> Self {
        Self { position: wire::number(position), was_active: position == 0 }
    }
}
