//! What each source ended lately: it counts for a day, or until a person lets the source go on.

use std::collections::{HashMap, VecDeque};

use super::{CLOCK_STEP, Position, Share, SourceName, Timestamp};

/// The ends of the last day, in the order of their entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turnover(VecDeque<Ended>);

/// What a source ended at once.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Ended {
    at: Timestamp,
    source: SourceName,
    records: Vec<Position>,
}

impl Turnover {
    /// When what ended at an instant is forgotten, on a clock that may be set back.
    pub fn forgotten(at: Timestamp) -> Timestamp {
        at.plus(Share::DAY).plus(CLOCK_STEP)
    }

    pub(super) fn ended(&mut self, source: &SourceName, records: &[Position], at: Timestamp) {
        self.0.push_back(Ended { at, source: source.clone(), records: records.to_vec() });
    }

    /// A person let it go on: what it ended before counts no more.
    pub(super) fn confirmed(&mut self, source: &SourceName) {
        self.0.retain(|ended| ended.source != *source);
    }

    pub(super) fn expire(&mut self, now: Timestamp) {
        while self.0.front().is_some_and(|ended| Self::forgotten(ended.at) <= now) {
            self.0.pop_front();
        }
    }

    /// The records of a source that ended within a day before `now`, and when each did last.
    pub fn of(&self, source: &SourceName, now: Timestamp) -> HashMap<Position, Timestamp> {
        let since = now.minus(Share::DAY);
        let ended = self.0.iter().filter(|ended| ended.source == *source && ended.at > since);
        ended.flat_map(|ended| ended.records.iter().map(|number| (*number, ended.at))).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn source(name: &str) -> SourceName {
        name.parse().expect("a name")
    }

    fn seconds(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    /// What counts of a source, by number, with the second in which it ended.
    fn counted(turnover: &Turnover, name: &str, now: Timestamp) -> Vec<(u64, u64)> {
        let mut counted: Vec<_> = turnover.of(&source(name), now).into_iter().map(|(number, at)| (number.get(), at.seconds())).collect();
        counted.sort_unstable();
        counted
    }

    #[test]
    fn what_a_source_ended_counts_for_a_day_and_once_or_until_a_person_lets_it_go_on() {
        let mut turnover = Turnover::default();
        let mut end = |name: &str, numbers: &[u64], at: u64| {
            let numbers: Vec<Position> = numbers.iter().copied().map(Position::new).collect();
            turnover.ended(&source(name), &numbers, seconds(at));
        };
        end("teams", &[10, 11], 1000);
        end("staff", &[20], 1000);
        end("teams", &[11, 12], 2000);
        let day = seconds(1000).plus(Share::DAY);
        assert_eq!(counted(&turnover, "teams", seconds(2000)), [(10, 1000), (11, 2000), (12, 2000)], "what came back and ended again once");
        assert_eq!(counted(&turnover, "teams", day.minus(Duration::from_millis(1))).len(), 3);
        assert_eq!(counted(&turnover, "teams", day), [(11, 2000), (12, 2000)]);
        assert_eq!(counted(&turnover, "staff", seconds(2000)), [(20, 1000)], "of each source by itself");
        turnover.confirmed(&source("teams"));
        assert_eq!((counted(&turnover, "teams", seconds(2000)), counted(&turnover, "staff", seconds(2000)).len()), (Vec::new(), 1));
    }

    #[test]
    fn what_counts_no_more_is_forgotten_when_no_clock_can_make_it_count() {
        let mut turnover = Turnover::default();
        turnover.ended(&source("teams"), &[Position::new(10)], seconds(1000));
        let day = seconds(1000).plus(Share::DAY);
        turnover.expire(day.plus(CLOCK_STEP).minus(Duration::from_millis(1)));
        assert_eq!(counted(&turnover, "teams", seconds(1000)), [(10, 1000)], "a clock that is set back finds it again");
        turnover.expire(day.plus(CLOCK_STEP));
        assert_eq!(turnover, Turnover::default());
    }
}
