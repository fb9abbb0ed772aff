//! The application: configuration, log lines, and the composition of a broker.

pub mod config;
mod serve;
pub mod telemetry;

pub use serve::{Addresses, ServeError, serve};
