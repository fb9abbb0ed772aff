//! `curfew token`: an access token or a JWT-SVID, just in time.

use std::path::PathBuf;

use anyhow::Context as _;
use api::batched_token::Outcome;
use serde::{Deserialize, Serialize};

use super::call::answer;
use super::exit::Refused;
use super::output::Layout;
use super::session::Session;
use super::wire::{self, Issuance};
use crate::app::config::{Span, files};
use crate::client::{Client, api};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Issue a token to the caller. `--field token` prints it alone.
    Issue(Args),
    /// Issue up to 500 tokens to the caller in one call. Exits 2 if one of them was refused.
    Batch {
        /// One JSON object a line, with the fields `environment`, `audience`, and as wanted `scopes`, `task`, `ttl`, `jwt_svid`,
        /// `bearer`, `purpose`; `-` for standard input.
        file: PathBuf,
    },
}

#[derive(Clone, Debug, Default, clap::Args, Deserialize)]
#[serde(default, deny_unknown_fields)]
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

/// What became of each line, in order.
#[derive(Debug, Serialize)]
struct Batch {
    tokens: Vec<Batched>,
}

#[derive(Debug, Default, Serialize)]
struct Batched {
    line: usize,
    #[serde(flatten)]
    issued: Option<Answer>,
    reason: Option<String>,
    message: Option<String>,
}

const BATCH: Layout = Layout::rows("tokens", &["line", "credential_id", "position", "expires_at", "reason", "message"]);

impl Command {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        match self {
            Self::Issue(args) => {
                let issued = issue(&session.connect().await?, args).await?;
                session.print(&Answer::from(issued), LAYOUT)
            }
            Self::Batch { file } => {
                let requests = read(&files::read_text(&file)?).with_context(|| file.display().to_string())?;
                let client = session.connect().await?;
                let answered = answer(client.credentials().batch_issue_tokens(api::BatchIssueTokensRequest { requests })).await?;
                let tokens: Vec<_> = answered.tokens.into_iter().zip(1..).map(|(token, line)| Batched::of(token, line)).collect();
                let refused = tokens.iter().filter(|token| token.issued.is_none()).count();
                let asked = tokens.len();
                session.print(&Batch { tokens }, BATCH)?;
                anyhow::ensure!(refused == 0, Refused(format!("{refused} of {asked} tokens were not issued")));
                Ok(())
            }
        }
    }
}

impl From<api::IssueTokenResponse> for Answer {
    fn from(issued: api::IssueTokenResponse) -> Self {
        Self { issuance: issued.issuance.unwrap_or_default().into(), token: issued.token }
    }
}

impl Batched {
    fn of(token: api::BatchedToken, line: usize) -> Self {
        match token.outcome {
            Some(Outcome::Issued(issued)) => Self { line, issued: Some(issued.into()), ..Self::default() },
            Some(Outcome::Failure(failure)) => {
                Self { line, reason: wire::text(failure.reason), message: wire::text(failure.message), ..Self::default() }
            }
            None => Self { line, message: Some("the broker said nothing of it".to_owned()), ..Self::default() },
        }
    }
}

/// One request a line.
fn read(text: &str) -> anyhow::Result<Vec<api::IssueTokenRequest>> {
    let request = |(line, number): (&str, usize)| {
        serde_json::from_str::<Args>(line).map(request).with_context(|| format!("line {number}: it is not a request for a token"))
    };
    text.lines().zip(1..).map(request).collect()
}

/// Asks for a token.
pub(super) async fn issue(client: &Client, args: Args) -> anyhow::Result<api::IssueTokenResponse> {
    Ok(answer(client.credentials().issue_token(request(args))).await?)
}

fn request(args: Args) -> api::IssueTokenRequest {
    let kind = if args.jwt_svid { api::CredentialKind::JwtSvid } else { api::CredentialKind::AccessToken };
    api::IssueTokenRequest {
        kind: kind.into(),
        environment: args.environment,
        audience: args.audience,
        scopes: args.scopes,
        task: args.task.unwrap_or_default(),
        ttl: args.ttl.map(|ttl| wire::sent_duration(ttl.duration())),
        bearer: args.bearer,
        purpose: args.purpose.unwrap_or_default(),
        request_id: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_no_request_is_named() {
        let good = r#"{"environment": "production", "audience": "https://a.example", "ttl": "90s"}"#;
        let requests = read(good).expect("a request");
        assert_eq!((requests.len(), requests[0].ttl.map(|ttl| ttl.seconds)), (1, Some(90)));
        for bad in [r#"{"audiences": "x"}"#, "production", r#"{"ttl": "soon"}"#, ""] {
            let error = read(&format!("{good}\n{bad}\n{good}")).expect_err(bad);
            assert!(format!("{error:#}").starts_with("line 2: "), "{error:#}");
        }
    }
}
