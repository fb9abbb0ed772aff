//! How a source stands. Memory alone: what must outlive a start is in the ledger.

use std::sync::Arc;

use super::{Doubted, Inventory, Voiced};
use crate::directory;
use crate::model::{Position, Timestamp};

/// How a source stands.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub heard: Option<Timestamp>,
    pub believed: Option<Timestamp>,
    /// What was last applied without a problem: to hear it again changes nothing.
    pub settled: Option<[u8; 32]>,
    /// What was last heard and compared.
    pub compared: Option<Compared>,
    /// Which names it was told that it may refer to, and the last entry at that time.
    pub names: Arc<directory::Names>,
    pub told: Position,
    pub problems: Vec<String>,
    pub doubted: Option<Doubted>,
    pub confirmed: Option<[u8; 32]>,
    /// Which doubts stand in the ledger.
    pub voiced: Voiced,
    /// What was last believed, of an inventory.
    pub inventory: Option<Arc<Inventory>>,
}

/// What was heard, and the last entry that it was compared with: until there is another, or the time has come, to
/// hear it again changes nothing either.
#[derive(Clone, Copy, Debug)]
pub(super) struct Compared {
    pub digest: [u8; 32],
    pub changed: Position,
    pub until: Option<Timestamp>,
}

impl State {
    /// Whether to hear it again now, when `changed` is the last entry that changed anything, would change nothing.
    pub(super) fn knows(&self, digest: [u8; 32], changed: Position, now: Timestamp) -> bool {
        let settled = self.settled == Some(digest) && self.doubted.is_none();
        let is_known =
            |compared: Compared| (compared.digest, compared.changed) == (digest, changed) && compared.until.is_none_or(|until| now < until);
        settled || self.compared.is_some_and(is_known)
    }
}
