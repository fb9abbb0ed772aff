//! The outside world as values: clock and entropy. Nothing else reads the time or makes
//! randomness; tests drive both by hand.

mod clock;
mod entropy;
mod stopwatch;

use std::time::Duration;

pub use clock::{Clock, ManualClock};
pub use entropy::{Entropy, NoEntropy};
pub use stopwatch::Stopwatch;

/// All of the outside world that programs of the client need.
#[derive(Clone, Debug)]
pub struct Ambient {
    /// What time it is.
    pub clock: Clock,
    /// Where chance comes from.
    pub entropy: Entropy,
}

impl Ambient {
    /// That of this machine.
    pub fn system() -> Self {
        Self { clock: Clock::system(), entropy: Entropy::system() }
    }

    /// A number, any is as likely as another: for waits, never for secrets. Without randomness, the time.
    pub fn chance(&self) -> u64 {
        let spread = |steady: Duration| u64::from(steady.subsec_nanos()) << 32;
        self.entropy.bytes().map_or_else(|_none| spread(self.clock.steady()), u64::from_le_bytes)
    }
}
