//! A service that accepts credentials: it knows keys and list as the public listener serves them,
//! and checks offline.

use std::time::Duration;

use curfew::ambient::Clock;
use curfew::verify::{Applied, KeySet, ListRejected, Moment, Presented, Rejected, Settings, Verifier};

use crate::harness::{AUDIENCE, Broker, eventually};
use crate::https;

#[derive(Debug)]
pub(crate) struct Service(Verifier);

impl Service {
    /// One that knows the keys, and no list yet.
    pub(crate) fn without_list(broker: &Broker) -> Self {
        let keys = KeySet::from_json(&https::get(broker, "/v1/keys").body).unwrap();
        Self(Verifier::new(Settings::new(AUDIENCE.parse().unwrap()), keys))
    }

    /// One that has fetched the list as it is now.
    pub(crate) fn of(broker: &Broker) -> Self {
        let service = Self::without_list(broker);
        service.apply(&https::get(broker, "/v1/revocations").body).unwrap();
        service
    }

    /// One whose list covers `position`. It is published beside the call that asks for it, and soon.
    pub(crate) fn covering(broker: &Broker, position: u64) -> Self {
        eventually(Duration::from_secs(10), || Some(Self::of(broker)).filter(|service| service.position() >= position))
    }

    pub(crate) fn apply(&self, list: &str) -> Result<Applied, ListRejected> {
        self.0.apply(list, now())
    }

    /// What its list covers.
    pub(crate) fn position(&self) -> u64 {
        self.0.position().unwrap().get()
    }

    pub(crate) fn token(&self, token: &str, presented: Presented) -> Result<(), Rejected> {
        self.0.token(token, presented, now()).map(|_| ())
    }

    pub(crate) fn certificate(&self, leaf: &[u8]) -> Result<(), Rejected> {
        self.0.certificate(leaf, now()).map(|_| ())
    }
}

/// Now, by the wall clock. The steady one stands still: how old a list may be is not what these
/// tests are about.
fn now() -> Moment {
    Moment { wall: Clock::system().now(), steady: Duration::ZERO }
}
