//! How much of a source may end: more than its share within a day is not believed.

use ring::digest::{Context, SHA256};

use super::Rules;
use crate::broker::Doubted;
use crate::broker::source::Day;
use crate::ledger::Present;
use crate::model::{Position, Timestamp};

/// An end that was not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stop {
    /// Which records have ended already.
    pub digest: [u8; 32],
    /// How many records of the kind would have ended within a day.
    pub ends: usize,
    /// Of how many.
    pub of: usize,
    /// When it may end, since enough of the others are a day old.
    pub until: Option<Timestamp>,
}

impl Stop {
    /// What is shown of it.
    pub(super) fn doubted(&self) -> Doubted {
        Doubted {
            digest: Some(self.digest),
            why: "more records would end within a day than max_ended allows".to_owned(),
            ends: self.ends,
            of: self.of,
            until: self.until,
            changes: Vec::new(),
        }
    }
}

/// Whether one may end, of the owners of a source or of its people.
pub(super) fn check(rules: &Rules, (owners, one): (bool, Position), present: &Present<'_>) -> Result<(), Stop> {
    let Present { facts, now, .. } = *present;
    let mut lately = facts.turnover().of(&rules.source, now);
    lately.retain(|number, _| facts.resource(*number).is_some_and(|known| known.record.owner.is_some() == owners));
    let mut ended: Vec<_> = lately.iter().filter(|(number, _)| **number != one).map(|(number, at)| (*number, *at)).collect();
    ended.sort_unstable();
    let own = facts.resources().filter(|known| known.record.source == rules.source && known.record.owner.is_some() == owners);
    let live = own.filter(|known| known.record.ended.is_none()).map(|known| known.number);
    let day = Day::new(live, &[one], lately);
    if day.is_within(rules.max_ended) {
        return Ok(());
    }
    let mut digest = Context::new(&SHA256);
    digest.update(rules.source.as_str().as_bytes());
    digest.update(&[0, u8::from(owners)]);
    for (number, at) in ended {
        digest.update(&number.get().to_be_bytes());
        digest.update(&at.millis().to_be_bytes());
    }
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest.finish().as_ref());
    Err(Stop { digest: bytes, ends: day.ends(), of: day.of(), until: day.passes(rules.max_ended) })
}
