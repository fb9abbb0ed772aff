//! Owners, as they are shown.

use super::{Broker, Error, NamedCensus};
use crate::model::{Facts, Known, Origin, Owner, OwnerId, Position, Refusal, Standing, Timestamp, Whose};
use crate::policy::{Action, Caller, Resource};

/// An owner, in names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerStory {
    /// Its number.
    pub number: Position,
    /// What is recorded of it.
    pub record: Owner,
    /// Where that comes from; an administrator if absent.
    pub origin: Option<Origin>,
    /// When its contract ends: the earliest end of its record and of the contracts that sources name.
    pub contract_end: Option<Timestamp>,
    /// Where it stands.
    pub standing: Standing,
    /// Where it was closed.
    pub closed: Option<Position>,
    /// Its registered workloads; only where one owner is asked for.
    pub workloads: Vec<String>,
    /// What is alive under it; only where one owner is asked for.
    pub living: Option<NamedCensus>,
}

impl OwnerStory {
    fn of(known: &Known<Owner>, facts: &Facts, now: Timestamp) -> Self {
        Self {
            number: known.number,
            record: (*known.record).clone(),
            origin: known.origin.clone(),
            contract_end: facts.contract_end(known),
            standing: known.standing(now),
            closed: known.closed.or(known.absent).map(|closed| closed.at),
            workloads: Vec::new(),
            living: None,
        }
    }
}

fn find<'a>(facts: &'a Facts, id: &OwnerId) -> Result<&'a Known<Owner>, Refusal> {
    facts.owner(id).ok_or_else(|| Refusal::not_found("owner", id))
}

impl Broker {
    /// What is known of an owner, and what is alive under it.
    ///
    /// # Errors
    /// `NotFound`; `Denied` by policy.
    pub(crate) async fn owner(&self, caller: &Caller, id: &OwnerId) -> Result<OwnerStory, Error> {
        self.authorise(caller, Action::ReadOwner, |facts, _| Ok(Resource::Owner(find(facts, id)?.number))).await?;
        let now = self.clock.now();
        let facts = self.ledger.facts();
        let known = find(&facts, id)?;
        let census = self.ledger.census(Whose::Owner(known.number), now);
        let registered = facts.workloads().filter(|workload| workload.record.owner == known.number && workload.is_registered());
        let mut workloads: Vec<_> = registered.map(|workload| workload.record.spiffe_id.to_string()).collect();
        workloads.sort();
        Ok(OwnerStory { workloads, living: Some(NamedCensus::of(&census, &facts)), ..OwnerStory::of(known, &facts, now) })
    }

    /// At most `limit` owners by id, after `after`; and whether there are more.
    ///
    /// # Errors
    /// `Denied` by policy.
    pub(crate) async fn owners(&self, caller: &Caller, after: Option<&OwnerId>, limit: usize) -> Result<(Vec<OwnerStory>, bool), Error> {
        self.authorise(caller, Action::ReadOwner, |_, _| Ok(Resource::System)).await?;
        let now = self.clock.now();
        let facts = self.ledger.facts();
        let mut owners: Vec<_> = facts.owners().filter(|known| after.is_none_or(|after| known.record.id > *after)).collect();
        owners.sort_by(|one, other| one.record.id.cmp(&other.record.id));
        let more = owners.len() > limit;
        Ok((owners.into_iter().take(limit).map(|known| OwnerStory::of(known, &facts, now)).collect(), more))
    }

    /// Counts what revoking the owner would end.
    ///
    /// # Errors
    /// `NotFound`; `Denied` by policy.
    pub(crate) async fn preview(&self, caller: &Caller, id: &OwnerId) -> Result<(Standing, NamedCensus), Error> {
        self.authorise(caller, Action::PreviewRevocation, |facts, _| Ok(Resource::Owner(find(facts, id)?.number))).await?;
        let now = self.clock.now();
        let facts = self.ledger.facts();
        let known = find(&facts, id)?;
        let census = self.ledger.census(Whose::Owner(known.number), now);
        Ok((known.standing(now), NamedCensus::of(&census, &facts)))
    }
}
