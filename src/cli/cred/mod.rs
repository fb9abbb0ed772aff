//! `curfew cred`: credentials that were issued, and their end.

mod show;

use serde::Serialize;

use crate::cli::call::answer;
use crate::cli::output::Layout;
use crate::cli::revoking;
use crate::cli::session::Session;
use crate::cli::wire;
use crate::client::{Client, api};
use crate::model::CredentialId;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List credentials, the newest first.
    List(Filter),
    /// Tell the story of a credential: whose, why, by which policies, what was obtained with it, how it ended.
    Show {
        /// Its id (jti), or the serial number of a certificate as openssl prints it.
        id: CredentialId,
    },
    /// End a credential; of a certificate, everything that was obtained through it too.
    Revoke {
        /// Its id (jti), or the serial number of a certificate as openssl prints it.
        id: CredentialId,
        #[command(flatten)]
        args: revoking::Args,
    },
}

/// Which credentials; whatever is left out matches everything.
#[derive(Debug, clap::Args)]
pub(super) struct Filter {
    /// Issued under this owner.
    #[arg(long, value_name = "NAME")]
    owner: Option<String>,
    /// Issued to this workload.
    #[arg(long, value_name = "SPIFFE-ID")]
    workload: Option<String>,
    /// Bound to this environment.
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// Bound to this task.
    #[arg(long, value_name = "NUMBER")]
    task: Option<u64>,
    /// For this audience.
    #[arg(long)]
    audience: Option<String>,
    /// Of this kind.
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    /// Obtained with this certificate, or through the chain that it begins.
    #[arg(long, value_name = "ID")]
    through: Option<CredentialId>,
    /// Issued by this exception, or with a certificate that was.
    #[arg(long, value_name = "NUMBER")]
    exception: Option<u64>,
    /// Neither expired nor dead.
    #[arg(long)]
    live: bool,
    /// At most so many.
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    limit: usize,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Kind {
    AccessToken,
    JwtSvid,
    Certificate,
}

#[derive(Debug, Serialize)]
struct Credentials {
    credentials: Vec<Credential>,
    /// Whether there are more.
    more: bool,
}

const LIST: Layout = Layout::rows(
    "credentials",
    &["position", "credential_id", "kind", "spiffe_id", "owner", "environment", "task", "audience", "expires_at", "death"],
);

#[derive(Debug, Serialize)]
struct Credential {
    credential_id: String,
    position: u64,
    kind: Option<String>,
    spiffe_id: String,
    owner: String,
    environment: String,
    task: Option<u64>,
    audience: Option<String>,
    scopes: Vec<String>,
    parent: Option<String>,
    lineage: Option<u64>,
    issued_at: Option<String>,
    expires_at: Option<String>,
    bound_by: Option<String>,
    policies: Vec<String>,
    policy_hash: String,
    purpose: Option<String>,
    downstreams: Vec<String>,
    exception: Option<u64>,
    asked_from: Option<String>,
    death: Option<Death>,
}

#[derive(Debug, Serialize)]
struct Death {
    subject: String,
    position: u64,
    reason: Option<String>,
}

impl Command {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        match self {
            Self::List(filter) => session.print(&filter.find(&session.connect().await?).await?, LIST),
            Self::Show { id } => {
                let client = session.connect().await?;
                let request = api::CredentialsGetRequest { credential_id: id.to_string() };
                show::print(session, answer(client.credentials().get(request)).await?)
            }
            Self::Revoke { id, args } => {
                let subject = api::revoke_request::Subject::CredentialId(id.to_string());
                revoking::revoke(session, subject, args, false).await
            }
        }
    }
}

impl Filter {
    /// Page after page, until enough are found or there are no more.
    async fn find(self, client: &Client) -> anyhow::Result<Credentials> {
        let kind = self.kind.map_or(api::CredentialKind::Unspecified, |kind| match kind {
            Kind::AccessToken => api::CredentialKind::AccessToken,
            Kind::JwtSvid => api::CredentialKind::JwtSvid,
            Kind::Certificate => api::CredentialKind::Certificate,
        });
        let mut request = api::CredentialsListRequest {
            owner: self.owner.unwrap_or_default(),
            spiffe_id: self.workload.unwrap_or_default(),
            environment: self.environment.unwrap_or_default(),
            task: self.task.unwrap_or_default(),
            audience: self.audience.unwrap_or_default(),
            kind: kind.into(),
            through: self.through.map(|id| id.to_string()).unwrap_or_default(),
            live_only: self.live,
            exception: self.exception.unwrap_or_default(),
            page_size: 0,
            before: 0,
        };
        let mut found = Credentials { credentials: Vec::new(), more: true };
        while found.more && found.credentials.len() < self.limit {
            request.page_size = u32::try_from(self.limit - found.credentials.len()).unwrap_or(u32::MAX);
            let page = answer(client.credentials().list(request.clone())).await?;
            found.credentials.extend(page.credentials.into_iter().map(Credential::from));
            (found.more, request.before) = (page.next != 0, page.next);
        }
        Ok(found)
    }
}

impl From<api::Death> for Death {
    fn from(death: api::Death) -> Self {
        Self { subject: death.subject, position: death.position, reason: wire::reason(death.reason) }
    }
}

impl From<api::CredentialsGetResponse> for Credential {
    fn from(found: api::CredentialsGetResponse) -> Self {
        Self {
            credential_id: found.credential_id,
            position: found.position,
            kind: wire::kind(found.kind),
            spiffe_id: found.spiffe_id,
            owner: found.owner,
            environment: found.environment,
            task: wire::number(found.task),
            audience: wire::text(found.audience),
            scopes: found.scopes,
            parent: wire::text(found.parent),
            lineage: wire::number(found.lineage),
            issued_at: wire::instant(found.issued_at),
            expires_at: wire::instant(found.expires_at),
            bound_by: wire::bound(found.bound_by),
            policies: found.policies,
            policy_hash: found.policy_hash,
            purpose: wire::text(found.purpose),
            downstreams: found.downstreams,
            exception: wire::number(found.exception),
            asked_from: wire::text(found.asked_from),
            death: found.death.map(Death::from),
        }
    }
}
