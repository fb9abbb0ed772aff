//! Revoking: one cut ends everything of a subject, and closes it to issuing.

use std::sync::Arc;

use super::enforcement::{Carried, concerns};
use super::{Broker, Error, NamedCensus, downstream, required};
use crate::ledger::Present;
use crate::model::{
    Closed, Closing, CutMade, Denial, DenialCode, DownstreamName, EnvironmentName, Event, Facts, Invalid, Known, Note, OwnerId, Position,
    Reason, Refusal, SpiffeId, Standing, Timestamp, Whose, cut_ends,
};
use crate::policy::{Action, Caller, Resource};

/// A subject that can be closed to issuing and reinstated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// An owner.
    Owner(OwnerId),
    /// A workload.
    Workload(SpiffeId),
    /// An environment.
    Environment(EnvironmentName),
    /// A downstream: of what was issued for it, tokens alone.
    Downstream(DownstreamName),
}

/// Why and how something is revoked.
#[derive(Clone, Debug)]
pub(crate) struct Withdrawal {
    /// Why, for verifiers.
    pub reason: Reason,
    /// Why, for people.
    pub note: Option<Note>,
    /// Expected back.
    pub suspend: bool,
    /// How far it may go.
    pub limits: Limits,
}

/// How far a revocation may go.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Limits {
    /// Check and count, change nothing.
    pub dry_run: bool,
    /// Refuse if more living credentials would end.
    pub max_affected: Option<u64>,
}

/// What a revocation did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Revoked {
    /// Where the cut stands, the first one if it is repeated; absent in a dry run.
    pub position: Option<Position>,
    /// When it was committed; absent if it is repeated, or in a dry run.
    pub committed_at: Option<Timestamp>,
    /// What was alive and has ended; nothing if it is repeated.
    pub ended: NamedCensus,
    /// Whether it had been revoked before.
    pub repeated: bool,
    /// Where the subject stands now, if it has a standing.
    pub standing: Option<Standing>,
}

/// What a reinstatement did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reinstated {
    /// Where it stands; absent if the subject was open.
    pub position: Option<Position>,
}

/// What a plan says of the cut that it makes.
pub(super) struct Planned {
    pub(super) ended: NamedCensus,
    /// The cut of an earlier call.
    pub(super) first: Option<Position>,
    pub(super) standing: Option<Standing>,
}

/// A subject as a plan finds it.
struct Found {
    number: Position,
    closed: Option<Closed>,
    /// The first of all that close it.
    first: Option<Closed>,
    whose: Whose,
}

impl Found {
    fn of<T>(known: &Known<T>, whose: Whose) -> Self {
        Self { number: known.number, closed: known.closed, first: known.closings().next(), whose }
    }
}

impl Target {
    fn find(&self, facts: &Facts) -> Result<Found, Refusal> {
        match self {
            Self::Owner(id) => {
                let known = facts.owner(id).ok_or_else(|| Refusal::not_found("owner", id))?;
                Ok(Found::of(known, Whose::Owner(known.number)))
            }
            Self::Workload(id) => {
                let known = facts.workload(id).ok_or_else(|| Refusal::not_found("workload", id))?;
                Ok(Found::of(known, Whose::Workload { owner: known.record.owner, workload: known.number }))
            }
            Self::Environment(name) => {
                let known = facts.environment(name).ok_or_else(|| Refusal::not_found("environment", name))?;
                Ok(Found::of(known, Whose::Environment(known.number)))
            }
            Self::Downstream(name) => {
                let known = downstream::find(name, facts)?;
                Ok(Found::of(known, Whose::Bearing(known.number)))
            }
        }
    }

    /// When it ends by itself.
    fn end(&self, facts: &Facts) -> Option<Timestamp> {
        match self {
            Self::Owner(id) => facts.contract_end(facts.owner(id)?),
            Self::Workload(id) => facts.workload(id)?.record.valid_until,
            Self::Environment(_) | Self::Downstream(_) => None,
        }
    }

    /// The word for what it is.
    const fn word(&self) -> &'static str {
        match self {
            Self::Owner(_) => "owner",
            Self::Workload(_) => "workload",
            Self::Environment(_) => "environment",
            Self::Downstream(_) => "downstream",
        }
    }

    fn resource(&self, facts: &Facts) -> Result<Resource, Refusal> {
        let number = self.find(facts)?.number;
        Ok(match self {
            Self::Owner(_) => Resource::Owner(number),
            Self::Workload(_) => Resource::Workload(number),
            Self::Environment(_) => Resource::Environment(number),
            Self::Downstream(name) => Resource::Downstream(Arc::clone(&downstream::find(name, facts)?.record)),
        })
    }

    const fn revoking(&self) -> Action {
        match self {
            Self::Owner(_) => Action::RevokeOwner,
            Self::Workload(_) => Action::RevokeWorkload,
            Self::Environment(_) => Action::RevokeEnvironment,
            Self::Downstream(_) => Action::RevokeDownstream,
        }
    }

    const fn reinstating(&self) -> Action {
        match self {
            Self::Owner(_) => Action::ReinstateOwner,
            Self::Workload(_) => Action::ReinstateWorkload,
            Self::Environment(_) => Action::ReinstateEnvironment,
            Self::Downstream(_) => Action::ReinstateDownstream,
        }
    }
}

impl Limits {
    /// Refuses to end more than was allowed.
    pub(super) fn check(self, present: &Present<'_>, total: u64) -> Result<(), Denial> {
        match self.max_affected {
            Some(_) if present.living.may_be_low(present.now) => Err(Denial::new(
                DenialCode::MaxAffectedExceeded,
                "not everything that lives could be counted again at the start, so no limit can be held; repeat without one",
            )),
            Some(most) if total > most => Err(Denial::new(
                DenialCode::MaxAffectedExceeded,
                format!("{total} living credentials would end, and at most {most} were allowed"),
            )),
            _ => Ok(()),
        }
    }
}

impl Revoked {
    /// What is answered for a planned cut that was committed, or was not to be.
    pub(super) fn new(committed: &crate::ledger::Committed, planned: Planned) -> Self {
        Self {
            position: committed.first.or(planned.first),
            committed_at: committed.first.map(|_| committed.time),
            ended: planned.ended,
            repeated: planned.first.is_some(),
            standing: planned.standing,
        }
    }
}

impl Broker {
    /// Ends everything issued under the target before now, and closes it to issuing. Idempotent:
    /// a repeated call answers the first position. Suspending what is offboarded changes nothing;
    /// offboarding what is suspended makes another cut.
    ///
    /// # Errors
    /// `NotFound` for an unknown name; `Denied` by policy or by a limit.
    pub(crate) async fn revoke(&self, caller: &Caller, target: Target, ask: Withdrawal) -> Result<Revoked, Error> {
        let action = if ask.limits.dry_run && matches!(target, Target::Owner(_)) { Action::PreviewRevocation } else { target.revoking() };
        self.authorise(caller, action, |facts, _| target.resource(facts)).await?;
        let number = target.find(&self.ledger.facts())?.number;
        let carried = self.carried(number).await;
        let plan = move |present: &Present<'_>| plan(present, &target, ask, &carried);
        let (committed, planned) = self.change(Some(&caller.spiffe_id), plan).await?;
        Ok(Revoked::new(&committed, planned))
    }

    /// Opens the target to issuing again. Revives nothing.
    ///
    /// # Errors
    /// `NotFound` for an unknown name; `Invalid` without a note, or if it ended by itself and would end again
    /// at once; `Denied` by policy, or if it waits for its owner and nothing else.
    pub(crate) async fn reinstate(&self, caller: &Caller, target: Target, note: Option<Note>) -> Result<Reinstated, Error> {
        let note = required(note)?;
        self.authorise(caller, target.reinstating(), |facts, _| target.resource(facts)).await?;
        let plan = move |present: &Present<'_>| {
            let found = target.find(present.facts)?;
            if let Some(end) = target.end(present.facts).filter(|end| *end <= present.now) {
                let what = format!("it ended by itself at {end}; record a later end in the registry first");
                return Err(Invalid::new(target.word(), what).into());
            }
            if let Some(moved) = found.first.filter(|first| first.by == Closing::AwaitOwner) {
                let detail = format!("it was moved to another owner at position {}, and nothing else keeps it closed", moved.at);
                return Err(Denial::new(DenialCode::WorkloadAwaitsOwner, detail).into());
            }
            let event = Event::Reinstated { number: found.number, note: Some(note) };
            Ok((found.closed.map(|_| event).into_iter().collect(), ()))
        };
        let (committed, ()) = self.change(Some(&caller.spiffe_id), plan).await?;
        Ok(Reinstated { position: committed.first })
    }
}

fn plan(present: &Present<'_>, target: &Target, ask: Withdrawal, carried: &Carried) -> Result<(Vec<Event>, Planned), Refusal> {
    let found = target.find(present.facts)?;
    let closing = if ask.suspend { Closing::Suspend } else { Closing::Offboard };
    if let Some(closed) = found.closed.filter(|closed| closed.by == closing || closed.by == Closing::Offboard) {
        let standing = Some(closed.standing(present.now));
        return Ok((Vec::new(), Planned { ended: NamedCensus::default(), first: Some(closed.at), standing }));
    }
    let census = present.living.census(found.whose, present.now);
    ask.limits.check(present, census.total)?;
    let ended = NamedCensus::of(&census, present.facts);
    if ask.limits.dry_run {
        let standing = found.first.map_or(Standing::Active, |closed| closed.standing(present.now));
        return Ok((Vec::new(), Planned { ended, first: None, standing: Some(standing) }));
    }
    let ends = cut_ends(present.latest_expiry, present.now);
    let made = Closed { by: closing, at: present.head.next(), settled: ends.unwrap_or(present.now) };
    let concerns = Some(concerns(present, &census, (found.number, carried)));
    let cut = CutMade { number: found.number, reason: ask.reason, ends, closing, note: ask.note, concerns, source: None };
    Ok((vec![Event::Cut(cut)], Planned { ended, first: None, standing: Some(made.standing(present.now)) }))
}
