//! The application: configuration, log lines, and the composition of a broker.

pub mod config;
mod error;
mod high_water;
mod key_files;
mod metrics;
mod preflight;
pub mod process;
mod recover;
mod serve;
pub(crate) mod server_identity;
mod sources;
pub mod telemetry;
mod upkeep;

pub use error::ServeError;
pub(crate) use key_files::placed;
pub use preflight::check;
pub use recover::{Recovered, recover};
pub use serve::{Addresses, serve};
