//! `curfew ledger recover`: after a loss, a new epoch with new keys.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::app::config::Config;
use crate::app::{self, Recovered};
use crate::cli::output::{self, Format, Layout};
use crate::cli::session::Session;
use crate::model::{Note, Position};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The configuration file of the broker, which must be stopped.
    #[arg(long, value_name = "FILE", env = "CURFEW_CONFIG", default_value = "curfew.toml")]
    config: PathBuf,
    /// Why, for people who read the ledger later.
    #[arg(long, value_name = "TEXT")]
    note: Note,
}

#[derive(Debug, Serialize)]
struct Answer {
    epoch: String,
    position: u64,
    left_position: u64,
    left_time: String,
    reached_position: Option<u64>,
    retired_files: Vec<PathBuf>,
    issuer_certificate_file: PathBuf,
}

impl Args {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let recovered = app::recover(&Config::load(&self.config)?, self.note).await?;
        if session.global.format == Format::Table && session.global.field.is_none() {
            return output::write(&what_next(&recovered, &self.config));
        }
        let answer = Answer {
            epoch: recovered.epoch.to_string(),
            position: recovered.position.get(),
            left_position: recovered.left.0.get(),
            left_time: recovered.left.1.to_string(),
            reached_position: recovered.reached.map(Position::get),
            retired_files: recovered.retired,
            issuer_certificate_file: recovered.issuer_certificate,
        };
        session.print(&answer, Layout::fields(&[]))
    }
}

fn what_next(recovered: &Recovered, config: &Path) -> String {
    let (left, time) = recovered.left;
    let lost = match recovered.reached {
        Some(reached) if reached > left => format!("Entries {} to {reached} are lost.", left.next()),
        Some(_) => "No entry is known to be lost.".to_owned(),
        None => "What is lost is not known.".to_owned(),
    };
    let retired: String = recovered.retired.iter().map(|path| format!("  {}\n", path.display())).collect();
    format!(
        "Epoch {epoch} begins at entry {position}, after entry {left} of {time}.
{lost} No credential from before is accepted any more, whether its record is left or not.

The keys from before are retired, and kept as
{retired}
Next, in this order:
1. What was revoked, suspended, applied or closed after {time} is undone. Bring the registry
   and the policies to their present state; then start the broker where workloads do not reach it:
     curfew serve --config {config}
     curfew registry apply ...; curfew owner revoke ... (and what else was revoked)
2. Give every client {issuer} in place of
   the certificate by which it knew the broker (CURFEW_CACERT).
3. Every verifier and follower fetches the keys anew (/v1/keys) and starts with an empty state. Until
   then it rejects everything: the list is of another epoch, which to it is a fork.
4. Let the workloads in. Each gets new credentials with its identity from outside.
5. Check what is there: curfew ledger verify, on a backup.
",
        epoch = recovered.epoch,
        position = recovered.position,
        config = config.display(),
        issuer = recovered.issuer_certificate.display(),
    )
}
