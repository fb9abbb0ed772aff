//! `curfew verify`: is this credential, or this report, good? Offline, with files; or with what the broker's public
//! listener serves. Exit code 5 if it is not.

mod report;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde::Serialize;

use crate::app::config::{Span, files};
use crate::cli::exit::NotValid;
use crate::cli::fetch::Public;
use crate::cli::output::Layout;
use crate::cli::session::Session;
use crate::formats::binding::Binding;
use crate::formats::keyset::MAX_KEYS;
use crate::formats::list::MAX_LIST;
use crate::formats::svid::Svid;
use crate::model::{Audience, CredentialId, EnvironmentName, Position, Scope, SpiffeId, Timestamp};
use crate::verify::{AcceptedCertificate, AcceptedToken, KeySet, Presented, Rejected, Settings, Verifier};

#[derive(Debug, clap::Subcommand)]
pub(in crate::cli) enum Command {
    /// Check a token, as a service would.
    Token {
        /// The file with the token; `-` is standard input.
        #[arg(default_value = "-", value_name = "FILE")]
        token: PathBuf,
        /// The audience that the service answers to.
        #[arg(long)]
        audience: Audience,
        /// The client certificate (PEM) that was presented with the token.
        #[arg(long, value_name = "FILE")]
        presented: Option<PathBuf>,
        /// Accept a token that is bound to no certificate.
        #[arg(long)]
        bearer: bool,
        #[command(flatten)]
        by: By,
    },
    /// Check a certificate, as a service would.
    Cert {
        /// The file with the certificate, PEM, leaf first; `-` is standard input.
        #[arg(default_value = "-", value_name = "FILE")]
        certificate: PathBuf,
        #[command(flatten)]
        by: By,
    },
    /// Check an offboarding report: who signed it, and whether a backup of the ledger bears it out.
    Report(report::Args),
}

/// What a check goes by.
#[derive(Debug, clap::Args)]
pub(super) struct By {
    /// The keys, as served at /v1/keys.
    #[arg(long, value_name = "FILE", requires = "list")]
    keys: Option<PathBuf>,
    /// The signed list, as served at /v1/revocations.
    #[arg(long, value_name = "FILE", requires = "keys")]
    list: Option<PathBuf>,
    /// Fetch both from here, trusting --cacert, unless they are given as files.
    #[arg(long, env = "CURFEW_URL", default_value = "https://localhost:7480")]
    url: String,
    /// The environment that the service runs in.
    #[arg(long, value_name = "NAME")]
    environment: Option<EnvironmentName>,
    /// How old the list may be.
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    max_staleness: Span,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Answer {
    Valid(Box<Valid>),
    Invalid { valid: bool, code: &'static str, reason: String, list_position: Option<u64> },
}

#[derive(Debug, Serialize)]
struct Valid {
    valid: bool,
    credential_id: String,
    spiffe_id: String,
    environment: String,
    task: Option<u64>,
    audience: Option<String>,
    scopes: Vec<String>,
    expires_at: String,
    list_position: Option<u64>,
}

const VALID: Layout =
    Layout::fields(&["valid", "credential_id", "spiffe_id", "environment", "task", "audience", "scopes", "expires_at", "list_position"]);
const INVALID: Layout = Layout::fields(&["valid", "code", "reason", "list_position"]);

impl Command {
    pub(in crate::cli) async fn run(self, session: &Session) -> anyhow::Result<()> {
        match self {
            Self::Token { token, audience, presented, bearer, by } => {
                let text = files::read_text(&token)?;
                let presented = match &presented {
                    Some(path) => presented_by(&leaf(path)?)?,
                    None => Presented::Nothing,
                };
                let verifier = by.verifier(session, vec![audience], bearer).await?;
                let checked = verifier.token(text.trim_end(), presented, session.moment());
                by.answer(session, &verifier, checked.map(|token| Valid::from(&token)))
            }
            Self::Cert { certificate, by } => {
                let leaf = leaf(&certificate)?;
                let verifier = by.verifier(session, Vec::new(), false).await?;
                let checked = verifier.certificate(&leaf, session.moment());
                by.answer(session, &verifier, checked.map(|certificate| Valid::from(&certificate)))
            }
            Self::Report(args) => args.run(session).await,
        }
    }
}

/// The first certificate of a PEM file.
fn leaf(path: &Path) -> anyhow::Result<CertificateDer<'static>> {
    let pem = files::read_bytes(path)?;
    CertificateDer::from_pem_slice(&pem).with_context(|| format!("{} holds no certificate in PEM", path.display()))
}

/// What a connection with this client certificate presents.
pub(in crate::cli) fn presented_by(certificate: &[u8]) -> anyhow::Result<Presented> {
    let svid = Svid::from_der(certificate).context("the certificate that was presented")?;
    Ok(Presented::Certificate(svid.fingerprint))
}

/// Keys and list, as the public listener serves them.
pub(in crate::cli) async fn fetch(url: &str, ca: &[u8]) -> anyhow::Result<(String, String)> {
    let public = Public::of(url, ca)?;
    let keys = public.get("/v1/keys", MAX_KEYS).await?;
    let list = public.get("/v1/revocations", MAX_LIST).await?;
    Ok((String::from_utf8(keys)?, String::from_utf8(list)?))
}

impl By {
    async fn verifier(&self, session: &Session, audiences: Vec<Audience>, bearer: bool) -> anyhow::Result<Verifier> {
        let (keys, list) = match (&self.keys, &self.list) {
            (Some(keys), Some(list)) => (files::read_text(keys)?, files::read_text(list)?),
            (_, _) => fetch(&self.url, &session.ca()?).await?,
        };
        let max_staleness = self.max_staleness.duration();
        let settings = Settings { audiences, environment: self.environment.clone(), max_staleness, bearer };
        let verifier = Verifier::new(settings, KeySet::from_json(&keys).context("the keys")?);
        verifier.apply(list.trim_end(), session.moment()).context("the revocation list")?;
        Ok(verifier)
    }

    fn answer(&self, session: &Session, verifier: &Verifier, checked: Result<Valid, Rejected>) -> anyhow::Result<()> {
        let list_position = verifier.position().map(Position::get);
        match checked {
            Ok(valid) => session.print(&Answer::Valid(Box::new(Valid { list_position, ..valid })), VALID),
            Err(rejected) => {
                let (code, reason) = (rejected.code(), rejected.to_string());
                session.print(&Answer::Invalid { valid: false, code, reason: reason.clone(), list_position }, INVALID)?;
                Err(NotValid(reason).into())
            }
        }
    }
}

impl Valid {
    fn new(id: CredentialId, spiffe_id: &SpiffeId, binding: &Binding, expires_at: Timestamp) -> Self {
        Self {
            valid: true,
            credential_id: id.to_string(),
            spiffe_id: spiffe_id.to_string(),
            environment: binding.environment.to_string(),
            task: binding.subjects.task.map(Position::get),
            audience: None,
            scopes: Vec::new(),
            expires_at: expires_at.to_string(),
            list_position: None,
        }
    }
}

impl From<&AcceptedToken> for Valid {
    fn from(token: &AcceptedToken) -> Self {
        let claims = token.claims();
        Self {
            audience: Some(claims.audience.to_string()),
            scopes: claims.scopes.iter().map(Scope::to_string).collect(),
            ..Self::new(claims.id, &claims.subject, &claims.binding, claims.expires_at)
        }
    }
}

impl From<&AcceptedCertificate> for Valid {
    fn from(certificate: &AcceptedCertificate) -> Self {
        Self::new(certificate.id(), certificate.spiffe_id(), certificate.binding(), certificate.expires_at())
    }
}
