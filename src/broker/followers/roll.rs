//! The roll: who follows, how far each has come, and who should follow and does not.

use std::ops::Bound;

use super::{Followers, Handed, Process};
use crate::broker::{Broker, Error};
use crate::model::{DownstreamName, Facts, Instance, Position, SpiffeId, Timestamp, VerifierKind, Windows};
use crate::policy::{Action, Caller, Resource};

/// How a follower stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FollowerState {
    /// It has confirmed what it was handed last.
    Current,
    /// It was handed a list not long ago that it has not confirmed.
    Behind,
    /// The last list that it was handed is too old: it rejects everything, or gets its lists elsewhere.
    Stale,
    /// It confirmed something of another history.
    Forked,
}

/// One process that follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FollowerStory {
    /// Its identity.
    pub spiffe_id: SpiffeId,
    /// The name that it gave itself.
    pub instance: Option<Instance>,
    /// The downstreams whose records name the identity as their verifier, with their kinds.
    pub downstreams: Vec<(DownstreamName, VerifierKind)>,
    /// The list that it was handed last.
    pub handed: Option<Handed>,
    /// The highest position that it confirmed, and when.
    pub confirmed: Option<(Position, Timestamp)>,
    /// When it was heard of last.
    pub seen: Timestamp,
    /// How it stands.
    pub state: FollowerState,
}

/// A downstream that should be followed for and is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SilentDownstream {
    /// Its name.
    pub name: DownstreamName,
    /// How it says that it checks.
    pub kind: VerifierKind,
    /// The identity that should follow; without one its verifiers cannot be known.
    pub verifier: Option<SpiffeId>,
}

/// A page of the roll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Roll {
    /// By identity and name.
    pub followers: Vec<FollowerStory>,
    /// Whether there are more.
    pub more: bool,
    /// The downstreams without a follower that has a fresh list; on the first page only.
    pub silent: Vec<SilentDownstream>,
    /// From when on it was known of every follower which list it holds.
    pub complete_from: Timestamp,
}

/// The roll in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RollCall {
    /// How many follow, with a list that is not too old.
    pub fresh: usize,
    /// How many of another history there are.
    pub forked: usize,
    /// How many downstreams have a verifier by name of which none is fresh, once that can be known.
    pub silent: usize,
    /// How often something of another history was confirmed.
    pub forks: u64,
}

impl Process {
    fn is_fresh(&self, windows: &Windows, now: Timestamp) -> bool {
        self.handed.is_some_and(|handed| now < handed.issued_at.plus(windows.max_staleness))
    }

    fn state(&self, windows: &Windows, now: Timestamp) -> FollowerState {
        if self.forked.is_some() {
            FollowerState::Forked
        } else if !self.is_fresh(windows, now) {
            FollowerState::Stale
        } else if self.confirmed.map(|(position, _)| position) < self.handed.map(|handed| handed.position) {
            FollowerState::Behind
        } else {
            FollowerState::Current
        }
    }
}

impl Followers {
    /// From when on it is known of every follower which list it holds.
    fn complete_from(&self) -> Timestamp {
        self.began.plus(self.windows.list())
    }

    /// At most `limit` followers after one, and whether there are more.
    fn page(
        &self,
        after: Option<&(SpiffeId, Option<Instance>)>,
        limit: usize,
        facts: &Facts,
        now: Timestamp,
    ) -> (Vec<FollowerStory>, bool) {
        let memory = self.memory();
        let from = after.map_or(Bound::Unbounded, |(identity, _)| Bound::Included(identity));
        let identities = memory.identities.range::<SpiffeId, _>((from, Bound::Unbounded));
        let all = identities.flat_map(|(identity, instances)| instances.iter().map(move |(name, instance)| (identity, name, instance)));
        let beyond = |(identity, name): &(&SpiffeId, &Option<Instance>)| {
            after.is_none_or(|(last, last_name)| (*identity, *name) > (last, last_name))
        };
        let story = |(spiffe_id, instance, known): (&SpiffeId, &Option<Instance>, &Process)| {
            let tied = facts.downstreams().filter(|downstream| downstream.record.verifier.as_ref() == Some(spiffe_id));
            FollowerStory {
                spiffe_id: spiffe_id.clone(),
                instance: instance.clone(),
                downstreams: tied.map(|known| (known.record.name.clone(), known.record.verifier_kind)).collect(),
                handed: known.handed,
                confirmed: known.confirmed,
                seen: known.seen,
                state: known.state(&self.windows, now),
            }
        };
        let mut followers: Vec<_> =
            all.filter(|(identity, name, _)| beyond(&(identity, name))).take(limit.saturating_add(1)).map(story).collect();
        let more = followers.len() > limit;
        followers.truncate(limit);
        (followers, more)
    }

    /// The downstreams of kind follower or guard for which nobody with a fresh list follows.
    fn silent(&self, facts: &Facts, now: Timestamp) -> Vec<SilentDownstream> {
        let memory = self.memory();
        let fresh = |verifier: &SpiffeId| {
            memory.identities.get(verifier).is_some_and(|of| of.values().any(|instance| instance.is_fresh(&self.windows, now)))
        };
        let follows =
            facts.downstreams().filter(|known| matches!(known.record.verifier_kind, VerifierKind::Follower | VerifierKind::Guard));
        let silent = follows.filter(|known| !known.record.verifier.as_ref().is_some_and(fresh));
        let told = silent.map(|known| SilentDownstream {
            name: known.record.name.clone(),
            kind: known.record.verifier_kind,
            verifier: known.record.verifier.clone(),
        });
        told.collect()
    }
}

impl Broker {
    /// At most `limit` followers after one.
    ///
    /// # Errors
    /// `Denied` by policy.
    pub(crate) async fn roll(&self, caller: &Caller, after: Option<&(SpiffeId, Option<Instance>)>, limit: usize) -> Result<Roll, Error> {
        self.authorise(caller, Action::ReadFollowers, |_, _| Ok(Resource::System)).await?;
        let (facts, now) = (self.ledger.facts(), self.clock.now());
        let silent = if after.is_none() { self.followers.silent(&facts, now) } else { Vec::new() };
        let (followers, more) = self.followers.page(after, limit, &facts, now);
        Ok(Roll { followers, more, silent, complete_from: self.followers.complete_from() })
    }

    /// The roll in numbers, for whoever watches.
    pub(crate) fn roll_call(&self) -> RollCall {
        let (facts, now) = (self.ledger.facts(), self.clock.now());
        let named = self.followers.silent(&facts, now).into_iter().filter(|silent| silent.verifier.is_some()).count();
        let memory = self.followers.memory();
        let instances = || memory.identities.values().flat_map(|instances| instances.values());
        RollCall {
            fresh: instances().filter(|instance| instance.is_fresh(self.followers.windows(), now)).count(),
            forked: instances().filter(|instance| instance.forked.is_some()).count(),
            silent: if now < self.followers.complete_from() { 0 } else { named },
            forks: memory.forks,
        }
    }
}
