//! Log lines: text or JSON, to standard error.

use std::io;

use tracing_subscriber::EnvFilter;

use super::config::{Log, LogFormat};

/// Sends what `tracing` collects to standard error, from now on and for the whole process.
///
/// A second call changes nothing.
pub fn install(log: &Log) {
    let filter = EnvFilter::try_new(&log.filter).unwrap_or_default();
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let installed = match log.format {
        LogFormat::Text => lines.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).try_init(),
    };
    if installed.is_err() {
        tracing::debug!("log lines already have a way out");
    }
}
