//! When a source is not believed: it is better late than wrong.

use super::Day;
use crate::directory::Snapshot;
use crate::model::{Share, Timestamp};

/// From this percentage of wrong records on, what is right is an accident.
const NEARLY_ALL: usize = 90;

/// Why a snapshot is not believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Disbelief {
    /// For people. The same as long as nothing else is wrong: what is new is logged.
    pub why: String,
    /// When it is to be judged anew, if time alone can change that.
    pub until: Option<Timestamp>,
}

/// Why a snapshot is not believed; `None` if it is. `wrong` records of it cannot be used.
pub(super) fn disbelief(day: &Day, (snapshot, wrong): (&Snapshot, usize), max_ended: Share) -> Option<Disbelief> {
    let (named, live, percent) = (snapshot.len(), day.live, max_ended.in_percent());
    let always = |why| Some(Disbelief { why, until: None });
    if named == 0 && wrong == 0 && live > 0 {
        always(format!("it is empty, and {live} of its records are known"))
    } else if wrong > Share::FEW && wrong.saturating_mul(100) >= (wrong + named).saturating_mul(NEARLY_ALL) {
        always(format!("nearly all of it is wrong: {wrong} records, and {named} can be used"))
    } else if day.is_within(max_ended) {
        None
    } else if day.before.is_empty() {
        always(format!("it would end {} of {live} records, and at most {percent} in a hundred may end within a day", day.now))
    } else {
        let what = format!("it would end {} of {live} records besides those that ended before", day.now);
        let why = format!("{what}, and at most {percent} in a hundred may end within a day");
        Some(Disbelief { why, until: day.passes(max_ended) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::Document;
    use crate::model::Environment;

    /// What names so many records.
    fn naming(named: usize) -> Snapshot {
        let environment = |number| Environment { name: format!("e{number}").parse().expect("a name") };
        Snapshot::from(Document { environments: (0..named).map(environment).collect(), ..Document::default() })
    }

    /// The first loss of a day.
    fn alone(now: usize, live: usize) -> Day {
        Day { live, now, before: Vec::new() }
    }

    /// Whether it is believed that so many records are named and so many wrong, where so many end of so many.
    fn is_believed(named: usize, wrong: usize, ends: usize, of: usize) -> bool {
        disbelief(&alone(ends, of), (&naming(named), wrong), Share::percent(10)).is_none()
    }

    #[test]
    fn what_is_empty_shrinks_too_much_or_is_nearly_all_wrong_is_not_believed() {
        assert!(is_believed(0, 0, 0, 0) && !is_believed(0, 0, 1, 1), "empty at first, and emptied");
        assert!(is_believed(9, 0, 3, 12) && !is_believed(9, 0, 4, 12), "a few may end, whatever share they are");
        assert!(is_believed(90, 0, 10, 100) && !is_believed(89, 0, 11, 100));
        assert!(is_believed(10, 3, 0, 10) && is_believed(1, 8, 0, 10) && !is_believed(1, 9, 0, 10) && !is_believed(0, 4, 0, 10));
    }

    #[test]
    fn why_says_the_day_and_stays_the_same_while_that_goes_by() {
        let hour = |hour: u64| Timestamp::from_seconds(hour * 3600);
        let why = |before: &[u64]| {
            let day = Day { before: before.iter().map(|at| (hour(*at), true)).collect(), ..alone(8, 96) };
            disbelief(&day, (&naming(88), 0), Share::percent(10)).map(|doubt| (doubt.why, doubt.until))
        };
        let text =
            "it would end 8 of 96 records besides those that ended before, and at most 10 in a hundred may end within a day".to_owned();
        assert_eq!(why(&[1, 2, 2, 5]), Some((text.clone(), Some(hour(26)))));
        assert_eq!(why(&[2, 2, 5]), Some((text, Some(hour(26)))));
        assert_eq!(why(&[5]), None, "9 of 97");
        let alone = disbelief(&alone(11, 96), (&naming(85), 0), Share::percent(10)).map(|doubt| (doubt.why, doubt.until));
        let text = "it would end 11 of 96 records, and at most 10 in a hundred may end within a day".to_owned();
        assert_eq!(alone, Some((text, None)));
    }
}
