//! `curfew reconcile`: what is registered against what was seen.

use serde::Serialize;

use super::call::answer;
use super::output::Layout;
use super::session::Session;
use super::wire;
use crate::client::api;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Say what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Serialize)]
struct Reconciled {
    workloads: u64,
    /// Not done, since it would be too much at once.
    held: u64,
    steps: Vec<Step>,
}

#[derive(Debug, Serialize)]
struct Step {
    step: String,
    finding: Option<u64>,
    kind: String,
    about: String,
    detail: String,
}

const LAYOUT: Layout = Layout::fields(&["workloads", "held"]).and_rows("steps", &["step", "finding", "kind", "about", "detail"]);

impl Args {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let client = session.connect().await?;
        let run = answer(client.findings().reconcile(api::FindingsReconcileRequest { dry_run: self.dry_run })).await?;
        let step = |step: api::ReconcileStep| Step {
            step: step.step,
            finding: wire::number(step.finding),
            kind: step.kind,
            about: step.about,
            detail: step.detail,
        };
        let steps = run.steps.into_iter().map(step).collect();
        session.print(&Reconciled { workloads: run.workloads, held: run.held, steps }, LAYOUT)
    }
}
