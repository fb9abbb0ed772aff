//! The handshakes under way. When there are as many as may be, the one that has taken longest makes
//! room: an honest one takes milliseconds, so whoever only opens connections gives way to whoever
//! means to call.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// The handshakes of one listener. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Handshakes {
    most: usize,
    under_way: Arc<Mutex<UnderWay>>,
}

/// By the order in which they began.
#[derive(Debug, Default)]
struct UnderWay {
    next: u64,
    begun: BTreeMap<u64, CancellationToken>,
}

/// One handshake, until it is dropped.
#[derive(Debug)]
pub(super) struct Handshake {
    all: Handshakes,
    order: u64,
    shed: CancellationToken,
}

impl Handshakes {
    /// At most so many at a time.
    pub(super) fn at_most(most: usize) -> Self {
        Self { most, under_way: Arc::default() }
    }

    /// Begins one, and ends the oldest if there are too many.
    pub(super) fn begin(&self) -> Handshake {
        let shed = CancellationToken::new();
        let mut under_way = self.lock();
        if under_way.begun.len() >= self.most
            && let Some((_, oldest)) = under_way.begun.pop_first()
        {
            oldest.cancel();
        }
        let order = under_way.next;
        under_way.next += 1;
        under_way.begun.insert(order, shed.clone());
        Handshake { all: self.clone(), order, shed }
    }

    fn lock(&self) -> MutexGuard<'_, UnderWay> {
        // A panic can't leave it half changed.
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Handshake {
    /// Returns when it has to make room.
    pub(super) async fn shed(&self) {
        self.shed.cancelled().await;
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.all.lock().begun.remove(&self.order);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_makes_room_and_only_when_there_are_too_many() {
        let handshakes = Handshakes::at_most(2);
        let [first, second] = [handshakes.begin(), handshakes.begin()];
        assert!(!first.shed.is_cancelled());
        let third = handshakes.begin();
        assert!(first.shed.is_cancelled() && !second.shed.is_cancelled());
        drop(second);
        let fourth = handshakes.begin();
        assert!(!third.shed.is_cancelled() && !fourth.shed.is_cancelled());
        drop(first);
        assert_eq!(handshakes.lock().begun.len(), 2);
    }
}
