//! `curfew bench`: what is promised, measured against a broker of its own by the code that ships.

mod report;
mod revoke;
mod verifiers;

use crate::cli::session::Session;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Measure how long after a revocation has returned each kind of verifier rejects what it ended.
    ///
    /// Starts a broker in a temporary folder, with the configuration that `curfew init` writes, and one verifier of each
    /// kind; then revokes one owner after the other. What bounds each kind when the broker cannot be reached stands beside.
    Revoke(revoke::Args),
}

impl Command {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        match self {
            Self::Revoke(args) => args.run(session).await,
        }
    }
}
