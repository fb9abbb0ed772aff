//! `curfew backup`: a verified copy of the ledger, while its broker runs or not.

use std::path::PathBuf;

use serde::Serialize;

use super::ledger::progress::Progress;
use super::output::Layout;
use super::session::Session;
use crate::app::config::Config;
use crate::formats::list::to_hex;
use crate::ledger;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The file to make; it must not exist.
    file: PathBuf,
    /// The configuration file of the broker, whose ledger is read beside it: run this as its user.
    #[arg(long, value_name = "FILE", env = "CURFEW_CONFIG", default_value = "curfew.toml")]
    config: PathBuf,
}

#[derive(Debug, Serialize)]
struct Answer {
    file: PathBuf,
    epoch: Option<String>,
    position: u64,
    root: String,
    time: String,
    bytes: u64,
}

const LAYOUT: Layout = Layout::fields(&["file", "epoch", "position", "root", "time", "bytes"]);

impl Args {
    pub(super) fn run(self, session: &Session) -> anyhow::Result<()> {
        let ledger_file = Config::load(&self.config)?.ledger_file()?;
        let mut progress = Progress::start("verified");
        let copied = ledger::backup(&ledger_file, &self.file, |position| progress.reached(position))?;
        progress.finish();
        let head = copied.report.head;
        let answer = Answer {
            file: self.file,
            epoch: copied.report.facts.epoch().map(|epoch| epoch.to_string()),
            position: head.position.get(),
            root: to_hex(&head.root),
            time: head.time.to_string(),
            bytes: copied.bytes,
        };
        session.print(&answer, LAYOUT)
    }
}
