//! `curfew policy explain`: would this pass, and why.

use serde::Serialize;

use crate::app::config::Span;
use crate::cli::call::answer;
use crate::cli::output::Layout;
use crate::cli::session::Session;
use crate::cli::wire;
use crate::client::api;
use crate::client::api::policy_explain_request::Question;
use crate::client::api::proposed_call::Object;

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("object").args(["owner", "workload", "credential"]))]
pub(in crate::cli) struct Args {
    /// Whose request, by SPIFFE ID; the caller's own if it is left out.
    #[arg(long = "as", value_name = "SPIFFE-ID")]
    whose: Option<String>,
    /// Or what a source says, by its name in the configuration, such as that a workload goes to another owner.
    #[arg(long = "as-source", value_name = "NAME", requires = "call", conflicts_with = "whose")]
    source: Option<String>,
    /// Any other call than issuing, by its action, such as RevokeOwner; about the broker as a whole unless --owner,
    /// --workload, --environment, --downstream, --task or --credential say otherwise.
    #[arg(long, value_name = "ACTION", conflicts_with_all = ["audience", "scopes", "ttl", "jwt_svid", "bearer"])]
    call: Option<String>,
    /// The environment that a credential would be bound to, or that a call is about.
    #[arg(long, value_name = "NAME", required_unless_present = "call")]
    environment: Option<String>,
    /// The audience of a token; without it a certificate is meant.
    #[arg(long)]
    audience: Option<String>,
    /// A permission, exact; may be repeated.
    #[arg(long = "scope", value_name = "SCOPE", requires = "audience")]
    scopes: Vec<String>,
    /// The task, by number.
    #[arg(long, value_name = "NUMBER")]
    task: Option<u64>,
    /// The life wanted, such as 5m.
    #[arg(long, value_name = "DURATION")]
    ttl: Option<Span>,
    /// A JWT-SVID in place of an access token.
    #[arg(long, requires = "audience", conflicts_with = "scopes")]
    jwt_svid: bool,
    /// Not bound to a client certificate.
    #[arg(long, requires = "audience")]
    bearer: bool,
    /// The owner that a call is about.
    #[arg(long, value_name = "NAME", requires = "call", conflicts_with_all = ["environment", "task"])]
    owner: Option<String>,
    /// The workload that a call is about.
    #[arg(long, value_name = "SPIFFE-ID", requires = "call", conflicts_with_all = ["environment", "task"])]
    workload: Option<String>,
    /// The downstream that a call is about.
    #[arg(long, value_name = "NAME", requires = "call", conflicts_with_all = ["environment", "task"])]
    downstream: Option<String>,
    /// The credential that a call is about.
    #[arg(long, value_name = "ID", requires = "call", conflicts_with_all = ["environment", "task"])]
    credential: Option<String>,
}

#[derive(Debug, Serialize)]
struct Answer {
    allowed: bool,
    reason: Option<String>,
    detail: Option<String>,
    role: String,
    permits: Vec<String>,
    forbids: Vec<String>,
    policy_hash: String,
    life_seconds: Option<i64>,
    expires_at: Option<String>,
    bound_by: Option<String>,
    bounds: Vec<Bound>,
}

#[derive(Debug, Serialize)]
struct Bound {
    bound: Option<String>,
    ends_at: Option<String>,
}

const LAYOUT: Layout =
    Layout::fields(&["allowed", "reason", "detail", "role", "permits", "forbids", "policy_hash", "life_seconds", "expires_at", "bound_by"])
        .and_rows("bounds", &["bound", "ends_at"]);

impl Args {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let request = self.request()?;
        let found = answer(session.connect().await?.policy().explain(request)).await?;
        session.print(&Answer::from(found), LAYOUT)
    }

    fn request(self) -> anyhow::Result<api::PolicyExplainRequest> {
        let question = match self.call {
            None => Question::Issuing(api::ProposedIssuing {
                kind: match (&self.audience, self.jwt_svid) {
                    (None, _) => api::CredentialKind::Certificate,
                    (Some(_), true) => api::CredentialKind::JwtSvid,
                    (Some(_), false) => api::CredentialKind::AccessToken,
                }
                .into(),
                environment: self.environment.unwrap_or_default(),
                audience: self.audience.unwrap_or_default(),
                scopes: self.scopes,
                task: self.task.unwrap_or_default(),
                ttl: self.ttl.map(|ttl| wire::sent_duration(ttl.duration())),
                bearer: self.bearer,
            }),
            Some(action) => {
                let objects = [
                    self.owner.map(Object::Owner),
                    self.workload.map(Object::Workload),
                    self.environment.map(Object::Environment),
                    self.downstream.map(Object::Downstream),
                    self.task.map(Object::Task),
                    self.credential.map(Object::CredentialId),
                ];
                let mut objects = objects.into_iter().flatten();
                let object = objects.next();
                anyhow::ensure!(objects.next().is_none(), "a call is about one thing; name an environment or a task, not both");
                Question::Call(api::ProposedCall { action, object })
            }
        };
        let (spiffe_id, source) = (self.whose.unwrap_or_default(), self.source.unwrap_or_default());
        Ok(api::PolicyExplainRequest { spiffe_id, source, question: Some(question) })
    }
}

impl From<api::PolicyExplainResponse> for Answer {
    fn from(found: api::PolicyExplainResponse) -> Self {
        let bound = |bound: api::ExplainedBound| Bound { bound: wire::bound(bound.bound), ends_at: wire::instant(bound.ends_at) };
        Self {
            allowed: found.allowed,
            reason: wire::text(found.reason),
            detail: wire::text(found.detail),
            role: found.role,
            permits: found.permits,
            forbids: found.forbids,
            policy_hash: found.policy_hash,
            life_seconds: wire::seconds(found.life),
            expires_at: wire::instant(found.expires_at),
            bound_by: wire::bound(found.bound_by),
            bounds: found.bounds.into_iter().map(bound).collect(),
        }
    }
}
