//! Offline checks of tokens and certificates: keys, a signed list, and the time are all they need.
//!
//! No network and no clock of its own: whoever runs it keeps the list fresh and says what time it
//! is. It fails closed: without a list, or with one that is too old, everything is rejected.
//!
//! What it promises: a credential is rejected if any of its subjects was cut above its position and
//! the applied list covers the cut; and nothing is accepted once the list is older than
//! [`Settings::max_staleness`], counted on the monotonic clock.

mod certificate;
mod keys;
mod rejected;
mod revocations;
mod token;

use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

pub use certificate::AcceptedCertificate;
pub use keys::{KeySet, KeySetError};
pub use rejected::Rejected;
pub use revocations::{Applied, ListRejected, Point, RevocationState};
pub use token::{AcceptedToken, Presented};

use crate::formats::binding::Binding;
use crate::model::{Audience, Cut, EnvironmentName, Position, SpiffeId, Timestamp};

/// How far ahead the broker's clock may be.
pub const SKEW: Duration = Duration::from_secs(5);

/// The longest staleness that is allowed unless something else is set.
pub const MAX_STALENESS: Duration = Duration::from_secs(30);

/// An instant on both clocks.
///
/// The wall clock decides expiry. The steady one, which nobody sets, decides how old the list is;
/// its zero is of no matter, but must stay the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The wall clock.
    pub wall: Timestamp,
    /// The monotonic clock.
    pub steady: Duration,
}

/// What a service accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The audiences that the service answers to; a token for any other is rejected.
    pub audiences: Vec<Audience>,
    /// The environment that the service runs in; a credential of another is rejected.
    pub environment: Option<EnvironmentName>,
    /// How old the list may be.
    pub max_staleness: Duration,
    /// Whether tokens that are bound to no certificate are accepted.
    pub bearer: bool,
}

impl Settings {
    /// Accepts bound tokens for `audience`, and certificates, of any environment.
    pub fn new(audience: Audience) -> Self {
        Self { audiences: vec![audience], environment: None, max_staleness: MAX_STALENESS, bearer: false }
    }

    /// Whether a credential is of the broker's domain, and of this environment.
    fn place(&self, keys: &KeySet, subject: &SpiffeId, binding: &Binding) -> Result<(), Rejected> {
        if subject.trust_domain() != keys.trust_domain {
            return Err(Rejected::TrustDomain);
        }
        match &self.environment {
            Some(environment) if *environment != binding.environment => Err(Rejected::Environment),
            Some(_) | None => Ok(()),
        }
    }
}

/// Checks credentials.
#[derive(Debug)]
pub struct Verifier {
    settings: Settings,
    known: RwLock<Known>,
}

#[derive(Debug)]
struct Known {
    keys: KeySet,
    revocations: RevocationState,
}

impl Known {
    /// Fails closed: without a list, or with one that is too old, nothing is accepted.
    fn fresh(&self, settings: &Settings, moment: Moment) -> Result<(), Rejected> {
        let age = self.revocations.age(moment).ok_or(Rejected::NoList)?;
        if self.revocations.is_fresh(settings.max_staleness, moment) { Ok(()) } else { Err(Rejected::Stale { seconds: age.as_secs() }) }
    }

    /// The rule of revocation. A key that was cut is dead whatever position is written: whoever
    /// has it could write any.
    fn alive(&self, key: Position, binding: &Binding) -> Result<(), Rejected> {
        let cuts = self.revocations.cuts();
        match cuts.death(key, binding.position, binding.numbers()) {
            Some(cut) if cut.number == key => Err(Rejected::KeyRevoked { reason: cut.reason, position: cut.position }),
            Some(cut) => Err(Rejected::Revoked { reason: cut.reason, subject: cut.number, position: cut.position }),
            None => Ok(()),
        }
    }
}

impl Verifier {
    /// A verifier that rejects everything until it has applied a list.
    pub fn new(settings: Settings, keys: KeySet) -> Self {
        Self { settings, known: RwLock::new(Known { keys, revocations: RevocationState::default() }) }
    }

    /// Applies a signed list, snapshot or delta, received at `moment`.
    ///
    /// # Errors
    /// If it was not applied. What was known before stays in force, and grows older.
    pub fn apply(&self, list: &str, moment: Moment) -> Result<Applied, ListRejected> {
        // A panic can't leave it half written: each change is one assignment.
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let Known { keys, revocations } = &mut *known;
        revocations.apply(list, keys, moment)
    }

    /// Takes the keys of a newer document.
    pub fn replace_keys(&self, keys: KeySet) {
        self.known.write().unwrap_or_else(PoisonError::into_inner).keys = keys;
    }

    /// The position of the list that is in force, for acknowledging it and for asking what came since.
    pub fn position(&self) -> Option<Position> {
        self.known().revocations.position()
    }

    /// What was applied last, for confirming it; nothing once a list contradicted it.
    pub fn point(&self) -> Option<Point> {
        self.known().revocations.point()
    }

    /// Whether a list contradicted what was known.
    pub fn is_forked(&self) -> bool {
        self.known().revocations.is_forked()
    }

    /// Whether anything can be accepted at `moment`.
    ///
    /// # Errors
    /// If no list was applied, or it is too old.
    pub fn freshness(&self, moment: Moment) -> Result<(), Rejected> {
        self.known().fresh(&self.settings, moment)
    }

    /// The cut that ended a credential, if one is known.
    pub fn cut_of(&self, binding: &Binding) -> Option<Cut> {
        self.known().revocations.cuts().killer(binding.position, binding.numbers()).copied()
    }

    /// How old the list is; `None` if there is none.
    pub fn age(&self, moment: Moment) -> Option<Duration> {
        self.known().revocations.age(moment)
    }

    /// What can change of a credential that was accepted: the list, its age, the time, and whether its key is trusted.
    fn again(&self, key: Position, expires_at: Timestamp, binding: &Binding, moment: Moment) -> Result<(), Rejected> {
        let known = self.known();
        known.fresh(&self.settings, moment)?;
        if !known.keys.has(key, moment.wall) {
            return Err(Rejected::KeyUnknown);
        }
        if moment.wall >= expires_at {
            return Err(Rejected::Expired { at: expires_at });
        }
        known.alive(key, binding)
    }

    fn known(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
