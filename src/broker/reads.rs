//! Administrative reads are entries, coalesced: the first of a caller, action and subject in five
//! minutes is recorded before it is answered, and stands for the others.

use std::time::Duration;

use dashmap::DashMap;

use super::{Broker, Error};
use crate::model::{Event, Position, SpiffeId, Timestamp};
use crate::policy::{Action, Caller};

/// How long one entry stands for.
const COALESCED: Duration = Duration::from_secs(5 * 60);
/// How many reads are remembered; beyond it all are forgotten, and recorded anew.
const REMEMBERED: usize = 10_000;

/// The reads that an entry still stands for.
#[derive(Debug, Default)]
pub(super) struct Reads(DashMap<(SpiffeId, Action, Option<Position>), Timestamp>);

impl Reads {
    /// Whether a read at `now` needs an entry of its own.
    fn is_news(&self, read: &(SpiffeId, Action, Option<Position>), now: Timestamp) -> bool {
        self.0.get(read).is_none_or(|recorded| now.since(*recorded) >= COALESCED || *recorded > now)
    }

    fn remember(&self, read: (SpiffeId, Action, Option<Position>), now: Timestamp) {
        if self.0.len() >= REMEMBERED {
            self.0.clear();
        }
        self.0.insert(read, now);
    }
}

impl Broker {
    /// Records a read by an administrator, unless an entry stands for it already.
    pub(super) async fn note_read(&self, caller: &Caller, action: Action, number: Option<Position>) -> Result<(), Error> {
        let now = self.clock.now();
        let read = (caller.spiffe_id.clone(), action, number);
        if self.reads.is_news(&read, now) {
            let event = Event::AdministrativeRead { action: action.as_str().to_owned(), number };
            self.change(Some(&caller.spiffe_id), move |_| Ok((vec![event], ()))).await?;
            self.reads.remember(read, now);
        }
        Ok(())
    }
}
