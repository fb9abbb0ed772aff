//! `curfew finding`: what reconciliation found.

use serde::Serialize;

use super::call::answer;
use super::output::Layout;
use super::session::Session;
use super::wire;
use crate::app::config::Span;
use crate::client::api;
use crate::model::{Position, Timestamp};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List the findings that are open.
    List,
    /// Show a finding, open or settled: what shows it, what is to be done about it and was, and how it was settled.
    Show {
        /// Its number.
        finding: Position,
    },
    /// Say that a finding is settled. If it is still so, the next run raises it anew.
    Resolve {
        /// Its number.
        finding: Position,
        /// Why.
        #[arg(long, value_name = "TEXT")]
        note: String,
    },
    /// Have nothing done about a finding for a time.
    Waive {
        /// Its number.
        finding: Position,
        /// Why.
        #[arg(long, value_name = "TEXT")]
        note: String,
        /// For this time, such as 30d; at most a year.
        #[arg(long, value_name = "DURATION", required_unless_present = "until", conflicts_with = "until")]
        within: Option<Span>,
        /// Until this instant, RFC 3339.
        #[arg(long, value_name = "INSTANT")]
        until: Option<Timestamp>,
    },
}

#[derive(Debug, Serialize)]
struct Finding {
    finding: u64,
    kind: String,
    severity: String,
    about: String,
    detail: String,
    evidence: Vec<u64>,
    first_seen: Option<String>,
    last_seen: Option<String>,
    action: String,
    due: Option<String>,
    acted: Option<String>,
    acted_position: Option<u64>,
    waived_until: Option<String>,
    waived_by: Option<String>,
    waived_note: Option<String>,
    resolved_at: Option<String>,
    resolved_position: Option<u64>,
    resolved_by: Option<String>,
    resolved_note: Option<String>,
}

#[derive(Debug, Serialize)]
struct Findings {
    findings: Vec<Finding>,
    truncated: bool,
}

#[derive(Debug, Serialize)]
struct Changed {
    finding: u64,
    position: u64,
}

const FINDING: Layout = Layout::fields(&[
    "finding",
    "kind",
    "severity",
    "about",
    "detail",
    "evidence",
    "first_seen",
    "last_seen",
    "action",
    "due",
    "acted",
    "acted_position",
    "waived_until",
    "waived_by",
    "waived_note",
    "resolved_at",
    "resolved_position",
    "resolved_by",
    "resolved_note",
]);
const FINDINGS: Layout =
    Layout::rows("findings", &["finding", "severity", "kind", "about", "action", "due", "acted", "waived_until", "detail"]);
const CHANGED: Layout = Layout::fields(&["finding", "position"]);

impl Command {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let client = session.connect().await?;
        match self {
            Self::List => {
                let found = answer(client.findings().list(api::FindingsListRequest {})).await?;
                let findings = found.findings.into_iter().map(Finding::from).collect();
                session.print(&Findings { findings, truncated: found.truncated }, FINDINGS)
            }
            Self::Show { finding } => {
                let found = answer(client.findings().get(api::FindingsGetRequest { finding: finding.get() })).await?;
                session.print(&Finding::from(found.finding.unwrap_or_default()), FINDING)
            }
            Self::Resolve { finding, note } => {
                let request = api::FindingsResolveRequest { finding: finding.get(), note };
                let position = answer(client.findings().resolve(request)).await?.position;
                session.print(&Changed { finding: finding.get(), position }, CHANGED)
            }
            Self::Waive { finding, note, within, until } => {
                let until = until.or_else(|| within.map(|within| session.clock.now().plus(within.duration())));
                let request = api::FindingsWaiveRequest { finding: finding.get(), until: until.map(wire::sent_instant), note };
                let position = answer(client.findings().waive(request)).await?.position;
                session.print(&Changed { finding: finding.get(), position }, CHANGED)
            }
        }
    }
}

impl From<api::Finding> for Finding {
    fn from(found: api::Finding) -> Self {
        Self {
            finding: found.finding,
            kind: found.kind,
            severity: found.severity,
            about: found.about,
            detail: found.detail,
            evidence: found.evidence,
            first_seen: wire::instant(found.first_seen),
            last_seen: wire::instant(found.last_seen),
            action: found.action,
            due: wire::instant(found.due),
            acted: wire::text(found.acted),
            acted_position: wire::number(found.acted_position),
            waived_until: wire::instant(found.waived_until),
            waived_by: wire::text(found.waived_by),
            waived_note: wire::text(found.waived_note),
            resolved_at: wire::instant(found.resolved_at),
            resolved_position: wire::number(found.resolved_position),
            resolved_by: wire::text(found.resolved_by),
            resolved_note: wire::text(found.resolved_note),
        }
    }
}
