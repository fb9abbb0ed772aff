//! `curfew token`: an access token or a JWT-SVID, just in time.

use serde::Serialize;

use super::call::answer;
use super::output::Layout;
use super::session::Session;
use super::wire::{self, Issuance};
use crate::app::config::Span;
use crate::client::{Client, api};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Issue a token to the caller. `--field token` prints it alone.
    Issue(Args),
}

#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Args {
    /// The environment to be bound to.
    #[arg(long, value_name = "NAME")]
    pub(super) environment: String,
    /// Who it is for: exact, declared by a downstream of the environment.
    #[arg(long)]
    pub(super) audience: String,
    /// A permission, exact; may be repeated.
    #[arg(long = "scope", value_name = "SCOPE")]
    pub(super) scopes: Vec<String>,
    /// The task to be bound to, by number.
    #[arg(long, value_name = "NUMBER")]
    pub(super) task: Option<u64>,
    /// The life wanted, such as 5m; the answer says what it became.
    #[arg(long, value_name = "DURATION")]
    pub(super) ttl: Option<Span>,
    /// A JWT-SVID in place of an access token.
    #[arg(long, conflicts_with_all = ["scopes", "bearer"])]
    pub(super) jwt_svid: bool,
    /// Not bound to the caller's certificate; only where policy allows it.
    #[arg(long)]
    pub(super) bearer: bool,
    /// What it is for, for people.
    #[arg(long, value_name = "TEXT")]
    pub(super) purpose: Option<String>,
}

#[derive(Debug, Serialize)]
struct Answer {
    #[serde(flatten)]
    issuance: Issuance,
    token: String,
}

const LAYOUT: Layout = Layout::fields(&["credential_id", "position", "expires_at", "bound_by", "token"]);

impl Command {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let Self::Issue(args) = self;
        let issued = issue(&session.connect().await?, args).await?;
        session.print(&Answer { issuance: issued.issuance.unwrap_or_default().into(), token: issued.token }, LAYOUT)
    }
}

/// Asks for a token.
pub(super) async fn issue(client: &Client, args: Args) -> anyhow::Result<api::IssueTokenResponse> {
    let kind = if args.jwt_svid { api::CredentialKind::JwtSvid } else { api::CredentialKind::AccessToken };
    let request = api::IssueTokenRequest {
        kind: kind.into(),
        environment: args.environment,
        audience: args.audience,
        scopes: args.scopes,
        task: args.task.unwrap_or_default(),
        ttl: args.ttl.map(|ttl| wire::sent_duration(ttl.duration())),
        bearer: args.bearer,
        purpose: args.purpose.unwrap_or_default(),
        request_id: String::new(),
    };
    Ok(answer(client.credentials().issue_token(request)).await?)
}
