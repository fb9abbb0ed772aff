//! What the entries of the ledger show of use: who was issued what, when; who was refused as unknown; who uses
//! several keys at once. Moved forward by entries; a start reads those that can matter again.

use std::collections::HashMap;
use std::time::Duration;

use crate::model::{DenialCode, Entry, Event, Issued, Position, Recording, Refused, SpiffeId, Timestamp};

/// How many identities in no record are told apart; of more, the longest unseen is forgotten.
const MOST_STRANGERS: usize = 1000;
/// How many keys of a workload are remembered.
const MOST_KEYS: usize = 3;
/// Two keys of one identity are used at once if one is used again within this time after the other was.
const AT_ONCE: Duration = Duration::from_secs(60 * 60);

/// When something was last seen, and the entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sight {
    pub(super) time: Timestamp,
    pub(super) at: Position,
}

/// The client certificates of one workload that tokens were bound to, the latest last.
#[derive(Debug, Default)]
struct Keys {
    recent: Vec<([u8; 32], Sight)>,
    /// The three issuances that show two of them at once.
    shared: Option<(Timestamp, [Position; 3])>,
}

impl Keys {
    fn take(&mut self, key: [u8; 32], sight: Sight) {
        let Some(found) = self.recent.iter().position(|(known, _)| *known == key) else {
            if self.recent.len() >= MOST_KEYS {
                self.recent.remove(0);
            }
            return self.recent.push((key, sight));
        };
        let (_, before) = self.recent.remove(found);
        // Another came between, and this one is back: a key that was merely renewed never is.
        if let Some((_, between)) = self.recent.get(found..).and_then(<[_]>::last)
            && sight.time.since(before.time) <= AT_ONCE
        {
            self.shared = Some((sight.time, [before.at, between.at, sight.at]));
        }
        self.recent.push((key, sight));
    }
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
    /// When a subject was last recorded or opened.
    touched: HashMap<Position, Timestamp>,
    strangers: HashMap<SpiffeId, Sight>,
    keys: HashMap<Position, Keys>,
}

impl Observed {
    /// Moves forward by one entry.
    pub(super) fn take(&mut self, entry: &Entry) {
        let sight = Sight { time: entry.time, at: entry.position };
        if let Event::CredentialIssued(issued) = &entry.event {
            self.issued(issued, sight);
        } else if let Event::OwnerRecorded(Recording { number, .. }) = &entry.event {
            self.touch(number.unwrap_or(entry.position), entry.time);
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
        // A token that is bound to a certificate from outside says which one was used.
        if let (Some(key), Some(_), None) = (issued.confirmation, &issued.audience, issued.parent) {
            self.keys.entry(subjects.workload).or_default().take(key, sight);
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

    /// Whether a subject was neither recorded nor opened since `time`, and everything since then was seen.
    pub(super) fn settled(&self, number: Position, time: Timestamp) -> bool {
        self.since <= time && self.touched.get(&number).is_none_or(|touched| *touched <= time)
    }

    /// The identities in no record that asked.
    pub(super) fn strangers(&self) -> impl Iterator<Item = (&SpiffeId, Sight)> {
        self.strangers.iter().map(|(identity, sight)| (identity, *sight))
    }

    /// The issuances that show two keys of a workload at once since `time`.
    pub(super) fn shared(&self, workload: Position, time: Timestamp) -> Option<[Position; 3]> {
        self.keys.get(&workload)?.shared.filter(|(seen, _)| *seen >= time).map(|(_, evidence)| evidence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sight(at: u64) -> Sight {
        Sight { time: Timestamp::from_seconds(at), at: Position::new(at) }
    }

    #[test]
    fn a_key_that_is_renewed_is_not_two_keys_and_one_that_comes_back_is() {
        let mut keys = Keys::default();
        for (key, at) in [(1, 10), (1, 20), (2, 30), (2, 40), (3, 50)] {
            keys.take([key; 32], sight(at));
        }
        assert_eq!(keys.shared, None);
        keys.take([2; 32], sight(60));
        assert_eq!(keys.shared, Some((Timestamp::from_seconds(60), [40, 50, 60].map(Position::new))));
        let mut late = Keys::default();
        [(1, 10), (2, 20), (1, 20 + 3600)].into_iter().for_each(|(key, at)| late.take([key; 32], sight(at)));
        assert_eq!(late.shared, None, "too long after to be at once");
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
