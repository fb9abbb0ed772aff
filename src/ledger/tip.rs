//! The end of the ledger, as a store keeps it to append to.

use super::Head;
use super::tree::Tree;
use crate::model::{Entry, Event, Position, Timestamp};

/// Where the ledger ends, with what is needed to go on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tip {
    /// When the last entry was committed.
    pub(super) time: Timestamp,
    /// The last entry that changed the facts.
    pub(super) changed: Position,
    /// The latest expiry ever recorded.
    pub(super) latest_expiry: Timestamp,
    /// The tree over all entries.
    pub(super) tree: Tree,
}

impl Tip {
    /// The last position.
    pub(super) const fn position(&self) -> Position {
        Position::new(self.tree.size())
    }

    /// What is published of it.
    pub(super) fn head(&self) -> Head {
        Head { position: self.position(), time: self.time, root: self.tree.root(), latest_expiry: self.latest_expiry }
    }

    /// Moves on by an entry, given with its bytes.
    pub(super) fn append(&mut self, entry: &Entry, bytes: &[u8]) {
        if let Event::CredentialIssued(issued) = &entry.event {
            return self.append_issuance(entry.time, issued.expires_at, bytes);
        }
        self.time = entry.time;
        if entry.event.changes_facts() {
            self.changed = entry.position;
        }
        self.tree.append(bytes);
    }

    /// Moves on by an issuance.
    pub(super) fn append_issuance(&mut self, time: Timestamp, expires_at: Timestamp, bytes: &[u8]) {
        self.time = time;
        self.latest_expiry = self.latest_expiry.max(expires_at);
        self.tree.append(bytes);
    }
}
