//! Counts of what the writer did, for metrics.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Bucket `i` counts what is at most 2^i; the last one everything above, too.
const SIZES: usize = 11;

/// Bucket `i` counts what took at most 2^i times 64 microseconds; the last one everything above, too.
const TIMES: usize = 16;

/// What was committed since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stats {
    /// Transactions that committed.
    pub commits: u64,
    /// Transactions that failed.
    pub failures: u64,
    /// Entries in them.
    pub entries: u64,
    /// Issuances that were refused because their facts had changed.
    pub stale: u64,
    /// Time spent in transactions.
    pub commit_time: Duration,
    /// Transactions by number of entries: bucket `i` those of at most 2^i, not in an earlier one.
    pub batch_sizes: [u64; SIZES],
    /// Transactions by time: bucket `i` those of at most 2^i * 64 µs, not in an earlier one.
    pub commit_times: [u64; TIMES],
    /// Issuances that wait now.
    pub waiting: usize,
}

/// The same, as it is counted.
#[derive(Debug, Default)]
pub(super) struct Counts {
    commits: AtomicU64,
    failures: AtomicU64,
    entries: AtomicU64,
    stale: AtomicU64,
    commit_nanos: AtomicU64,
    batch_sizes: [AtomicU64; SIZES],
    commit_times: [AtomicU64; TIMES],
}

impl Counts {
    pub(super) fn committed(&self, entries: usize, took: Duration) {
        let entries = u64::try_from(entries).unwrap_or(u64::MAX);
        self.commits.fetch_add(1, Relaxed);
        self.entries.fetch_add(entries, Relaxed);
        self.commit_nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Relaxed);
        count(&self.batch_sizes, entries);
        count(&self.commit_times, u64::try_from(took.as_micros()).unwrap_or(u64::MAX).div_ceil(64));
    }

    pub(super) fn failed(&self) {
        self.failures.fetch_add(1, Relaxed);
    }

    pub(super) fn stale(&self) {
        self.stale.fetch_add(1, Relaxed);
    }

    pub(super) fn stats(&self, waiting: usize) -> Stats {
        Stats {
            commits: self.commits.load(Relaxed),
            failures: self.failures.load(Relaxed),
            entries: self.entries.load(Relaxed),
            stale: self.stale.load(Relaxed),
            commit_time: Duration::from_nanos(self.commit_nanos.load(Relaxed)),
            batch_sizes: self.batch_sizes.each_ref().map(|count| count.load(Relaxed)),
            commit_times: self.commit_times.each_ref().map(|count| count.load(Relaxed)),
            waiting,
        }
    }
}

/// Counts `value` in the first bucket that holds it.
fn count(buckets: &[AtomicU64], value: u64) {
    let exponent = value.max(1).next_power_of_two().trailing_zeros();
    let bucket = usize::try_from(exponent).unwrap_or(usize::MAX).min(buckets.len().saturating_sub(1));
    if let Some(count) = buckets.get(bucket) {
        count.fetch_add(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_lands_in_the_smallest_bucket_that_holds_it() {
        let counts = Counts::default();
        for (entries, micros) in [(1, 0), (2, 64), (3, 65), (512, 100_000), (5000, 10_000_000)] {
            counts.committed(entries, Duration::from_micros(micros));
        }
        let stats = counts.stats(7);
        assert_eq!((stats.commits, stats.entries, stats.waiting), (5, 5518, 7));
        assert_eq!(stats.batch_sizes, [1, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(stats.commit_times, [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1]);
    }
}
