//! When a cut is enforced at a downstream: a pure rule over what is known of those who verify there.
//!
//! Nothing is concluded from silence but what time alone makes sure of: a list ends, and so does
//! every credential.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Census, CredentialKind, Facts, Position, Timestamp, VerifierKind};

/// How long a verifier may go on with what it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// How old a revocation list may be.
    pub max_staleness: Duration,
    /// How long a CRL is good for.
    pub crl: Duration,
    /// How long a status list is good for.
    pub status_list: Duration,
    /// What the clock of a verifier may be wrong by.
    pub skew: Duration,
}

impl Windows {
    /// What the clock of a verifier may be wrong by.
    pub const SKEW: Duration = Duration::from_secs(30);
    /// How long a CRL is good for, unless it is configured.
    pub const CRL: Duration = Duration::from_secs(600);
    /// How long a status list is good for, unless it is configured.
    pub const STATUS_LIST: Duration = Duration::from_secs(600);

    /// With everything else by default.
    pub const fn of_lists(max_staleness: Duration) -> Self {
        Self { max_staleness, crl: Self::CRL, status_list: Self::STATUS_LIST, skew: Self::SKEW }
    }

    /// After which time something that a verifier of this kind had before cannot be in use any more;
    /// never, if it has nothing that ends.
    fn outlived(&self, kind: VerifierKind) -> Option<Duration> {
        let life = match kind {
            VerifierKind::Follower | VerifierKind::Guard => self.max_staleness,
            VerifierKind::Crl => self.crl,
            VerifierKind::StatusList => self.status_list,
            VerifierKind::None => return None,
        };
        Some(life.saturating_add(self.skew))
    }

    /// How long a list that a follower holds can be in use, from its `iat` on.
    pub const fn list(&self) -> Duration {
        self.max_staleness.saturating_add(self.skew)
    }
}

/// A downstream at which something was alive that a cut ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Concern {
    /// Which; absent for what no downstream of the registry accepts any more.
    pub downstream: Option<Position>,
    /// How many were alive; 0 if they could not be counted.
    pub living: u64,
    /// When the last of them expires.
    pub last_expiry: Timestamp,
}

/// How many of a kind were alive in an environment that a cut ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The kind.
    pub kind: CredentialKind,
    /// The environment.
    pub environment: Position,
    /// How many.
    pub count: u64,
}

/// What a cut ended, and where that was accepted: by downstream, and by kind and environment, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Concerns {
    downstreams: Vec<Concern>,
    ended: Vec<Ended>,
}

impl Concerns {
    /// What a census counted, and those that accept it as the facts know them.
    pub fn of(census: &Census, facts: &Facts) -> Self {
        let mut downstreams = Vec::new();
        for ((environment, audience), accepted) in &census.accepted {
            let before = downstreams.len();
            let concern = |downstream| Concern { downstream, living: accepted.count, last_expiry: accepted.last_expiry };
            match audience {
                Some(audience) => {
                    downstreams.extend(facts.accepting_tokens(*environment, audience).map(|known| concern(Some(known.number))));
                }
                None => downstreams.extend(facts.accepting_certificates(*environment).map(|known| concern(Some(known.number)))),
            }
            if downstreams.len() == before {
                downstreams.push(concern(None));
            }
        }
        let ended = census.ended.iter().map(|((kind, environment), count)| Ended { kind: *kind, environment: *environment, count: *count });
        Self { downstreams: joined(downstreams), ended: ended.collect() }
    }

    /// These also at every downstream there is, until `last_expiry`: where it is not known what is alive.
    #[must_use]
    pub fn anywhere(self, facts: &Facts, last_expiry: Timestamp) -> Self {
        let declared = facts.downstreams().map(|known| Some(known.number));
        let all = declared.chain([None]).map(|downstream| Concern { downstream, living: 0, last_expiry });
        Self { downstreams: joined(self.downstreams.iter().copied().chain(all)), ..self }
    }

    /// These, and where something may be alive at `now` that an earlier cut ended.
    #[must_use]
    pub fn with(self, earlier: &Self, now: Timestamp) -> Self {
        let alive = earlier.downstreams.iter().filter(|concern| concern.last_expiry > now).copied();
        Self { downstreams: joined(self.downstreams.iter().copied().chain(alive)), ..self }
    }

    /// What is by downstream, and by kind and environment, ascending and each once.
    pub fn in_order(downstreams: Vec<Concern>, ended: Vec<Ended>) -> Option<Self> {
        let ascending = downstreams.is_sorted_by(|one, next| one.downstream < next.downstream)
            && ended.is_sorted_by(|one, next| (one.kind, one.environment) < (next.kind, next.environment));
        ascending.then_some(Self { downstreams, ended })
    }

    /// Each downstream at which something was alive.
    pub fn downstreams(&self) -> &[Concern] {
        &self.downstreams
    }

    /// How many were alive, by kind and environment.
    pub fn ended(&self) -> &[Ended] {
        &self.ended
    }
}

/// One concern of each downstream: all that is alive there, until the last of it expires.
fn joined(concerns: impl IntoIterator<Item = Concern>) -> Vec<Concern> {
    let mut by_downstream = BTreeMap::<_, Concern>::new();
    for concern in concerns {
        let known = by_downstream.entry(concern.downstream).or_insert(Concern { living: 0, ..concern });
        known.living = known.living.saturating_add(concern.living);
        known.last_expiry = known.last_expiry.max(concern.last_expiry);
    }
    by_downstream.into_values().collect()
}

/// One process that follows the list for a downstream, beside a cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sighting {
    /// When it confirmed a list that covers the cut.
    pub confirmed: Option<Timestamp>,
    /// The `iat` of the last list that it was handed, if that does not cover the cut.
    pub held: Option<Timestamp>,
    /// Whether it confirmed something of another history, and nothing of this one since.
    pub forked: bool,
}

/// What is known of a cut and one downstream that it concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    /// How the downstream checks.
    pub kind: VerifierKind,
    /// Whether the registry names the identity of its verifiers: then those that have been seen are
    /// all that there are.
    pub named: bool,
    /// When the last of what was alive there expires.
    pub last_expiry: Timestamp,
    /// When the first publication that covers the cut was out, in the form that it checks by.
    pub published: Option<Timestamp>,
    /// When the ledger took down that it has confirmed the cut.
    pub recorded: Option<Timestamp>,
    /// Since when it is remembered who holds which list.
    pub remembered_from: Timestamp,
    /// Those that follow for it, as far as they are remembered.
    pub instances: Vec<Sighting>,
}

/// Why nothing that a cut ended is accepted any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// All that follow for it have confirmed, or have had to fail closed since.
    Confirmed,
    /// Whatever was published before the cut has ended.
    Stale,
    /// Everything that the cut ended has expired.
    Expired,
}

impl Way {
    /// The word for it, stable.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Stale => "stale",
            Self::Expired => "expired",
        }
    }
}

/// How a cut stands at a downstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enforcement {
    /// Something that it ended may still be accepted, no longer than until then.
    Waiting {
        /// The last moment.
        until: Timestamp,
    },
    /// A verifier has another history, and may be kept fresh by that; no longer than until then.
    Forked {
        /// The last moment.
        until: Timestamp,
    },
    /// Nothing that it ended is accepted.
    Enforced {
        /// Since when.
        at: Timestamp,
        /// Why.
        way: Way,
    },
}

impl Enforcement {
    /// The last moment at which something may be accepted, unless it has come.
    pub const fn until(&self) -> Option<Timestamp> {
        match self {
            Self::Waiting { until } | Self::Forked { until } => Some(*until),
            Self::Enforced { .. } => None,
        }
    }
}

impl Sight {
    /// How the cut stands at `now`.
    pub fn enforcement(&self, windows: &Windows, now: Timestamp) -> Enforcement {
        if let Some(at) = self.recorded {
            return Enforcement::Enforced { at, way: Way::Confirmed };
        }
        let expired = (self.last_expiry.plus(windows.skew), Way::Expired);
        let outlived = self.published.zip(windows.outlived(self.kind)).map(|(out, window)| (out.plus(window), Way::Stale));
        let forked = self.follows() && self.instances.iter().any(|instance| instance.forked);
        // Who is kept fresh by another history does not go stale by this one.
        let (until, way) = outlived.filter(|_| !forked).into_iter().chain([expired]).min_by_key(|(at, _)| *at).unwrap_or(expired);
        let confirmed = self.passed(windows).filter(|(at, _)| !forked && *at <= now && *at <= until);
        match confirmed.or_else(|| (until <= now).then_some((until, way))) {
            Some((at, way)) => Enforcement::Enforced { at, way },
            None if forked => Enforcement::Forked { until },
            None => Enforcement::Waiting { until },
        }
    }

    fn follows(&self) -> bool {
        matches!(self.kind, VerifierKind::Follower | VerifierKind::Guard)
    }

    /// When the last of those that follow has passed the cut, if all have or will by themselves. Who
    /// was handed a list before it is remembered who holds what may hold it until it ends.
    fn passed(&self, windows: &Windows) -> Option<(Timestamp, Way)> {
        if !self.follows() || !self.named || self.instances.is_empty() {
            return None;
        }
        let outlived = self.published.map(|out| out.plus(windows.list()));
        let passed = |instance: &Sighting| match (instance.confirmed, instance.held) {
            (Some(at), _) => Some(at),
            (None, Some(issued_at)) => Some(issued_at.plus(windows.list())),
            (None, None) => outlived,
        };
        let mut last = self.remembered_from.plus(windows.list());
        for instance in &self.instances {
            last = last.max(passed(instance)?);
        }
        let way = if self.instances.iter().any(|instance| instance.confirmed.is_some()) { Way::Confirmed } else { Way::Stale };
        Some((last, way))
    }
}

#[cfg(test)]
mod tests;
