//! `curfew owner report`: the signed report of an owner, as a table or JSON, as it is signed, or as a page.

use std::path::PathBuf;

use anyhow::Context as _;
use serde::Serialize;

use super::page;
use crate::app::config::files;
use crate::cli::call::answer;
use crate::cli::output::Layout;
use crate::cli::session::Session;
use crate::client::{Client, api};
use crate::formats::report::Report;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The owner's id, exact.
    owner: String,
    /// Also write the report as it is signed, to be checked with `verify report`.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Also write one page that needs nothing else, for people.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
pub(in crate::cli) struct Answer<'a> {
    #[serde(flatten)]
    report: &'a Report,
    /// As it is signed.
    signed: &'a str,
}

pub(in crate::cli) const LAYOUT: Layout = Layout::fields(&[
    "owner.id",
    "owner.kind",
    "owner.standing",
    "owner.business_owner",
    "owner.technical_owner",
    "verdict",
    "why",
    "revocation.position",
    "revocation.committed_at",
    "revocation.requested_by",
    "revocation.reason",
    "revocation.note",
    "revocation.ended",
    "issued.before",
    "issued.after",
    "last_moment.at",
    "last_moment.downstream",
    "entries",
])
.and_rows("downstreams", &["name", "kind", "living", "state", "at", "entry", "waiting_for"]);

impl Args {
    pub(in crate::cli) async fn run(self, session: &Session, client: &Client) -> anyhow::Result<()> {
        let signed = answer(client.owners().get_report(api::GetReportRequest { owner: self.owner })).await?.report;
        let (report, _) = Report::decode(&signed).context("the broker's report")?;
        if let Some(path) = &self.out {
            files::create_file(path, signed.as_bytes())?;
        }
        if let Some(path) = &self.html {
            files::create_file(path, page::of(&report, &signed).as_bytes())?;
        }
        session.print(&Answer { report: &report, signed: &signed }, LAYOUT)
    }
}
