//! The clock: `now`, `sleep_until` and `sleep`, driven by hand in tests.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

use crate::model::Timestamp;

/// What time it is. Clones share one hand.
#[derive(Clone)]
pub struct Clock(Hand);

#[derive(Clone)]
enum Hand {
    System,
    Manual(watch::Receiver<Timestamp>),
}

/// The hand of a manual clock.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<watch::Sender<Timestamp>>);

/// How far the system clock is trusted without looking again: a jump of it is seen this soon.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl Clock {
    /// The clock of this machine.
    pub const fn system() -> Self {
        Self(Hand::System)
    }

    /// A clock that stands at `start` until its hand is moved.
    pub fn manual(start: Timestamp) -> (Self, ManualClock) {
        let (hand, clock) = watch::channel(start);
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
            Hand::Manual(clock) => *clock.borrow(),
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
                if clock.clone().wait_for(|now| is_over(*now)).await.is_err() {
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
                if clock.clone().wait_for(|now| *now >= instant).await.is_err() {
                    // The hand is gone, so the clock stands still for ever.
                    std::future::pending::<()>().await;
                }
            }
        }
    }
}

impl ManualClock {
    /// Moves the hand to `instant`, in either direction.
    pub fn set(&self, instant: Timestamp) {
        self.0.send_replace(instant);
    }

    /// Moves the hand forward.
    pub fn advance(&self, by: Duration) {
        self.0.send_modify(|now| *now = now.plus(by));
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now())
    }
}
