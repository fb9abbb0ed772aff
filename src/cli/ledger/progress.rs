//! How far a long walk through a ledger has come, on standard error.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use crate::ambient::Stopwatch;
use crate::model::Position;

/// Entries between two looks at the clock.
const STRIDE: u64 = 4096;

/// How often people see it move.
const REFRESH: Duration = Duration::from_millis(200);

/// A line that moves where somebody watches, and one line at the end in any case.
#[derive(Debug)]
pub(in crate::cli) struct Progress {
    verb: &'static str,
    watch: Stopwatch,
    watched: bool,
    entries: u64,
    shown: Duration,
}

impl Progress {
    /// Begins to count entries that are now `verb`.
    pub(in crate::cli) fn start(verb: &'static str) -> Self {
        let watched = io::stderr().is_terminal();
        Self { verb, watch: Stopwatch::start(), watched, entries: 0, shown: Duration::ZERO }
    }

    /// One more entry.
    pub(in crate::cli) fn reached(&mut self, position: Position) {
        self.entries += 1;
        if !self.watched || !self.entries.is_multiple_of(STRIDE) {
            return;
        }
        let elapsed = self.watch.elapsed();
        if elapsed.saturating_sub(self.shown) >= REFRESH {
            self.shown = elapsed;
            // A terminal that is gone cannot be told.
            let _ = write!(io::stderr(), "\r{} up to entry {position}", self.verb);
        }
    }

    /// Says how many there were, and at which rate.
    pub(in crate::cli) fn finish(self) {
        let Self { verb, entries, .. } = self;
        let micros = self.watch.elapsed().as_micros().max(1);
        let rate = u128::from(entries) * 1_000_000 / micros;
        let clear = if self.watched { "\r\x1b[K" } else { "" };
        let _ = writeln!(io::stderr(), "{clear}{verb} {entries} entries, {rate} a second");
    }
}
