//! The composition: a configuration becomes a running broker.

use std::net::SocketAddr;

use super::config::{Config, ConfigError};

/// Where a broker listens, as bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// gRPC, mutual TLS.
    pub grpc: SocketAddr,
    /// What is signed or public, HTTPS.
    pub public: SocketAddr,
    /// Health and metrics, plain HTTP.
    pub admin: SocketAddr,
}

/// Why a broker did not start, or did not go on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The configuration, or a file that it names.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Anything else that is the operator's to mend, in words.
    #[error("{0}")]
    Start(String),
}

/// Runs a broker until it is told to stop (SIGTERM or SIGINT), then drains and closes it. `ready`
/// is called once, when all listeners are bound and the ledger can commit.
///
/// # Errors
/// If it cannot start, or the ledger cannot be closed.
pub async fn serve(config: Config, ready: impl FnOnce(&Addresses)) -> Result<(), ServeError> {
    let (_, _) = (config, ready);
    std::future::ready(Err(ServeError::Start("this build has no broker".to_owned()))).await
}
