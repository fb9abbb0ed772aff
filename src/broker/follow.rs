//! Following the list: who may, and through how many streams at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::error::Limit;
use super::{Broker, Error};
use crate::model::SpiffeId;
use crate::policy::{Action, Caller, Resource};

/// When to ask again for a stream that there was no room for.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The streams that are open.
#[derive(Debug)]
pub(super) struct Watches {
    each: usize,
    all: usize,
    open: Arc<Mutex<Open>>,
}

#[derive(Debug, Default)]
struct Open {
    count: usize,
    by_identity: HashMap<SpiffeId, usize>,
}

/// Room for one stream, until it is dropped.
#[derive(Debug)]
pub(crate) struct Watching {
    identity: SpiffeId,
    open: Arc<Mutex<Open>>,
}

impl Watches {
    pub(super) fn at_most(each: usize, all: usize) -> Self {
        Self { each, all, open: Arc::default() }
    }

    fn begin(&self, identity: &SpiffeId) -> Result<Watching, Error> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.by_identity.get(identity).is_some_and(|own| *own >= self.each) {
            return Err(Limit::IdentityWatches.after(RETRY_AFTER));
        }
        if open.count >= self.all {
            return Err(Limit::Watches.after(RETRY_AFTER));
        }
        open.count += 1;
        *open.by_identity.entry(identity.clone()).or_default() += 1;
        drop(open);
        Ok(Watching { identity: identity.clone(), open: Arc::clone(&self.open) })
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.count = open.count.saturating_sub(1);
        if let Some(own) = open.by_identity.get_mut(&self.identity) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                open.by_identity.remove(&self.identity);
            }
        }
    }
}

impl Broker {
    /// Whether the caller may have the revocation list.
    ///
    /// # Errors
    /// `Denied` by policy. A closed owner or workload is no reason: following needs an identity.
    pub(crate) async fn may_follow(&self, caller: &Caller) -> Result<(), Error> {
        self.authorise(caller, Action::ReadList, |_, _| Ok(Resource::System)).await
    }

    /// Room for the caller to have the list as a stream.
    ///
    /// # Errors
    /// As [`Broker::may_follow`]; `Limited` if there is no room.
    pub(crate) async fn follow(&self, caller: &Caller) -> Result<Watching, Error> {
        self.may_follow(caller).await?;
        self.watches.begin(&caller.spiffe_id)
    }

    /// How many streams of the list are open.
    pub(crate) fn watches(&self) -> usize {
        self.watches.open.lock().unwrap_or_else(PoisonError::into_inner).count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(answer: &Result<Watching, Error>) -> Option<Limit> {
        match answer {
            Err(Error::Limited { limit, .. }) => Some(*limit),
            Ok(_) | Err(_) => None,
        }
    }

    #[test]
    fn one_identity_cannot_take_the_streams_of_the_others_and_what_ends_makes_room() {
        let watches = Watches::at_most(2, 3);
        let (one, other): (SpiffeId, SpiffeId) =
            ("spiffe://example.org/one".parse().expect("an ID"), "spiffe://example.org/other".parse().expect("an ID"));
        let first = watches.begin(&one).expect("the first");
        let second = watches.begin(&one).expect("the second");
        assert_eq!(limit(&watches.begin(&one)), Some(Limit::IdentityWatches));
        let third = watches.begin(&other).expect("its first");
        assert_eq!(limit(&watches.begin(&other)), Some(Limit::Watches));
        drop(first);
        assert_eq!(limit(&watches.begin(&other)), None);
        drop((second, third));
        let open = watches.open.lock().expect("whole");
        assert_eq!((open.count, open.by_identity.len()), (0, 0), "nothing is kept of who has gone");
    }
}
