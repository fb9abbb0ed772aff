//! `curfew init`: everything that a broker needs, in a folder of its own.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::identity;
use super::output::{self, Format, Layout};
use super::session::Session;
use crate::ambient::Entropy;
use crate::app::config::sealing::Source;
use crate::app::config::{files, keys_dir};
use crate::keys::Material;
use crate::keys::identity::IdentityCa;
use crate::keys::seal::SealingSecret;
use crate::model::{SpiffeId, Timestamp, TrustDomain};
use crate::policy::DEFAULT_PACK;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The folder to make; it may exist if it is empty.
    dir: PathBuf,
    /// The SPIFFE trust domain whose credentials will be issued.
    #[arg(long, value_name = "NAME", default_value = DOMAIN)]
    trust_domain: TrustDomain,
    /// Seal the private keys under a passphrase: of this file, which is made if it is missing, or
    /// `ask` for whoever sits at the terminal.
    #[arg(long, value_name = "FILE|ask")]
    seal_with: Option<Source>,
}

/// The trust domain of the samples.
pub(super) const DOMAIN: &str = "example.org";

/// The configuration, with every field.
pub(super) const CONFIG: &str = include_str!("../../docs/samples/curfew.toml");
const REGISTRY: &str = include_str!("../../docs/samples/registry.yaml");

#[derive(Debug, Serialize)]
struct Answer {
    trust_domain: String,
    config: PathBuf,
    administrator: String,
    certificate_file: PathBuf,
    key_file: PathBuf,
    ca_file: PathBuf,
}

/// A folder that was made, and the CA whose identities it trusts.
pub(super) struct Made {
    pub(super) dir: PathBuf,
    pub(super) identity_ca: IdentityCa,
    administrator_id: SpiffeId,
}

impl Args {
    pub(super) fn run(self, session: &Session) -> anyhow::Result<()> {
        let dir = files::absolute(&self.dir)?;
        files::require_empty(&dir)?;
        let (config, secret) = self.sealing(&dir, session)?;
        let plan = Plan { dir: &dir, domain: &self.trust_domain, config: &config, secret };
        let made = plan.make(session.clock.now(), &session.entropy)?;
        if session.global.format == Format::Table && session.global.field.is_none() {
            return output::write(&made.what_next());
        }
        let answer = Answer {
            trust_domain: self.trust_domain.to_string(),
            config: made.config(),
            administrator: made.administrator_id.to_string(),
            certificate_file: made.administrator().0,
            key_file: made.administrator().1,
            ca_file: made.ca(),
        };
        session.print(&answer, Layout::fields(&[]))
    }
}

impl Args {
    /// The configuration, with the file of the secret if there is one, and the secret.
    fn sealing(&self, dir: &Path, session: &Session) -> anyhow::Result<(String, Option<SealingSecret>)> {
        let Some(source) = &self.seal_with else { return Ok((CONFIG.to_owned(), None)) };
        let mut config = CONFIG.to_owned();
        if let Source::File(path) = source {
            let path = files::absolute(path)?;
            anyhow::ensure!(!path.starts_with(dir), "keep the secret apart from the keys: {} is in {}", path.display(), dir.display());
            let field = format!("unseal_with = {}", toml::Value::from(path.display().to_string()));
            config =
                config.lines().map(|line| if line.starts_with(UNSEAL_WITH) { field.as_str() } else { line }).collect::<Vec<_>>().join("\n");
            config.push('\n');
        }
        Ok((config, Some(source.fresh(&session.entropy)?)))
    }
}

/// The line of the configuration that names the file of the secret.
const UNSEAL_WITH: &str = "# unseal_with = ";

/// What is to be made.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    pub(super) dir: &'a Path,
    pub(super) domain: &'a TrustDomain,
    pub(super) config: &'a str,
    /// What private keys are sealed under.
    pub(super) secret: Option<SealingSecret>,
}

impl Plan<'_> {
    /// Makes the folder. Refuses one that is not empty before anything is written.
    pub(super) fn make(self, now: Timestamp, entropy: &Entropy) -> anyhow::Result<Made> {
        let Self { dir, domain, config, secret } = self;
        files::require_empty(dir)?;
        let administrator = domain.id("/administrator")?;
        let mut keys = Material::generate(domain, entropy, now)?.to_texts();
        if let Some(secret) = &secret {
            keys = keys.iter().map(|key| key.sealed(secret, entropy)).collect::<Result<_, _>>()?;
        }
        let issuer = keys.iter().find_map(|key| key.certificate.clone()).unwrap_or_default();
        let identity_ca = IdentityCa::generate(domain, entropy, now)?;
        let identity = identity::for_a_year(&identity_ca, &administrator, now, entropy)?;

        files::create_folder(dir)?;
        files::create_file(&dir.join("curfew.toml"), of_domain(config, domain))?;
        keys_dir::create(&dir.join("keys"), &keys)?;
        files::create_file(&dir.join("ca.pem"), issuer)?;
        identity::create(dir, &identity_ca, secret.as_ref(), entropy)?;
        files::create_folder(&dir.join("trust"))?;
        files::create_file(&dir.join("trust").join(format!("{domain}.pem")), identity_ca.certificate_pem())?;
        identity::write(&dir.join("admin"), &identity)?;
        files::create_folder(&dir.join("policies"))?;
        for (name, text) in DEFAULT_PACK {
            files::create_file(&dir.join("policies").join(name), of_domain(text, domain))?;
        }
        files::create_folder(&dir.join("registry"))?;
        files::create_file(&dir.join("registry").join("registry.yaml"), of_domain(REGISTRY, domain))?;
        Ok(Made { dir: dir.to_owned(), identity_ca, administrator_id: administrator })
    }
}

/// A sample, for another trust domain.
fn of_domain(sample: &str, domain: &TrustDomain) -> String {
    sample.replace(DOMAIN, domain.as_str())
}

impl Made {
    /// The configuration file.
    pub(super) fn config(&self) -> PathBuf {
        self.dir.join("curfew.toml")
    }

    /// What clients trust the broker by.
    pub(super) fn ca(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// The administrator's certificate and key.
    pub(super) fn administrator(&self) -> (PathBuf, PathBuf) {
        (self.dir.join("admin.pem"), self.dir.join("admin.key"))
    }

    fn what_next(&self) -> String {
        let dir = self.dir.display();
        format!(
            "Made {dir}, with keys that only you can read and an administrator's identity,
{administrator}.

Next:
  curfew serve --config {dir}/curfew.toml

and in another terminal:
{environment}
  curfew registry diff {dir}/registry     # edit registry.yaml first: who and what there is
  curfew registry apply {dir}/registry
  curfew identity new {workload} --dir {dir}

Move {dir}/identity-ca away from this machine, or delete it if you have a PKI of your
own: name its certificates in [[trust]] of curfew.toml.
",
            administrator = self.administrator_id,
            environment = self.environment("localhost:7443", "https://localhost:7480"),
            workload = self.administrator_id.as_str().replace("/administrator", "/payments/api"),
        )
    }

    /// The variables that make the administrator the caller, to be pasted into a shell.
    pub(super) fn environment(&self, grpc: &str, url: &str) -> String {
        let dir = self.dir.display();
        format!(
            "  export CURFEW_ADDR={grpc} CURFEW_URL={url} CURFEW_CACERT={dir}/ca.pem
  export CURFEW_CLIENT_CERT={dir}/admin.pem CURFEW_CLIENT_KEY={dir}/admin.key"
        )
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::app::config::Config;

    fn made(dir: &Path) -> anyhow::Result<Made> {
        let plan = Plan { dir, domain: &"corp.example".parse().expect("a domain"), config: CONFIG, secret: None };
        plan.make(Timestamp::from_seconds(1_800_000_000), &Entropy::system())
    }

    fn everything(dir: &Path) -> Vec<PathBuf> {
        let paths = fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("an entry").path());
        paths.flat_map(|path| if path.is_dir() { everything(&path) } else { vec![path] }).collect()
    }

    #[test]
    fn what_is_made_can_be_served() {
        let folder = tempfile::tempdir().expect("a folder");
        let made = made(&folder.path().join("new")).expect("made");
        let config = Config::load(&made.config()).expect("sound");
        crate::app::check(&config).expect("complete");
        assert_eq!(config.trust_domain().as_str(), "corp.example");
        let registry = files::read_text(&made.dir.join("registry/registry.yaml")).expect("there");
        assert!(!registry.contains(DOMAIN) && registry.contains("corp.example"));
        super::super::registry::read(&[("registry.yaml".into(), registry)]).expect("a registry");
    }

    #[test]
    fn every_key_is_for_its_owner_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        made(folder.path()).expect("made");
        let keys: Vec<PathBuf> =
            everything(folder.path()).into_iter().filter(|path| path.extension().is_some_and(|e| e == "key")).collect();
        assert_eq!(keys.len(), 6, "four that sign, the identity CA's, the administrator's");
        for key in keys {
            assert_eq!(fs::metadata(&key).expect("there").permissions().mode() & 0o777, 0o600, "{}", key.display());
        }
        for path in everything(folder.path()) {
            let secret = fs::read_to_string(&path).expect("text").contains("PRIVATE KEY");
            assert_eq!(secret, path.extension().is_some_and(|e| e == "key"), "{}", path.display());
        }
    }

    #[test]
    fn a_folder_that_is_not_empty_is_left_as_it_was() {
        let folder = tempfile::tempdir().expect("a folder");
        files::create_file(&folder.path().join("precious"), "mine").expect("new");
        assert!(made(folder.path()).is_err());
        assert_eq!(everything(folder.path()), [folder.path().join("precious")]);
        let made_once = folder.path().join("new");
        made(&made_once).expect("made");
        let keys = fs::read(made_once.join("keys/token.key")).expect("there");
        assert!(made(&made_once).is_err());
        assert_eq!(fs::read(made_once.join("keys/token.key")).expect("there"), keys);
    }

    #[test]
    fn every_default_policy_is_in_the_program() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
        let names: BTreeSet<String> = files::read_policies(&folder).expect("there").into_iter().map(|(name, _)| name.to_string()).collect();
        assert_eq!(names, DEFAULT_PACK.iter().map(|(name, _)| (*name).to_owned()).collect());
    }
}
