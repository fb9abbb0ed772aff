//! `curfew keys`: the signing keys of a broker that runs, and, offline, the files that hold them.

mod online;

use std::path::PathBuf;

use anyhow::Context as _;
use serde::Serialize;
use zeroize::Zeroizing;

use super::output::Layout;
use super::session::Session;
use crate::ambient::Entropy;
use crate::app::config::sealing::Source;
use crate::app::config::{Config, Place, files};
use crate::keys::seal::{self, SealingSecret};
use crate::keys::{KeyError, issuer_certificate};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Show the keys of a broker: which signs, which is to come, which is over, and since when.
    List,
    /// Let another key sign: when it was published for as long as the configuration says.
    Rotate(online::Rotate),
    /// End everything that a key ever signed, and let another sign at once.
    Revoke(online::Revoke),
    /// Print the certificates by which to know the broker, and what it issues: PEM, the next one included.
    Issuers,
    /// Show the files of a configuration, offline: what each key signs, its name and end, and whether it is sealed.
    Files(Where),
    /// Seal private keys under a passphrase. Those that are sealed under it already stay as they are.
    Seal(Args),
    /// Open sealed private keys: they are then protected by the permissions of their files alone.
    Unseal(Args),
    /// Seal private keys under another passphrase. To be repeated if it was interrupted.
    Reseal {
        #[command(flatten)]
        args: Args,
        /// The new one: a file, which is made if it is missing, or `ask`.
        #[arg(long, value_name = "FILE|ask")]
        to: Source,
    },
    /// Make the certificate of an issuer key that has none, such as one that a PKCS#11 module made; of the next
    /// one, if the configuration names one.
    Certify(Where),
}

#[derive(Debug, clap::Args)]
pub(super) struct Where {
    /// The configuration file.
    #[arg(long, value_name = "FILE", env = "CURFEW_CONFIG", default_value = "curfew.toml")]
    config: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Private keys, PEM, such as identity-ca/ca.key; by default the signing keys of the configuration.
    #[arg(value_name = "KEY")]
    keys: Vec<PathBuf>,
    #[command(flatten)]
    place: Where,
    /// Where the passphrase comes from: the first line of a file that its owner alone may read, or
    /// `ask` for whoever sits at the terminal.
    #[arg(long, value_name = "FILE|ask")]
    with: Source,
}

#[derive(Debug, Serialize)]
struct Listed {
    keys: Vec<Key>,
}

#[derive(Debug, Serialize)]
struct Key {
    purpose: &'static str,
    kid: String,
    not_after: Option<String>,
    sealed: bool,
    /// Where it is a file.
    file: Option<PathBuf>,
    /// Where a PKCS#11 module holds it.
    label: Option<String>,
}

#[derive(Debug, Serialize)]
struct Certified {
    certificate_file: PathBuf,
}

#[derive(Debug, Serialize)]
struct Answer {
    files: Vec<File>,
}

#[derive(Debug, Serialize)]
struct File {
    file: PathBuf,
    sealed: bool,
    changed: bool,
}

impl Command {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        match self {
            Self::List => online::list(session).await,
            Self::Rotate(args) => args.run(session).await,
            Self::Revoke(args) => args.run(session).await,
            Self::Issuers => online::issuers(session).await,
            Self::Files(place) => list(&place, session),
            Self::Certify(place) => certify(&place, session),
            Self::Seal(args) => {
                let secret = args.with.fresh(&session.entropy)?;
                args.each(session, |text| sealed_under(text, &secret, &session.entropy))
            }
            Self::Unseal(args) => {
                let secret = args.with.existing("the keys")?;
                args.each(session, |text| match seal::is_sealed(text) {
                    true => seal::unseal("key", text, &secret, &session.entropy).map(Some),
                    false => Ok(None),
                })
            }
            Self::Reseal { args, to } => {
                let (old, new) = (args.with.existing("the keys")?, to.fresh(&session.entropy)?);
                args.each(session, |text| {
                    // Those that a run had reached already that was interrupted.
                    if seal::unseal("key", text, &new, &session.entropy).is_ok() {
                        return Ok(None);
                    }
                    let open = seal::unseal("key", text, &old, &session.entropy)?;
                    seal::seal("key", &open, &new, &session.entropy).map(Some)
                })
            }
        }
    }
}

/// The sealed form of a key, or nothing if it is sealed under this secret already.
fn sealed_under(text: &str, secret: &SealingSecret, entropy: &Entropy) -> Result<Option<Zeroizing<String>>, KeyError> {
    if seal::is_sealed(text) {
        return seal::unseal("key", text, secret, entropy).map(|_the_same| None);
    }
    seal::seal("key", text, secret, entropy).map(Some)
}

impl Args {
    /// Puts what `change` makes of each file in its place, once it is made for all of them.
    fn each(&self, session: &Session, change: impl Fn(&str) -> Result<Option<Zeroizing<String>>, KeyError>) -> anyhow::Result<()> {
        let (mut answer, mut replaced) = (Vec::new(), Vec::new());
        for file in self.files()? {
            let text = files::read_secret(&file)?;
            let new = change(&text).with_context(|| file.display().to_string())?;
            answer.push(File { file: file.clone(), sealed: seal::is_sealed(new.as_ref().unwrap_or(&text)), changed: new.is_some() });
            replaced.push((file, new));
        }
        files::replace_secrets(&replaced)?;
        session.print(&Answer { files: answer }, Layout::rows("files", &["file", "sealed", "changed"]))
    }

    fn files(&self) -> anyhow::Result<Vec<PathBuf>> {
        if !self.keys.is_empty() {
            return Ok(self.keys.clone());
        }
        let config = Config::load(&self.place.config)?;
        Ok(config.key_files()?.into_iter().map(|(_, file)| file).collect())
    }
}

fn list(place: &Where, session: &Session) -> anyhow::Result<()> {
    let config = Config::load(&place.config)?;
    let (keys, places) = crate::app::placed(&config, &session.entropy)?;
    let mut listed = Vec::new();
    for (key, place) in keys.public_keys().into_iter().zip(places) {
        let (file, label) = match place {
            Place::File(file) => (Some(file), None),
            Place::Label(label) => (None, Some(label)),
        };
        listed.push(Key {
            purpose: key.purpose.as_str(),
            kid: key.kid,
            not_after: key.not_after.map(|end| end.to_string()),
            sealed: file.as_deref().map_or(Ok(false), |file| files::read_secret(file).map(|text| seal::is_sealed(&text)))?,
            file,
            label,
        });
    }
    session.print(&Listed { keys: listed }, Layout::rows("keys", &["purpose", "kid", "not_after", "sealed", "file", "label"]))
}

fn certify(place: &Where, session: &Session) -> anyhow::Result<()> {
    let config = Config::load(&place.config)?;
    let (issuer, certificate_file) = config.issuer_key(&session.entropy)?;
    let certificate = issuer_certificate(config.trust_domain(), issuer, &session.entropy, session.clock.now())?;
    files::create_file(&certificate_file, certificate)?;
    session.print(&Certified { certificate_file }, Layout::fields(&["certificate_file"]))
}
