//! What a start would stumble over, found without starting.

use super::config::Config;
use super::error::ServeError;
use super::{key_files, upkeep};
use crate::ambient::{Clock, Entropy};
use crate::listen::{Alpn, Identity, server_config};

/// Reads and understands everything that the configuration names, and keeps nothing.
///
/// # Errors
/// The first thing that would keep a broker from starting.
pub fn check(config: &Config) -> Result<(), ServeError> {
    upkeep::compile(config)?;
    upkeep::bundles(config)?;
    let entropy = Entropy::system();
    key_files::placed(config, &entropy)?;
    if let Some((chain, key)) = config.server_certificate()? {
        let identity = Identity::from_pem(chain.as_bytes(), key.as_bytes()).map_err(ServeError::start)?;
        server_config(identity, None, Alpn::Http, Clock::system()).map_err(ServeError::start)?;
    }
    Ok(())
}
