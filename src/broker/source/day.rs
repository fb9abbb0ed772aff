//! What a source ends within a day: what it would end now, with what it has ended before.

use std::collections::HashMap;
use std::hash::Hash;

use crate::model::{Share, Timestamp};

/// A day of a source, seen from what it says now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::broker) struct Day {
    /// How many records there are of it.
    pub(super) live: usize,
    /// How many would end now.
    pub(super) now: usize,
    /// The others that it has ended, the first one first: when, and whether it is gone since.
    pub(super) before: Vec<(Timestamp, bool)>,
}

impl Day {
    /// That of a source which has `live` records, would end those of `ending`, and has ended those of `lately`. What
    /// ends twice counts once.
    pub(in crate::broker) fn new<K: Eq + Hash>(live: impl Iterator<Item = K>, ending: &[K], mut lately: HashMap<K, Timestamp>) -> Self {
        for record in ending {
            lately.remove(record);
        }
        let mut day = Self { live: 0, now: ending.len(), before: Vec::new() };
        for record in live {
            day.live += 1;
            day.before.extend(lately.remove(&record).map(|at| (at, false)));
        }
        day.before.extend(lately.into_values().map(|at| (at, true)));
        day.before.sort_unstable();
        day
    }

    /// How many would have ended within it.
    pub(in crate::broker) fn ends(&self) -> usize {
        self.now + self.before.len()
    }

    /// Of how many.
    pub(in crate::broker) fn of(&self) -> usize {
        self.live + self.before.iter().filter(|(_, is_gone)| *is_gone).count()
    }

    /// Whether so many may end. Where nothing ends, nothing is to be stopped.
    pub(in crate::broker) fn is_within(&self, max_ended: Share) -> bool {
        self.now == 0 || max_ended.covers(self.ends(), self.of())
    }

    /// From when on that may end which may not now, since enough of what ended before counts no more.
    pub(in crate::broker) fn passes(&self, max_ended: Share) -> Option<Timestamp> {
        let (mut ends, mut of) = (self.ends(), self.of());
        let mut passes = |(at, is_gone): &(Timestamp, bool)| {
            (ends, of) = (ends - 1, of - usize::from(*is_gone));
            max_ended.covers(ends, of).then(|| at.plus(Share::DAY))
        };
        self.before.iter().find_map(&mut passes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::Position;

    const TENTH: Share = Share::percent(10);

    fn at(hour: u64) -> Timestamp {
        Timestamp::from_seconds(1_000_000 + hour * 3600)
    }

    fn numbers(numbers: impl IntoIterator<Item = u64>) -> Vec<Position> {
        numbers.into_iter().map(Position::new).collect()
    }

    /// A day of a source with the records 1 to `live`, which would end `ending` and has ended `lately`, each in its hour.
    fn day(live: u64, ending: impl IntoIterator<Item = u64>, lately: &[(u64, u64)]) -> Day {
        let lately = lately.iter().map(|(number, hour)| (Position::new(*number), at(*hour))).collect();
        Day::new(numbers(1..=live).into_iter(), &numbers(ending), lately)
    }

    #[test]
    fn what_ended_before_counts_with_what_ends_now_and_once_each() {
        let counted = |day: &Day| (day.ends(), day.of());
        assert_eq!(counted(&day(90, [1, 2], &[(200, 1), (201, 1)])), (4, 92), "what is gone was one of them");
        assert_eq!(counted(&day(90, [1, 2], &[(7, 1), (200, 2)])), (4, 91), "what came back is one of them");
        assert_eq!(counted(&day(90, [1, 2], &[(2, 1), (200, 2)])), (3, 91), "what ends again counts once");
    }

    #[test]
    fn what_would_be_too_much_of_a_day_is_stopped_until_enough_of_it_is_over() {
        let trickle = [(200, 1), (201, 2), (202, 2), (203, 5)];
        assert!(day(96, 1..=6, &trickle).is_within(TENTH) && !day(96, 1..=7, &trickle).is_within(TENTH), "10 and 11 of 100");
        assert!(day(96, [], &[(200, 1); 1]).is_within(Share::percent(0)), "what ends nothing");
        assert_eq!(day(96, 1..=8, &trickle).passes(TENTH), Some(at(26)), "9 of 97");
        assert_eq!(day(30, 1..=4, &trickle).passes(TENTH), None, "4 of 30 are too many by themselves");
        assert!(day(4, [1], &[(7, 1), (8, 1)]).is_within(TENTH) && !day(4, [1, 2], &[(7, 1), (8, 1)]).is_within(TENTH), "a few, of a day");
    }

    proptest! {
        /// However little at a time, and whether it comes back: what may end within a day is no more than what may at once.
        #[test]
        fn a_day_of_little_losses_ends_no_more_than_one_loss(
            losses in prop::collection::vec((1..8usize, 0..200usize, any::<bool>()), 1..60), size in 1..200u64, percent in 0..=100u8,
        ) {
            let share = Share::percent(percent);
            let (mut live, mut lately) = (numbers(1..=size), HashMap::new());
            for (loss, from, comes_back) in losses {
                let ending: Vec<Position> = live.iter().cycle().skip(from).take(loss.min(live.len())).copied().collect();
                if Day::new(live.iter().copied(), &ending, lately.clone()).is_within(share) {
                    lately.extend(ending.iter().map(|number| (*number, at(1))));
                    live.retain(|number| comes_back || !ending.contains(number));
                }
                let all = usize::try_from(size).expect("few");
                prop_assert!(share.covers(lately.len(), all), "{} of {all}", lately.len());
            }
        }
    }
}
