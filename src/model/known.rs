//! A subject as it is known now, and all those of one kind.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Closed, Closing, Origin, Position, Recording, SourceName, Standing, Task, Timestamp};

/// A subject as it is known now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known<T> {
    /// Its number.
    pub number: Position,
    /// What was last recorded of it.
    pub record: Arc<T>,
    /// Where that comes from; `None` for an administrator.
    pub origin: Option<Origin>,
    /// The entry that recorded it last: what it says of itself stands there.
    pub recorded: Position,
    /// The last entry that touched it: a decision from before that is made again.
    pub changed: Position,
    /// How a revocation closed it, until it is reinstated.
    pub closed: Option<Closed>,
    /// How it was closed because the registry no longer names it, until the registry does.
    pub absent: Option<Closed>,
    /// How a move to another owner closed it, until that owner accepts it. Of a workload alone.
    pub awaiting: Option<Closed>,
}

impl<T> Known<T> {
    /// Whether credentials may be issued under it.
    pub fn is_open(&self) -> bool {
        self.closings().next().is_none()
    }

    /// Each way in which it is closed to issuing.
    pub fn closings(&self) -> impl Iterator<Item = Closed> + use<T> {
        [self.closed, self.absent, self.awaiting].into_iter().flatten()
    }

    /// Whether it has not ended: what is suspended, or waits for its owner, is expected back.
    pub fn has_not_ended(&self) -> bool {
        self.absent.is_none() && self.closed.is_none_or(|closed| closed.by == Closing::Suspend)
    }

    /// Whether it is of a source, or of the administrators if of `None`.
    pub fn is_of(&self, source: Option<&SourceName>) -> bool {
        self.origin.as_ref().map(|origin| &origin.source) == source
    }

    /// Whether the registry names it.
    pub fn is_registered(&self) -> bool {
        self.absent.is_none()
    }

    /// Where it stands at `now`.
    pub fn standing(&self, now: Timestamp) -> Standing {
        self.closings().next().map_or(Standing::Active, |closed| closed.standing(now))
    }
}

/// A task as it is known now. Tasks that closed and settled are forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownTask {
    /// Its number.
    pub number: Position,
    /// How it was opened.
    pub record: Arc<Task>,
    /// When it was opened.
    pub opened: Timestamp,
    /// How it ended.
    pub closed: Option<Closed>,
}

/// The subjects of one kind, by number and by name. Names of different subjects differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Register<N: Eq + std::hash::Hash, T> {
    pub(super) by_number: HashMap<Position, Known<T>>,
    by_name: HashMap<N, Position>,
}

impl<N: Eq + std::hash::Hash, T> Default for Register<N, T> {
    fn default() -> Self {
        Self { by_number: HashMap::new(), by_name: HashMap::new() }
    }
}

impl<N: Eq + std::hash::Hash, T: Clone> Register<N, T> {
    pub(super) fn record(&mut self, name: N, recording: &Recording<T>, at: Position) {
        let number = recording.number.unwrap_or(at);
        let record = Arc::new(recording.record.clone());
        self.by_name.insert(name, number);
        self.by_number
            .entry(number)
            .and_modify(|known| {
                known.record = Arc::clone(&record);
                known.origin.clone_from(&recording.origin);
                (known.recorded, known.changed) = (at, at);
                known.absent = None;
            })
            .or_insert_with(|| Known {
                number,
                record: Arc::clone(&record),
                origin: recording.origin.clone(),
                recorded: at,
                changed: at,
                closed: None,
                absent: None,
                awaiting: None,
            });
    }

    pub(super) fn by_name(&self, name: &N) -> Option<&Known<T>> {
        self.by_name.get(name).and_then(|number| self.by_number.get(number))
    }

    pub(super) fn touch(&mut self, number: Position, at: Position, change: impl FnOnce(&mut Known<T>)) {
        if let Some(known) = self.by_number.get_mut(&number) {
            known.changed = at;
            change(known);
        }
    }
}
