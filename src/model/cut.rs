//! The rule of revocation: a credential is dead if any of its subjects was cut above its position.

use std::collections::HashMap;
use std::time::Duration;

use super::{Position, Reason, Timestamp};

/// How long after the last expiry a cut stays in the list, for verifiers whose clock is behind.
pub const CUT_GRACE: Duration = Duration::from_secs(120);

/// When the cut of a key leaves the list: never, since a thief of the key could sign any life.
pub const CUT_OF_KEY_ENDS: Timestamp = Timestamp::LAST;

/// How far a clock may run ahead and be set back again without anything being lost: what has ended by
/// the clock leaves the list, and is forgotten only when it has been over for as long as this.
pub const CLOCK_STEP: Duration = Duration::from_secs(3600);

/// When a cut made at `now` leaves the list, if the last of what it covers expires at `last_expiry`;
/// `None` if nothing of it can be alive anywhere, so that it never enters the list. A whole second,
/// as lists state it, so that broker and verifiers agree on when a cut has left.
pub fn cut_ends(last_expiry: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let ends = Timestamp::from_seconds(last_expiry.plus(CUT_GRACE).millis().div_ceil(1000));
    Some(ends).filter(|ends| ends.plus(CLOCK_STEP) > now)
}

/// How many numbers a credential carries at most beside its subjects.
pub const MOST_FURTHER: usize = 16;

/// At how many downstreams of an environment one audience may be declared: a token carries the number of each.
pub const MOST_DOWNSTREAMS: usize = MOST_FURTHER - 1;

/// What a credential stands on. Its own position is `credential`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subjects {
    /// The party that answers for it.
    pub owner: Position,
    /// The workload that it was issued to.
    pub workload: Position,
    /// The environment that it is bound to.
    pub environment: Position,
    /// The task that it is bound to, if any.
    pub task: Option<Position>,
    /// The first of our certificates in the chain through which it was obtained; `None` if it was
    /// obtained with an identity from outside, and so is the first itself.
    pub lineage: Option<Position>,
}

impl Subjects {
    /// All of them for the credential at `position`, itself included. It may carry [further](super::Issued::further) ones.
    pub fn numbers(&self, position: Position) -> impl Iterator<Item = Position> + use<> {
        [Some(self.owner), Some(self.workload), Some(self.environment), Some(self.lineage.unwrap_or(position)), self.task, Some(position)]
            .into_iter()
            .flatten()
    }

    /// What is obtained with the credential at `position`: the same, and one lineage.
    #[must_use]
    pub fn inherited(self, position: Position) -> Self {
        Self { lineage: Some(self.lineage.unwrap_or(position)), ..self }
    }
}

/// One line of the list: everything of subject `number` issued before `position` is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cut {
    /// The subject.
    pub number: Position,
    /// Where the cut stands in the ledger. A cut of a key reaches further: see [`Cut::covers`].
    pub position: Position,
    /// When the last of what it covers has expired everywhere, and the cut leaves the list.
    pub ends: Timestamp,
    /// Why.
    pub reason: Reason,
}

impl Cut {
    /// Whether what stands at `position` is covered.
    pub fn covers(&self, position: Position) -> bool {
        self.position > position
    }
}

/// The active cuts: one map from number to cut. A later cut of the same number replaces the
/// earlier one, which it covers, and stays at least as long.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cuts(HashMap<Position, Cut>);

impl Cuts {
    /// Adds a cut. Cuts may come in any order and more than once.
    pub fn add(&mut self, cut: Cut) {
        self.0
            .entry(cut.number)
            .and_modify(|known| {
                let ends = known.ends.max(cut.ends);
                if cut.position > known.position {
                    *known = cut;
                }
                known.ends = ends;
            })
            .or_insert(cut);
    }

    /// The active cut of a subject.
    pub fn get(&self, number: Position) -> Option<&Cut> {
        self.0.get(&number)
    }

    /// The cut that a credential at `position` with these subjects is dead by, if any.
    pub fn killer(&self, position: Position, mut subjects: impl Iterator<Item = Position>) -> Option<&Cut> {
        subjects.find_map(|number| self.0.get(&number).filter(|cut| cut.covers(position)))
    }

    /// The whole rule: the cut that a credential is dead by, if any. A cut of the key that signed it covers
    /// every position, since whoever has the key could write any.
    pub fn death(&self, key: Position, position: Position, subjects: impl Iterator<Item = Position>) -> Option<&Cut> {
        self.get(key).or_else(|| self.killer(position, subjects))
    }

    /// Forgets the cuts that ended so long before `now` that no clock can make them matter again.
    pub fn expire(&mut self, now: Timestamp) {
        let now = now.minus(CLOCK_STEP);
        self.0.retain(|_, cut| cut.ends > now);
    }

    /// The cuts that are in the list at `now`, in no order.
    pub fn listed(&self, now: Timestamp) -> impl Iterator<Item = &Cut> {
        self.0.values().filter(move |cut| cut.ends > now)
    }

    /// All cuts, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Cut> {
        self.0.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(number: u64, position: u64, ends: u64) -> Cut {
        Cut {
            number: Position::new(number),
            position: Position::new(position),
            ends: Timestamp::from_millis(ends),
            reason: Reason::Superseded,
        }
    }

    fn subjects() -> impl Strategy<Value = Subjects> {
        let number = || (1..12u64).prop_map(Position::new);
        (number(), number(), number(), proptest::option::of(number()), proptest::option::of(number()))
            .prop_map(|(owner, workload, environment, task, lineage)| Subjects { owner, workload, environment, task, lineage })
    }

    proptest! {
        /// The naive model keeps every cut ever made and looks at each.
        #[test]
        fn a_credential_is_dead_exactly_if_a_subject_was_cut_above_it(
            cuts in proptest::collection::vec((1..12u64, 1..40u64, 1..100u64), 0..20),
            position in 1..40u64, subjects in subjects(), now in 0..100u64,
        ) {
            let cuts: Vec<Cut> = cuts.into_iter().map(|(number, position, ends)| cut(number, position, ends)).collect();
            let mut active = Cuts::default();
            cuts.iter().for_each(|cut| active.add(*cut));
            let position = Position::new(position);
            let named = |number: Position| {
                number == subjects.owner || number == subjects.workload || number == subjects.environment || number == position
                    || Some(number) == subjects.task || number == subjects.lineage.unwrap_or(position)
            };
            let dead = cuts.iter().any(|cut| named(cut.number) && cut.position > position);
            prop_assert_eq!(active.killer(position, subjects.numbers(position)).is_some(), dead);

            let known = active.len();
            active.expire(Timestamp::from_millis(now));
            let covered = |known: &Cut| cuts.iter().filter(|cut| cut.number == known.number).map(|cut| cut.ends).max();
            prop_assert!(active.iter().all(|known| Some(known.ends) == covered(known)));
            prop_assert_eq!(active.iter().count(), known, "a clock that is set back finds all of them again");
            prop_assert!(active.listed(Timestamp::from_millis(now)).all(|known| known.ends.millis() > now));
            active.expire(Timestamp::from_millis(now).plus(CLOCK_STEP));
            prop_assert!(active.iter().all(|known| known.ends.millis() > now));
        }

        #[test]
        fn the_order_in_which_cuts_arrive_does_not_matter(
            cuts in proptest::collection::vec((1..6u64, 1..40u64, 1..100u64), 0..12), seed: u64,
        ) {
            // One position is one entry, so no two different cuts share it.
            let cuts: HashMap<u64, Cut> = cuts.into_iter().map(|(n, p, x)| (p, cut(n, p, x))).collect();
            let mut shuffled: Vec<Cut> = cuts.values().copied().collect();
            shuffled.sort_by_key(|cut| cut.position.get().wrapping_mul(seed | 1));
            let (mut one, mut other) = (Cuts::default(), Cuts::default());
            cuts.values().for_each(|cut| one.add(*cut));
            shuffled.iter().chain(&shuffled).for_each(|cut| other.add(*cut));
            prop_assert_eq!(one, other);
        }
    }

    #[test]
    fn cuts_are_none_until_one_is_added() {
        let mut cuts = Cuts::default();
        assert!(cuts.is_empty());
        cuts.add(cut(10, 20, 1000));
        assert!(!cuts.is_empty());
    }

    #[test]
    fn a_cut_leaves_the_list_two_minutes_after_the_last_expiry_and_never_enters_it_once_no_clock_can_be_so_far_behind() {
        let last = Timestamp::from_millis(10_001);
        let ends = Timestamp::from_seconds(131);
        assert_eq!(cut_ends(last, last), Some(ends), "a whole second, rounded up");
        let settled = ends.plus(CLOCK_STEP);
        assert_eq!(cut_ends(last, settled.minus(Duration::from_millis(1))), Some(ends));
        assert_eq!(cut_ends(last, settled), None);
    }

    #[test]
    fn what_is_obtained_with_a_credential_dies_with_the_first_of_the_chain() {
        let first =
            Subjects { owner: Position::new(2), workload: Position::new(3), environment: Position::new(4), task: None, lineage: None };
        let second = first.inherited(Position::new(10));
        let third = second.inherited(Position::new(11));
        assert_eq!((second.lineage, third.lineage), (Some(Position::new(10)), Some(Position::new(10))));
        let mut cuts = Cuts::default();
        cuts.add(cut(10, 20, 1000));
        assert!(cuts.killer(Position::new(12), third.numbers(Position::new(12))).is_some());
        assert!(cuts.killer(Position::new(21), third.numbers(Position::new(21))).is_none(), "issued after the cut");
    }
}
