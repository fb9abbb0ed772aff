//! How many of all may end within a day before a person has to look.

use std::time::Duration;

/// A part of a whole, in percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u8);

impl Share {
    /// So few are within any share: else nothing could ever end where there is little.
    pub const FEW: usize = 3;

    /// For how long an end counts, together with those after it.
    pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    /// So many in a hundred.
    pub const fn percent(percent: u8) -> Self {
        Self(percent)
    }

    /// How many in a hundred.
    pub const fn in_percent(self) -> u8 {
        self.0
    }

    /// Whether `count` are within this share of all.
    pub fn covers(self, count: usize, all: usize) -> bool {
        count <= Self::FEW || count.saturating_mul(100) <= all.saturating_mul(usize::from(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_are_within_any_share_and_more_only_up_to_its_part() {
        let share = Share::percent(10);
        assert!(share.covers(0, 0) && share.covers(3, 3) && !share.covers(4, 39) && share.covers(4, 40));
        assert!(share.covers(100, 1000) && !share.covers(101, 1000));
        assert!(!Share::percent(0).covers(4, usize::MAX) && Share::percent(100).covers(usize::MAX, usize::MAX));
    }
}
