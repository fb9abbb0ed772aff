//! What the entries of the ledger show of use: who was issued what, when; who was refused as unknown; who uses
//! several keys at once, or comes from several places. Moved forward by entries; a start reads those that can matter again.

use std::collections::HashMap;
use std::time::Duration;

use crate::model::{DenialCode, Entry, Event, Issued, Place, Position, Recording, Refused, SpiffeId, Timestamp};

/// How many identities in no record are told apart; of more, the longest unseen is forgotten.
const MOST_STRANGERS: usize = 1000;
/// How many keys, and how many places, of a workload are remembered.
const MOST_RECENT: usize = 3;
/// Two keys or places of one identity are used at once if one is used, then the other, and the first again within this time.
const AT_ONCE: Duration = Duration::from_secs(60 * 60);

/// When something was last seen, and the entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sight {
    pub(super) time: Timestamp,
    pub(super) at: Position,
}

/// Two of a sort that were used at once: the one that came back, and the one that had come between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AtOnce<T> {
    time: Timestamp,
    pub(super) both: [T; 2],
    /// The three issuances that show it.
    pub(super) evidence: [Position; 3],
}

/// What one workload used of a sort, of that which could still come back; the latest last. It is small: nearly all use one.
#[derive(Debug)]
struct InTurn<T> {
    recent: Vec<(T, Sight)>,
    at_once: Option<Box<AtOnce<T>>>,
}

impl<T> Default for InTurn<T> {
    fn default() -> Self {
        Self { recent: Vec::new(), at_once: None }
    }
}

impl<T: Copy + PartialEq> InTurn<T> {
    fn take(&mut self, used: T, sight: Sight) {
        self.recent.retain(|(_, last)| sight.time.since(last.time) <= AT_ONCE);
        if let Some(found) = self.recent.iter().position(|(known, _)| *known == used) {
            let (_, before) = self.recent.remove(found);
            // Another came between, and this one is back: what was merely renewed or moved never is.
            if let Some((other, between)) = self.recent.get(found..).and_then(<[_]>::last) {
                let evidence = [before.at, between.at, sight.at];
                self.at_once = Some(Box::new(AtOnce { time: sight.time, both: [used, *other], evidence }));
            }
        } else if self.recent.len() >= MOST_RECENT {
            // Not the oldest: of many that take turns it is the first to come back.
            self.recent.remove(1);
        }
        self.recent.reserve_exact(1);
        self.recent.push((used, sight));
    }

    /// What was seen at once since `time`.
    fn since(&self, time: Timestamp) -> Option<&AtOnce<T>> {
        self.at_once.as_deref().filter(|seen| seen.time >= time)
    }
}

/// What one workload used in turn.
#[derive(Debug, Default)]
struct Hands {
    /// The client certificates that its tokens were bound to.
    keys: InTurn<[u8; 32]>,
    places: InTurn<Place>,
}

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Observed {
    /// The next entry to look at; absent before the first look.
    pub(super) next: Option<Position>,
    /// Everything from then on was seen.
    pub(super) since: Timestamp,
    /// The last issuance of each workload in each environment.
    issued: HashMap<Position, Vec<(Position, Sight)>>,
    /// When a workload was last recorded, or a subject opened.
    touched: HashMap<Position, Timestamp>,
    strangers: HashMap<SpiffeId, Sight>,
    hands: HashMap<Position, Hands>,
    /// Something else is said of whoever answers for what is registered.
    news: bool,
}

impl Observed {
    /// Whether that was said since this was asked last.
    pub(super) fn takes_news(&mut self) -> bool {
        std::mem::take(&mut self.news)
    }

    /// Moves forward by one entry.
    pub(super) fn take(&mut self, entry: &Entry) {
        let sight = Sight { time: entry.time, at: entry.position };
        self.news |= matches!(
            entry.event,
            Event::OwnerRecorded(_)
                | Event::WorkloadRecorded(_)
                | Event::DownstreamRecorded(_)
                | Event::PersonRecorded(_)
                | Event::PersonEnded { .. }
        );
        if let Event::CredentialIssued(issued) = &entry.event {
            self.issued(issued, sight);
        } else if let Event::WorkloadRecorded(Recording { number, .. }) = &entry.event {
            self.touch(number.unwrap_or(entry.position), entry.time);
        } else if let Event::Reinstated { number, .. } | Event::WorkloadAccepted { number, .. } = &entry.event {
            self.touch(*number, entry.time);
        } else if let Event::RequestsRefused(Refused { identity: Some(identity), reason, .. }) = &entry.event
            && reason == DenialCode::IdentityUnknown.as_str()
        {
            self.stranger(identity, sight);
        }
    }

    fn touch(&mut self, number: Position, time: Timestamp) {
        self.touched.insert(number, time);
    }

    fn issued(&mut self, issued: &Issued, sight: Sight) {
        let subjects = &issued.subjects;
        let uses = self.issued.entry(subjects.workload).or_default();
        match uses.iter_mut().find(|(environment, _)| *environment == subjects.environment) {
            Some((_, last)) => *last = sight,
            None => uses.push((subjects.environment, sight)),
        }
        let hands = self.hands.entry(subjects.workload).or_default();
        // A token that is bound to a certificate from outside says which one was used.
        if let (Some(key), Some(_), None) = (issued.confirmation, &issued.audience, issued.parent) {
            hands.keys.take(key, sight);
        }
        if let Some(address) = issued.asked_from {
            hands.places.take(address.place(), sight);
        }
    }

    fn stranger(&mut self, identity: &SpiffeId, sight: Sight) {
        if self.strangers.len() >= MOST_STRANGERS && !self.strangers.contains_key(identity) {
            let longest = self.strangers.iter().min_by_key(|(_, sight)| sight.at).map(|(identity, _)| identity.clone());
            longest.map(|identity| self.strangers.remove(&identity));
        }
        self.strangers.insert(identity.clone(), sight);
    }

    /// The last issuance of a workload, in whatever environment.
    pub(super) fn last_use(&self, workload: Position) -> Option<Sight> {
        self.issued.get(&workload).into_iter().flatten().map(|(_, sight)| *sight).max_by_key(|sight| sight.at)
    }

    /// The last issuance of a workload in an environment.
    pub(super) fn last_use_in(&self, workload: Position, environment: Position) -> Option<Sight> {
        self.issued.get(&workload)?.iter().find(|(known, _)| *known == environment).map(|(_, sight)| *sight)
    }

    /// Whether none of these was recorded or opened since `time`, and everything since then was seen.
    pub(super) fn settled(&self, numbers: &[Position], time: Timestamp) -> bool {
        self.since <= time && !numbers.iter().any(|number| self.touched_since(*number, time))
    }

    /// Whether a subject was recorded or opened after `time`, as far as that was seen.
    pub(super) fn touched_since(&self, number: Position, time: Timestamp) -> bool {
        self.touched.get(&number).is_some_and(|touched| *touched > time)
    }

    /// The identities in no record that asked.
    pub(super) fn strangers(&self) -> impl Iterator<Item = (&SpiffeId, Sight)> {
        self.strangers.iter().map(|(identity, sight)| (identity, *sight))
    }

    /// Two keys of a workload that were used at once since `time`.
    pub(super) fn keys_at_once(&self, workload: Position, time: Timestamp) -> Option<&AtOnce<[u8; 32]>> {
        self.hands.get(&workload)?.keys.since(time)
    }

    /// Two places that a workload came from at once since `time`.
    pub(super) fn places_at_once(&self, workload: Position, time: Timestamp) -> Option<&AtOnce<Place>> {
        self.hands.get(&workload)?.places.since(time)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn sight(at: u64) -> Sight {
        Sight { time: Timestamp::from_seconds(at), at: Position::new(at) }
    }

    /// The issuances that show two of a sort at once, if these, each with its second, do.
    fn at_once(used: &[(u8, u64)]) -> Option<[u64; 3]> {
        let mut turns = InTurn::default();
        used.iter().for_each(|(used, at)| turns.take(*used, sight(*at)));
        turns.at_once.map(|seen| seen.evidence.map(Position::get))
    }

    #[test]
    fn what_is_renewed_or_moves_is_one_and_what_comes_back_is_two() {
        let renewed = [(1, 10), (1, 20), (2, 30), (2, 40), (3, 50)];
        assert_eq!(at_once(&renewed), None);
        assert_eq!(at_once(&[renewed.as_slice(), &[(2, 60)]].concat()), Some([40, 50, 60]));
    }

    #[test]
    fn what_comes_back_after_an_hour_was_not_used_at_once() {
        assert_eq!(at_once(&[(1, 10), (2, 20), (1, 10 + 3600)]), Some([10, 20, 3610]));
        assert_eq!(at_once(&[(1, 10), (2, 20), (1, 11 + 3600)]), None);
    }

    #[test]
    fn however_many_take_turns_are_seen() {
        for many in 2..20 {
            let rounds: Vec<_> = (0..many + 1).map(|at| (u8::try_from(at % many).expect("few"), 10 + at)).collect();
            assert_eq!(at_once(&rounds), Some([10, 9 + many, 10 + many]), "{many}");
        }
        // Nor do those who came first hide the ones who take turns now.
        assert_eq!(at_once(&[(1, 10), (2, 20), (3, 30), (4, 40), (3, 50), (4, 60)]), Some([40, 50, 60]));
    }

    proptest! {
        /// Nothing is told but what is so.
        #[test]
        fn what_is_told_is_one_another_and_the_first_again_within_an_hour(used in vec((0..5u8, 0..2000u64), 0..40)) {
            let mut at = 1;
            let used: Vec<_> = used.into_iter().map(|(used, pause)| { at += pause + 1; (used, at) }).collect();
            if let Some(evidence) = at_once(&used) {
                let of = |at: u64| used.iter().find(|(_, known)| *known == at).map(|(used, _)| *used).expect("one that was used");
                let [first, other, again] = evidence.map(of);
                prop_assert!(first == again && first != other && evidence[0] < evidence[1] && evidence[1] < evidence[2]);
                prop_assert!(evidence[2] - evidence[0] <= 3600);
            }
        }
    }

    #[test]
    fn strangers_are_bounded_and_the_longest_unseen_is_forgotten() {
        let mut observed = Observed::default();
        for number in 0..=1000u64 {
            observed.stranger(&format!("spiffe://example.org/s{number}").parse().expect("an ID"), sight(number + 1));
        }
        assert_eq!(observed.strangers().count(), MOST_STRANGERS);
        assert!(observed.strangers().all(|(_, sight)| sight.at > Position::new(1)));
    }
}
