//! `curfew environment`: a binding that every credential has.

use anyhow::Context as _;
use serde::Serialize;

use super::call::answer;
use super::exit::Refused;
use super::output::Layout;
use super::revoking;
use super::session::Session;
use super::wire;
use crate::client::api;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List the environments of the registry.
    List,
    /// Show an environment, who may act in it, and what accepts credentials there.
    Show {
        /// Its name, exact.
        environment: String,
    },
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

#[derive(Debug, Serialize)]
struct Environment {
    name: String,
    standing: Option<String>,
    workloads: Vec<String>,
    downstreams: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Environments {
    environments: Vec<Environment>,
}

const ENVIRONMENT: Layout = Layout::fields(&["name", "standing", "workloads", "downstreams"]);
const ENVIRONMENTS: Layout = Layout::rows("environments", &["name", "standing", "downstreams"]);

impl Command {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        use api::{revocations_reinstate_request, revoke_request};
        let ended = |environment| revoke_request::Subject::Environment(environment);
        match self {
            Self::List => session.print(&Environments { environments: all(session).await? }, ENVIRONMENTS),
            Self::Show { environment } => {
                let found = all(session).await?.into_iter().find(|known| known.name == environment);
                let missing = || Refused(format!("no environment `{environment}` in the registry; names are matched exactly"));
                session.print(&found.with_context(missing)?, ENVIRONMENT)
            }
            Self::Revoke { environment, args } => revoking::revoke(session, ended(environment), args, false).await,
            Self::Suspend { environment, args } => revoking::revoke(session, ended(environment), args, true).await,
            Self::Reinstate { environment, note } => {
                revoking::reinstate(session, revocations_reinstate_request::Subject::Environment(environment), note).await
            }
        }
    }
}

async fn all(session: &Session) -> anyhow::Result<Vec<Environment>> {
    let client = session.connect().await?;
    let exported = answer(client.registry().export(api::RegistryExportRequest {})).await?;
    let (closed, document) = (exported.closed, exported.document.unwrap_or_default());
    let shown = |environment: api::EnvironmentRecord| {
        let workloads = document.workloads.iter().filter(|known| known.environments.contains(&environment.name));
        let downstreams = document.downstreams.iter().filter(|known| known.environments.contains(&environment.name));
        Environment {
            standing: wire::standing_of(&closed, "environment", &environment.name),
            workloads: workloads.map(|known| known.spiffe_id.clone()).collect(),
            downstreams: downstreams.map(|known| known.name.clone()).collect(),
            name: environment.name,
        }
    };
    Ok(document.environments.iter().cloned().map(shown).collect())
}
