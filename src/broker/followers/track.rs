//! The cuts whose enforcement is followed: what each concerns, and which confirmations of it the ledger
//! has taken down.

use std::collections::BTreeMap;

use super::Followers;
use crate::model::{Concern, Position, Sighting, SpiffeId, Timestamp};

/// How many cuts are followed at a time; of more, the oldest are read from the ledger when asked for.
const MOST_CUTS: usize = 10_000;

/// A cut that is followed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::broker) struct Tracked {
    /// Where something was alive that it ended.
    pub(in crate::broker) concerns: Vec<Concern>,
    /// By downstream, the entry that took down its confirmation, and when.
    pub(in crate::broker) recorded: BTreeMap<Position, (Position, Timestamp)>,
    /// When the first list that covers it was out.
    pub(in crate::broker) out: Option<Timestamp>,
    /// When the first CRLs and status lists that cover it were out.
    pub(in crate::broker) stock_out: Option<Timestamp>,
}

/// A process that follows, as it stands to a cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::broker) struct Seen {
    /// The name that it gave itself.
    pub(in crate::broker) name: String,
    /// The position that it confirmed, if that covers the cut.
    pub(in crate::broker) confirmed: Option<Position>,
    /// What matters of it for enforcement.
    pub(in crate::broker) sighting: Sighting,
}

impl Tracked {
    /// From when on everything that it ended has expired.
    fn over(&self, skew: std::time::Duration) -> Timestamp {
        self.concerns.iter().map(|concern| concern.last_expiry.plus(skew)).max().unwrap_or_default()
    }
}

impl Followers {
    /// The cut at a position, if it is followed.
    pub(in crate::broker) fn tracked(&self, position: Position) -> Option<Tracked> {
        self.memory().cuts.get(&position).cloned()
    }

    /// Follows the cut at a position. What is known of it stays.
    pub(in crate::broker) fn track(&self, position: Position, tracked: Tracked) -> Tracked {
        let mut memory = self.memory();
        let first = memory.points.partition_point(|point| point.position < position);
        let out = memory.points.get(first).map(|point| point.out);
        let first = memory.stock.partition_point(|(covered, _)| *covered < position);
        let stock_out = memory.stock.get(first).map(|(_, out)| *out);
        let kept = memory.cuts.entry(position).or_insert(Tracked { out, stock_out, ..tracked }).clone();
        if memory.cuts.len() > MOST_CUTS {
            memory.cuts.pop_first();
        }
        drop(memory);
        self.heard.notify_one();
        kept
    }

    /// Up to which position every cut is followed that there is.
    pub(in crate::broker) fn followed(&self) -> Position {
        self.memory().followed
    }

    /// Every cut up to a position is followed.
    pub(in crate::broker) fn followed_to(&self, position: Position) {
        self.memory().followed = position;
    }

    /// Every cut that is followed, but for those of which everything has expired, which are forgotten.
    pub(in crate::broker) fn all_tracked(&self, now: Timestamp) -> Vec<(Position, Tracked)> {
        let skew = self.windows.skew;
        let mut memory = self.memory();
        memory.cuts.retain(|_, cut| cut.over(skew) > now);
        memory.cuts.iter().map(|(position, cut)| (*position, cut.clone())).collect()
    }

    /// The ledger has taken down, in the entry `at`, that a downstream has confirmed everything up to
    /// `position`.
    pub(in crate::broker) fn recorded(&self, downstream: Position, position: Position, (at, time): (Position, Timestamp)) {
        for cut in self.memory().cuts.range_mut(..=position).map(|(_, cut)| cut) {
            cut.recorded.entry(downstream).or_insert((at, time));
        }
        self.stir();
    }

    /// Those that follow under an identity, as they stand to the cut at a position.
    pub(in crate::broker) fn sightings(&self, identity: &SpiffeId, position: Position) -> Vec<Seen> {
        let memory = self.memory();
        let instances = memory.identities.get(identity).into_iter().flatten();
        let seen = |(name, known): (&Option<_>, &super::Process)| {
            let confirmed = known.confirmed.filter(|(confirmed, _)| *confirmed >= position);
            Seen {
                name: name.as_ref().map_or_else(|| "unnamed".to_owned(), ToString::to_string),
                confirmed: confirmed.map(|(confirmed, _)| confirmed),
                sighting: Sighting {
                    confirmed: confirmed.map(|(_, at)| at),
                    held: known.handed.filter(|handed| handed.position < position).map(|handed| handed.issued_at),
                    forked: known.forked.is_some(),
                },
            }
        };
        instances.map(seen).collect()
    }
}

#[cfg(test)]
impl Followers {
    /// What a restart leaves: nothing.
    pub(in crate::broker) fn forget(&self) {
        *self.memory() = super::Memory::default();
    }
}
