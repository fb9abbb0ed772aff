//! `curfew source`: where records come from besides administrators.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use serde::Serialize;

use super::call::answer;
use super::output::Layout;
use super::registry::{self, Change};
use super::session::Session;
use super::wire;
use crate::ambient::Entropy;
use crate::client::api;
use crate::formats::list::to_hex;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List the sources of the configuration.
    List,
    /// Show how a source stands: what is wrong with it, and what it would change if it is not believed.
    Show {
        /// Its name, exact.
        name: String,
    },
    /// Let through what a source says now and was not believed.
    Confirm {
        /// Its name, exact.
        name: String,
        /// The digest of what is to be let through, from `source show`.
        #[arg(long)]
        digest: String,
    },
    /// Make a bearer token for a client that provisions over SCIM. The client gets the token, the
    /// configuration of the broker its hash. It is shown once, and kept nowhere.
    Token,
}

#[derive(Serialize)]
struct Token {
    token: String,
    token_hash: String,
}

const TOKEN: Layout = Layout::fields(&["token", "token_hash"]);

impl Token {
    fn make() -> anyhow::Result<Self> {
        let token = URL_SAFE_NO_PAD.encode(Entropy::system().bytes::<32>()?);
        let token_hash = to_hex(digest(&SHA256, token.as_bytes()).as_ref());
        Ok(Self { token, token_hash })
    }
}

#[derive(Debug, Serialize)]
struct Source {
    name: String,
    kind: String,
    holds: Vec<String>,
    records: u64,
    state: &'static str,
    why: Option<String>,
    heard_at: Option<String>,
    believed_at: Option<String>,
    digest: Option<String>,
    ends: Option<u64>,
    until: Option<String>,
    problem_count: u64,
    problems: Vec<String>,
    changes: Vec<Change>,
}

#[derive(Debug, Serialize)]
struct Sources {
    sources: Vec<Source>,
}

const SOURCE: Layout = Layout::fields(&[
    "name",
    "kind",
    "holds",
    "records",
    "state",
    "why",
    "heard_at",
    "believed_at",
    "digest",
    "ends",
    "until",
    "problem_count",
    "problems",
])
.and_rows("changes", &["action", "subject", "name", "living", "detail"]);
const SOURCES: Layout = Layout::rows("sources", &["name", "kind", "records", "state", "problem_count", "believed_at", "why"]);

impl Command {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let found = match self {
            Self::Token => return session.print(&Token::make()?, TOKEN),
            Self::List => {
                let client = session.connect().await?;
                let listed = answer(client.sources().list(api::SourcesListRequest {})).await?.sources;
                return session.print(&Sources { sources: listed.into_iter().map(Source::from).collect() }, SOURCES);
            }
            Self::Show { name } => answer(session.connect().await?.sources().get(api::SourcesGetRequest { name })).await?.source,
            Self::Confirm { name, digest } => {
                answer(session.connect().await?.sources().confirm(api::SourcesConfirmRequest { name, digest })).await?.source
            }
        };
        session.print(&Source::from(found.unwrap_or_default()), SOURCE)
    }
}

impl From<api::Source> for Source {
    fn from(source: api::Source) -> Self {
        let state = match &source.doubted {
            Some(_) => "not_believed",
            None if source.believed_at.is_none() => "not_read_yet",
            None => "believed",
        };
        let doubted = source.doubted;
        Self {
            name: source.name,
            kind: source.kind,
            holds: source.holds,
            records: source.records,
            state,
            why: doubted.as_ref().map(|doubted| doubted.why.clone()),
            heard_at: wire::instant(source.heard_at),
            believed_at: wire::instant(source.believed_at),
            digest: doubted.as_ref().and_then(|doubted| wire::text(doubted.digest.clone())),
            ends: doubted.as_ref().map(|doubted| doubted.ends),
            until: doubted.as_ref().and_then(|doubted| wire::instant(doubted.until)),
            problem_count: source.problem_count,
            problems: source.problems,
            changes: doubted.map(|doubted| registry::changes(doubted.changes)).unwrap_or_default(),
        }
    }
}
