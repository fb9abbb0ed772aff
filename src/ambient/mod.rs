//! The outside world as values: clock and entropy. Nothing else reads the time or makes
//! randomness; tests drive both by hand.

mod clock;
mod entropy;
mod stopwatch;

pub use clock::{Clock, ManualClock};
pub use entropy::{Entropy, NoEntropy};
pub use stopwatch::Stopwatch;
