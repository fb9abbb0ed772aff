//! When a source is not believed: it is better late than wrong.

use crate::directory::{Difference, Snapshot};
use crate::model::Share;

/// From this percentage of wrong records on, what is right is an accident.
const NEARLY_ALL: usize = 90;

/// Why a snapshot is not believed; `None` if it is. `wrong` records of it cannot be used, and `of` records of
/// the source there are.
pub(super) fn disbelief(difference: &Difference, (snapshot, wrong): (&Snapshot, usize), of: usize, max_ended: Share) -> Option<String> {
    let (ends, named) = (difference.ends, snapshot.len());
    if named == 0 && wrong == 0 && of > 0 {
        Some(format!("it is empty, and {of} of its records are known"))
    } else if wrong > Share::FEW && wrong.saturating_mul(100) >= (wrong + named).saturating_mul(NEARLY_ALL) {
        Some(format!("nearly all of it is wrong: {wrong} records, and {named} can be used"))
    } else if !max_ended.covers(ends, of) {
        Some(format!("it would end {ends} of {of} records, and at most {} in a hundred may end at once", max_ended.in_percent()))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::Document;
    use crate::model::Environment;

    /// Whether it is believed that so many records are named and so many wrong, where so many end of so many.
    fn is_believed(named: usize, wrong: usize, ends: usize, of: usize) -> bool {
        let environment = |n: usize| Environment { name: format!("e{n}").parse().expect("a name") };
        let document = Document { environments: (0..named).map(environment).collect(), ..Document::default() };
        let difference = Difference { ends, ..Difference::default() };
        disbelief(&difference, (&Snapshot::from(document), wrong), of, Share::percent(10)).is_none()
    }

    #[test]
    fn what_is_empty_shrinks_too_much_or_is_nearly_all_wrong_is_not_believed() {
        assert!(is_believed(0, 0, 0, 0) && !is_believed(0, 0, 1, 1), "empty at first, and emptied");
        assert!(is_believed(9, 0, 3, 12) && !is_believed(9, 0, 4, 12), "a few may end, whatever share they are");
        assert!(is_believed(90, 0, 10, 100) && !is_believed(89, 0, 11, 100));
        assert!(is_believed(10, 3, 0, 10) && is_believed(1, 8, 0, 10) && !is_believed(1, 9, 0, 10) && !is_believed(0, 4, 0, 10));
    }
}
