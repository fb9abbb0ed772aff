//! `curfew downstream`: the services that accept credentials.

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
    /// List the downstreams of the registry.
    List,
    /// Show a downstream.
    Show {
        /// Its name, exact.
        name: String,
    },
    /// End every token that was issued for a downstream. It stays open, and certificates live on.
    Revoke {
        /// Its name, exact.
        name: String,
        #[command(flatten)]
        args: revoking::Args,
    },
    /// The same, and issue nothing more for it until it is reinstated. What was issued before stays dead.
    Suspend {
        /// Its name, exact.
        name: String,
        #[command(flatten)]
        args: revoking::Args,
    },
    /// Open a downstream to issuing again. Revives nothing.
    Reinstate {
        /// Its name, exact.
        name: String,
        /// Why.
        #[arg(long, value_name = "TEXT")]
        note: String,
    },
}

#[derive(Debug, Serialize)]
struct Downstream {
    name: String,
    standing: Option<String>,
    accepts: Vec<String>,
    audiences: Vec<String>,
    environments: Vec<String>,
    verifier_kind: String,
    verifier: Option<String>,
    business_owner: Option<String>,
    technical_owner: Option<String>,
    source: Option<String>,
    record: Option<String>,
}

#[derive(Debug, Serialize)]
struct Downstreams {
    downstreams: Vec<Downstream>,
}

const DOWNSTREAM: Layout = Layout::fields(&[
    "name",
    "standing",
    "accepts",
    "audiences",
    "environments",
    "verifier_kind",
    "verifier",
    "business_owner",
    "technical_owner",
    "source",
    "record",
]);
const DOWNSTREAMS: Layout = Layout::rows("downstreams", &["name", "standing", "accepts", "environments", "verifier_kind", "audiences"]);

impl Command {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        use api::{revocations_reinstate_request, revoke_request};
        let ended = |name| revoke_request::Subject::Downstream(name);
        match self {
            Self::List => session.print(&Downstreams { downstreams: all(session).await? }, DOWNSTREAMS),
            Self::Show { name } => {
                let found = all(session).await?.into_iter().find(|downstream| downstream.name == name);
                let missing = || Refused(format!("no downstream `{name}` in the registry; names are matched exactly"));
                session.print(&found.with_context(missing)?, DOWNSTREAM)
            }
            Self::Revoke { name, args } => revoking::revoke(session, ended(name), args, false).await,
            Self::Suspend { name, args } => revoking::revoke(session, ended(name), args, true).await,
            Self::Reinstate { name, note } => {
                revoking::reinstate(session, revocations_reinstate_request::Subject::Downstream(name), note).await
            }
        }
    }
}

async fn all(session: &Session) -> anyhow::Result<Vec<Downstream>> {
    let client = session.connect().await?;
    let exported = answer(client.registry().export(api::RegistryExportRequest {})).await?;
    let (sourced, closed) = (exported.sourced, exported.closed);
    let shown = |record: api::DownstreamRecord| {
        let origin = wire::origin(&sourced, "downstream", &record.name);
        let standing = wire::standing_of(&closed, "downstream", &record.name);
        Downstream::of(record, standing, origin)
    };
    Ok(exported.document.unwrap_or_default().downstreams.into_iter().map(shown).collect())
}

impl Downstream {
    fn of(record: api::DownstreamRecord, standing: Option<String>, origin: Option<api::Origin>) -> Self {
        let (source, id) = origin.map(|origin| (origin.source, origin.record)).unzip();
        Self {
            source,
            record: id,
            standing,
            business_owner: wire::text(record.business_owner),
            technical_owner: wire::text(record.technical_owner),
            name: record.name,
            accepts: record.accepts,
            audiences: record.audiences,
            environments: record.environments,
            verifier_kind: record.verifier_kind,
            verifier: wire::text(record.verifier),
        }
    }
}
