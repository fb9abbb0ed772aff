//! `curfew cert`: an X.509-SVID for a key that never leaves this machine.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rustls_pki_types::CertificateSigningRequestDer;
use rustls_pki_types::pem::PemObject as _;
use serde::Serialize;
use zeroize::Zeroizing;

use super::call::answer;
use super::output::Layout;
use super::session::Session;
use super::wire::{self, Issuance};
use crate::ambient::Entropy;
use crate::app::config::{Span, files};
use crate::client::{Client, FreshKey, api};
use crate::formats::pem;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Issue a certificate to the caller, for a new P-256 key or for the key of a signing request.
    Issue(Args),
}

#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Args {
    /// The environment to be bound to.
    #[arg(long, value_name = "NAME")]
    pub(super) environment: String,
    /// The task to be bound to, by number.
    #[arg(long, value_name = "NUMBER")]
    pub(super) task: Option<u64>,
    /// The life wanted, such as 1h; the answer says what it became.
    #[arg(long, value_name = "DURATION")]
    pub(super) ttl: Option<Span>,
    /// What it is for, for people.
    #[arg(long, value_name = "TEXT")]
    pub(super) purpose: Option<String>,
    /// A signing request (PKCS #10, PEM) in place of a new key. Only its key is used.
    #[arg(long, value_name = "FILE")]
    pub(super) csr: Option<PathBuf>,
    /// Write PREFIX.pem, the chain, and PREFIX.key, the new key; neither may exist.
    #[arg(long, value_name = "PREFIX", required_unless_present = "csr")]
    pub(super) out: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Answer {
    #[serde(flatten)]
    issuance: Issuance,
    certificate_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
    chain: String,
}

const WRITTEN: Layout = Layout::fields(&["credential_id", "position", "expires_at", "bound_by", "certificate_file", "key_file"]);
const SHOWN: Layout = Layout::fields(&["credential_id", "position", "expires_at", "bound_by", "chain"]);

/// A certificate, and its key if that is new. PEM.
pub(super) struct Issued {
    pub(super) issuance: api::Issuance,
    pub(super) chain: String,
    pub(super) key: Option<Zeroizing<String>>,
}

impl Command {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let Self::Issue(args) = self;
        let certificate_file = args.out.as_deref().map(|prefix| beside(prefix, "pem"));
        let key_file = args.out.as_deref().filter(|_| args.csr.is_none()).map(|prefix| beside(prefix, "key"));
        for path in certificate_file.iter().chain(&key_file) {
            anyhow::ensure!(!files::exists(path), "{} exists, and nothing is ever overwritten", path.display());
        }
        let issued = issue(&session.connect().await?, args, &session.entropy).await?;
        if let (Some(path), Some(key)) = (&key_file, &issued.key) {
            files::create_secret(path, key.as_bytes())?;
        }
        if let Some(path) = &certificate_file {
            files::create_secret(path, &issued.chain)?;
        }
        let layout = if certificate_file.is_some() { WRITTEN } else { SHOWN };
        let issuance = issued.issuance.into();
        session.print(&Answer { issuance, certificate_file, key_file, chain: issued.chain }, layout)
    }
}

/// `prefix` with `.extension` at its end, whatever dots it has.
pub(super) fn beside(prefix: &Path, extension: &str) -> PathBuf {
    let mut name = prefix.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}

/// Asks for a certificate.
pub(super) async fn issue(client: &Client, args: Args, entropy: &Entropy) -> anyhow::Result<Issued> {
    let (csr, key) = match &args.csr {
        Some(path) => (read_request(path)?, None),
        None => {
            let key = FreshKey::generate(entropy)?;
            (key.request()?, Some(key.to_pem()))
        }
    };
    let request = api::IssueCertificateRequest {
        csr,
        environment: args.environment,
        task: args.task.unwrap_or_default(),
        ttl: args.ttl.map(|ttl| wire::sent_duration(ttl.duration())),
        purpose: args.purpose.unwrap_or_default(),
        request_id: String::new(),
    };
    let issued = answer(client.credentials().issue_certificate(request)).await?;
    Ok(Issued { issuance: issued.issuance.unwrap_or_default(), chain: pem::certificates(&issued.chain), key })
}

fn read_request(path: &Path) -> anyhow::Result<Vec<u8>> {
    let bytes = files::read_bytes(path)?;
    let request = CertificateSigningRequestDer::from_pem_slice(&bytes);
    let request = request.with_context(|| format!("{} holds no signing request in PEM", path.display()))?;
    Ok(request.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_keeps_its_dots() {
        assert_eq!(beside(Path::new("out/api.v2"), "key"), Path::new("out/api.v2.key"));
    }
}
