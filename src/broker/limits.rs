//! What one caller may ask for: rates, and credentials that live at a time. A revocation is counted
//! by none of them.

use std::hash::Hash;
use std::time::Duration;

use dashmap::DashMap;

use super::error::Limit;
use super::{Broker, Error};
use crate::ledger::LedgerError;
use crate::model::{Position, SourceName, SpiffeId, Timestamp, Whose};
use crate::policy::{Action, Caller, Role, admit};

/// How long a count of the living stands, while a workload is near its quota.
const COUNTED: Duration = Duration::from_secs(1);

/// How often a workload may have the ledger searched, a second: one search may cost as much as thousands
/// of other calls.
const SEARCHES: u32 = 4;

/// What callers may ask for. Rates are per second; a second's worth may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quotas {
    /// Calls and credentials of one workload, a second.
    pub workload_rate: u32,
    /// Credentials of one owner, a second.
    pub owner_rate: u32,
    /// Calls of one administrator, a second, for each sort of call.
    pub administrator_rate: u32,
    /// Requests of one source that provisions over SCIM, a second.
    pub source_rate: u32,
    /// Credentials of one workload that live at a time.
    pub workload_live: u64,
    /// Tasks of one owner that are open at a time.
    pub owner_tasks: usize,
    /// Exceptions of one workload that are known at a time.
    pub workload_exceptions: usize,
    /// How long an exception may hold.
    pub exception_life: Duration,
    /// Streams of the list to one identity.
    pub identity_watches: usize,
    /// Streams of the list to all.
    pub watches: usize,
}

/// How many each may ask for within a time, by the generic cell rate algorithm: of each caller it
/// keeps the instant at which everything it took is paid for.
#[derive(Debug)]
pub(super) struct Rate<K: Eq + Hash> {
    each: u64,
    paid: DashMap<K, u64>,
}

/// A second's worth may come at once.
const BURST: u64 = 1_000_000_000;

impl<K: Eq + Hash> Rate<K> {
    pub(super) fn per_second(most: u32) -> Self {
        Self { each: BURST / u64::from(most.max(1)), paid: DashMap::new() }
    }

    /// Takes one, or says how long to wait.
    pub(super) fn take(&self, key: K, now: Timestamp) -> Result<(), Duration> {
        let now = now.millis().saturating_mul(1_000_000);
        let mut paid = self.paid.entry(key).or_insert(now);
        // More than a burst ahead only if the clock was set back: then nobody pays for that.
        *paid = if *paid > now + BURST { now } else { (*paid).max(now) };
        let next = *paid + self.each;
        if next > now + BURST {
            return Err(Duration::from_nanos(next - now - BURST));
        }
        *paid = next;
        Ok(())
    }

    /// Gives back one that was taken.
    fn give_back(&self, key: &K) {
        if let Some(mut paid) = self.paid.get_mut(key) {
            *paid = paid.saturating_sub(self.each);
        }
    }
}

/// One credential that a workload has asked for: a place in its quota until this is dropped, and one of its owner's
/// rate. The latter is given back then, unless it was [spent](Self::spend): what is refused uses up nothing that is its
/// owner's.
#[derive(Debug)]
pub(super) struct Taken<'a> {
    limiters: &'a Limiters,
    workload: Position,
    owner: Option<Position>,
}

impl<'a> Taken<'a> {
    /// Takes it of the owner's rate.
    fn of(limiters: &'a Limiters, workload: Position, owner: Position, now: Timestamp) -> Result<Self, Error> {
        limiters.owners.take(owner, now).map_err(|wait| Limit::OwnerRate.after(wait))?;
        *limiters.under_way.entry(workload).or_insert(0) += 1;
        Ok(Self { limiters, workload, owner: Some(owner) })
    }

    /// It became a credential.
    pub(super) fn spend(mut self) {
        self.owner = None;
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if let Some(owner) = self.owner.take() {
            self.limiters.owners.give_back(&owner);
        }
        self.limiters.under_way.remove_if_mut(&self.workload, |_, under_way| {
            *under_way = under_way.saturating_sub(1);
            *under_way == 0
        });
    }
}

/// What is left of a quota, as of a count.
#[derive(Clone, Copy, Debug)]
struct Left {
    credentials: u64,
    counted: Timestamp,
}

/// The limits, and what was taken of them.
#[derive(Debug)]
pub(super) struct Limiters {
    quotas: Quotas,
    workloads: Rate<Position>,
    searches: Rate<Position>,
    owners: Rate<Position>,
    administrators: Rate<(SpiffeId, Action)>,
    sources: Rate<SourceName>,
    /// How many each workload has asked for that are neither refused nor answered.
    under_way: DashMap<Position, u64>,
    /// Of the workloads that are or were near their quota.
    left: DashMap<Position, Left>,
}

impl Limiters {
    pub(super) fn new(quotas: Quotas) -> Self {
        Self {
            quotas,
            workloads: Rate::per_second(quotas.workload_rate),
            searches: Rate::per_second(SEARCHES),
            owners: Rate::per_second(quotas.owner_rate),
            administrators: Rate::per_second(quotas.administrator_rate),
            sources: Rate::per_second(quotas.source_rate),
            under_way: DashMap::new(),
            left: DashMap::new(),
        }
    }

    pub(super) const fn owner_tasks(&self) -> usize {
        self.quotas.owner_tasks
    }

    /// How many exceptions of a workload may be known at a time, and how long one may hold.
    pub(super) const fn exceptions(&self) -> (usize, Duration) {
        (self.quotas.workload_exceptions, self.quotas.exception_life)
    }

    /// Counts a request of a source that provisions over SCIM.
    pub(super) fn source(&self, source: &SourceName, now: Timestamp) -> Result<(), Error> {
        self.sources.take(source.clone(), now).map_err(|wait| Limit::SourceRate.after(wait))
    }

    /// Counts a search of the ledger.
    pub(super) fn search(&self, role: &Role, now: Timestamp) -> Result<(), Error> {
        match role {
            Role::Workload(number) => self.searches.take(*number, now).map_err(|wait| Limit::Searches.after(wait)),
            Role::Administrator(_) | Role::Verifier(_) | Role::Source(_) | Role::Unknown => Ok(()),
        }
    }

    /// Counts a call that issues nothing.
    pub(super) fn call(&self, role: &Role, action: Action, now: Timestamp) -> Result<(), Error> {
        if action.revokes() {
            return Ok(());
        }
        match role {
            Role::Workload(number) => self.workloads.take(*number, now).map_err(|wait| Limit::WorkloadRate.after(wait)),
            Role::Administrator(id) => {
                self.administrators.take((id.clone(), action), now).map_err(|wait| Limit::AdministratorRate.after(wait))
            }
            // What a verifier may ask for is published, and costs nothing.
            Role::Verifier(_) | Role::Source(_) | Role::Unknown => Ok(()),
        }
    }
}

impl Broker {
    /// Counts a request to issue, before anything is decided on it, and says who asks. Whoever comes
    /// with a dead certificate is not counted: it must not use up what is its workload's.
    pub(super) fn count_issuance(&self, caller: &Caller) -> Result<(Role, Taken<'_>), Error> {
        if self.ledger.is_crowded() {
            return Err(LedgerError::Overloaded.into());
        }
        let (facts, now) = (self.ledger.facts(), self.clock.now());
        admit(caller, &facts, now)?;
        let role = Role::of(caller, &self.administrators, &facts);
        let workload = role.receives()?;
        let limiters = &self.limiters;
        limiters.workloads.take(workload, now).map_err(|wait| Limit::WorkloadRate.after(wait))?;
        // Nothing is issued to one that is not known.
        let owner = facts.workload_numbered(workload).map_or(Position::ZERO, |known| known.record.owner);
        let taken = Taken::of(limiters, workload, owner, now)?;
        self.within_quota(owner, workload, now)?;
        Ok((role, taken))
    }

    /// Whether what a workload has asked for may all live. A bound that costs nothing to know settles it for nearly
    /// all; the living are counted, at most once a second, for those that it does not settle. What is under way counts
    /// as living, and for a moment twice: between its record and its answer.
    fn within_quota(&self, owner: Position, workload: Position, now: Timestamp) -> Result<(), Error> {
        let Limiters { quotas, left, under_way, .. } = &self.limiters;
        let under_way = under_way.get(&workload).map_or(1, |under_way| *under_way);
        if self.ledger.living_at_most(workload).saturating_add(under_way) <= quotas.workload_live {
            return Ok(());
        }
        let mut left = left.entry(workload).or_insert(Left { credentials: 0, counted: Timestamp::EPOCH });
        if now.since(left.counted) >= COUNTED || left.counted > now {
            let living = self.ledger.census(Whose::Workload { owner, workload }, now).total;
            let others = under_way.saturating_sub(1);
            *left = Left { credentials: quotas.workload_live.saturating_sub(living.saturating_add(others)), counted: now };
        }
        left.credentials = left.credentials.checked_sub(1).ok_or_else(|| Limit::WorkloadLive.after(COUNTED))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_s_worth_may_come_at_once_and_then_it_is_one_at_a_time() {
        let rate = Rate::per_second(10);
        let start = Timestamp::from_seconds(1000);
        let after = |millis| start.plus(Duration::from_millis(millis));
        (0..10).for_each(|one| assert_eq!(rate.take("a", start), Ok(()), "{one}"));
        assert_eq!(rate.take("a", start), Err(Duration::from_millis(100)));
        assert_eq!(rate.take("b", start), Ok(()), "each has its own");
        assert_eq!(rate.take("a", after(99)), Err(Duration::from_millis(1)));
        assert_eq!(rate.take("a", after(100)), Ok(()));
        assert_eq!(rate.take("a", after(100)), Err(Duration::from_millis(100)));
        (0..10).for_each(|one| assert_eq!(rate.take("a", after(60_000)), Ok(()), "{one}"));
        assert!(rate.take("a", after(60_000)).is_err());
    }

    #[test]
    fn a_clock_that_is_set_back_locks_nobody_out() {
        let rate = Rate::per_second(10);
        (0..10).for_each(|one| assert_eq!(rate.take("a", Timestamp::from_seconds(9000)), Ok(()), "{one}"));
        let back = Timestamp::from_seconds(1000);
        (0..10).for_each(|one| assert_eq!(rate.take("a", back), Ok(()), "{one}"));
        assert_eq!(rate.take("a", back), Err(Duration::from_millis(100)), "and no more than that");
    }
}
