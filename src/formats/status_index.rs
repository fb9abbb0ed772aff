//! Where a token stands in which status list: computed from its position alone, so it is stored nowhere and
//! can be computed anywhere.
//!
//! Each 2^20 positions are one list. Within it the index is a keyed permutation of the position (a Feistel
//! network of eight rounds on two halves of ten bits), so that an index is never used twice, and says to
//! nobody without the key when its token was issued, or which others were issued beside it.

use std::fmt;

use ring::hkdf::{HKDF_SHA256, KeyType, Salt};

use crate::model::Position;

/// How many entries each list has, as a power of two.
pub const LIST_BITS: u32 = 20;

const HALF_BITS: u32 = LIST_BITS / 2;
const HALF: u64 = (1 << HALF_BITS) - 1;
const ROUNDS: u8 = 8;

/// What is derived under: another use of the same secret gives other bytes.
const SALT: &[u8] = b"curfew status list index";

/// Where a token stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Which list.
    pub list: u64,
    /// Which entry of it.
    pub index: u32,
}

/// The permutation of one ledger.
#[derive(Clone)]
pub struct Indices(Vec<Round>);

/// What one round makes of a half: computed once for all halves.
type Round = Vec<u64>;

impl fmt::Debug for Indices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Indices(..)")
    }
}

/// Two bytes for each half.
struct RoundKey;

impl KeyType for RoundKey {
    fn len(&self) -> usize {
        2 << HALF_BITS
    }
}

impl Indices {
    /// The permutation under `secret`. Whoever has the secret knows the order in which tokens were issued.
    pub fn new(secret: &[u8; 32]) -> Self {
        let key = Salt::new(HKDF_SHA256, SALT).extract(secret);
        let round = |round: u8| {
            let mut bytes = [0; 2 << HALF_BITS];
            // Only a length of more than 255 hashes is refused (RFC 5869, section 2.3).
            let info = [round];
            let _filled = key.expand(&[&info], RoundKey).and_then(|bytes_of| bytes_of.fill(&mut bytes));
            bytes.chunks_exact(2).map(|pair| pair.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)) & HALF).collect()
        };
        Self((0..ROUNDS).map(round).collect())
    }

    /// Where the token at `position` stands.
    pub fn place(&self, position: Position) -> Place {
        let within = position.get() & ((1 << LIST_BITS) - 1);
        let halves = (within >> HALF_BITS, within & HALF);
        let (left, right) = self.0.iter().fold(halves, |(left, right), round| {
            let mixed = usize::try_from(right).ok().and_then(|right| round.get(right)).copied().unwrap_or(0);
            (right, left ^ mixed)
        });
        Place { list: list_of(position), index: u32::try_from(left << HALF_BITS | right).unwrap_or(0) }
    }
}

/// The list of the token at `position`.
pub const fn list_of(position: Position) -> u64 {
    position.get() >> LIST_BITS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn no_index_of_a_list_is_used_twice() {
        let indices = Indices::new(&[7; 32]);
        for list in [0, 5] {
            let mut used = vec![false; 1 << LIST_BITS];
            for within in 0..1 << LIST_BITS {
                let place = indices.place(Position::new(list << LIST_BITS | within));
                assert_eq!(place.list, list);
                assert!(!std::mem::replace(&mut used[place.index as usize], true), "twice: {place:?}");
            }
        }
    }

    /// A reader of the list must not tell from indexes which tokens were issued one after the other.
    #[test]
    fn neighbours_are_no_neighbours_in_the_list_and_another_secret_places_them_elsewhere() {
        let (one, other) = (Indices::new(&[1; 32]), Indices::new(&[2; 32]));
        let place = |indices: &Indices, position| i64::from(indices.place(Position::new(position)).index);
        let near = (1..1000).filter(|position| (place(&one, *position) - place(&one, position + 1)).abs() < 1000).count();
        assert!(near < 20, "{near} of 999");
        let same = (1..1000).filter(|position| place(&one, *position) == place(&other, *position)).count();
        assert!(same < 10, "{same} of 999");
        assert_eq!(format!("{one:?}"), "Indices(..)");
    }

    /// Pinned: another permutation would say of tokens that are out that others are dead.
    #[test]
    fn places_never_change() {
        let indices = Indices::new(&[0x2a; 32]);
        let places = [1, 2, 3, 1_000_000, 1 << 20, (1 << 20) + 1].map(|position| indices.place(Position::new(position)));
        let placed = places.map(|place| (place.list, place.index));
        assert_eq!(placed, [(0, 177_372), (0, 876_482), (0, 442_006), (0, 204_614), (1, 482_881), (1, 177_372)]);
    }

    proptest! {
        #[test]
        fn the_list_is_that_of_the_position(position in 1..u64::MAX >> 1) {
            let place = Indices::new(&[3; 32]).place(Position::new(position));
            prop_assert_eq!(place.list, position / (1 << 20));
            prop_assert!(place.index < 1 << 20);
        }
    }
}
