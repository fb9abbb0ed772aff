//! `curfew ledger export`: the entries of a backup, or of a stopped broker, as lines of JSON.

use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use super::progress::Progress;
use crate::app::config::files;
use crate::ledger::{ExportError, Offline};
use crate::model::Position;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The ledger's file.
    ledger: PathBuf,
    /// The file to make, which must not exist; `-` is standard output.
    #[arg(default_value = "-", value_name = "FILE")]
    out: PathBuf,
    /// The first position.
    #[arg(long, default_value = "1", value_name = "POSITION")]
    from: Position,
    /// The last position; the end of the ledger if it is left out.
    #[arg(long, value_name = "POSITION")]
    to: Option<Position>,
}

impl Args {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let ledger = Offline::open(&self.ledger)?;
        let range = (self.from, self.to.unwrap_or(ledger.end()).min(ledger.end()));
        let mut progress = Progress::start("exported");
        if self.out == Path::new("-") {
            let mut out = BufWriter::new(io::stdout().lock());
            ledger.export(range, &mut out, |position| progress.reached(position)).map_err(local)?;
        } else {
            let file = files::open_new(&self.out)?;
            ledger.export(range, &mut BufWriter::new(&file), |position| progress.reached(position)).map_err(local)?;
            file.sync_all()?;
        }
        progress.finish();
        Ok(())
    }
}

/// A reader that has seen enough and closed the pipe is told from other errors by its own.
fn local(error: ExportError) -> anyhow::Error {
    match error {
        ExportError::Write(error) => error.into(),
        ExportError::Ledger(error) => error.into(),
    }
}
