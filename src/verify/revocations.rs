//! What a follower knows of revocations, and how a signed list changes it.
//!
//! A list of a lower position is ignored; one that contradicts what is known is a fork. Then the
//! union of both stays in force, and nothing advances any more: what is known grows old, and
//! everything is rejected until somebody looks.

use std::time::Duration;

use super::keys::{Key, KeySet};
use super::{Moment, SKEW};
use crate::formats::jws::{self, JwsError};
use crate::formats::list::{List, ListError, MAX_LIST, TYP};
use crate::model::{Cut, Cuts, Epoch, Position, Timestamp};

/// What a list changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The state now covers everything up to this position, or is fresher at the same one.
    Advanced(Position),
    /// It is of a lower position than is known: nothing changed.
    Ignored,
}

/// Why a list was not applied. What was known before stays in force, and grows older.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListRejected {
    /// It is not a signed list at all.
    #[error("not a signed list: {0}")]
    Form(#[from] JwsError),
    /// It is signed as something else.
    #[error("signed as `{0}`, not as a revocation list of a version that is known here")]
    Type(String),
    /// No such key, or it was revoked.
    #[error("signed by a key that is not, or no longer, a list key of the key set")]
    Key,
    /// The signature is wrong.
    #[error("the signature of the list is wrong")]
    Signature,
    /// Its payload is not understood, so nothing of it is used.
    #[error("not a list that is understood here: {0}")]
    Payload(#[from] ListError),
    /// Another broker made it.
    #[error("the list of another broker")]
    Issuer,
    /// It was made in the future.
    #[error("made at {0}, in the future; compare the clocks of this machine and of the broker")]
    Future(Timestamp),
    /// It has expired.
    #[error("expired at {0}; fetch a fresh list")]
    Expired(Timestamp),
    /// A delta from a position that was never reached here.
    #[error("a delta since position {since}, and only {known} is known; fetch the whole list")]
    Gap {
        /// Where the delta begins.
        since: Position,
        /// What is known.
        known: Position,
    },
    /// It contradicts what is known.
    #[error(
        "contradicts what is known ({0}); everything that either says is revoked stays so, and nothing advances: ask the operator of the broker"
    )]
    Fork(&'static str),
}

impl ListRejected {
    /// The stable code, for machines.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Form(_) => "LIST_MALFORMED",
            Self::Type(_) => "LIST_TYPE",
            Self::Key => "LIST_KEY",
            Self::Signature => "LIST_SIGNATURE",
            Self::Payload(_) => "LIST_NOT_UNDERSTOOD",
            Self::Issuer => "LIST_ISSUER",
            Self::Future(_) => "LIST_FROM_THE_FUTURE",
            Self::Expired(_) => "LIST_EXPIRED",
            Self::Gap { .. } => "LIST_GAP",
            Self::Fork(_) => "LIST_FORK",
        }
    }
}

/// What is known of revocations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RevocationState {
    cuts: Cuts,
    head: Option<Head>,
    forked: bool,
}

/// What the last list said of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    epoch: Epoch,
    position: Position,
    root: [u8; 32],
    /// On the steady clock, when its list was as old as it says; never moved back.
    fresh: Duration,
    /// How old it was then: zero, or by how much `iat` lay behind the wall clock.
    age: Duration,
    /// `exp` - `iat`: what the broker allows.
    life: Duration,
}

/// What a list that was applied says of itself: what a follower confirms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// Which history.
    pub epoch: Epoch,
    /// The position that it covers.
    pub position: Position,
    /// The root of the tree up to there.
    pub root: [u8; 32],
}

impl RevocationState {
    /// What was applied last; nothing once something contradicted it.
    pub fn point(&self) -> Option<Point> {
        let head = self.head.filter(|_| !self.forked)?;
        Some(Point { epoch: head.epoch, position: head.position, root: head.root })
    }

    /// The position that is covered.
    pub fn position(&self) -> Option<Position> {
        self.head.map(|head| head.position)
    }

    /// The cuts in force.
    pub const fn cuts(&self) -> &Cuts {
        &self.cuts
    }

    /// Whether a list contradicted what was known.
    pub const fn is_forked(&self) -> bool {
        self.forked
    }

    /// How old the state is: how old its list was on receipt, and the steady time since.
    pub fn age(&self, moment: Moment) -> Option<Duration> {
        self.head.map(|head| head.age_at(moment.steady))
    }

    /// Whether the state is at most `max_staleness` old, and its list has not outlived its own life.
    pub(super) fn is_fresh(&self, max_staleness: Duration, moment: Moment) -> bool {
        self.head.is_some_and(|head| head.age_at(moment.steady) <= max_staleness.min(head.life))
    }

    /// Applies a signed list, snapshot or delta, received at `moment`.
    ///
    /// # Errors
    /// If it was not applied; of a fork, its cuts are in force nevertheless.
    pub fn apply(&mut self, text: &str, keys: &KeySet, moment: Moment) -> Result<Applied, ListRejected> {
        let list = self.signed(text, keys, moment.wall)?;
        if list.issued_at > moment.wall.plus(SKEW) {
            return Err(ListRejected::Future(list.issued_at));
        }
        if list.expires_at <= moment.wall {
            return Err(ListRejected::Expired(list.expires_at));
        }
        let new = Head {
            epoch: list.epoch,
            position: list.position,
            root: list.root,
            fresh: moment.steady,
            age: moment.wall.since(list.issued_at),
            life: list.expires_at.since(list.issued_at),
        };
        let advanced = match self.head {
            None => match list.since.and_then(Position::non_zero) {
                Some(since) => return Err(ListRejected::Gap { since, known: Position::ZERO }),
                None => new,
            },
            Some(known) => match self.judge(&known, &new, &list) {
                Ok(None) => return Ok(Applied::Ignored),
                Ok(Some(advanced)) => advanced,
                Err(ListRejected::Fork(why)) => {
                    self.forked = true;
                    list.cuts.iter().for_each(|cut| self.cuts.add(*cut));
                    return Err(ListRejected::Fork(why));
                }
                Err(rejected) => return Err(rejected),
            },
        };
        list.cuts.iter().for_each(|cut| self.cuts.add(*cut));
        // As long as the broker keeps them: a delta does not bring back what it said before.
        self.cuts.expire(moment.wall);
        self.head = Some(advanced);
        Ok(Applied::Advanced(advanced.position))
    }

    /// The list, if it is signed as one by a key that is in force: neither cut nor, once it was rotated out, at its end.
    fn signed(&self, text: &str, keys: &KeySet, now: Timestamp) -> Result<List, ListRejected> {
        let jws = jws::parse(text, MAX_LIST)?;
        if jws.typ != TYP {
            return Err(ListRejected::Type(jws.typ));
        }
        let is_in_force = |key: &&Key<_>| self.cuts.get(key.number).is_none() && !key.has_ended(now);
        let key = keys.lists.iter().find(|key| key.kid == jws.kid).filter(is_in_force);
        if !key.ok_or(ListRejected::Key)?.key.verifies(jws.signing_input, &jws.signature) {
            return Err(ListRejected::Signature);
        }
        let list = List::decode(&jws.payload)?;
        if list.issuer == keys.issuer { Ok(list) } else { Err(ListRejected::Issuer) }
    }

    /// What becomes of the head that is known: nothing, or another.
    fn judge(&self, known: &Head, new: &Head, list: &List) -> Result<Option<Head>, ListRejected> {
        if self.forked {
            return Err(ListRejected::Fork("an earlier list did"));
        }
        if new.epoch != known.epoch {
            return Err(ListRejected::Fork("it is of another epoch"));
        }
        if new.position < known.position {
            return Ok(None);
        }
        if new.position == known.position && new.root != known.root {
            return Err(ListRejected::Fork("another root at the same position"));
        }
        match list.since {
            Some(since) if since > known.position => return Err(ListRejected::Gap { since, known: known.position }),
            _ if self.misses(list) => return Err(ListRejected::Fork("a cut has vanished")),
            _ => {}
        }
        // Of two lists, the one that is fresher at this moment says how old the state is.
        let fresher = if known.age_at(new.fresh) < new.age { known } else { new };
        Ok(Some(Head { fresh: fresher.fresh, age: fresher.age, life: fresher.life, ..*new }))
    }

    /// Whether a list lacks a cut that was active when it was made. The broker's clock decides what
    /// that is; a cut in its last seconds may have left already.
    fn misses(&self, list: &List) -> bool {
        let mut listed = Cuts::default();
        list.cuts.iter().for_each(|cut| listed.add(*cut));
        let active = |known: &&Cut| known.ends > list.issued_at.plus(SKEW) && list.since.is_none_or(|since| known.position > since);
        let present = |known: &Cut| listed.get(known.number).is_some_and(|cut| cut.position >= known.position);
        !self.cuts.iter().filter(active).all(present)
    }
}

impl Head {
    fn age_at(&self, steady: Duration) -> Duration {
        self.age.saturating_add(steady.saturating_sub(self.fresh))
    }
}
