//! When keys are made, when the next one signs, and when a private half is wiped: a plan, from what the
//! ledger says, what is held, and the time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::model::{CLOCK_STEP, CUT_GRACE, CredentialKind, KeyPurpose, KnownKey, Position, SigningKeys, Timestamp};

/// How often the key of one purpose changes, and how long the next one is published before it signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    /// How long a key signs; absent if it is changed by hand alone.
    pub(crate) every: Option<Duration>,
    /// How long the next one is published ahead.
    pub(crate) announce: Duration,
}

/// How keys are rotated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rotation {
    schedules: BTreeMap<KeyPurpose, Schedule>,
    /// How long a list is good at most, of whatever kind.
    list_life: Duration,
}

/// Something to be done about the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Make a key, and record that it signs from then on; at once if none does.
    Make {
        /// What it signs.
        purpose: KeyPurpose,
        /// From when; absent for at once.
        signs_from: Option<Timestamp>,
    },
    /// Record that a key signs no more. The next does.
    Retire {
        /// Its number.
        number: Position,
    },
    /// Wipe a private half.
    Discard {
        /// Its number.
        number: Position,
    },
}

/// What is to be done now, and when there is more to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) steps: Vec<Step>,
    pub(crate) again: Option<Timestamp>,
}

impl Rotation {
    /// Every purpose has a schedule; one that is left out is changed by hand alone.
    pub(crate) const fn new(schedules: BTreeMap<KeyPurpose, Schedule>, list_life: Duration) -> Self {
        Self { schedules, list_life }
    }

    fn schedule(&self, purpose: KeyPurpose) -> Schedule {
        self.schedules.get(&purpose).copied().unwrap_or(Schedule { every: None, announce: Duration::ZERO })
    }

    /// What is to be done at `now`, where the private halves of `held` are held.
    pub(crate) fn plan(&self, keys: &SigningKeys, held: &BTreeSet<Position>, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        for purpose in KeyPurpose::ALL {
            self.succession(*purpose, keys, held, now, &mut plan);
        }
        for key in held.iter().filter_map(|number| keys.get(*number)) {
            match needed_until(key) {
                Need::Always => {}
                Need::Until(end) if end >= now => plan.look_at(end.plus(Duration::from_millis(1))),
                Need::Never | Need::Until(_) => plan.steps.push(Step::Discard { number: key.number }),
            }
        }
        plan
    }

    /// Who follows the key that signs.
    fn succession(&self, purpose: KeyPurpose, keys: &SigningKeys, held: &BTreeSet<Position>, now: Timestamp, plan: &mut Plan) {
        let (ours, lost): (Vec<_>, Vec<_>) = keys.waiting(purpose).partition(|key| held.contains(&key.number));
        // Whoever replaced the files of keys took away what the others sign with.
        let lost = lost.into_iter().filter(|_| !ours.is_empty());
        plan.steps.extend(lost.map(|key| Step::Retire { number: key.number }));
        let schedule = self.schedule(purpose);
        match ours.as_slice() {
            [] => plan.steps.push(Step::Make { purpose, signs_from: None }),
            [only] => {
                let Some(due) = schedule.due(only, keys.began(only)) else { return };
                let announced = due.minus(schedule.announce);
                if announced <= now {
                    let signs_from = due.max(now.plus(schedule.announce));
                    let ends = only.record.not_after.unwrap_or(signs_from);
                    plan.steps.push(Step::Make { purpose, signs_from: Some(signs_from.min(ends)) });
                } else {
                    plan.look_at(announced);
                }
            }
            [signing, next, ..] if self.signs_from(next) <= now => plan.steps.push(Step::Retire { number: signing.number }),
            [_, next, ..] => plan.look_at(self.signs_from(next)),
        }
    }

    /// From when a key signs that is made now, where it is not to sign at once.
    pub(crate) fn announced(&self, purpose: KeyPurpose, now: Timestamp) -> Timestamp {
        now.plus(self.schedule(purpose).announce)
    }

    /// From when a key signs that waits. One that an operator brought waits as long as one that is made.
    pub(crate) fn signs_from(&self, waiting: &KnownKey) -> Timestamp {
        waiting.record.signs_from.unwrap_or_else(|| self.announced(waiting.record.purpose, waiting.known_since))
    }

    /// The last instant at which something may be good that is signed until `now`, where nothing at all
    /// is good after `latest_expiry`. A history is checkable for ever, so a checkpoint has no end.
    pub(crate) fn ends(&self, purpose: KeyPurpose, latest_expiry: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let credentials = |longest: Duration| latest_expiry.min(now.plus(longest).plus(CLOCK_STEP)).max(now).plus(CUT_GRACE);
        match purpose {
            KeyPurpose::Token => Some(credentials(CredentialKind::AccessToken.longest_life().max(CredentialKind::JwtSvid.longest_life()))),
            KeyPurpose::Issuer => Some(credentials(CredentialKind::Certificate.longest_life())),
            KeyPurpose::List => Some(now.plus(self.list_life).plus(CUT_GRACE)),
            KeyPurpose::Checkpoint => None,
        }
    }
}

impl Schedule {
    /// When the next one is to sign: a day of life has to be left in what the last one signs.
    fn due(self, key: &KnownKey, began: Timestamp) -> Option<Timestamp> {
        let wanted = began.plus(self.every?);
        let latest = key.record.not_after.map(|end| end.minus(CredentialKind::Certificate.longest_life()));
        Some(latest.map_or(wanted, |latest| wanted.min(latest)))
    }
}

impl Plan {
    fn look_at(&mut self, instant: Timestamp) {
        self.again = Some(self.again.map_or(instant, |known| known.min(instant)));
    }
}

/// For how long a private half is needed.
enum Need {
    Always,
    Until(Timestamp),
    Never,
}

/// An issuer signs the revocations of what it issued for as long as that may be good.
fn needed_until(key: &KnownKey) -> Need {
    match (key.cut, key.retired) {
        (Some(_), _) => Need::Never,
        (None, Some(_)) if key.record.purpose == KeyPurpose::Issuer => key.ends().map_or(Need::Never, Need::Until),
        (None, Some(_)) => Need::Never,
        (None, None) => Need::Always,
    }
}

#[cfg(test)]
mod tests;
