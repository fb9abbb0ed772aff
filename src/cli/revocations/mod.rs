//! `curfew revocations`: the signed list of what is revoked, and who follows it.

mod followers;

use anyhow::Context as _;
use serde::Serialize;

use crate::cli::call::answer;
use crate::cli::output::Layout;
use crate::cli::session::Session;
use crate::client::{Failure, api};
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
    /// Print the list, and each change of it as it comes, until the broker stops. Nothing is verified here.
    ///
    /// With --format json each list is one line. Lists without a change are heartbeats. To the broker this is one more
    /// process of the identity that follows, and one that confirms nothing: use an identity that no service has.
    Watch {
        /// Begin with what came after this position, if the broker still knows.
        #[arg(long, default_value_t = 0, value_name = "POSITION")]
        since: u64,
        /// The name of this process among those of the same identity.
        #[arg(long, default_value = "command-line", value_name = "NAME")]
        instance: String,
        /// End after so many lists.
        #[arg(long, value_name = "NUMBER")]
        count: Option<u64>,
    },
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
        let client = session.connect().await?;
        let mut revocations = client.revocations();
        match self {
            Self::Followers => followers::print(session, &client).await,
            Self::Get { since } => {
                let list = answer(revocations.get_list(api::GetListRequest { since, ..Default::default() })).await?.list;
                session.print(&Answer::read(list)?, LAYOUT)
            }
            Self::Watch { since, instance, count } => {
                let mut stream = answer(revocations.watch(api::WatchRequest { since, instance })).await?;
                let mut printed = 0;
                while count.is_none_or(|count| printed < count)
                    && let Some(next) = stream.message().await.map_err(Failure::from)?
                {
                    session.print_next(&Answer::read(next.list)?, LAYOUT)?;
                    printed += 1;
                }
                Ok(())
            }
        }
    }
}

impl Answer {
    fn read(signed: String) -> anyhow::Result<Self> {
        let list = read(&signed)?;
        let cut = |cut: &model::Cut| Cut {
            number: cut.number.get(),
            position: cut.position.get(),
            reason: cut.reason.to_string(),
            ends_at: cut.ends.to_string(),
        };
        Ok(Self {
            issuer: list.issuer,
            issued_at: list.issued_at.to_string(),
            expires_at: list.expires_at.to_string(),
            epoch: list.epoch.to_string(),
            position: list.position.get(),
            since: list.since.map(model::Position::get),
            cuts: list.cuts.iter().map(cut).collect(),
            list: signed,
        })
    }
}

/// What a list says, without verifying it: the broker was asked over mutual TLS.
pub(super) fn read(signed: &str) -> anyhow::Result<List> {
    let jws = jws::parse(signed, MAX_LIST).context("the broker's list")?;
    List::decode(&jws.payload).context("the broker's list")
}
