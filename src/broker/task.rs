//! Tasks: opened with a deadline, closed for good; what was issued under one dies with it.

use std::time::Duration;

use super::describe::nameless;
use super::revoke::Planned;
use super::{Broker, Error, Limits, NamedCensus, Revoked, Withdrawal, ends};
use crate::ledger::{Present, Urgency};
use crate::model::{
    Closed, Closing, Denial, DenialCode, EnvironmentName, Event, Facts, Invalid, KnownTask, Note, OwnerId, Position, Reason, Refusal,
    SpiffeId, Task, Timestamp, Whose,
};
use crate::policy::{Action, Caller, Resource};

/// How far ahead a deadline may be.
const LONGEST_TASK: Duration = Duration::from_secs(24 * 60 * 60);

/// Asks for a task.
#[derive(Clone, Debug)]
pub(crate) struct Opening {
    /// The owner; that of the calling workload if absent.
    pub owner: Option<OwnerId>,
    /// The environment.
    pub environment: EnvironmentName,
    /// The only workload that may use it.
    pub workload: Option<SpiffeId>,
    /// When it ends by itself.
    pub deadline: Timestamp,
    /// What it is for.
    pub purpose: Note,
}

/// A task, in names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskStory {
    /// Its number.
    pub number: Position,
    /// Its owner.
    pub owner: String,
    /// Its environment.
    pub environment: String,
    /// The only workload that may use it.
    pub workload: Option<String>,
    /// When it ends by itself.
    pub deadline: Timestamp,
    /// What it is for.
    pub purpose: Note,
    /// Who opened it.
    pub opened_by: SpiffeId,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// Where it was closed.
    pub closed: Option<Position>,
}

impl TaskStory {
    fn of(task: &KnownTask, facts: &Facts) -> Self {
        let record = &task.record;
        let workload =
            |number| facts.workload_numbered(number).map_or_else(|| nameless(number), |known| known.record.spiffe_id.to_string());
        Self {
            number: task.number,
            owner: facts.owner_numbered(record.owner).map_or_else(|| nameless(record.owner), |known| known.record.id.to_string()),
            environment: facts
                .environment_numbered(record.environment)
                .map_or_else(|| nameless(record.environment), |known| known.record.name.to_string()),
            workload: record.workload.map(workload),
            deadline: record.deadline,
            purpose: record.purpose.clone(),
            opened_by: record.opened_by.clone(),
            opened_at: task.opened,
            closed: task.closed.map(|closed| closed.at),
        }
    }
}

impl Broker {
    /// Opens a task.
    ///
    /// # Errors
    /// `Invalid` for a deadline that is past or too far ahead; `NotFound`; `Denied` by policy, or
    /// because owner, workload or environment are closed.
    pub(crate) async fn open_task(&self, caller: &Caller, ask: Opening) -> Result<TaskStory, Error> {
        let resolve = ask.clone();
        let actor = caller.spiffe_id.clone();
        self.authorise(caller, Action::OpenTask, |facts, now| {
            let task = task(&ask, &caller.spiffe_id, facts, now)?;
            Ok(Resource::new_task(task))
        })
        .await?;
        let most = self.limiters.owner_tasks();
        let plan = move |present: &Present<'_>| {
            let task = task(&resolve, &actor, present.facts, present.now)?;
            if present.facts.open_tasks(task.owner) >= most {
                let detail = format!("{most} tasks of this owner are open, and no more may be at a time");
                return Err(Denial::new(DenialCode::TooManyTasks, detail).into());
            }
            Ok((vec![Event::TaskOpened(task.clone())], (task, present.head.next(), present.now)))
        };
        let (_, (task, number, opened)) = self.change_when(Urgency::Postponable, Some(&caller.spiffe_id), plan).await?;
        let known = KnownTask { number, record: task.into(), opened, closed: None };
        Ok(TaskStory::of(&known, &self.ledger.facts()))
    }

    /// Closes a task for good. Idempotent: a repeated call answers the first position.
    ///
    /// # Errors
    /// `NotFound`; `Denied` by policy.
    pub(crate) async fn close_task(&self, caller: &Caller, number: Position, note: Option<Note>) -> Result<Revoked, Error> {
        let ask = Withdrawal { reason: Reason::CessationOfOperation, note, suspend: false, limits: Limits::default() };
        self.end_task(caller, number, Action::CloseTask, ask).await
    }

    /// Closes a task for a reason, as a revocation. Idempotent.
    ///
    /// # Errors
    /// `NotFound`; `Denied` by policy.
    pub(crate) async fn revoke_task(&self, caller: &Caller, number: Position, ask: Withdrawal) -> Result<Revoked, Error> {
        self.end_task(caller, number, Action::RevokeTask, ask).await
    }

    async fn end_task(&self, caller: &Caller, number: Position, action: Action, ask: Withdrawal) -> Result<Revoked, Error> {
        self.hear(caller, action)?;
        let past = self.past_task(number).await?;
        self.allow(caller, action, |facts, _| resource(number, past.as_ref(), facts)).await?;
        if let Some(at) = past.and_then(|task| task.closed).map(|closed| closed.at) {
            let ended = NamedCensus::default();
            return Ok(Revoked { position: Some(at), committed_at: None, ended, repeated: true, standing: None });
        }
        let plan = move |present: &Present<'_>| {
            let task = present.facts.task(number).ok_or_else(|| Refusal::not_found("task", number))?;
            if let Some(closed) = task.closed {
                return Ok((Vec::new(), Planned { ended: NamedCensus::default(), first: Some(closed.at), standing: None }));
            }
            let census = present.living.census(Whose::Task { owner: task.record.owner, task: number }, present.now);
            ask.limits.check(present, census.total)?;
            let planned = Planned { ended: NamedCensus::of(&census, present.facts), first: None, standing: None };
            let closing = ends::closing(present, task, ask.reason, ask.note);
            Ok(((!ask.limits.dry_run).then_some(closing).into_iter().collect(), planned))
        };
        let (committed, planned) = self.change(Some(&caller.spiffe_id), plan).await?;
        Ok(Revoked::new(&committed, planned))
    }

    /// A task that is known no more, because it closed and settled, as the ledger tells of it. What is
    /// open, not settled or never was a task has no such past.
    pub(super) async fn past_task(&self, number: Position) -> Result<Option<KnownTask>, Error> {
        if self.ledger.facts().task(number).is_some() {
            return Ok(None);
        }
        let Some(at) = self.ledger.closed_task(number).await? else { return Ok(None) };
        let entry = self.ledger.find(number).await?.and_then(|stored| stored.entry.ok());
        Ok(entry.and_then(|entry| {
            let Event::TaskOpened(task) = entry.event else { return None };
            let closed = Closed { by: Closing::CloseTask, at, settled: task.deadline };
            Some(KnownTask { number, record: task.into(), opened: entry.time, closed: Some(closed) })
        }))
    }

    /// The denial itself, but of a task that was closed so long ago that only the ledger knows it: of
    /// that, it says so.
    pub(super) async fn of_past_task(&self, denial: Denial, task: Option<Position>) -> Denial {
        let Some(number) = task.filter(|_| denial.code == DenialCode::TaskUnknown) else { return denial };
        match self.ledger.closed_task(number).await {
            Ok(Some(at)) => Denial::new(DenialCode::TaskClosed, format!("task {number} has ended, at entry {at}")),
            Ok(None) | Err(_) => denial,
        }
    }

    /// How a task stands, or where it was closed.
    ///
    /// # Errors
    /// `NotFound` for one that never was; `Denied` by policy.
    pub(crate) async fn task(&self, caller: &Caller, number: Position) -> Result<TaskStory, Error> {
        self.hear(caller, Action::ReadTask)?;
        let past = self.past_task(number).await?;
        self.allow(caller, Action::ReadTask, |facts, _| resource(number, past.as_ref(), facts)).await?;
        let facts = self.ledger.facts();
        let task = past.as_ref().or_else(|| facts.task(number)).ok_or_else(|| Refusal::not_found("task", number))?;
        Ok(TaskStory::of(task, &facts))
    }

    /// The tasks that are open, or closed and not settled, by number: of one owner or of all, at most
    /// `limit`, and whether there are more.
    ///
    /// # Errors
    /// `NotFound` for an unknown owner; `Denied`.
    pub(crate) async fn tasks(&self, caller: &Caller, owner: Option<OwnerId>, limit: usize) -> Result<(Vec<TaskStory>, bool), Error> {
        let find = |facts: &Facts| {
            let found = |id| facts.owner(id).map(|known| known.number).ok_or_else(|| Refusal::not_found("owner", id));
            owner.as_ref().map(found).transpose()
        };
        self.authorise(caller, Action::ReadTask, |facts, _| Ok(find(facts)?.map_or(Resource::System, Resource::Owner))).await?;
        let facts = self.ledger.facts();
        let owner = find(&facts)?;
        let mut tasks: Vec<_> = facts.tasks().filter(|task| owner.is_none_or(|owner| task.record.owner == owner)).collect();
        tasks.sort_by_key(|task| task.number);
        let more = tasks.len() > limit;
        Ok((tasks.into_iter().take(limit).map(|task| TaskStory::of(task, &facts)).collect(), more))
    }
}

pub(super) fn resource(number: Position, past: Option<&KnownTask>, facts: &Facts) -> Result<Resource, Refusal> {
    past.or_else(|| facts.task(number)).map(Resource::from).ok_or_else(|| Refusal::not_found("task", number))
}

/// The task that was asked for, as these facts allow it.
fn task(ask: &Opening, caller: &SpiffeId, facts: &Facts, now: Timestamp) -> Result<Task, Refusal> {
    if ask.deadline <= now || ask.deadline > now.plus(LONGEST_TASK) {
        return Err(Invalid::new("deadline", format!("it is {}; give one within 24 hours from now, {now}", ask.deadline)).into());
    }
    let environment = facts.environment(&ask.environment).ok_or_else(|| Refusal::not_found("environment", &ask.environment))?;
    let owner = match &ask.owner {
        Some(id) => facts.owner(id).ok_or_else(|| Refusal::not_found("owner", id))?,
        None => facts
            .workload(caller)
            .and_then(|workload| facts.owner_numbered(workload.record.owner))
            .ok_or_else(|| Invalid::new("owner", "the caller is no workload; name the owner under which the task runs"))?,
    };
    let workload = match &ask.workload {
        None => None,
        Some(id) => {
            let known = facts.workload(id).ok_or_else(|| Refusal::not_found("workload", id))?;
            if known.record.owner != owner.number {
                return Err(Invalid::new("workload", format!("`{id}` belongs to another owner than `{}`", owner.record.id)).into());
            }
            if !known.is_open() {
                return Err(Denial::new(DenialCode::WorkloadNotActive, format!("`{id}` is closed to issuing")).into());
            }
            Some(known.number)
        }
    };
    if !owner.is_open() {
        return Err(Denial::new(DenialCode::OwnerNotActive, format!("`{}` is closed to issuing", owner.record.id)).into());
    }
    if !environment.is_open() {
        return Err(Denial::new(DenialCode::EnvironmentNotActive, format!("`{}` is closed to issuing", ask.environment)).into());
    }
    Ok(Task {
        owner: owner.number,
        environment: environment.number,
        workload,
        deadline: ask.deadline,
        purpose: ask.purpose.clone(),
        opened_by: caller.clone(),
    })
}
