//! How long a credential lives: the earliest of everything that bounds it.

use std::time::Duration;

use super::{Bound, CredentialKind, Timestamp};

impl CredentialKind {
    /// The life of a credential for which none was asked.
    pub const fn default_life(self) -> Duration {
        match self {
            Self::AccessToken | Self::JwtSvid => Duration::from_secs(5 * 60),
            Self::Certificate => Duration::from_secs(60 * 60),
        }
    }

    /// The longest life, whatever policy says.
    pub const fn longest_life(self) -> Duration {
        match self {
            Self::AccessToken | Self::JwtSvid => Duration::from_secs(15 * 60),
            Self::Certificate => Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// Everything that may bound the life of one credential. Ends are instants; absent means no bound.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// What is issued.
    pub kind: CredentialKind,
    /// The life that was asked for.
    pub requested: Option<Duration>,
    /// The smallest `@max_ttl` among the policies that allow it.
    pub policy: Option<Duration>,
    /// The deadline of its task.
    pub task: Option<Timestamp>,
    /// `valid_until` of the workload.
    pub workload: Option<Timestamp>,
    /// The contract end of the owner.
    pub contract: Option<Timestamp>,
    /// The end of the key that signs it.
    pub signing_key: Option<Timestamp>,
    /// The end of the certificate that it is bound to.
    pub client_certificate: Option<Timestamp>,
    /// The end of the exception by which it is issued.
    pub exception: Option<Timestamp>,
}

/// From when to when a credential is good, in whole seconds, and what set the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// The instant of the decision, rounded down.
    pub issued_at: Timestamp,
    /// The first instant at which it is no longer good.
    pub expires_at: Timestamp,
    /// What bounded it; of several at the same instant, the first in the order of [`Bound`].
    pub bound_by: Bound,
}

/// No life is left: the bound that leaves none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoLifeLeft(pub Bound);

impl Bounds {
    /// Where each bound would end a credential issued at `issued_at`, in the order of [`Bound`].
    pub fn ends(&self, issued_at: Timestamp) -> [(Bound, Option<Timestamp>); 10] {
        let after = |life: Duration| issued_at.plus(life);
        let default = self.requested.is_none().then(|| self.kind.default_life());
        [
            (Bound::Requested, self.requested.map(after)),
            (Bound::Default, default.map(after)),
            (Bound::Policy, self.policy.map(after)),
            (Bound::Kind, Some(after(self.kind.longest_life()))),
            (Bound::Task, self.task),
            (Bound::Workload, self.workload),
            (Bound::Contract, self.contract),
            (Bound::SigningKey, self.signing_key),
            (Bound::ClientCertificate, self.client_certificate),
            (Bound::Exception, self.exception),
        ]
    }

    /// The life of a credential decided at `now`.
    ///
    /// # Errors
    /// If none is left.
    pub fn life(&self, now: Timestamp) -> Result<Life, NoLifeLeft> {
        let issued_at = now.floor_to_second();
        let mut end = (Bound::Default, Timestamp::from_millis(u64::MAX));
        for (bound, at) in self.ends(issued_at) {
            if let Some(at) = at.filter(|at| *at < end.1) {
                end = (bound, at);
            }
        }
        let expires_at = end.1.floor_to_second();
        // Measured from `now`, not from `issued_at`: a credential that is dead on arrival is refused.
        if expires_at <= now {
            return Err(NoLifeLeft(end.0));
        }
        Ok(Life { issued_at, expires_at, bound_by: end.0 })
    }
}

#[cfg(test)]
mod tests {
    use proptest::option;
    use proptest::prelude::*;

    use super::*;

    fn kind() -> impl Strategy<Value = CredentialKind> {
        proptest::sample::select(CredentialKind::ALL)
    }

    prop_compose! {
        fn bounds()(
            kind in kind(),
            requested in option::of(0..100_000_000u64), policy in option::of(0..100_000_000u64),
            exception in option::of(0..200_000_000u64),
            ends in [option::of(0..200_000_000u64), option::of(0..200_000_000u64), option::of(0..200_000_000u64), option::of(0..200_000_000u64), option::of(0..200_000_000u64)],
        ) -> Bounds {
            let [task, workload, contract, signing_key, client_certificate] = ends.map(|end| end.map(Timestamp::from_millis));
            let life = |millis: Option<u64>| millis.map(Duration::from_millis);
            Bounds { kind, requested: life(requested), policy: life(policy), task, workload, contract, signing_key, client_certificate, exception: exception.map(Timestamp::from_millis) }
        }
    }

    proptest! {
        #[test]
        fn a_life_is_never_longer_than_any_bound_and_never_empty(bounds in bounds(), now in 0..100_000_000u64) {
            let now = Timestamp::from_millis(now);
            let Ok(life) = bounds.life(now) else { return Ok(()) };
            prop_assert!(life.expires_at > now && life.issued_at <= now);
            prop_assert_eq!(life.expires_at.millis() % 1000, 0);
            let length = life.expires_at.since(life.issued_at);
            prop_assert!(length <= bounds.kind.longest_life());
            prop_assert!(length <= bounds.requested.unwrap_or(bounds.kind.default_life()));
            prop_assert!(bounds.policy.is_none_or(|most| length <= most));
            for end in [bounds.task, bounds.workload, bounds.contract, bounds.signing_key, bounds.client_certificate, bounds.exception] {
                prop_assert!(end.is_none_or(|end| life.expires_at <= end));
            }
        }

        #[test]
        fn the_bound_that_is_named_is_the_one_that_set_the_end(bounds in bounds(), now in 0..100_000_000u64) {
            let now = Timestamp::from_millis(now);
            let Ok(life) = bounds.life(now) else { return Ok(()) };
            let without = match life.bound_by {
                Bound::Requested => Bounds { requested: None, ..bounds },
                Bound::Default | Bound::Kind => return Ok(()),
                Bound::Policy => Bounds { policy: None, ..bounds },
                Bound::Task => Bounds { task: None, ..bounds },
                Bound::Workload => Bounds { workload: None, ..bounds },
                Bound::Contract => Bounds { contract: None, ..bounds },
                Bound::SigningKey => Bounds { signing_key: None, ..bounds },
                Bound::ClientCertificate => Bounds { client_certificate: None, ..bounds },
                Bound::Exception => Bounds { exception: None, ..bounds },
            };
            if life.bound_by != Bound::Requested {
                prop_assert!(without.life(now).expect("a looser rule").expires_at >= life.expires_at);
            }
        }
    }

    /// The bounds of a token for which nothing else is set.
    const FREE: Bounds = Bounds {
        kind: CredentialKind::AccessToken,
        requested: None,
        policy: None,
        task: None,
        workload: None,
        contract: None,
        signing_key: None,
        client_certificate: None,
        exception: None,
    };

    #[test]
    fn a_token_lives_five_minutes_and_a_certificate_an_hour_unless_asked_for_longer() {
        let lives = |kind: CredentialKind| (kind.default_life().as_secs(), kind.longest_life().as_secs());
        let lives: Vec<_> = CredentialKind::ALL.iter().copied().map(lives).collect();
        assert_eq!(lives, [(300, 900), (300, 900), (3600, 86_400)]);
    }

    #[test]
    fn of_several_bounds_at_one_instant_the_first_is_named() {
        let end = Some(Timestamp::from_seconds(60));
        let bounds = Bounds { requested: Some(Duration::from_secs(60)), task: end, contract: end, client_certificate: end, ..FREE };
        let named = |bounds: Bounds| bounds.life(Timestamp::EPOCH).map(|life| life.bound_by);
        assert_eq!(named(bounds), Ok(Bound::Requested));
        assert_eq!(named(Bounds { requested: None, ..bounds }), Ok(Bound::Task));
        assert_eq!(named(Bounds { requested: None, task: None, ..bounds }), Ok(Bound::Contract));
    }

    #[test]
    fn nothing_is_issued_that_is_dead_on_arrival() {
        let bounds = Bounds { task: Some(Timestamp::from_millis(10_900)), ..FREE };
        assert_eq!(bounds.life(Timestamp::from_millis(10_000)), Err(NoLifeLeft(Bound::Task)));
        assert_eq!(bounds.life(Timestamp::from_millis(20_000)), Err(NoLifeLeft(Bound::Task)));
        assert_eq!(bounds.life(Timestamp::from_millis(9_500)).map(|life| life.expires_at), Ok(Timestamp::from_millis(10_000)));
    }
}
