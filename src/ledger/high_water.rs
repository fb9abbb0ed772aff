//! The high-water mark: how far a ledger is known to have come, kept outside of the store.
//!
//! A store cannot tell by itself that an older copy was put in its place. The mark can: a ledger that
//! has not come as far, or whose history up to there is another one, is not opened.

use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use super::OpenError;
use super::sqlite::rows::{self, Segments, StoredHead};
use super::tip::Tip;
use super::tree::Tree;
use crate::formats::list::{from_hex, to_hex};
use crate::model::{Epoch, Position};

/// A point that a ledger has passed: never beyond what is committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HighWater {
    /// Of which history.
    epoch: Epoch,
    /// The tree over all entries up to there. Its frontier is enough to tell whether a later tree
    /// goes on from it, at the cost of the entries in between.
    tree: Tree,
}

/// The mark as it is written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    epoch: String,
    position: u64,
    root: String,
    frontier: Vec<String>,
}

impl HighWater {
    pub(super) fn of(epoch: Epoch, head: &StoredHead) -> Result<Self, &'static str> {
        Ok(Self { epoch, tree: head.tip()?.tree })
    }

    /// The position that was reached.
    pub(crate) const fn position(&self) -> Position {
        Position::new(self.tree.size())
    }

    /// The mark as text, for a file.
    pub(crate) fn to_json(&self) -> String {
        let frontier = self.tree.frontier();
        let written = Written {
            epoch: self.epoch.to_string(),
            position: self.tree.size(),
            root: to_hex(&self.tree.root()),
            frontier: frontier.chunks(32).map(to_hex).collect(),
        };
        // Text and numbers always make JSON.
        serde_json::to_string(&written).unwrap_or_default() + "\n"
    }

    /// Reads what [`HighWater::to_json`] wrote; none if it is anything else.
    pub(crate) fn from_json(text: &str) -> Option<Self> {
        let written: Written = serde_json::from_str(text).ok()?;
        let peaks: Option<Vec<[u8; 32]>> = written.frontier.iter().map(|peak| from_hex(peak)).collect();
        let tree = Tree::restore(written.position, &peaks?.concat())?;
        let epoch = from_hex(&written.epoch).map(Epoch)?;
        (to_hex(&tree.root()) == written.root).then_some(Self { epoch, tree })
    }

    /// Refuses a ledger that has not come as far, or not from there.
    pub(super) fn check(&self, connection: &Connection, segments: Segments, epoch: Option<Epoch>, tip: &Tip) -> Result<(), OpenError> {
        let reached = self.position();
        if tip.position() < reached {
            return Err(OpenError::WentBack { found: tip.position(), reached });
        }
        if epoch != Some(self.epoch) {
            return Err(OpenError::AnotherHistory { reached, what: "it is of another epoch" });
        }
        let mut tree = self.tree.clone();
        rows::walk(connection, segments, (reached.next(), tip.position()), |_, bytes| {
            tree.append(&bytes);
            true
        })?;
        if tree == tip.tree { Ok(()) } else { Err(OpenError::AnotherHistory { reached, what: "its entries up to there are others" }) }
    }
}
