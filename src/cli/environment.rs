//! `curfew environment`: a binding that every credential has.

use super::revoking;
use super::session::Session;
use crate::client::api;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// End everything that was issued for an environment, and close it to issuing.
    Revoke {
        /// Its name, exact.
        environment: String,
        #[command(flatten)]
        args: revoking::Args,
    },
    /// The same, expected back. What was issued before stays dead.
    Suspend {
        /// Its name, exact.
        environment: String,
        #[command(flatten)]
        args: revoking::Args,
    },
    /// Open an environment to issuing again. Revives nothing.
    Reinstate {
        /// Its name, exact.
        environment: String,
        /// Why.
        #[arg(long, value_name = "TEXT")]
        note: String,
    },
}

impl Command {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        use api::{revocations_reinstate_request, revoke_request};
        let ended = |environment| revoke_request::Subject::Environment(environment);
        match self {
            Self::Revoke { environment, args } => revoking::revoke(session, ended(environment), args, false).await,
            Self::Suspend { environment, args } => revoking::revoke(session, ended(environment), args, true).await,
            Self::Reinstate { environment, note } => {
                revoking::reinstate(session, revocations_reinstate_request::Subject::Environment(environment), note).await
            }
        }
    }
}
