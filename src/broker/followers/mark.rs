//! How far the high-water mark has come, which a confirmation waits for.
//!
//! Were a confirmation counted before the mark covers its position, an older copy of the ledger put back
//! at once would start, and contradict what a follower has been told.

use tokio::sync::{Notify, watch};

use super::Followers;
use crate::model::Position;

/// What whoever writes the mark says of it.
#[derive(Debug)]
pub(super) struct Mark {
    /// None while nobody writes it, or it cannot be written: then nothing is held up by it.
    reached: watch::Sender<Option<Position>>,
    wanted: Notify,
}

impl Default for Mark {
    fn default() -> Self {
        Self { reached: watch::Sender::new(None), wanted: Notify::new() }
    }
}

impl Followers {
    /// The mark was moved to a position, or could not be moved.
    pub(crate) fn marked(&self, reached: Option<Position>) {
        self.mark.reached.send_replace(reached);
    }

    /// Returns when the mark is wanted further than it has come.
    pub(crate) async fn mark_wanted(&self) {
        self.mark.wanted.notified().await;
    }

    /// Returns when the mark covers a position, which must be committed.
    pub(super) async fn mark_covers(&self, position: Position) {
        let covers = |reached: &Option<Position>| reached.is_none_or(|reached| reached >= position);
        let mut reached = self.mark.reached.subscribe();
        if !covers(&reached.borrow_and_update()) {
            self.mark.wanted.notify_one();
        }
        // It ends with the followers alone, and they are borrowed.
        let _covered = reached.wait_for(covers).await;
    }
}
