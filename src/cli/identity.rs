//! `curfew identity`: an identity from outside, for people without a PKI.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;

use super::cert::beside;
use super::output::Layout;
use super::session::Session;
use crate::ambient::Entropy;
use crate::app::config::{Config, files};
use crate::keys::identity::{Identity, IdentityCa};
use crate::model::{SpiffeId, Timestamp};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Sign a new identity with the identity CA of a folder that `curfew init` made.
    ///
    /// It is outside the ledger: it says who a workload is, and is ended by ending the workload.
    New(Args),
}

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Whose identity, such as spiffe://example.org/payments/api.
    spiffe_id: SpiffeId,
    /// The folder that `curfew init` made.
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Write PREFIX.pem and PREFIX.key; the last part of the SPIFFE ID by default.
    #[arg(long, value_name = "PREFIX")]
    out: Option<PathBuf>,
    /// How many days it is good.
    #[arg(long, value_name = "NUMBER", default_value_t = 90, value_parser = clap::value_parser!(u64).range(1..=3650))]
    days: u64,
}

#[derive(Debug, Serialize)]
struct Answer {
    spiffe_id: String,
    certificate_file: PathBuf,
    key_file: PathBuf,
    expires_at: String,
}

const LAYOUT: Layout = Layout::fields(&["spiffe_id", "certificate_file", "key_file", "expires_at"]);

/// The folder of the identity CA in a folder that `curfew init` made.
const FOLDER: &str = "identity-ca";

impl Command {
    pub(super) fn run(self, session: &Session) -> anyhow::Result<()> {
        let Self::New(Args { spiffe_id, dir, out, days }) = self;
        let config = Config::load(&dir.join("curfew.toml"))?;
        let domain = config.trust_domain();
        anyhow::ensure!(
            spiffe_id.trust_domain() == *domain,
            "the identity CA of {} vouches for {domain} only, and {spiffe_id} is of another trust domain",
            dir.display()
        );
        let name = spiffe_id.path().rsplit('/').next().unwrap_or_default();
        let prefix = out.unwrap_or_else(|| PathBuf::from(name));
        let ends = session.clock.now().plus(days_long(days));
        let identity = open(&dir, &session.entropy)?.issue(&spiffe_id, session.clock.now(), ends, &session.entropy)?;
        let (certificate_file, key_file) = write(&prefix, &identity)?;
        let answer =
            Answer { spiffe_id: spiffe_id.to_string(), certificate_file, key_file, expires_at: ends.floor_to_second().to_string() };
        session.print(&answer, LAYOUT)
    }
}

/// So many days.
pub(super) fn days_long(days: u64) -> Duration {
    Duration::from_secs(days.saturating_mul(24 * 60 * 60))
}

/// Writes PREFIX.pem and PREFIX.key, neither of which may exist.
pub(super) fn write(prefix: &Path, identity: &Identity) -> anyhow::Result<(PathBuf, PathBuf)> {
    let (certificate, key) = (beside(prefix, "pem"), beside(prefix, "key"));
    for path in [&certificate, &key] {
        anyhow::ensure!(!files::exists(path), "{} exists, and nothing is ever overwritten", path.display());
    }
    files::create_secret(&key, identity.key.as_bytes())?;
    files::create_secret(&certificate, &identity.certificate)?;
    Ok((certificate, key))
}

/// Opens the identity CA of a folder.
pub(super) fn open(dir: &Path, entropy: &Entropy) -> anyhow::Result<IdentityCa> {
    let folder = dir.join(FOLDER);
    let certificate = files::read_text(&folder.join("ca.pem"))?;
    let key = files::read_secret(&folder.join("ca.key"))?;
    IdentityCa::from_pem(&certificate, &key, entropy).with_context(|| folder.display().to_string())
}

/// Writes a new identity CA into a folder.
pub(super) fn create(dir: &Path, ca: &IdentityCa) -> anyhow::Result<()> {
    let folder = dir.join(FOLDER);
    files::create_folder(&folder)?;
    files::create_secret(&folder.join("ca.key"), ca.key_pem().as_bytes())?;
    Ok(files::create_file(&folder.join("ca.pem"), ca.certificate_pem())?)
}

/// An identity of a fresh folder, for a year.
pub(super) fn for_a_year(ca: &IdentityCa, id: &SpiffeId, now: Timestamp, entropy: &Entropy) -> anyhow::Result<Identity> {
    Ok(ca.issue(id, now, now.plus(days_long(365)), entropy)?)
}
