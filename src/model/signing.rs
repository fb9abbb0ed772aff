//! The signing keys that the ledger knows: which of them signs, which are to come, which are over.
//!
//! Of each purpose the earliest signs that is neither retired nor cut. So what signs changes at one
//! entry, for everybody who reads the ledger, and a key is published for as long as it waits its turn.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{CUT_OF_KEY_ENDS, CutMade, KeyPurpose, Position, PublicKey, Timestamp};

/// A signing key as it is known now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownKey {
    /// Its number.
    pub number: Position,
    /// What it is.
    pub record: Arc<PublicKey>,
    /// When it was recorded: from then on it is published.
    pub known_since: Timestamp,
    /// That it signs no more.
    pub retired: Option<Retirement>,
    /// Where it was cut, and when: nothing that it signed is good.
    pub cut: Option<(Position, Timestamp)>,
}

/// That a key signs no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retirement {
    /// Where.
    pub at: Position,
    /// When.
    pub since: Timestamp,
    /// The last instant at which something that it signed may be good; absent for no end.
    pub ends: Option<Timestamp>,
}

impl KnownKey {
    /// The last instant at which something signed by it may be good.
    pub fn ends(&self) -> Option<Timestamp> {
        self.record.not_after.into_iter().chain(self.retired.and_then(|retired| retired.ends)).min()
    }

    /// Whether nothing that it signed is good any more.
    pub fn has_ended(&self, now: Timestamp) -> bool {
        self.ends().is_some_and(|ends| ends < now)
    }

    /// Whether it signs, or will.
    pub const fn lives(&self) -> bool {
        self.retired.is_none() && self.cut.is_none()
    }

    /// Whether somebody who was given something that it signed may still believe it.
    pub fn is_believed(&self, now: Timestamp) -> bool {
        self.cut.is_none() && !self.has_ended(now)
    }

    /// When it stopped to sign.
    fn stopped(&self) -> Option<Timestamp> {
        self.retired.map(|retired| retired.since).into_iter().chain(self.cut.map(|(_, since)| since)).min()
    }
}

/// Every signing key, by number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SigningKeys {
    keys: BTreeMap<Position, KnownKey>,
    /// The number of the one that signs.
    signing: BTreeMap<KeyPurpose, Position>,
    changed: Position,
}

impl SigningKeys {
    pub(super) fn add(&mut self, number: Position, record: &PublicKey, known_since: Timestamp) {
        self.keys.insert(number, KnownKey { number, record: Arc::new(record.clone()), known_since, retired: None, cut: None });
        self.signing.entry(record.purpose).or_insert(number);
        self.changed = number;
    }

    pub(super) fn retire(&mut self, number: Position, retired: Retirement) {
        self.end(number, retired.at, |key| key.retired = Some(retired));
    }

    /// A cut that ends some day is not one of a key.
    pub(super) fn cut(&mut self, cut: &CutMade, at: Position, time: Timestamp) {
        if cut.ends == Some(CUT_OF_KEY_ENDS) {
            self.end(cut.number, at, |key| key.cut = Some((at, time)));
        }
    }

    /// The next signs where this one did.
    fn end(&mut self, number: Position, at: Position, end: impl FnOnce(&mut KnownKey)) {
        let Some(key) = self.keys.get_mut(&number) else { return };
        end(key);
        let purpose = key.record.purpose;
        self.changed = at;
        let next = self.waiting(purpose).next().map(|next| next.number);
        match next {
            Some(next) => self.signing.insert(purpose, next),
            None => self.signing.remove(&purpose),
        };
    }

    /// The keys of a purpose that sign or will, in that order.
    pub fn waiting(&self, purpose: KeyPurpose) -> impl Iterator<Item = &KnownKey> {
        self.keys.values().filter(move |key| key.record.purpose == purpose && key.lives())
    }

    /// The key that signs.
    pub fn signing(&self, purpose: KeyPurpose) -> Option<&KnownKey> {
        self.signing.get(&purpose).and_then(|number| self.keys.get(number))
    }

    /// When a key that signs began to: when it was known, and those before it had stopped.
    pub fn began(&self, signing: &KnownKey) -> Timestamp {
        let before = self.keys.range(..signing.number).map(|(_, key)| key).filter(|key| key.record.purpose == signing.record.purpose);
        before.filter_map(KnownKey::stopped).max().unwrap_or_default().max(signing.known_since)
    }

    /// The key with this number.
    pub fn get(&self, number: Position) -> Option<&KnownKey> {
        self.keys.get(&number)
    }

    /// The latest key with this purpose and name.
    pub fn named(&self, purpose: KeyPurpose, kid: &str) -> Option<&KnownKey> {
        self.keys.values().rev().find(|key| key.record.purpose == purpose && key.record.kid == kid)
    }

    /// All of them, by number.
    pub fn iter(&self) -> impl Iterator<Item = &KnownKey> {
        self.keys.values()
    }

    /// The last entry that changed which keys there are, or which of them signs.
    pub const fn changed(&self) -> Position {
        self.changed
    }
}
