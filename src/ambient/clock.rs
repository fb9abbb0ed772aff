//! The clock: `now`, `sleep_until` and `sleep`, driven by hand in tests.

use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

use super::Stopwatch;
use crate::model::Timestamp;

/// What time it is. Clones share one hand.
#[derive(Clone)]
pub struct Clock(Hand);

#[derive(Clone)]
enum Hand {
    System,
    Manual(watch::Receiver<Shown>),
}

/// What a manual clock shows.
#[derive(Clone, Copy, Debug)]
struct Shown {
    wall: Timestamp,
    steady: Duration,
}

/// The hand of a manual clock.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<watch::Sender<Shown>>);

/// Zero of the steady time of this machine's clock.
static ORIGIN: LazyLock<Stopwatch> = LazyLock::new(Stopwatch::start);

/// How far the system clock is trusted without looking again: a jump of it is seen this soon.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl Clock {
    /// The clock of this machine.
    pub const fn system() -> Self {
        Self(Hand::System)
    }

    /// A clock that stands at `start` until its hand is moved.
    pub fn manual(start: Timestamp) -> (Self, ManualClock) {
        let (hand, clock) = watch::channel(Shown { wall: start, steady: Duration::ZERO });
        (Self(Hand::Manual(clock)), ManualClock(Arc::new(hand)))
    }

    /// The present instant.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
            Hand::System => {
                let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                Timestamp::EPOCH.plus(since_epoch)
            }
            Hand::Manual(clock) => clock.borrow().wall,
        }
    }

    /// How much time has passed, however the clock is set. Its zero is the same as long as the process lives.
    pub fn steady(&self) -> Duration {
        match &self.0 {
            Hand::System => ORIGIN.elapsed(),
            Hand::Manual(clock) => clock.borrow().steady,
        }
    }

    /// Returns after `span`, however the clock of this machine is set meanwhile.
    pub async fn sleep(&self, span: Duration) {
        match &self.0 {
            Hand::System => tokio::time::sleep(span).await,
            Hand::Manual(_) => self.sleep_until(self.now().plus(span)).await,
        }
    }

    /// Returns once the clock shows `until` or later, or was set back to before `from`.
    pub async fn sleep_within(&self, from: Timestamp, until: Timestamp) {
        let is_over = |now: Timestamp| now >= until || now < from;
        match &self.0 {
            Hand::System => loop {
                let now = self.now();
                if is_over(now) {
                    return;
                }
                tokio::time::sleep(until.since(now).min(LOOK_AGAIN)).await;
            },
            Hand::Manual(clock) => {
                if clock.clone().wait_for(|shown| is_over(shown.wall)).await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        }
    }

    /// Returns once the clock shows `instant` or later.
    pub async fn sleep_until(&self, instant: Timestamp) {
        match &self.0 {
            Hand::System => loop {
                let left = instant.since(self.now());
                if left.is_zero() {
                    return;
                }
                tokio::time::sleep(left.min(LOOK_AGAIN)).await;
            },
            Hand::Manual(clock) => {
                if clock.clone().wait_for(|shown| shown.wall >= instant).await.is_err() {
                    // The hand is gone, so the clock stands still for ever.
                    std::future::pending::<()>().await;
                }
            }
        }
    }
}

impl ManualClock {
    /// Moves the hand to `instant`, in either direction, as somebody who sets a clock: no time passes.
    pub fn set(&self, instant: Timestamp) {
        self.0.send_modify(|shown| shown.wall = instant);
    }

    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        self.0.send_modify(|shown| *shown = Shown { wall: shown.wall.plus(by), steady: shown.steady.saturating_add(by) });
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now())
    }
}
