//! The signing keys that a configuration names: where each is, opened, and kept.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::files::{self, FileError};
use super::{Config, ConfigError, keys_dir, sealing};
use crate::ambient::Entropy;
use crate::keys::hsm::Hsm;
use crate::keys::seal::SealingSecret;
use crate::keys::{KeyError, KeyText, Private, Source};
use crate::model::KeyPurpose;

/// Where a key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a file.
    File(PathBuf),
    /// In a PKCS#11 module, under this label.
    Label(String),
}

/// Verifiers look for keys this often within the time that the next one is published ahead.
const LOOKS: u32 = 5;
/// And no less often than this.
const LONGEST_BETWEEN: Duration = Duration::from_secs(60);

impl Config {
    /// How soon verifiers are to look for keys again.
    pub(in crate::app) fn keys_refresh(&self) -> Duration {
        let announce = self.raw.keys.announce.min(self.raw.keys.announce_issuer).duration();
        (announce / LOOKS).clamp(Duration::from_secs(1), LONGEST_BETWEEN)
    }

    /// The signing keys that are files, and what each signs.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn key_files(&self) -> Result<Vec<(KeyPurpose, PathBuf)>, ConfigError> {
        let missing = ConfigError::of("keys_dir", "put the keys there, from a backup of them, or name their folder");
        let in_file = KeyPurpose::ALL.iter().filter(|purpose| self.key_labels(**purpose).is_empty());
        let of = |purpose: &KeyPurpose| {
            let files = keys_dir::files_of(&self.keys_dir, *purpose).map_err(|error| missing(error.into()))?;
            Ok(files.into_iter().map(|file| (*purpose, file)).collect::<Vec<_>>())
        };
        Ok(in_file.map(of).collect::<Result<Vec<_>, ConfigError>>()?.concat())
    }

    /// The labels of the signing keys that a PKCS#11 module holds: of the one that signs, and of the next.
    pub fn key_labels(&self, purpose: KeyPurpose) -> &[String] {
        self.pkcs11.as_ref().and_then(|hsm| hsm.labels.get(&purpose)).map(Vec::as_slice).unwrap_or_default()
    }

    /// The files of the certificates of issuer keys that a PKCS#11 module holds, in the order of their labels.
    pub fn issuer_certificates(&self) -> [PathBuf; 2] {
        [KeyPurpose::Issuer.to_string(), format!("next-{}", KeyPurpose::Issuer)]
            .map(|name| self.keys_dir.join(name).with_extension(keys_dir::CERTIFICATE))
    }

    /// The file of the secret that the signing keys are sealed under, if they are.
    pub fn unseal_with(&self) -> Option<&Path> {
        self.unseal_with.as_deref()
    }

    /// The private halves of the signing keys, opened if they are sealed, each with its place.
    ///
    /// # Errors
    /// If one cannot be read or opened, or others may read it.
    pub(in crate::app) fn keys(&self, entropy: &Entropy) -> Result<Vec<(Source, Place)>, ConfigError> {
        let (ring, files) = (self.open_keys(entropy)?, self.key_files()?);
        let mut keys = Vec::new();
        for purpose in KeyPurpose::ALL {
            for (_, file) in files.iter().filter(|(of, _)| of == purpose) {
                keys.push(ring.in_file(*purpose, file.clone())?);
            }
            for (label, certificate) in self.key_labels(*purpose).iter().zip(self.issuer_certificates()) {
                keys.push((ring.in_module(*purpose, label, &certificate)?, Place::Label(label.clone())));
            }
        }
        Ok(keys)
    }

    /// The private half of the issuer's key: of the next one, if a PKCS#11 module holds it already; and the
    /// file of its certificate.
    ///
    /// # Errors
    /// As [`Config::keys`].
    pub(crate) fn issuer_key(&self, entropy: &Entropy) -> Result<(Private, PathBuf), ConfigError> {
        let ring = self.open_keys(entropy)?;
        let labels = self.key_labels(KeyPurpose::Issuer);
        match labels.iter().zip(self.issuer_certificates()).next_back() {
            Some((label, certificate)) => Ok((ring.held(KeyPurpose::Issuer, label)?, certificate)),
            None => {
                let file = keys_dir::first(&self.keys_dir, KeyPurpose::Issuer);
                Ok((ring.pem(&file)?, file.with_extension(keys_dir::CERTIFICATE)))
            }
        }
    }

    fn open_keys<'a>(&'a self, entropy: &'a Entropy) -> Result<OpenKeys<'a>, ConfigError> {
        let hsm = self.pkcs11.as_ref().map(|hsm| hsm.open().map(|open| (open, hsm.module.as_path()))).transpose()?;
        Ok(OpenKeys { secret: self.secret()?, hsm, entropy })
    }

    fn secret(&self) -> Result<Option<SealingSecret>, ConfigError> {
        let missing = ConfigError::of("unseal_with", "put the secret there that the keys are sealed under, or name its file");
        self.unseal_with.as_deref().map(sealing::read).transpose().map_err(missing)
    }

    /// New keys as this configuration has them kept: sealed, if `unseal_with` says so.
    ///
    /// # Errors
    /// If the secret cannot be read, or a PKCS#11 module holds keys, which are not made here.
    pub(in crate::app) fn as_kept(&self, keys: Vec<KeyText>, entropy: &Entropy) -> Result<Vec<KeyText>, ConfigError> {
        if self.pkcs11.is_some() {
            let problem = "take the table [pkcs11] out of the configuration first: new keys are made as files here, and keys of the module \
                           can take their place afterwards";
            return Err(ConfigError::Key { path: self.keys_dir.clone(), problem: problem.to_owned() });
        }
        keys.into_iter().map(|key| self.sealed(key, entropy)).collect()
    }

    fn sealed(&self, key: KeyText, entropy: &Entropy) -> Result<KeyText, ConfigError> {
        let Some(secret) = self.secret()? else { return Ok(key) };
        let refused = |problem: KeyError| ConfigError::Key { path: self.keys_dir.clone(), problem: problem.to_string() };
        key.sealed(&secret, entropy).map_err(refused)
    }

    /// Keeps one more key beside those that are there; says in which file.
    ///
    /// # Errors
    /// If the secret cannot be read, or a file cannot be written.
    pub(in crate::app) fn keep_key(&self, key: KeyText, entropy: &Entropy) -> Result<PathBuf, ConfigError> {
        Ok(keys_dir::add(&self.keys_dir, &self.sealed(key, entropy)?)?)
    }

    /// Wipes the keys that were being wiped when the last run ended.
    ///
    /// # Errors
    /// If the folder cannot be read or written.
    pub(in crate::app) fn finish_wiping(&self) -> Result<(), FileError> {
        if files::is_folder(&self.keys_dir) { files::finish_wiping(&self.keys_dir) } else { Ok(()) }
    }

    /// Puts new keys in the place of those that are there, which stay under other names, `suffix`
    /// behind each; says which.
    ///
    /// # Errors
    /// If a file cannot be renamed or written.
    pub(in crate::app) fn replace_keys(&self, keys: &[KeyText], suffix: &str) -> Result<Vec<PathBuf>, FileError> {
        let aside = keys_dir::set_aside(&self.keys_dir, suffix)?;
        keys_dir::create(&self.keys_dir, keys)?;
        Ok(aside)
    }
}

/// What it takes to open the signing keys.
struct OpenKeys<'a> {
    secret: Option<SealingSecret>,
    hsm: Option<(Hsm, &'a Path)>,
    entropy: &'a Entropy,
}

impl OpenKeys<'_> {
    fn in_file(&self, purpose: KeyPurpose, file: PathBuf) -> Result<(Source, Place), ConfigError> {
        let certificate = self.certificate(purpose, &file.with_extension(keys_dir::CERTIFICATE))?;
        Ok((Source { purpose, private: self.pem(&file)?, certificate }, Place::File(file)))
    }

    fn in_module(&self, purpose: KeyPurpose, label: &str, certificate: &Path) -> Result<Source, ConfigError> {
        Ok(Source { purpose, private: self.held(purpose, label)?, certificate: self.certificate(purpose, certificate)? })
    }

    fn held(&self, purpose: KeyPurpose, label: &str) -> Result<Private, ConfigError> {
        let refused = |path: &Path, problem: String| ConfigError::Key { path: path.to_owned(), problem };
        let (hsm, module) = self.hsm.as_ref().ok_or_else(|| refused(Path::new("pkcs11"), "no module is named".to_owned()))?;
        hsm.p256(purpose.as_str(), label).map(Private::Elsewhere).map_err(|error| refused(module, error.to_string()))
    }

    fn certificate(&self, purpose: KeyPurpose, file: &Path) -> Result<Option<String>, ConfigError> {
        let missing = ConfigError::of("keys_dir", "put the issuer's certificate there, or make it again with `curfew keys certify`");
        let text = || files::read_text(file).map_err(|error| missing(error.into()));
        (purpose == KeyPurpose::Issuer).then(text).transpose()
    }

    fn pem(&self, file: &Path) -> Result<Private, ConfigError> {
        let missing =
            ConfigError::of("keys_dir", "put the keys there, from a backup of them (`curfew init` makes new ones), or name their folder");
        keys_dir::private_key(file, self.secret.as_ref(), self.entropy).map(Private::Pem).map_err(missing)
    }
}
