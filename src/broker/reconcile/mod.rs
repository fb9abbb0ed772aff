//! Reconciliation: what is registered against what was seen, as findings with evidence; and what is done about them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, watch};

use super::describe::nameless;
use super::enforcement::concerns_of;
use super::{Broker, Error};
use crate::ledger::{Present, Urgency};
use crate::model::{
    About, Closing, CutMade, Event, Facts, Finding, FindingAction, FindingChange, FindingKind, KnownFinding, Note, Position, Reason, Share,
    SharedBy, SpiffeId, Timestamp, Whose, cut_ends,
};
use crate::policy::{Action, Caller, Resource};

mod elsewhere;
mod findings;
mod observed;
mod plan;

use elsewhere::Elsewhere;
pub(crate) use findings::FindingStory;
use observed::Observed;
use plan::{Ground, Plan};

/// How many entries are read at once.
const CHUNK: usize = 4096;
/// The first run comes so soon after a start: by then what is read from elsewhere was read.
const AFTER_START: Duration = Duration::from_secs(60);
/// Whatever happens, a run comes so long after another.
const BETWEEN: Duration = Duration::from_secs(10);

/// What is looked for, how often, and what is done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reconciling {
    /// How often.
    pub every: Duration,
    /// Without an issuance for so long, a workload is dormant.
    pub dormant_after: Duration,
    /// The same of an environment of a workload that is in use elsewhere.
    pub unused_after: Duration,
    /// By what it is seen that one identity is in several hands.
    pub shared_by: BTreeSet<SharedBy>,
    /// How long before its end a contract is told.
    pub announce: Duration,
    /// From the first sight to the action.
    pub grace: Duration,
    /// No run closes more than this share of the open workloads, those of an owner that it closes included, nor of the
    /// open downstreams.
    pub max_acted: Share,
    /// What is done, by kind.
    pub actions: BTreeMap<FindingKind, FindingAction>,
}

impl Default for Reconciling {
    fn default() -> Self {
        let days = |days: u64| Duration::from_secs(days * 24 * 60 * 60);
        Self {
            every: Duration::from_secs(60 * 60),
            dormant_after: days(90),
            unused_after: days(90),
            shared_by: [SharedBy::Keys].into(),
            announce: days(30),
            grace: days(7),
            max_acted: Share::percent(10),
            actions: BTreeMap::new(),
        }
    }
}

impl Reconciling {
    /// What is done about a kind of finding.
    pub(crate) fn action(&self, kind: FindingKind) -> FindingAction {
        self.actions.get(&kind).copied().unwrap_or_else(|| kind.default_action())
    }

    /// What is to be done about a finding beyond telling it, and from when on; nothing if it was done.
    fn due(&self, open: &KnownFinding) -> Option<(FindingAction, Timestamp)> {
        let action = self.action(open.record.kind);
        let acts = matches!(action, FindingAction::Suspend | FindingAction::Revoke) && open.record.can_be_acted_on();
        open.due(self.grace).filter(|_| acts).map(|due| (action, due))
    }
}

/// What reconciliation remembers.
#[derive(Debug)]
pub(super) struct Reconciliation {
    settings: Reconciling,
    /// One run at a time.
    observed: Mutex<Observed>,
    /// What the last run did not do, since it was too much at once.
    held: AtomicUsize,
}

impl Reconciliation {
    pub(super) fn new(settings: Reconciling) -> Self {
        Self { settings, observed: Mutex::default(), held: AtomicUsize::new(0) }
    }
}

/// What a run did, or would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reconciled {
    /// Each thing by itself.
    pub steps: Vec<Step>,
    /// What is not done, since it is too much at once.
    pub held: usize,
    /// How many workloads were looked at.
    pub workloads: usize,
}

/// One thing that a run does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// raise, resolve, suspend, revoke, or held.
    pub what: &'static str,
    /// The number of the finding; absent if it is raised.
    pub number: Option<Position>,
    /// Which sort of finding.
    pub kind: FindingKind,
    /// What it is about, by name.
    pub about: String,
    /// For people.
    pub detail: Note,
}

impl Broker {
    /// Compares and acts now, or says what that would do.
    ///
    /// # Errors
    /// `Denied` by policy; if the ledger cannot be read or written.
    pub(crate) async fn reconcile(&self, caller: &Caller, dry_run: bool) -> Result<Reconciled, Error> {
        self.authorise(caller, Action::Reconcile, |_, _| Ok(Resource::System)).await?;
        self.run(Some(caller.spiffe_id.clone()), dry_run).await
    }

    /// Compares and acts soon after the start, at its times, and as soon as something else is said of whoever answers
    /// for what is registered, until it is dropped.
    pub(crate) async fn keep_reconciling(&self, failed: impl Fn() + Send) {
        let (every, mut changes) = (self.reconciliation.settings.every, self.ledger.watch());
        self.clock.sleep(every.min(AFTER_START)).await;
        loop {
            match self.run(None, false).await {
                Ok(run) if run.held > 0 => {
                    tracing::error!(
                        held = run.held,
                        "nothing was done about findings: it would have been too much at once; see `curfew reconcile --dry-run`"
                    );
                }
                Ok(run) => tracing::info!(steps = run.steps.len(), workloads = run.workloads, "reconciled"),
                Err(error) => {
                    tracing::error!(%error, "what is registered could not be reconciled");
                    failed();
                }
            }
            self.clock.sleep(every.min(BETWEEN)).await;
            tokio::select! {
                () = self.clock.sleep(every.saturating_sub(BETWEEN)) => {}
                () = self.news(&mut changes) => {}
            }
        }
    }

    /// Resolves once entries say something else of whoever answers for what is registered.
    async fn news(&self, changes: &mut watch::Receiver<Position>) {
        while changes.changed().await.is_ok() {
            let mut observed = self.reconciliation.observed.lock().await;
            // What cannot be read now is read by the next run.
            if self.observe(&mut observed).await.is_ok() && observed.takes_news() {
                return;
            }
        }
        std::future::pending::<()>().await;
    }

    /// How many findings are open, how many of them matter most, and how many actions the last run held back.
    pub(crate) fn findings_count(&self) -> (usize, usize, usize) {
        let facts = self.ledger.facts();
        let high = facts.findings().iter().filter(|known| known.record.kind.severity() == crate::model::Severity::High).count();
        (facts.findings().iter().count(), high, self.reconciliation.held.load(Ordering::Relaxed))
    }

    async fn run(&self, actor: Option<SpiffeId>, dry_run: bool) -> Result<Reconciled, Error> {
        let mut observed = self.reconciliation.observed.lock().await;
        self.observe(&mut observed).await?;
        observed.takes_news();
        let settings = &self.reconciliation.settings;
        let ground = {
            let facts = self.ledger.facts();
            let elsewhere = Elsewhere { existing: self.sources.existing(), everybody: self.sources.everybody(&facts) };
            Ground::of(&facts, elsewhere)
        };
        let plan = plan::plan(&ground, &observed, settings, self.clock.now());
        let answer = Reconciled { steps: self.steps(&plan), held: plan.held.len(), workloads: ground.workloads.len() };
        if !dry_run {
            self.reconciliation.held.store(answer.held, Ordering::Relaxed);
            // What was planned outside of the transaction is done only where it still fits.
            let doing = move |present: &Present<'_>| Ok((events(&plan, present), ()));
            self.change_when(Urgency::Ordinary, actor.as_ref(), doing).await?;
        }
        Ok(answer)
    }

    /// Looks at the entries that were not looked at, in small steps.
    async fn observe(&self, observed: &mut Observed) -> Result<(), Error> {
        let settings = &self.reconciliation.settings;
        let mut next = match observed.next {
            Some(next) => next,
            None => {
                let since = self.clock.now().minus(settings.dormant_after.max(settings.unused_after));
                let first = self.ledger.first_since(since).await?;
                observed.since = if first <= Position::BROKER { Timestamp::EPOCH } else { since };
                first.max(Position::BROKER)
            }
        };
        let head = self.ledger.head().position;
        while next <= head {
            let chunk = self.ledger.entries(next, CHUNK).await?;
            let Some(last) = chunk.last().map(|stored| stored.position) else { break };
            // What cannot be read shows nothing.
            chunk.iter().filter_map(|stored| stored.entry.as_ref().ok()).for_each(|entry| observed.take(entry));
            next = last.next();
            // Each is taken once, also if nobody waits for the rest.
            observed.next = Some(next);
        }
        Ok(())
    }

    fn steps(&self, plan: &Plan) -> Vec<Step> {
        let facts = self.ledger.facts();
        let of = |what: &'static str, number: Position| {
            let known = facts.findings().get(number)?;
            Some(step(what, Some(number), &known.record, &facts))
        };
        let raised = plan.raise.iter().map(|finding| step("raise", None, finding, &facts));
        let resolved = plan.resolve.iter().filter_map(|number| of("resolve", *number));
        let acted = plan.act.iter().filter_map(|(number, action)| of(action.as_str(), *number));
        let held = plan.held.iter().filter_map(|(number, _)| of("held", *number));
        raised.chain(resolved).chain(acted).chain(held).collect()
    }
}

fn step(what: &'static str, number: Option<Position>, finding: &Finding, facts: &Facts) -> Step {
    Step { what, number, kind: finding.kind, about: name(&finding.about, facts), detail: finding.detail.clone() }
}

fn name(about: &About, facts: &Facts) -> String {
    match about {
        About::Identity(identity) => identity.to_string(),
        About::Finding(number) => format!("finding {number}"),
        About::Subject(number) => {
            let workload = facts.workload_numbered(*number).map(|known| known.record.spiffe_id.to_string());
            let owner = || facts.owner_numbered(*number).map(|known| known.record.id.to_string());
            // An owner may be called the same.
            let downstream = || facts.downstream_numbered(*number).map(|known| format!("downstream {}", known.record.name));
            workload.or_else(owner).or_else(downstream).unwrap_or_else(|| nameless(*number))
        }
    }
}

/// What a plan says, where it still fits.
fn events(plan: &Plan, present: &Present<'_>) -> Vec<Event> {
    let findings = present.facts.findings();
    let still = |number: &Position| findings.get(*number).is_some();
    // A downstream or a finding may be gone by now.
    let is_there = |about: &About| match about {
        About::Subject(number) => present.facts.is_answered_for(*number),
        About::Finding(number) => still(number),
        About::Identity(_) => true,
    };
    let new = plan.raise.iter().filter(|finding| findings.about(finding.kind, &finding.about).is_none() && is_there(&finding.about));
    let mut events: Vec<Event> = new.map(|finding| Event::FindingRaised(Box::new(finding.clone()))).collect();
    let change = |number: Position, change: FindingChange| Event::FindingChanged { number, change, note: None };
    events.extend(plan.seen.iter().copied().filter(still).map(|number| change(number, FindingChange::Seen)));
    events.extend(plan.resolve.iter().copied().filter(still).map(|number| change(number, FindingChange::Resolved)));
    for (number, action) in &plan.act {
        let fits = |known: &&KnownFinding| known.awaits_action(present.now) && !woke(known, present);
        let Some(known) = findings.get(*number).filter(fits) else { continue };
        if let Some(cut) = ending(known, *action, present) {
            events.extend([cut, change(*number, FindingChange::Acted(*action))]);
        }
    }
    events
}

/// Whether something lives of a workload that was dormant when it was looked at: it was issued since.
fn woke(known: &KnownFinding, present: &Present<'_>) -> bool {
    let About::Subject(workload) = known.record.about else { return false };
    let owner = present.facts.workload_numbered(workload).map(|known| known.record.owner);
    let lives = |owner| present.living.census(Whose::Workload { owner, workload }, present.now).total > 0;
    known.record.kind == FindingKind::Dormant && owner.is_some_and(lives)
}

/// The cut that is made because of a finding; none if its subject is closed already.
fn ending(known: &KnownFinding, action: FindingAction, present: &Present<'_>) -> Option<Event> {
    let About::Subject(number) = known.record.about else { return None };
    let facts = present.facts;
    let workload = facts.workload_numbered(number).filter(|known| known.is_open());
    let workload = workload.map(|known| Whose::Workload { owner: known.record.owner, workload: number });
    let owner = || facts.owner_numbered(number).filter(|known| known.is_open()).map(|_| Whose::Owner(number));
    let downstream = || facts.downstream_numbered(number).filter(|known| known.is_open()).map(|_| Whose::Bearing(number));
    let whose = workload.or_else(owner).or_else(downstream)?;
    let (closing, reason) = match action {
        FindingAction::Suspend => (Closing::Suspend, Reason::PrivilegeWithdrawn),
        FindingAction::Revoke => (Closing::Offboard, Reason::CessationOfOperation),
        FindingAction::Report | FindingAction::Ignore => return None,
    };
    let note = format!("finding {}: {}", known.number, known.record.kind).parse().ok();
    let (ends, concerns) = (cut_ends(present.latest_expiry, present.now), Some(concerns_of(present, whose, number)));
    Some(Event::Cut(CutMade { number, reason, ends, closing, note, concerns, source: None }))
}
