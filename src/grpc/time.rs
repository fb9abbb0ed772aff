//! Instants and durations on the wire, with their ranges checked.

use std::time::Duration;

use prost_types::{Duration as WireDuration, Timestamp as WireTimestamp};

use crate::model::{Invalid, Timestamp};

/// An instant as it is sent.
pub(super) fn timestamp(instant: Timestamp) -> WireTimestamp {
    let nanos = i32::try_from(instant.millis() % 1000 * 1_000_000).unwrap_or(0);
    WireTimestamp { seconds: i64::try_from(instant.seconds()).unwrap_or(i64::MAX), nanos }
}

/// An instant as it was received, to the millisecond.
///
/// # Errors
/// If it lies before 1970 or after 9999, or its nanoseconds are out of range.
pub(super) fn instant(field: &'static str, wire: &WireTimestamp) -> Result<Timestamp, Invalid> {
    let parts = u64::try_from(wire.seconds).ok().and_then(Timestamp::stated).zip(nanos(wire.nanos));
    let (second, nanos) = parts.ok_or_else(|| Invalid::new(field, "it is no instant from 1970 to 9999"))?;
    Ok(second.plus(nanos))
}

/// The length of a life as it was received.
///
/// # Errors
/// If it is not positive, or longer than ten thousand years.
pub(super) fn life(field: &'static str, wire: &WireDuration) -> Result<Duration, Invalid> {
    let parts = u64::try_from(wire.seconds).ok().filter(|seconds| *seconds <= 315_576_000_000).zip(nanos(wire.nanos));
    let length = parts.map(|(seconds, nanos)| Duration::from_secs(seconds).saturating_add(nanos));
    length.filter(|length| !length.is_zero()).ok_or_else(|| Invalid::new(field, "it is no positive duration"))
}

/// A length as it is sent.
pub(super) fn duration(length: Duration) -> WireDuration {
    let nanos = i32::try_from(length.subsec_nanos()).unwrap_or(0);
    WireDuration { seconds: i64::try_from(length.as_secs()).unwrap_or(i64::MAX), nanos }
}

fn nanos(nanos: i32) -> Option<Duration> {
    u32::try_from(nanos).ok().filter(|nanos| *nanos < 1_000_000_000).map(|nanos| Duration::new(0, nanos))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_instant_reads_back_to_the_millisecond(millis in 0..=Timestamp::LAST.millis()) {
            let at = Timestamp::from_millis(millis);
            prop_assert_eq!(instant("at", &timestamp(at)), Ok(at));
        }

        #[test]
        fn a_life_reads_back(seconds in 0..315_576_000_000u64, nanos in 0..1_000_000_000u32) {
            let length = Duration::new(seconds, nanos);
            prop_assume!(!length.is_zero());
            prop_assert_eq!(life("ttl", &duration(length)), Ok(length));
        }

        #[test]
        fn no_numbers_bring_it_down(seconds: i64, nanos: i32) {
            let _ = instant("at", &WireTimestamp { seconds, nanos });
            let _ = life("ttl", &WireDuration { seconds, nanos });
        }
    }

    #[test]
    fn what_is_out_of_range_is_refused_with_its_field() {
        for (seconds, nanos) in [(-1, 0), (253_402_300_800, 0), (0, -1), (0, 1_000_000_000), (i64::MAX, 0)] {
            assert_eq!(instant("deadline", &WireTimestamp { seconds, nanos }).map_err(|invalid| invalid.field), Err("deadline"));
        }
        for (seconds, nanos) in [(0, 0), (-1, 0), (1, -1), (i64::MAX, 0)] {
            assert_eq!(life("ttl", &WireDuration { seconds, nanos }).map_err(|invalid| invalid.field), Err("ttl"));
        }
    }
}
