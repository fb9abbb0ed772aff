//! Looking for issuances, the newest first.

use crate::model::{CredentialId, Issued, Position, Timestamp};

/// How many entries one search looks at.
pub(crate) const MOST_SEARCHED: u64 = 1 << 16;

/// Whether an issuance at a position is wanted.
pub(crate) type Wanted = Box<dyn Fn(Position, &Issued) -> bool + Send>;

/// What is looked for.
pub(crate) struct Search {
    /// Only below this position: what is issued meanwhile shifts no page.
    pub before: Position,
    /// Only above this position.
    pub after: Position,
    /// How many at most.
    pub limit: usize,
    /// Nothing recorded before this instant is looked at.
    pub since: Timestamp,
    /// Only what stands on this owner or workload: by it an index can answer.
    pub subject: Option<Position>,
    /// Which issuances.
    pub wanted: Wanted,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// In falling order of position.
    pub credentials: Vec<(CredentialId, Issued)>,
    /// Below which position to go on; `None` if nothing more can be found. A search that has looked
    /// at many entries stops, though it found few.
    pub next: Option<Position>,
}
