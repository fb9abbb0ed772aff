//! `curfew identity`: an identity from outside, for people without a PKI.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;

use super::cert::beside;
use super::output::Layout;
use super::session::Session;
use crate::ambient::Entropy;
use crate::app::config::sealing::Source;
use crate::app::config::{Config, files};
use crate::keys::identity::{Identity, IdentityCa};
use crate::keys::seal::{self, SealingSecret};
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
        let identity =
            open(&dir, config.unseal_with(), &session.entropy)?.issue(&spiffe_id, session.clock.now(), ends, &session.entropy)?;
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

/// Opens the identity CA of a folder. If its key is sealed and no file holds the secret, somebody
/// at the terminal has to know it.
pub(super) fn open(dir: &Path, unseal_with: Option<&Path>, entropy: &Entropy) -> anyhow::Result<IdentityCa> {
    let folder = dir.join(FOLDER);
    let certificate = files::read_text(&folder.join("ca.pem"))?;
    let mut key = files::read_secret(&folder.join("ca.key"))?;
    if seal::is_sealed(&key) {
        let source = unseal_with.map_or(Source::Ask, |path| Source::File(path.to_owned()));
        key = seal::unseal("identity CA", &key, &source.existing("the identity CA")?, entropy)?;
    }
    IdentityCa::from_pem(&certificate, &key, entropy).with_context(|| folder.display().to_string())
}

/// Writes a new identity CA into a folder.
pub(super) fn create(dir: &Path, ca: &IdentityCa, secret: Option<&SealingSecret>, entropy: &Entropy) -> anyhow::Result<()> {
    let folder = dir.join(FOLDER);
    files::create_folder(&folder)?;
    files::create_secret(&folder.join("ca.key"), ca.key_pem(secret, entropy)?.as_bytes())?;
    Ok(files::create_file(&folder.join("ca.pem"), ca.certificate_pem())?)
}

/// An identity of a fresh folder, for a year.
pub(super) fn for_a_year(ca: &IdentityCa, id: &SpiffeId, now: Timestamp, entropy: &Entropy) -> anyhow::Result<Identity> {
    Ok(ca.issue(id, now, now.plus(days_long(365)), entropy)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use clap::Parser as _;
    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject as _;

    use super::*;
    use crate::cli::init;
    use crate::formats::svid::Svid;

    fn session() -> Session {
        Session::new(crate::cli::Arguments::try_parse_from(["curfew", "--field", "expires_at", "whoami"]).expect("a command line").global)
    }

    /// What `curfew identity new` does in a fresh folder.
    fn new(folder: &Path, id: &str, days: u64) -> anyhow::Result<()> {
        let (session, dir) = (session(), folder.join("made"));
        if !files::exists(&dir) {
            let plan = init::Plan { dir: &dir, domain: &"corp.example".parse()?, config: init::CONFIG, secret: None };
            plan.make(session.clock.now(), &session.entropy)?;
        }
        Command::New(Args { spiffe_id: id.parse()?, dir, out: Some(folder.join("new")), days }).run(&session)
    }

    #[test]
    fn an_identity_names_its_workload_and_ends_when_it_was_told_to() {
        let folder = tempfile::tempdir().expect("a folder");
        let before = session().clock.now();
        new(folder.path(), "spiffe://corp.example/payments/api", 2).expect("made");
        let pem = files::read_bytes(&folder.path().join("new.pem")).expect("there");
        let svid = Svid::from_der(&CertificateDer::from_pem_slice(&pem).expect("PEM")).expect("an SVID");
        assert_eq!(svid.spiffe_id.as_str(), "spiffe://corp.example/payments/api");
        let life = svid.expires_at.since(before);
        assert!(life <= days_long(2) + Duration::from_secs(60) && life >= days_long(2) - Duration::from_secs(2), "{life:?}");
        let key = std::fs::metadata(folder.path().join("new.key")).expect("there");
        assert_eq!(key.permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn an_identity_of_another_domain_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = new(folder.path(), "spiffe://other.example/payments/api", 2).expect_err("another domain").to_string();
        assert!(error.contains("corp.example only"), "{error}");
        assert!(!files::exists(&folder.path().join("new.key")));
    }

    #[test]
    fn an_identity_never_overwrites_another() {
        let folder = tempfile::tempdir().expect("a folder");
        new(folder.path(), "spiffe://corp.example/payments/api", 2).expect("made");
        let key = files::read_bytes(&folder.path().join("new.key")).expect("there");
        assert!(new(folder.path(), "spiffe://corp.example/payments/api", 2).is_err());
        assert_eq!(files::read_bytes(&folder.path().join("new.key")).expect("there"), key);
    }
}
