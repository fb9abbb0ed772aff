//! A lane of changes in which everybody who asks gets a turn, however much somebody asks for.

use std::collections::{HashMap, VecDeque};

use super::queue::Pending;
use crate::ledger::LedgerError;
use crate::model::SpiffeId;

/// One in so many places of a lane may be one actor's.
const SHARE: usize = 8;

/// The changes that wait, by who causes them; the broker itself is one of them.
#[derive(Default)]
pub(super) struct Lane {
    waiting: HashMap<Option<SpiffeId>, VecDeque<Pending>>,
    /// Whose turn it is next; each that waits once.
    turns: VecDeque<Option<SpiffeId>>,
    len: usize,
}

impl Lane {
    /// Lines up a change. Where `most` wait, or the actor has its share of them, nothing more does; but
    /// whoever has nothing there gets in at any rate: there are no more of them than records.
    ///
    /// # Errors
    /// `Overloaded`.
    pub(super) fn push(&mut self, change: Pending, most: usize) -> Result<(), LedgerError> {
        let actor = change.change.actor.clone();
        let mine = self.waiting.entry(actor.clone()).or_default();
        if most == 0 || !mine.is_empty() && (self.len >= most || mine.len() >= most.div_ceil(SHARE)) {
            if mine.is_empty() {
                self.waiting.remove(&actor);
            }
            return Err(LedgerError::Overloaded);
        }
        if mine.is_empty() {
            self.turns.push_back(actor);
        }
        mine.push_back(change);
        self.len += 1;
        Ok(())
    }

    /// The next, of whoever's turn it is.
    pub(super) fn pop(&mut self) -> Option<Pending> {
        let actor = self.turns.pop_front()?;
        let mine = self.waiting.get_mut(&actor)?;
        let change = mine.pop_front()?;
        self.len -= 1;
        if mine.is_empty() {
            self.waiting.remove(&actor);
        } else {
            self.turns.push_back(actor);
        }
        Some(change)
    }

    /// How many wait.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }
}
