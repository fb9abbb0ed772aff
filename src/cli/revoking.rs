//! What all commands that end something share: why, how much at most, and how far to wait.

use std::time::Duration;

use serde::Serialize;

use super::call::answer;
use super::exit::NotYet;
use super::output::Layout;
use super::revocations;
use super::session::Session;
use super::wire::{self, Census};
use crate::app::config::Span;
use crate::client::{Client, api};
use crate::model::Reason;

/// How far a revocation has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stage {
    /// Only counted; nothing was changed.
    #[value(skip)]
    DryRun,
    /// In the ledger: nothing is issued any more.
    Committed,
    /// In the signed list: whoever has the list rejects what was issued before.
    #[default]
    Published,
}

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

#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Waiting {
    /// What to wait for.
    #[arg(long, value_enum, default_value_t)]
    wait: Stage,
    /// How long to wait for it at most.
    #[arg(long, value_name = "DURATION", default_value = "60s")]
    timeout: Span,
}

/// What ended.
#[derive(Debug, Serialize)]
pub(super) struct Revoked {
    pub(super) subject: String,
    pub(super) stage: Stage,
    pub(super) position: Option<u64>,
    pub(super) committed_at: Option<String>,
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
]);

/// How often the list is asked for while waiting.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

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
        stage: Stage::DryRun,
        position: wire::number(revoked.position),
        committed_at: None,
        standing: None,
        repeated: revoked.repeated,
        ended: revoked.ended.unwrap_or_default().into(),
    };
    finish(session, &client, revoked, args.waiting).await
}

fn named(subject: api::revoke_request::Subject) -> String {
    use api::revoke_request::Subject;
    match subject {
        Subject::Workload(name) | Subject::Environment(name) | Subject::CredentialId(name) => name,
        Subject::Task(number) => number.to_string(),
    }
}

/// Waits for the stage that was asked for, and prints how far it has come, whatever that is.
pub(super) async fn finish(session: &Session, client: &Client, revoked: Revoked, waiting: Waiting) -> anyhow::Result<()> {
    let Some(position) = revoked.position else {
        return session.print(&revoked, LAYOUT);
    };
    let published = match waiting.wait {
        Stage::DryRun | Stage::Committed => Ok(Stage::Committed),
        Stage::Published => {
            let seen = published(session, client, position, waiting.timeout.duration()).await;
            seen.map(|()| Stage::Published).map_err(|problem| NotYet { position, problem })
        }
    };
    let stage = published.as_ref().copied().unwrap_or(Stage::Committed);
    session.print(&Revoked { stage, ..revoked }, LAYOUT)?;
    Ok(published.map(|_| ())?)
}

/// Returns once the signed list covers `position`. No longer than `timeout`, whatever the broker does.
async fn published(session: &Session, client: &Client, position: u64, timeout: Duration) -> Result<(), String> {
    let deadline = session.clock.now().plus(timeout);
    let mut problem = format!("the broker has not answered after {}s", timeout.as_secs());
    let looking = async {
        loop {
            let answered =
                answer(client.revocations().get_list(api::GetListRequest { since: position.saturating_sub(1), ..Default::default() }))
                    .await;
            problem = match answered.map(|answer| revocations::read(&answer.list)) {
                Ok(Ok(list)) if list.position.get() >= position => return Ok(()),
                Ok(Ok(list)) => format!("the list has come to {} after {}s", list.position, timeout.as_secs()),
                Ok(Err(error)) => return Err(format!("{error:#}")),
                Err(failure) => failure.to_string(),
            };
            session.clock.sleep_until(session.clock.now().plus(LOOK_AGAIN)).await;
        }
    };
    let seen = tokio::select! {
        biased;
        seen = looking => Some(seen),
        () = session.clock.sleep_until(deadline) => None,
    };
    seen.unwrap_or(Err(problem))
}

/// Opens a workload or an environment again.
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
