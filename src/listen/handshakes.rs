//! The handshakes under way. When there are as many as may be, the one that has taken longest makes
//! room, of the address that has most: an honest one takes milliseconds, so whoever only opens
//! connections gives way to whoever means to call, and a flood from one place to all others.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::model::{Address, Place};

/// The handshakes of one listener. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Handshakes {
    most: usize,
    under_way: Arc<Mutex<UnderWay>>,
}

/// By the order in which they began, each with where it comes from.
#[derive(Debug, Default)]
struct UnderWay {
    next: u64,
    begun: BTreeMap<u64, (Place, CancellationToken)>,
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

    /// Begins one, and ends another if there are too many.
    pub(super) fn begin(&self, from: IpAddr) -> Handshake {
        let shed = CancellationToken::new();
        let mut under_way = self.lock();
        let order = under_way.next;
        under_way.next += 1;
        under_way.begun.insert(order, (Address::from(from).place(), shed.clone()));
        if under_way.begun.len() > self.most {
            under_way.shed();
        }
        Handshake { all: self.clone(), order, shed }
    }

    fn lock(&self) -> MutexGuard<'_, UnderWay> {
        // A panic can't leave it half changed.
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UnderWay {
    /// Ends the oldest of the place that has most.
    fn shed(&mut self) {
        let mut places: HashMap<Place, (usize, u64)> = HashMap::new();
        for (order, (from, _)) in &self.begun {
            places.entry(*from).or_insert((0, *order)).0 += 1;
        }
        let most = places.into_values().max_by_key(|(count, oldest)| (*count, Reverse(*oldest)));
        if let Some((_, shed)) = most.and_then(|(_, oldest)| self.begun.remove(&oldest)) {
            shed.cancel();
        }
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
        let begin = || handshakes.begin(IpAddr::from([192, 0, 2, 1]));
        let [first, second] = [begin(), begin()];
        assert!(!first.shed.is_cancelled());
        let third = begin();
        assert!(first.shed.is_cancelled() && !second.shed.is_cancelled());
        drop(second);
        let fourth = begin();
        assert!(!third.shed.is_cancelled() && !fourth.shed.is_cancelled());
        drop(first);
        assert_eq!(handshakes.lock().begun.len(), 2);
    }

    #[test]
    fn a_flood_from_one_place_ends_nothing_of_others() {
        let handshakes = Handshakes::at_most(8);
        let honest = [handshakes.begin(IpAddr::from([192, 0, 2, 1])), handshakes.begin(IpAddr::from([192, 0, 2, 2]))];
        let of_one = |host| handshakes.begin(IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, host]));
        let flood: Vec<_> = (0..100).map(of_one).collect();
        assert!(honest.iter().all(|one| !one.shed.is_cancelled()));
        assert_eq!(flood.iter().filter(|one| !one.shed.is_cancelled()).count(), 6);
    }
}
