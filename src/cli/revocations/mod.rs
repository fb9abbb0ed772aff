//! `curfew revocations`: the signed list of what is revoked, and who follows it.

mod followers;

use anyhow::Context as _;
use serde::Serialize;

use crate::cli::call::answer;
use crate::cli::output::Layout;
use crate::cli::session::Session;
use crate::client::api;
use crate::formats::jws;
use crate::formats::list::{List, MAX_LIST};
use crate::model;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Show the list. Nothing is verified here; `--field list` prints it as it is signed.
    Get {
        /// Only what came after this position, if the broker still knows.
        #[arg(long, default_value_t = 0, value_name = "POSITION")]
        since: u64,
    },
    /// List who follows the list, how far each has come, and which downstreams nobody follows for.
    Followers,
}

#[derive(Debug, Serialize)]
struct Answer {
    issuer: String,
    issued_at: String,
    expires_at: String,
    epoch: String,
    position: u64,
    since: Option<u64>,
    cuts: Vec<Cut>,
    list: String,
}

#[derive(Debug, Serialize)]
struct Cut {
    number: u64,
    position: u64,
    reason: String,
    ends_at: String,
}

const LAYOUT: Layout = Layout::fields(&["issuer", "issued_at", "expires_at", "epoch", "position", "since"])
    .and_rows("cuts", &["number", "position", "reason", "ends_at"]);

impl Command {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        match self {
            Self::Get { since } => get(session, since).await,
            Self::Followers => followers::print(session, &session.connect().await?).await,
        }
    }
}

async fn get(session: &Session, since: u64) -> anyhow::Result<()> {
    let signed = answer(session.connect().await?.revocations().get_list(api::GetListRequest { since, ..Default::default() })).await?.list;
    let list = read(&signed)?;
    let cut = |cut: &model::Cut| Cut {
        number: cut.number.get(),
        position: cut.position.get(),
        reason: cut.reason.to_string(),
        ends_at: cut.ends.to_string(),
    };
    let answer = Answer {
        issuer: list.issuer,
        issued_at: list.issued_at.to_string(),
        expires_at: list.expires_at.to_string(),
        epoch: list.epoch.to_string(),
        position: list.position.get(),
        since: list.since.map(model::Position::get),
        cuts: list.cuts.iter().map(cut).collect(),
        list: signed,
    };
    session.print(&answer, LAYOUT)
}

/// What a list says, without verifying it: the broker was asked over mutual TLS.
pub(super) fn read(signed: &str) -> anyhow::Result<List> {
    let jws = jws::parse(signed, MAX_LIST).context("the broker's list")?;
    List::decode(&jws.payload).context("the broker's list")
}
