//! The configuration as it is written, with the default of every field.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::reconcile::RawReconcile;
use super::sources::RawSource;
use super::units::{Size, Span};

/// The file, field by field; `docs/samples/curfew.toml` says what each is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    pub(super) trust_domain: String,
    pub(super) administrators: Vec<String>,
    #[serde(default = "public_url")]
    pub(super) public_url: String,
    /// `public_url` if it is not written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) crl_url: Option<String>,
    #[serde(default = "data_dir")]
    pub(super) data_dir: PathBuf,
    #[serde(default = "keys_dir")]
    pub(super) keys_dir: PathBuf,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) unseal_with: Option<PathBuf>,
    /// In `keys_dir` if it is not written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) high_water_file: Option<PathBuf>,
    #[serde(default = "policies_dir")]
    pub(super) policies_dir: PathBuf,
    #[serde(default = "max_staleness")]
    pub(super) max_staleness: Span,
    #[serde(default = "heartbeat")]
    pub(super) heartbeat: Span,
    #[serde(default = "clock_skew")]
    pub(super) clock_skew: Span,
    #[serde(default = "min_free_disk")]
    pub(super) min_free_disk: Size,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) worker_threads: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) pkcs11: Option<RawPkcs11>,
    #[serde(default)]
    pub(super) keys: RawKeys,
    #[serde(default)]
    pub(super) listen: RawListen,
    #[serde(default)]
    pub(super) lists: RawLists,
    #[serde(default)]
    pub(super) server: RawServer,
    #[serde(default)]
    pub(super) limits: RawLimits,
    #[serde(default)]
    pub(super) reconcile: RawReconcile,
    #[serde(default)]
    pub(super) log: RawLog,
    #[serde(default)]
    pub(super) trust: Vec<RawTrust>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) source: Vec<RawSource>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPkcs11 {
    pub(super) module: PathBuf,
    pub(super) token: String,
    pub(super) pin_file: PathBuf,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) token_key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) issuer_key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) list_key: Option<String>,
    #[serde(default = "sign_time")]
    pub(super) sign_time: Span,
    #[serde(default = "sessions")]
    pub(super) sessions: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) next_token_key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) next_issuer_key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) next_list_key: Option<String>,
}

/// How the signing keys change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawKeys {
    pub(super) announce: Span,
    pub(super) announce_issuer: Span,
    pub(super) rotate_every: RawIntervals,
}

/// For how long a key signs; zero for until somebody changes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawIntervals {
    pub(super) token: Span,
    pub(super) issuer: Span,
    pub(super) list: Span,
    pub(super) checkpoint: Span,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawListen {
    pub(super) grpc: SocketAddr,
    pub(super) public: SocketAddr,
    pub(super) admin: SocketAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lists: Option<SocketAddr>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawLists {
    pub(super) interval: Span,
    pub(super) crl_lifetime: Span,
    pub(super) status_lifetime: Span,
    pub(super) status_ttl: Span,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawServer {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) names: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) certificate: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawLimits {
    pub(super) connections: usize,
    pub(super) identity_connections: usize,
    pub(super) handshakes: usize,
    pub(super) handshake_time: Span,
    pub(super) streams: u32,
    pub(super) headers: Size,
    pub(super) message: Size,
    pub(super) identity_in_flight: Size,
    pub(super) in_flight: Size,
    pub(super) call: Span,
    pub(super) workload_rate: u32,
    pub(super) owner_rate: u32,
    pub(super) administrator_rate: u32,
    pub(super) source_rate: u32,
    pub(super) workload_live: u64,
    pub(super) owner_tasks: usize,
    pub(super) workload_exceptions: usize,
    pub(super) exception_life: Span,
    pub(super) identity_watches: usize,
    pub(super) watches: usize,
    pub(super) drain: Span,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawLog {
    pub(super) format: LogFormat,
    pub(super) filter: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTrust {
    pub(super) domain: String,
    pub(super) bundle: PathBuf,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The high-water mark, in the folder of the keys.
const HIGH_WATER: &str = "high-water.json";

/// The names of the server certificate where none are given.
pub(super) const SERVER_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

fn public_url() -> String {
    "https://localhost:7480".to_owned()
}

fn data_dir() -> PathBuf {
    "data".into()
}

fn keys_dir() -> PathBuf {
    "keys".into()
}

fn policies_dir() -> PathBuf {
    "policies".into()
}

const fn sign_time() -> Span {
    Span::seconds(2)
}

const fn sessions() -> usize {
    4
}

const fn max_staleness() -> Span {
    Span::seconds(30)
}

const fn heartbeat() -> Span {
    Span::seconds(2)
}

const fn clock_skew() -> Span {
    Span::seconds(30)
}

const fn min_free_disk() -> Size {
    Size::mebibytes(256)
}

impl Default for RawListen {
    fn default() -> Self {
        let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self { grpc: loopback(7443), public: loopback(7480), admin: loopback(7490), lists: None }
    }
}

impl Default for RawLists {
    fn default() -> Self {
        Self {
            interval: Span::seconds(120),
            crl_lifetime: Span::seconds(600),
            status_lifetime: Span::seconds(600),
            status_ttl: Span::seconds(60),
        }
    }
}

impl Default for RawKeys {
    fn default() -> Self {
        Self { announce: Span::days(1), announce_issuer: Span::days(30), rotate_every: RawIntervals::default() }
    }
}

impl Default for RawIntervals {
    fn default() -> Self {
        Self { token: Span::days(30), issuer: Span::days(270), list: Span::days(90), checkpoint: Span::days(365) }
    }
}

impl Default for RawLimits {
    fn default() -> Self {
        Self {
            connections: 4096,
            identity_connections: 256,
            handshakes: 256,
            handshake_time: Span::seconds(10),
            streams: 256,
            headers: Size::kibibytes(16),
            message: Size::mebibytes(1),
            identity_in_flight: Size::mebibytes(32),
            in_flight: Size::mebibytes(128),
            call: Span::seconds(30),
            workload_rate: 1000,
            owner_rate: 5000,
            administrator_rate: 100,
            source_rate: 200,
            workload_live: 100_000,
            owner_tasks: 10_000,
            workload_exceptions: 20,
            exception_life: Span::days(30),
            identity_watches: 1024,
            watches: 16_384,
            drain: Span::seconds(10),
        }
    }
}

impl Default for RawLog {
    fn default() -> Self {
        Self { format: LogFormat::Text, filter: "info".to_owned() }
    }
}

impl Raw {
    /// Relative paths are meant from the folder of the configuration file.
    pub(super) fn resolve(&mut self, folder: &Path) {
        let high_water = self.high_water_file.get_or_insert_with(|| self.keys_dir.join(HIGH_WATER));
        let paths = [&mut self.data_dir, &mut self.keys_dir, &mut self.policies_dir, high_water].into_iter();
        let optional = [&mut self.unseal_with, &mut self.server.certificate, &mut self.server.key].into_iter().flatten();
        let hsm = self.pkcs11.as_mut().into_iter().flat_map(|hsm| [&mut hsm.module, &mut hsm.pin_file]);
        for path in paths
            .chain(optional)
            .chain(hsm)
            .chain(self.trust.iter_mut().map(|trust| &mut trust.bundle))
            .chain(self.source.iter_mut().flat_map(RawSource::paths))
        {
            *path = folder.join(&path);
        }
    }
}
