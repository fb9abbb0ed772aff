//! `curfew ledger`: the record of everything that happened.

mod export;
pub(super) mod progress;
mod recover;
mod verify;

use serde::Serialize;

use crate::cli::call::answer;
use crate::cli::output::{self, Format, Layout};
use crate::cli::session::Session;
use crate::cli::wire;
use crate::client::api;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List entries, by position.
    List {
        /// The first position.
        #[arg(long, default_value_t = 1, value_name = "POSITION")]
        from: u64,
        /// How many at most.
        #[arg(long, default_value_t = 100, value_name = "NUMBER")]
        limit: usize,
    },
    /// Check a backup, or the file of a stopped broker. Exits with 5 if it is not sound.
    Verify(verify::Args),
    /// Write the entries of a backup, or of a stopped broker, as lines of JSON.
    Export(export::Args),
    /// After a loss, begin a new epoch with new keys on the ledger of a stopped broker.
    ///
    /// Nothing that was issued before is accepted afterwards, by the broker or by a verifier with the
    /// new keys. The old keys are kept beside the new ones under other names.
    Recover(recover::Args),
    /// Print the signed checkpoint of the head.
    Checkpoint,
}

#[derive(Debug, Serialize)]
struct Entries {
    entries: Vec<Entry>,
    next: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Entry {
    position: u64,
    time: Option<String>,
    actor: Option<String>,
    event: String,
    summary: String,
    unreadable: bool,
}

#[derive(Debug, Serialize)]
struct Checkpoint {
    checkpoint: String,
}

const ENTRIES: Layout = Layout::rows("entries", &["position", "time", "event", "actor", "summary"]);

/// The most that a broker gives in one answer.
const PAGE: usize = 1000;

impl Command {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        match self {
            Self::List { from, limit } => session.print(&list(session, from, limit).await?, ENTRIES),
            Self::Verify(args) => args.run(session),
            Self::Export(args) => args.run(),
            Self::Recover(args) => args.run(session).await,
            Self::Checkpoint => {
                let found = answer(session.connect().await?.ledger().get_checkpoint(api::GetCheckpointRequest {})).await?;
                // A signed note is text already, and is verified byte for byte.
                if session.global.format == Format::Table {
                    return output::write(&found.checkpoint);
                }
                session.print(&Checkpoint { checkpoint: found.checkpoint }, Layout::fields(&["checkpoint"]))
            }
        }
    }
}

async fn list(session: &Session, from: u64, limit: usize) -> anyhow::Result<Entries> {
    let client = session.connect().await?;
    let mut listed = Entries { entries: Vec::new(), next: Some(from) };
    while let Some(from) = listed.next.filter(|_| listed.entries.len() < limit) {
        let page_size = u32::try_from((limit - listed.entries.len()).min(PAGE)).unwrap_or(u32::MAX);
        let page = answer(client.ledger().list(api::LedgerListRequest { from, page_size })).await?;
        listed.entries.extend(page.entries.into_iter().map(Entry::from));
        listed.next = wire::number(page.next);
    }
    Ok(listed)
}

impl From<api::LedgerRow> for Entry {
    fn from(row: api::LedgerRow) -> Self {
        Self {
            position: row.position,
            time: wire::instant(row.time),
            actor: wire::text(row.actor),
            event: row.event,
            summary: row.summary,
            unreadable: row.unreadable,
        }
    }
}
