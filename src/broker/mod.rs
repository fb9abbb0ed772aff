//! Use cases, free of transport: issue, task, revoke, registry, inspect.
//!
//! Each takes the caller as its certificate proves it. Everything is authorised by policy; what
//! changes something is decided inside the transaction that commits it.

use std::collections::BTreeSet;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;

use limits::Limiters;

use crate::ambient::{Clock, Entropy};
use crate::formats::status_index::Indices;
use crate::formats::urls::Urls;
use crate::keys::Keyring;
use crate::ledger::{Change, Committed, Ledger, Present, Urgency};
use crate::mint::Minter;
use crate::model::{Denial, DenialCode, Event, Facts, Known, Note, Position, Refusal, SpiffeId, Timestamp};
use crate::policy::{Action, Caller, Engine, Resource, Role, admit};

mod census;
mod credential;
mod describe;
mod downstream;
mod ends;
mod enforcement;
mod error;
mod exception;
mod explain;
mod follow;
mod followers;
mod inspect;
mod issue;
mod keys;
mod limits;
mod moving;
mod open;
mod owner;
mod policy;
mod reads;
mod reconcile;
mod recovery;
mod refusals;
mod registry;
mod report;
mod revoke;
mod scim;
mod search;
mod source;
mod story;
mod task;
mod whoami;

pub(crate) use census::NamedCensus;
pub(crate) use credential::{CredentialStory, Death};
pub(crate) use enforcement::{AtDownstream, Confirmed, Progress, Stage};
pub(crate) use error::Error;
pub(crate) use error::Limit;
pub(crate) use exception::{Asked, ExceptionState, ExceptionStory};
pub(crate) use explain::{Explained, Object, Proposal, Question, Whom};
pub(crate) use follow::Watching;
pub(crate) use followers::{Confirmation, FollowerState, FollowerStory, Followers, Handed, Point, SilentDownstream};
pub(crate) use inspect::LedgerRow;
pub(crate) use issue::{CertificateRequest, Issuance, TokenRequest};
pub(crate) use keys::{Keeping, KeyState, KeyStory};
pub(crate) use limits::Quotas;
pub(crate) use open::OpenError;
pub(crate) use owner::OwnerStory;
pub(crate) use reconcile::{FindingStory, Reconciling, Step};
pub(crate) use registry::{Checked, ClosedRecord, Exported};
pub(crate) use revoke::{Limits, Revoked, Target, Withdrawal};
pub(crate) use scim::{Provisioning, Rules, Trouble, What, Write};
pub(crate) use search::Wanted;
pub(crate) use source::{Covers, Declared, Doubted, Said, SourceKind, SourceStory};
pub(crate) use story::{End, WholeStory};
pub(crate) use task::{Opening, TaskStory};
pub(crate) use whoami::Allowance;

/// How many credentials are signed by one key at a time; the others wait without a thread.
const SIGNING: usize = 128;

/// The broker.
#[derive(Debug)]
pub(crate) struct Broker {
    ledger: Arc<dyn Ledger>,
    engine: ArcSwap<Engine>,
    keyring: Arc<Keyring>,
    keeping: Keeping,
    spares: keys::Spares,
    minter: Minter,
    /// Turns of signing, for each key by itself, so that one which hangs holds up nothing that it does not
    /// sign: whoever waits for a key outside of this process may hold a thread meanwhile.
    signing_tokens: Semaphore,
    signing_certificates: Semaphore,
    administrators: BTreeSet<SpiffeId>,
    limiters: Limiters,
    watches: follow::Watches,
    clock: Clock,
    entropy: Entropy,
    reads: reads::Reads,
    refusals: refusals::Refusals,
    followers: Arc<Followers>,
    sources: source::Sources,
    reconciliation: reconcile::Reconciliation,
}

/// What a broker is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    /// Where everything is recorded.
    pub ledger: Arc<dyn Ledger>,
    /// The policy in force: see [`Broker::put_in_force`].
    pub engine: Engine,
    /// What signs.
    pub keyring: Arc<Keyring>,
    /// How that changes.
    pub keeping: Keeping,
    /// What credentials name.
    pub urls: Urls,
    /// Who may do what the default policies call administrative.
    pub administrators: BTreeSet<SpiffeId>,
    /// What callers may ask for.
    pub quotas: Quotas,
    /// Who follows the list; whoever publishes tells it what is out.
    pub followers: Arc<Followers>,
    /// Where records come from besides administrators.
    pub sources: Vec<Declared>,
    /// What is looked for among what is registered.
    pub reconciling: Reconciling,
    /// What time it is.
    pub clock: Clock,
    /// Where random bytes come from.
    pub entropy: Entropy,
}

impl Broker {
    /// A broker over an open ledger whose keys are activated and whose policy is applied.
    pub(crate) fn new(parts: Parts) -> Self {
        let sources = source::Sources::new(parts.sources, &parts.ledger.facts());
        Self {
            minter: Minter::new(parts.urls, Indices::new(&parts.ledger.status_secret())),
            signing_tokens: Semaphore::new(SIGNING),
            signing_certificates: Semaphore::new(SIGNING),
            ledger: parts.ledger,
            engine: ArcSwap::from_pointee(parts.engine),
            keyring: parts.keyring,
            keeping: parts.keeping,
            spares: keys::Spares::default(),
            administrators: parts.administrators,
            limiters: Limiters::new(parts.quotas),
            watches: follow::Watches::at_most(parts.quotas.identity_watches, parts.quotas.watches),
            clock: parts.clock,
            entropy: parts.entropy,
            reads: reads::Reads::default(),
            refusals: refusals::Refusals::default(),
            followers: parts.followers,
            sources,
            reconciliation: reconcile::Reconciliation::new(parts.reconciling),
        }
    }

    /// The ledger that this broker writes to.
    pub(crate) fn ledger(&self) -> &Arc<dyn Ledger> {
        &self.ledger
    }

    /// The clock that this broker goes by.
    pub(crate) const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Whether the configuration names the caller as an administrator.
    pub(crate) fn is_administrator(&self, caller: &Caller) -> bool {
        self.administrators.contains(&caller.spiffe_id)
    }

    /// How often a policy could not be evaluated since the start; each time was a refusal.
    pub(crate) fn policy_errors(&self) -> u64 {
        self.engine.load().evaluation_errors()
    }

    /// Whether a caller may not use its certificate any more, and why: it was revoked, or it has
    /// expired on a connection that is still open.
    ///
    /// # Errors
    /// The reason.
    pub(crate) fn admit(&self, caller: &Caller) -> Result<(), Denial> {
        admit(caller, &self.ledger.facts(), self.clock.now())
    }

    /// Whether connections of the caller are to be closed: its certificate is dead, or its workload
    /// or owner was closed after `since`. Who comes again after that may: following the list needs
    /// an identity, not a standing.
    pub(crate) fn dismisses(&self, caller: &Caller, since: Position) -> bool {
        let facts = self.ledger.facts();
        let closed = facts.workload(&caller.spiffe_id).is_some_and(|workload| {
            let owner = facts.owner_numbered(workload.record.owner);
            workload.closings().chain(owner.into_iter().flat_map(Known::closings)).any(|closed| closed.at > since)
        });
        closed || admit(caller, &facts, self.clock.now()).is_err()
    }

    /// Runs `decide` on the facts and the engine of the policy that they name.
    fn decide<T>(&self, decide: impl FnOnce(&Engine, &Facts) -> T) -> Result<T, Error> {
        loop {
            let facts = self.ledger.facts();
            let Some((_, text)) = facts.policy() else {
                return Err(Error::Unavailable("no policy is in force".to_owned()));
            };
            let engine = self.engine.load();
            if engine.text().hash == text.hash {
                return Ok(decide(&engine, &facts));
            }
            let text = Arc::clone(text);
            drop(facts);
            // Every text was compiled before it was recorded, so this fails only on another version of the program.
            let problems = |problems: Vec<crate::policy::Problem>| {
                let problem = problems.first().map(ToString::to_string).unwrap_or_default();
                Error::Unavailable(format!("the policy in force is not valid here: {problem}"))
            };
            self.engine.store(Arc::new(Engine::compile(text.files.clone()).map_err(problems)?));
        }
    }

    /// Refuses unless policy allows `action` on what `resource` finds in the facts.
    async fn authorise(
        &self,
        caller: &Caller,
        action: Action,
        resource: impl FnOnce(&Facts, Timestamp) -> Result<Resource, Refusal>,
    ) -> Result<(), Error> {
        self.hear(caller, action)?;
        self.allow(caller, action, resource).await
    }

    /// Who calls, counted. Comes before anything that the call names is looked up, so that whoever is
    /// in no record learns nothing of what exists, and nobody has the ledger read at no price.
    fn hear(&self, caller: &Caller, action: Action) -> Result<Role, Error> {
        let (facts, now) = (self.ledger.facts(), self.clock.now());
        admit(caller, &facts, now)?;
        let role = Role::of(caller, &self.administrators, &facts);
        if role == Role::Unknown {
            return Err(Denial::new(DenialCode::IdentityUnknown, format!("`{}` is in no record", caller.spiffe_id)).into());
        }
        self.limiters.call(&role, action, now)?;
        Ok(role)
    }

    /// Refuses a caller that was [heard](Self::hear) unless policy allows it.
    async fn allow(
        &self,
        caller: &Caller,
        action: Action,
        resource: impl FnOnce(&Facts, Timestamp) -> Result<Resource, Refusal>,
    ) -> Result<(), Error> {
        let now = self.clock.now();
        let (role, resource) = self.decide(|engine, facts| -> Result<_, Error> {
            admit(caller, facts, now)?;
            let role = Role::of(caller, &self.administrators, facts);
            let resource = resource(facts, now)?;
            engine.authorise(&role, action, &resource, facts)?;
            Ok((role, resource))
        })??;
        if matches!(role, Role::Administrator(_)) && action.is_read() {
            self.note_read(caller, action, resource.number()).await?;
        }
        Ok(())
    }

    /// Commits what `plan` decides, and gives back what it says of it. Changes of an administrator and of
    /// the broker itself go first: no workload can keep them out.
    async fn change<T: Send + 'static>(
        &self,
        actor: Option<&SpiffeId>,
        plan: impl FnOnce(&Present<'_>) -> Result<(Vec<Event>, T), Refusal> + Send + 'static,
    ) -> Result<(Committed, T), Error> {
        let first = actor.is_none_or(|actor| self.administrators.contains(actor));
        self.change_when(if first { Urgency::First } else { Urgency::Ordinary }, actor, plan).await
    }

    /// The same, at its own urgency.
    async fn change_when<T: Send + 'static>(
        &self,
        urgency: Urgency,
        actor: Option<&SpiffeId>,
        plan: impl FnOnce(&Present<'_>) -> Result<(Vec<Event>, T), Refusal> + Send + 'static,
    ) -> Result<(Committed, T), Error> {
        let (say, said) = tokio::sync::oneshot::channel();
        let plan = Box::new(move |present: &Present<'_>| {
            let (events, answer) = plan(present)?;
            // The receiver is gone only if the caller is; the change is made all the same.
            let _gone = say.send(answer);
            Ok(events)
        });
        let committed = self.ledger.change(Change { urgency, actor: actor.cloned(), request_id: None, plan }).await?;
        let answer = said.await.map_err(|gone| Error::Internal(gone.into()))?;
        Ok((committed, answer))
    }
}

/// A note as a refusable field.
fn required(note: Option<Note>) -> Result<Note, crate::model::Invalid> {
    note.ok_or_else(|| crate::model::Invalid::new("note", "say why, in one line"))
}

#[cfg(test)]
mod tests;
