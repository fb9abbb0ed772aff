//! Looking for issuances, the newest first.

use crate::model::{Audience, CredentialId, Issued, Position, Timestamp};

/// How many entries one search looks at.
pub(crate) const MOST_SEARCHED: u64 = 1 << 16;

/// Whether an issuance at a position is wanted.
pub(crate) type Wanted = Box<dyn Fn(Position, &Issued) -> bool + Send>;

/// What an index knows issuances by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// The owner or the workload that they stand on.
    Subject(Position),
    /// Whom they were issued for.
    Audience(Audience),
}

impl By {
    /// Whether an issuance is known by it.
    pub(super) fn holds(&self, issued: &Issued) -> bool {
        match self {
            Self::Subject(number) => [issued.subjects.owner, issued.subjects.workload].contains(number),
            Self::Audience(audience) => issued.audience.as_ref() == Some(audience),
        }
    }
}

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
    /// Only what is known by this: an index can answer.
    pub by: Option<By>,
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
