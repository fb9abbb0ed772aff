//! What ends by itself, and when: open tasks at their deadlines, owners with their contracts, workloads
//! at their `valid_until`.

use std::collections::{BTreeSet, HashMap};

use super::{Position, Timestamp};

/// The next end of each subject that has one, earliest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ends {
    in_order: BTreeSet<(Timestamp, Position)>,
    of: HashMap<Position, Timestamp>,
}

impl Ends {
    /// Says when a subject ends; absent if it does not, or has ended.
    pub(super) fn set(&mut self, number: Position, end: Option<Timestamp>) {
        let before = match end {
            Some(end) => self.of.insert(number, end),
            None => self.of.remove(&number),
        };
        if let Some(before) = before {
            self.in_order.remove(&(before, number));
        }
        self.in_order.extend(end.map(|end| (end, number)));
    }

    /// What has ended at `now`, earliest first.
    pub(super) fn due(&self, now: Timestamp) -> impl Iterator<Item = Position> {
        self.in_order.range(..=(now, Position::new(u64::MAX))).map(|(_, number)| *number)
    }

    /// The next end of all.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.in_order.first().map(|(end, _)| *end)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The naive model looks at the last end of each subject.
        #[test]
        fn what_is_due_is_what_was_last_said_to_end_by_now(
            said in proptest::collection::vec((1..6u64, proptest::option::of(0..20u64)), 0..40), now in 0..20u64,
        ) {
            let mut ends = Ends::default();
            let mut last = HashMap::new();
            for (number, end) in said {
                ends.set(Position::new(number), end.map(Timestamp::from_millis));
                last.insert(number, end);
            }
            let mut expected: Vec<_> = last.iter().filter_map(|(number, end)| Some(((*end)?, *number))).collect();
            expected.sort_unstable();
            prop_assert_eq!(ends.next(), expected.first().map(|(end, _)| Timestamp::from_millis(*end)));
            let due: Vec<_> = ends.due(Timestamp::from_millis(now)).map(Position::get).collect();
            let expected: Vec<_> = expected.into_iter().filter(|(end, _)| *end <= now).map(|(_, number)| number).collect();
            prop_assert_eq!(due, expected);
        }
    }
}
