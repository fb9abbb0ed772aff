//! How long to wait before trying again.

use std::time::Duration;

/// Before the second attempt, at most.
const FIRST: Duration = Duration::from_millis(200);

/// Before any attempt, at most: a follower has `max_staleness` to come back.
const LONGEST: Duration = Duration::from_secs(5);

/// How long to wait after so many attempts have failed: between a half and the whole of a time that
/// doubles with each. `random` says where between, so that those who lost the broker together do not come
/// back together.
pub(super) fn backoff(failed: u32, random: u64) -> Duration {
    let most = FIRST.saturating_mul(2u32.saturating_pow(failed.saturating_sub(1))).min(LONGEST);
    most / 2 + part(most / 2, random)
}

/// Somewhere from zero to `most`, evenly: `random` says where.
pub(super) fn part(most: Duration, random: u64) -> Duration {
    let nanos = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
    // The high half of the product is even enough for a wait.
    let scaled = (u128::from(nanos) * u128::from(random)) >> 64;
    Duration::from_nanos(u64::try_from(scaled).unwrap_or(nanos))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_wait_is_never_nothing_and_never_long(failed in 1..1000u32, random: u64) {
            let wait = backoff(failed, random);
            prop_assert!(wait >= FIRST / 2 && wait <= LONGEST, "{wait:?}");
            prop_assert!(backoff(failed + 1, random) >= wait);
        }

        #[test]
        fn a_part_is_a_part(millis in 0..1_000_000u64, random: u64) {
            prop_assert!(part(Duration::from_millis(millis), random) <= Duration::from_millis(millis));
        }
    }

    #[test]
    fn chance_decides_where_between() {
        assert_eq!(backoff(1, 0), Duration::from_millis(100));
        assert_eq!(backoff(2, 0), Duration::from_millis(200));
        assert_eq!(backoff(100, 0), LONGEST / 2);
        assert!(backoff(100, u64::MAX) > LONGEST - Duration::from_millis(1));
    }
}
