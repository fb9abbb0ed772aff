//! The configuration: the only reader of files and environment.
//!
//! A file becomes a [`Config`] once, or a list of everything that is wrong with it; what a
//! [`Config`] says is never checked again.

mod check;
pub mod files;
mod hsm;
pub mod keys_dir;
mod raw;
mod reconcile;
mod scim;
pub mod sealing;
mod signing;
pub(in crate::app) mod sources;
mod units;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use zeroize::Zeroizing;

use crate::broker::{Declared, Quotas, Reconciling};
use crate::formats::urls::Urls;
use crate::grpc::Bounds;
use crate::http::Client;
use crate::keys::rotation::Rotation;
use crate::lists::Lifetimes;
use crate::model::{Invalid, PolicyName, SpiffeId, TrustDomain, Windows};
use files::FileError;
use hsm::Pkcs11;
pub use raw::LogFormat;
use raw::Raw;
pub use signing::Place;
pub use units::{Share, Size, Span, UnitError};

/// A configuration without contradictions. Paths are resolved against the folder of its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub(super) trust_domain: TrustDomain,
    pub(super) administrators: BTreeSet<SpiffeId>,
    /// `iss` of every token and list; HTTPS, without a trailing slash.
    pub(super) public_url: String,
    /// What CRLs are found below; HTTP or HTTPS, without a trailing slash.
    crl_url: String,
    pub(super) data_dir: PathBuf,
    pub(super) max_staleness: Duration,
    pub(super) heartbeat: Duration,
    pub(super) clock_skew: Duration,
    pub(super) min_free_disk: u64,
    /// As many as there are cores if absent.
    pub(super) worker_threads: Option<usize>,
    pub(super) listen: Listen,
    pub(super) lists: Lifetimes,
    pub(super) server: Server,
    pub(super) limits: Limits,
    pub(super) log: Log,
    pub(super) rotation: Rotation,
    pub(super) sources: Vec<sources::Source>,
    pub(super) reconciling: Reconciling,
    policies_dir: PathBuf,
    keys_dir: PathBuf,
    unseal_with: Option<PathBuf>,
    pkcs11: Option<Pkcs11>,
    high_water_file: PathBuf,
    trust: BTreeMap<TrustDomain, PathBuf>,
    /// Who may provision over SCIM.
    pub(super) clients: Vec<Client>,
    raw: Raw,
}

/// Where the broker listens; port 0 takes any that is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Listen {
    pub(super) grpc: SocketAddr,
    pub(super) public: SocketAddr,
    pub(super) admin: SocketAddr,
    /// CRLs and status lists, plain HTTP.
    pub(super) lists: Option<SocketAddr>,
}

/// Where the server certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Server {
    /// The broker issues it to itself, for these DNS names and IP addresses.
    Issued { names: Vec<String> },
    /// The operator brings it.
    Files { certificate: PathBuf, key: PathBuf },
}

/// What one broker takes on at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) connections: usize,
    /// Of one identity.
    pub(super) identity_connections: usize,
    /// Of one caller.
    pub(super) quotas: Quotas,
    pub(super) handshakes: usize,
    /// How long one may take.
    pub(super) handshake_time: Duration,
    /// On one connection.
    pub(super) streams: u32,
    /// Of the headers of one request, in bytes.
    pub(super) headers: u32,
    /// Of one call.
    pub(super) calls: Bounds,
    /// How long calls under way may take when the broker stops.
    pub(super) drain: Duration,
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    pub(super) format: LogFormat,
    pub(super) filter: String,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// What a field names cannot be used.
    #[error("{field}: {error}{}", remedy(error, missing))]
    Named {
        /// The field.
        field: &'static str,
        /// What is wrong with what it names.
        error: FileError,
        /// What to do if it is missing.
        missing: &'static str,
    },
    /// The file is not TOML, or has a field that there is not.
    #[error("{}: {problem}", path.display())]
    Syntax {
        /// The configuration file.
        path: PathBuf,
        /// Line and reason.
        problem: String,
    },
    /// It contradicts itself.
    #[error("{}:\n  {}", path.display(), problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n  "))]
    Invalid {
        /// The configuration file.
        path: PathBuf,
        /// Everything that is wrong.
        problems: Vec<Invalid>,
    },
    /// A private key cannot be used. Never shows it.
    #[error("{}: {problem}", path.display())]
    Key {
        /// The file of the key, or of the secret that it is sealed under.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
}

/// What to do about `error`, beyond what it says itself.
fn remedy(error: &FileError, missing: &str) -> String {
    match error {
        FileError::Io { reason, .. } if reason.kind() == io::ErrorKind::NotFound => format!("; {missing}"),
        FileError::Io { reason, .. } if reason.kind() == io::ErrorKind::PermissionDenied => {
            "; give it to the user that the broker runs as".to_owned()
        }
        FileError::Io { .. }
        | FileError::Open { .. }
        | FileError::TooLong { .. }
        | FileError::NotEmpty { .. }
        | FileError::Unsettled { .. } => String::new(),
    }
}

impl ConfigError {
    /// The same, of a file or folder that `field` names, with what to do if it is missing.
    fn of(field: &'static str, missing: &'static str) -> impl Fn(Self) -> Self {
        move |error| match error {
            Self::File(error) => Self::Named { field, error, missing },
            Self::Named { .. } | Self::Syntax { .. } | Self::Invalid { .. } | Self::Key { .. } => error,
        }
    }
}

impl Config {
    /// Reads a configuration file.
    ///
    /// # Errors
    /// If it cannot be read, is not understood, or contradicts itself.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = files::read_text(path)?;
        Self::parse(&text, &files::absolute(path)?)
    }

    /// Understands the text of the configuration file at `path`.
    pub(super) fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let syntax =
            |error: toml::de::Error| ConfigError::Syntax { path: path.to_owned(), problem: error.to_string().trim_end().to_owned() };
        let mut raw: Raw = toml::from_str(text).map_err(syntax)?;
        raw.resolve(path.parent().unwrap_or(Path::new("")));
        check::validate(raw).map_err(|problems| ConfigError::Invalid { path: path.to_owned(), problems })
    }

    /// What is in force, defaults included, in the shape of the file.
    pub fn effective(&self) -> impl Serialize + use<'_> {
        &self.raw
    }

    /// The domain whose credentials are issued.
    pub const fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// Every source, however records come from it.
    pub(super) fn declared_sources(&self) -> Vec<Declared> {
        let read = self.sources.iter().map(|source| source.declared.clone());
        read.chain(self.clients.iter().map(|client| client.rules.declared())).collect()
    }

    /// What the URLs in credentials begin with.
    pub(super) fn urls(&self) -> Urls {
        Urls { issuer: self.public_url.clone(), crl: self.crl_url.clone() }
    }

    /// How long verifiers may go on with what they have.
    pub const fn windows(&self) -> Windows {
        Windows { max_staleness: self.max_staleness, crl: self.lists.crl, status_list: self.lists.status, skew: self.clock_skew }
    }

    /// What is logged, and how.
    pub const fn log(&self) -> &Log {
        &self.log
    }

    /// How many threads run the broker; as many as there are cores if absent.
    pub const fn worker_threads(&self) -> Option<usize> {
        self.worker_threads
    }

    /// The ledger's file. Its folder is made if it is missing.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn ledger_file(&self) -> Result<PathBuf, ConfigError> {
        let unmakable = ConfigError::of("data_dir", "name a folder that can be made");
        files::create_folder(&self.data_dir).map_err(|error| unmakable(error.into()))?;
        Ok(self.data_dir.join("ledger.db"))
    }

    /// The policy text: name and text of each `.cedar` file, by name.
    ///
    /// # Errors
    /// If the folder or a file cannot be read.
    pub fn policies(&self) -> Result<Vec<(PolicyName, String)>, ConfigError> {
        let missing =
            ConfigError::of("policies_dir", "put the .cedar files there (`curfew init` writes a default set), or name their folder");
        files::read_policies(&self.policies_dir).map_err(|error| missing(error.into()))
    }

    /// The trust bundle of each domain, PEM, read anew each time.
    ///
    /// # Errors
    /// If one cannot be read.
    pub fn trust_bundles(&self) -> Result<BTreeMap<TrustDomain, String>, ConfigError> {
        let missing = ConfigError::of("trust.bundle", "put the certificates of the domain's authorities there, PEM, or name the file");
        let read = |path| files::read_text(path).map_err(|error| missing(error.into()));
        self.trust.iter().map(|(domain, path)| read(path).map(|pem| (domain.clone(), pem))).collect()
    }

    /// Where the high-water mark stands.
    pub(super) fn high_water_file(&self) -> &Path {
        &self.high_water_file
    }

    /// The text of the high-water mark; `None` if there is none yet.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) fn high_water(&self) -> Result<Option<String>, FileError> {
        if files::exists(&self.high_water_file) { files::read_text(&self.high_water_file).map(Some) } else { Ok(None) }
    }

    /// The operator's server certificate chain and key, PEM, read anew each time; `None` if the
    /// broker issues its own.
    ///
    /// # Errors
    /// If one cannot be read, or others may read the key.
    pub fn server_certificate(&self) -> Result<Option<(String, Zeroizing<String>)>, ConfigError> {
        const MISSING: &str = "put it there, or leave certificate and key out: the broker then issues its own";
        let Server::Files { certificate, key } = &self.server else { return Ok(None) };
        let certificate = files::read_text(certificate).map_err(|error| ConfigError::of("server.certificate", MISSING)(error.into()))?;
        let key = files::read_secret(key).map_err(|error| ConfigError::of("server.key", MISSING)(error.into()))?;
        Ok(Some((certificate, key)))
    }
}

#[cfg(test)]
mod tests;
