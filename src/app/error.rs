//! Why a broker does not start.

use std::net::SocketAddr;

use super::config::ConfigError;
use super::config::files::FileError;

/// Why a broker did not start, or did not go on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The configuration, or a file that it names.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file that the configuration names.
    #[error(transparent)]
    File(#[from] FileError),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {error}; choose another address in [listen]")]
    Listen {
        /// The address in the configuration.
        address: SocketAddr,
        /// What the operating system said.
        error: std::io::Error,
    },
    /// The policies of the configuration are not valid.
    #[error("policies_dir: the policies are not valid:\n  {0}")]
    Policy(String),
    /// Anything else that is the operator's to mend, in words.
    #[error("{0}")]
    Start(String),
}

impl ServeError {
    /// A start that failed for `error`.
    pub(super) fn start(error: impl std::fmt::Display) -> Self {
        Self::Start(error.to_string())
    }
}
