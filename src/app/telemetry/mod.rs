//! Log lines: text or JSON, to standard error. Whoever logs never waits for whoever reads.

mod lines;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io;
use std::panic;
use std::thread;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::config::{Log, LogFormat};
use lines::Lines;

/// What is said in this process: what `tracing` collects is one for a process too.
static LINES: Lines = Lines::new();

/// How long the end of the process waits for whoever reads what it said.
const PATIENCE: Duration = Duration::from_secs(5);

/// Log lines have a way out. When this goes, it waits until all of them are written, or for five seconds.
#[derive(Debug)]
#[must_use]
pub struct Installed(());

impl Drop for Installed {
    fn drop(&mut self) {
        LINES.settle(PATIENCE);
    }
}

/// Sends what `tracing` collects, and what a thread says that panics, to standard error, from now on
/// and for the whole process. Lines that find no room, since nobody reads them, are dropped and counted.
///
/// A second call changes nothing.
///
/// # Errors
/// If there can be no thread that writes.
pub fn install(log: &Log) -> io::Result<Installed> {
    let filter = EnvFilter::try_new(&log.filter).unwrap_or_default();
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| &LINES);
    let installed = match log.format {
        LogFormat::Text => lines.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).try_init(),
    };
    if installed.is_ok() {
        thread::Builder::new().name("log".to_owned()).spawn(|| LINES.keep_writing(io::stderr()))?;
        panic::set_hook(Box::new(say_panic));
    } else {
        tracing::debug!("log lines already have a way out");
    }
    Ok(Installed(()))
}

/// How many log lines were dropped.
pub(super) fn dropped_lines() -> u64 {
    LINES.dropped()
}

/// The hook of the standard library would write by itself, and wait.
fn say_panic(panic: &panic::PanicHookInfo<'_>) {
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| tracing::field::display(backtrace));
    tracing::error!(thread = thread::current().name(), backtrace, "{panic}");
}
