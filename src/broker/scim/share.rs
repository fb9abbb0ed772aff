//! How much of a source may end: more than its share within a day is not believed.

use std::time::Duration;

use ring::digest::{Context, SHA256};

use super::Rules;
use crate::broker::Doubted;
use crate::ledger::Present;
use crate::model::{Position, Timestamp};

/// For how long an end counts.
pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// When what was never active has ended: it is none of those that can end, and has not ended within a day.
pub(super) const BEFORE: Timestamp = Timestamp::from_millis(1);

/// An end that was not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stop {
    /// Which records have ended already.
    pub digest: [u8; 32],
    /// How many records of the kind would have ended within a day.
    pub ends: usize,
    /// Of how many.
    pub of: usize,
}

impl Stop {
    /// What is shown of it.
    pub(super) fn doubted(&self) -> Doubted {
        Doubted {
            digest: Some(self.digest),
            why: "more records would end within a day than max_ended allows".to_owned(),
            ends: self.ends,
            of: self.of,
            changes: Vec::new(),
        }
    }
}

/// Whether one may end, of the owners of a source or of its people. What ended before a person let it through
/// counts no more, and what ends twice counts once.
pub(super) fn check(
    rules: &Rules,
    (owners, one): (bool, Position),
    released: Option<Timestamp>,
    present: &Present<'_>,
) -> Result<(), Stop> {
    let since = released.into_iter().fold(present.now.minus(DAY), Timestamp::max);
    let (mut live, mut ended) = (0, 0);
    let mut digest = Context::new(&SHA256);
    digest.update(rules.source.as_str().as_bytes());
    digest.update(&[0, u8::from(owners)]);
    let counts = |at: Timestamp| at > since;
    for known in present.facts.resources() {
        if known.record.source != rules.source || known.record.owner.is_some() != owners || known.number == one {
            continue;
        }
        match known.record.ended {
            None => live += 1,
            Some(at) if counts(at) => {
                ended += 1;
                digest.update(&known.number.get().to_be_bytes());
                digest.update(&at.millis().to_be_bytes());
            }
            Some(_) => {}
        }
    }
    let (ends, of) = (ended + 1, live + ended + 1);
    if rules.max_ended.covers(ends, of) {
        return Ok(());
    }
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest.finish().as_ref());
    Err(Stop { digest: bytes, ends, of })
}
