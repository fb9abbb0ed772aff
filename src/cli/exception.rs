//! `curfew exception`: what no policy permits, allowed for a time.

use serde::Serialize;

use super::call::answer;
use super::output::Layout;
use super::revoking::{self, Revoked};
use super::session::Session;
use super::waiting::Reached;
use super::wire;
use crate::app::config::Span;
use crate::client::api;
use crate::model::{Position, Timestamp};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Ask for an exception. Nothing is allowed by it until somebody else approves it.
    Request(RequestArgs),
    /// Approve an exception that somebody else asked for.
    Approve {
        /// Its number.
        exception: Position,
        /// Why, for people; to the ledger only.
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
    },
    /// List the exceptions that are asked for or hold, and those that ended within the last hour.
    List {
        /// Only those of this workload; a workload names itself.
        #[arg(long, value_name = "SPIFFE-ID")]
        workload: Option<String>,
    },
    /// Show an exception. `cred list --exception` lists what was issued by it.
    Show {
        /// Its number.
        exception: Position,
    },
    /// End an exception and everything that was issued by it, or decline one that nobody approved.
    Revoke {
        /// Its number.
        exception: Position,
        #[command(flatten)]
        args: revoking::Args,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct RequestArgs {
    /// For which workload; the caller by default.
    #[arg(long, value_name = "SPIFFE-ID")]
    workload: Option<String>,
    /// Where.
    #[arg(long, value_name = "NAME")]
    environment: String,
    /// The audience of the tokens; left out, it is for certificates.
    #[arg(long)]
    audience: Option<String>,
    /// A scope that an access token may have; may be repeated.
    #[arg(long = "scope", value_name = "SCOPE", requires = "audience")]
    scopes: Vec<String>,
    /// Why it is needed.
    #[arg(long, value_name = "TEXT")]
    purpose: String,
    /// It ends by itself after this time, such as 8h.
    #[arg(long, value_name = "DURATION", required_unless_present = "until", conflicts_with = "until")]
    within: Option<Span>,
    /// It ends by itself at this instant, RFC 3339.
    #[arg(long, value_name = "INSTANT")]
    until: Option<Timestamp>,
}

#[derive(Debug, Serialize)]
struct Exception {
    exception: u64,
    state: Option<String>,
    spiffe_id: String,
    environment: String,
    audience: Option<String>,
    scopes: Vec<String>,
    until: Option<String>,
    purpose: String,
    requested_by: String,
    requested_at: Option<String>,
    approved_by: Option<String>,
    approved_at: Option<String>,
    approved_position: Option<u64>,
    ended_position: Option<u64>,
    living: u64,
}

#[derive(Debug, Serialize)]
struct Exceptions {
    exceptions: Vec<Exception>,
    truncated: bool,
}

const EXCEPTION: Layout = Layout::fields(&[
    "exception",
    "state",
    "spiffe_id",
    "environment",
    "audience",
    "scopes",
    "until",
    "purpose",
    "requested_by",
    "requested_at",
    "approved_by",
    "approved_at",
    "approved_position",
    "ended_position",
    "living",
]);
const EXCEPTIONS: Layout = Layout::rows(
    "exceptions",
    &["exception", "state", "spiffe_id", "environment", "audience", "scopes", "until", "requested_by", "approved_by", "living"],
);

impl Command {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let client = session.connect().await?;
        match self {
            Self::Request(args) => {
                let made = answer(client.exceptions().request(args.request(session.clock.now()))).await?;
                session.print(&Exception::from(made.exception.unwrap_or_default()), EXCEPTION)
            }
            Self::Approve { exception, note } => {
                let request = api::ExceptionsApproveRequest { exception: exception.get(), note: note.unwrap_or_default() };
                let made = answer(client.exceptions().approve(request)).await?;
                session.print(&Exception::from(made.exception.unwrap_or_default()), EXCEPTION)
            }
            Self::List { workload } => {
                let request = api::ExceptionsListRequest { spiffe_id: workload.unwrap_or_default() };
                let found = answer(client.exceptions().list(request)).await?;
                let exceptions = found.exceptions.into_iter().map(Exception::from).collect();
                session.print(&Exceptions { exceptions, truncated: found.truncated }, EXCEPTIONS)
            }
            Self::Show { exception } => {
                let found = answer(client.exceptions().get(api::ExceptionsGetRequest { exception: exception.get() })).await?;
                session.print(&Exception::from(found.exception.unwrap_or_default()), EXCEPTION)
            }
            Self::Revoke { exception, args } => {
                let request = api::ExceptionsRevokeRequest {
                    exception: exception.get(),
                    reason: i32::from(args.reason.code()),
                    note: args.note.clone().unwrap_or_default(),
                    dry_run: args.dry_run,
                    max_affected: args.max_affected,
                };
                let revoked = answer(client.exceptions().revoke(request)).await?;
                let revoked = Revoked {
                    subject: format!("exception {exception}"),
                    reached: Reached::committed(revoked.committed_at),
                    position: wire::number(revoked.position),
                    standing: None,
                    repeated: revoked.repeated,
                    ended: revoked.ended.unwrap_or_default().into(),
                };
                revoking::finish(session, &client, revoked, args.waiting).await
            }
        }
    }
}

impl RequestArgs {
    fn request(self, now: Timestamp) -> api::ExceptionsRequestRequest {
        let until = self.until.or_else(|| self.within.map(|within| now.plus(within.duration())));
        api::ExceptionsRequestRequest {
            spiffe_id: self.workload.unwrap_or_default(),
            environment: self.environment,
            audience: self.audience.unwrap_or_default(),
            scopes: self.scopes,
            until: until.map(wire::sent_instant),
            purpose: self.purpose,
        }
    }
}

impl From<api::Exception> for Exception {
    fn from(found: api::Exception) -> Self {
        Self {
            exception: found.exception,
            state: wire::exception_state(found.state),
            spiffe_id: found.spiffe_id,
            environment: found.environment,
            audience: wire::text(found.audience),
            scopes: found.scopes,
            until: wire::instant(found.until),
            purpose: found.purpose,
            requested_by: found.requested_by,
            requested_at: wire::instant(found.requested_at),
            approved_by: wire::text(found.approved_by),
            approved_at: wire::instant(found.approved_at),
            approved_position: wire::number(found.approved_position),
            ended_position: wire::number(found.ended_position),
            living: found.living,
        }
    }
}
