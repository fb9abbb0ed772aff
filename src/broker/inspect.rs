//! Reading the ledger.

use super::{Broker, Error, describe};
use crate::ledger::Stored;
use crate::model::{Entry, Position};
use crate::policy::{Action, Caller, Resource};

/// One entry, with a line for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerRow {
    /// Its position.
    pub position: Position,
    /// Its bytes, as hashed.
    pub bytes: Vec<u8>,
    /// What they say; absent if they are unreadable.
    pub entry: Option<Entry>,
    /// What happened, in one line; or why it is unreadable.
    pub summary: String,
}

impl Broker {
    /// At most `limit` entries from `from` on.
    ///
    /// # Errors
    /// `Denied` by policy; `Unavailable`.
    pub(crate) async fn ledger_rows(&self, caller: &Caller, from: Position, limit: usize) -> Result<Vec<LedgerRow>, Error> {
        self.authorise(caller, Action::ReadLedger, |_, _| Ok(Resource::System)).await?;
        let stored = self.ledger.entries(from, limit).await?;
        let facts = self.ledger.facts();
        let row = |Stored { position, bytes, entry }| match entry {
            Ok(entry) => LedgerRow { position, bytes, summary: describe::event(&entry.event, &facts), entry: Some(entry) },
            Err(unreadable) => LedgerRow { position, bytes, summary: unreadable.to_string(), entry: None },
        };
        Ok(stored.into_iter().map(row).collect())
    }
}
