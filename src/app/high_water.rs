//! The high-water mark beside the keys: read at start, moved on while the broker runs.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::config::{Config, files};
use super::error::ServeError;
use super::metrics::Faults;
use crate::ambient::Clock;
use crate::broker::Followers;
use crate::ledger::{HighWater, Ledger as _, SqliteLedger};
use crate::model::Position;

/// How far the mark may lag behind what is committed and confirmed by nobody.
const LAG: Duration = Duration::from_secs(1);

/// Moves the mark of one ledger.
#[derive(Debug)]
pub(super) struct Marking {
    config: Config,
    ledger: Arc<SqliteLedger>,
    clock: Clock,
    /// Held while the file is written, which goes on when whoever waited for it is dropped: two at a time
    /// would mix what they write.
    writing: Arc<Mutex<()>>,
}

/// The mark as it was left; none before the first start.
pub(super) fn read(config: &Config) -> Result<Option<HighWater>, ServeError> {
    let Some(text) = config.high_water()? else { return Ok(None) };
    let file = config.high_water_file().display();
    let damaged = || {
        ServeError::start(format_args!(
            "the high-water mark {file} is damaged, so nobody can tell whether the ledger went back. If you know that it did not, \
             move the file away; else run `curfew ledger recover`"
        ))
    };
    HighWater::from_json(&text).map(Some).ok_or_else(damaged)
}

/// Says that there was no mark beside a ledger that is in use.
pub(super) fn missed(config: &Config, reached: Position) {
    tracing::warn!(
        file = %config.high_water_file().display(),
        %reached,
        "there was no high-water mark beside a ledger with entries, so nobody can tell whether it went back; it is made now. \
         If the ledger was put back from a backup, stop the broker and run `curfew ledger recover`; if the mark was lost, nothing is to be done"
    );
}

impl Marking {
    /// Moves nothing yet.
    pub(super) fn new(config: Config, ledger: Arc<SqliteLedger>, clock: Clock) -> Self {
        Self { config, ledger, clock, writing: Arc::default() }
    }

    /// Moves the mark to what is committed now. It never claims more, and is on the disk when this
    /// returns.
    pub(super) async fn mark(&self) -> Result<Position, ServeError> {
        let mark = self.ledger.high_water().await.map_err(ServeError::start)?;
        let (file, writing) = (self.config.high_water_file().to_owned(), Arc::clone(&self.writing));
        let text = mark.to_json();
        let write = move || {
            let _alone = writing.lock().unwrap_or_else(PoisonError::into_inner);
            files::replace(&file, text)
        };
        tokio::task::spawn_blocking(write).await.map_err(ServeError::start)??;
        Ok(mark.position())
    }

    /// Moves the mark to where the ledger ends, and closes that.
    pub(super) async fn close(&self) {
        if let Err(error) = self.mark().await {
            tracing::error!(%error, "the high-water mark stays behind");
        }
        self.ledger.close().await;
    }

    /// Moves the mark on until the task is dropped: now and then, and at once when a confirmation waits for
    /// it. Where it cannot be written the broker goes on: revoking must not depend on it.
    pub(super) async fn keep(self: Arc<Self>, followers: Arc<Followers>, faults: Faults) {
        let mut marked = None;
        loop {
            if marked != Some(self.ledger.head().position) {
                match self.mark().await {
                    Ok(position) => {
                        marked = Some(position);
                        followers.marked(marked);
                    }
                    Err(error) => {
                        followers.marked(None);
                        tracing::error!(%error, "the high-water mark stays behind");
                        faults.high_water.inc();
                    }
                }
            }
            tokio::select! {
                () = self.clock.sleep(LAG) => {}
                () = followers.mark_wanted() => {}
            }
        }
    }
}
