//! `curfew ledger verify`: a backup, or the file of a stopped broker, without trusting what wrote it.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Serialize;

use super::progress::Progress;
use crate::app::config::files;
use crate::cli::exit::NotValid;
use crate::cli::output::Layout;
use crate::cli::session::Session;
use crate::formats::checkpoint::{self, Checkpoint};
use crate::formats::jwk::Ed25519;
use crate::formats::list::to_hex;
use crate::ledger::{Offline, OpenError, Report};
use crate::model::{Facts, KeyPurpose};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The ledger's file.
    file: PathBuf,
    /// A signed checkpoint from before or from elsewhere, that the ledger has to agree with.
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Answer {
    valid: bool,
    entries: u64,
    position: u64,
    root: String,
    epoch: Option<String>,
    checkpoint_position: Option<u64>,
    problems_found: u64,
    problems: Vec<Problem>,
}

#[derive(Debug, Serialize)]
struct Problem {
    position: Option<u64>,
    what: String,
}

const LAYOUT: Layout = Layout::fields(&["valid", "entries", "position", "root", "epoch", "checkpoint_position", "problems_found"])
    .and_rows("problems", &["position", "what"]);

impl Args {
    pub(super) fn run(self, session: &Session) -> anyhow::Result<()> {
        let ledger = match Offline::open(&self.file) {
            Err(error @ (OpenError::Damaged(_) | OpenError::NotALedger(_))) => return Err(NotValid(error.to_string()).into()),
            opened => opened?,
        };
        let mut progress = Progress::start("verified");
        let report = ledger.verify(|position| progress.reached(position));
        progress.finish();
        let checked = self.checkpoint.as_deref().map(|path| agrees(&ledger, &report, path)).transpose()?;
        let (checkpoint_position, disagreement) = checked.map_or((None, None), |(position, disagreement)| (Some(position), disagreement));
        let of_entries = report
            .problems
            .iter()
            .map(|problem| Problem { position: problem.position.map(crate::model::Position::get), what: problem.what.clone() });
        let of_checkpoint = disagreement.map(|what| Problem { position: checkpoint_position, what });
        let problems_found = report.found + u64::from(of_checkpoint.is_some());
        let answer = Answer {
            valid: problems_found == 0,
            entries: report.entries,
            position: report.head.position.get(),
            root: to_hex(&report.head.root),
            epoch: report.facts.epoch().map(|epoch| epoch.to_string()),
            checkpoint_position,
            problems_found,
            problems: of_checkpoint.into_iter().chain(of_entries).collect(),
        };
        session.print(&answer, LAYOUT)?;
        if problems_found == 0 { Ok(()) } else { Err(NotValid(format!("{problems_found} problems in {}", self.file.display())).into()) }
    }
}

/// The position of a checkpoint, and what the ledger says otherwise.
fn agrees(ledger: &Offline, report: &Report, path: &Path) -> anyhow::Result<(u64, Option<String>)> {
    let text = files::read_text(path)?;
    let checkpoint = signed(&text, &report.facts).with_context(|| path.display().to_string())?;
    let root = ledger.root_at(checkpoint.size)?;
    let disagreement = if root.is_none() {
        Some("the ledger ends before the checkpoint: entries are missing".to_owned())
    } else if report.epoch_at(checkpoint.size) != Some(checkpoint.epoch) {
        Some("the checkpoint is of another epoch: what it covers was lost, or is of another ledger".to_owned())
    } else if root != Some(checkpoint.root) {
        Some("the ledger has another root than the checkpoint: its history was changed".to_owned())
    } else {
        None
    };
    Ok((checkpoint.size.get(), disagreement))
}

/// A checkpoint that one of the ledger's own checkpoint keys has signed.
fn signed(text: &str, facts: &Facts) -> anyhow::Result<Checkpoint> {
    let origin = checkpoint::origin(facts.trust_domain().context("the ledger was never opened")?);
    let keys = facts.signing_keys().iter().map(|key| &key.record).filter(|key| key.purpose == KeyPurpose::Checkpoint);
    let mut tried = keys.filter_map(|key| Some(Checkpoint::decode(text, &origin, &Ed25519::from_spki(&key.material)?)));
    let first = tried.next().context("the ledger names no checkpoint key")?;
    match (first, tried.find_map(Result::ok)) {
        (Ok(checkpoint), _) | (Err(_), Some(checkpoint)) => Ok(checkpoint),
        (Err(error), None) => Err(error.into()),
    }
}
