//! Exceptions: asked for by one, approved by another, and over by themselves.

use super::describe::nameless;
use super::ends::last_expiry;
use super::enforcement::concerns_of;
use super::revoke::Planned;
use super::{Broker, Error, Limits, NamedCensus, Revoked};
use crate::ledger::{Present, Urgency};
use crate::model::{
    Audience, Closing, CutMade, Denial, DenialCode, EnvironmentName, Event, Exception, Facts, Invalid, KnownException, Note, Position,
    Reason, Refusal, Scope, SpiffeId, Timestamp, Whose, cut_ends,
};
use crate::policy::{Action, Caller, Resource};

/// Asks for an exception.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// For whom; the calling workload if absent.
    pub workload: Option<SpiffeId>,
    /// Where.
    pub environment: EnvironmentName,
    /// The audience of the tokens; absent for certificates.
    pub audience: Option<Audience>,
    /// The scopes that an access token may have.
    pub scopes: Vec<Scope>,
    /// When it ends by itself.
    pub until: Timestamp,
    /// Why it is needed.
    pub purpose: Note,
}

/// An exception, in names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExceptionStory {
    /// What is known of it.
    pub known: KnownException,
    /// Whose it is.
    pub workload: String,
    /// Where it holds.
    pub environment: String,
    /// How it stands.
    pub state: ExceptionState,
    /// How many credentials live that were issued by it.
    pub living: u64,
}

/// How an exception stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExceptionState {
    /// Nobody has approved it.
    Requested,
    /// It holds.
    Active,
    /// It came to its end.
    Expired,
    /// It was ended before.
    Revoked,
}

impl ExceptionState {
    fn of(known: &KnownException, now: Timestamp) -> Self {
        match (known.ended, &known.approved) {
            (Some(_), _) => Self::Revoked,
            _ if known.is_over(now) => Self::Expired,
            (None, Some(_)) => Self::Active,
            (None, None) => Self::Requested,
        }
    }
}

impl Asked {
    /// The exception as these facts allow it.
    fn exception(self, caller: &SpiffeId, facts: &Facts) -> Result<Exception, Refusal> {
        let id = self.workload.unwrap_or_else(|| caller.clone());
        let workload = facts.workload(&id).ok_or_else(|| Refusal::not_found("workload", &id))?;
        let environment = facts.environment(&self.environment).ok_or_else(|| Refusal::not_found("environment", &self.environment))?;
        if !workload.record.environments.contains(&environment.number) {
            let problem = format!("`{id}` may not act in it: that is a matter of the registry, and not of an exception");
            return Err(Invalid::new("environment", problem).into());
        }
        if self.audience.is_none() && !self.scopes.is_empty() {
            return Err(Invalid::new("scopes", "only tokens have scopes; name an audience, or leave them out").into());
        }
        Ok(Exception {
            workload: workload.number,
            environment: environment.number,
            audience: self.audience,
            scopes: self.scopes,
            until: self.until,
            purpose: self.purpose,
            requested_by: caller.clone(),
        })
    }
}

impl Broker {
    /// Asks for an exception. Nothing is allowed by it until somebody else approves it.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` for an end that is past or too far ahead; `Denied` by policy, or because
    /// too many are known of the workload.
    pub(crate) async fn request_exception(&self, caller: &Caller, ask: Asked) -> Result<ExceptionStory, Error> {
        let (whom, actor) = (ask.clone(), caller.spiffe_id.clone());
        self.authorise(caller, Action::RequestException, |facts, _| {
            Ok(Resource::Workload(whom.exception(&caller.spiffe_id, facts)?.workload))
        })
        .await?;
        let (most, longest) = self.limiters.exceptions();
        let plan = move |present: &Present<'_>| {
            let exception = ask.exception(&actor, present.facts)?;
            if exception.until <= present.now || exception.until > present.now.plus(longest) {
                let latest = present.now.plus(longest);
                let problem = format!("it is {}; give an instant after now, {}, and not after {latest}", exception.until, present.now);
                return Err(Invalid::new("until", problem).into());
            }
            if present.facts.exceptions().of(exception.workload).count() >= most {
                let detail = format!("{most} exceptions of this workload are known, and no more may be at a time");
                return Err(Denial::new(DenialCode::TooManyExceptions, detail).into());
            }
            Ok((vec![Event::ExceptionRequested(Box::new(exception))], present.head.next()))
        };
        let (_, number) = self.change_when(Urgency::Postponable, Some(&caller.spiffe_id), plan).await?;
        self.story_of(number)
    }

    /// Approves an exception that somebody else asked for. Idempotent.
    ///
    /// # Errors
    /// `NotFound`; `Denied` by policy, if the caller asked for it, or if it is over.
    pub(crate) async fn approve_exception(&self, caller: &Caller, number: Position, note: Option<Note>) -> Result<ExceptionStory, Error> {
        self.authorise(caller, Action::ApproveException, |facts, _| resource(number, facts)).await?;
        let approver = caller.spiffe_id.clone();
        let plan = move |present: &Present<'_>| {
            let known = find(number, present.facts)?;
            if known.record.requested_by == approver {
                return Err(Denial::new(DenialCode::OwnException, format!("`{approver}` asked for exception {number}")).into());
            }
            if known.is_over(present.now) {
                return Err(Denial::new(DenialCode::ExceptionOver, format!("exception {number} has ended")).into());
            }
            let approved = Event::ExceptionApproved { number, note };
            Ok((known.approved.is_none().then_some(approved).into_iter().collect(), ()))
        };
        self.change(Some(&caller.spiffe_id), plan).await?;
        self.story_of(number)
    }

    /// Ends an exception, and everything that was issued by it. One that nobody approved is so declined. Idempotent.
    ///
    /// # Errors
    /// `NotFound`; `Denied` by policy or by a limit.
    pub(crate) async fn revoke_exception(
        &self,
        caller: &Caller,
        number: Position,
        (reason, note): (Reason, Option<Note>),
        limits: Limits,
    ) -> Result<Revoked, Error> {
        self.authorise(caller, Action::RevokeException, |facts, _| resource(number, facts)).await?;
        let plan = move |present: &Present<'_>| {
            let known = find(number, present.facts)?;
            if let Some(at) = known.ended {
                return Ok((Vec::new(), Planned { ended: NamedCensus::default(), first: Some(at), standing: None }));
            }
            let whose = Whose::Bearing(number);
            let census = present.living.census(whose, present.now);
            limits.check(present, census.total)?;
            let planned = Planned { ended: NamedCensus::of(&census, present.facts), first: None, standing: None };
            // What is decided and not yet recorded is decided again, since the exception has ended.
            let ends = last_expiry(present, whose).and_then(|last_expiry| cut_ends(last_expiry, present.now));
            let concerns = Some(concerns_of(present, whose, number));
            let cut = Event::Cut(CutMade { number, reason, ends, closing: Closing::EndException, note, concerns, source: None });
            Ok(((!limits.dry_run).then_some(cut).into_iter().collect(), planned))
        };
        let (committed, planned) = self.change(Some(&caller.spiffe_id), plan).await?;
        Ok(Revoked::new(&committed, planned))
    }

    /// How an exception stands.
    ///
    /// # Errors
    /// `NotFound`, also for one that has been over for long; `Denied` by policy.
    pub(crate) async fn exception(&self, caller: &Caller, number: Position) -> Result<ExceptionStory, Error> {
        self.authorise(caller, Action::ReadException, |facts, _| resource(number, facts)).await?;
        self.story_of(number)
    }

    /// The exceptions of a workload or of all, by number: at most `limit`, and whether there are more.
    ///
    /// # Errors
    /// `NotFound` for an unknown workload; `Denied` by policy.
    pub(crate) async fn exceptions(
        &self,
        caller: &Caller,
        workload: Option<SpiffeId>,
        limit: usize,
    ) -> Result<(Vec<ExceptionStory>, bool), Error> {
        let find = |facts: &Facts| {
            let found = |id| facts.workload(id).map(|known| known.number).ok_or_else(|| Refusal::not_found("workload", id));
            workload.as_ref().map(found).transpose()
        };
        self.authorise(caller, Action::ReadException, |facts, _| Ok(find(facts)?.map_or(Resource::System, Resource::Workload))).await?;
        let mut numbers: Vec<Position> = {
            let facts = self.ledger.facts();
            match find(&facts)? {
                Some(workload) => facts.exceptions().of(workload).map(|known| known.number).take(limit + 1).collect(),
                None => facts.exceptions().iter().map(|known| known.number).take(limit + 1).collect(),
            }
        };
        let more = numbers.len() > limit;
        numbers.truncate(limit);
        // One that was forgotten meanwhile is left out.
        Ok((numbers.into_iter().filter_map(|number| self.story_of(number).ok()).collect(), more))
    }

    fn story_of(&self, number: Position) -> Result<ExceptionStory, Error> {
        let now = self.clock.now();
        let living = self.ledger.census(Whose::Bearing(number), now).total;
        let facts = self.ledger.facts();
        let known = find(number, &facts)?;
        let workload = facts.workload_numbered(known.record.workload).map(|known| known.record.spiffe_id.to_string());
        let environment = facts.environment_numbered(known.record.environment).map(|known| known.record.name.to_string());
        Ok(ExceptionStory {
            workload: workload.unwrap_or_else(|| nameless(known.record.workload)),
            environment: environment.unwrap_or_else(|| nameless(known.record.environment)),
            state: ExceptionState::of(known, now),
            known: known.clone(),
            living,
        })
    }
}

fn find(number: Position, facts: &Facts) -> Result<&KnownException, Refusal> {
    facts.exceptions().get(number).ok_or_else(|| Refusal::not_found("exception", number))
}

fn resource(number: Position, facts: &Facts) -> Result<Resource, Refusal> {
    Ok(Resource::Workload(find(number, facts)?.record.workload))
}
