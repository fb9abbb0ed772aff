//! Workloads that go to another owner: what policy says of who moves them, and the acceptance of those that wait.

use std::sync::Arc;

use super::{Broker, Error};
use crate::ledger::Present;
use crate::model::{Event, Facts, Invalid, Known, Note, Owner, OwnerId, Position, Refusal, SourceName, SpiffeId, Workload};
use crate::policy::{Action, Caller, Engine, Resource, Role};

/// Who may be moving workloads, and what was in force when that was asked.
pub(super) struct Mover {
    role: Role,
    engine: Arc<Engine>,
}

impl Mover {
    /// Whether it may give an owner a workload of another, by the policy that these facts name. Where that
    /// cannot be asked, it may not.
    pub(super) fn asked(self, facts: &Facts) -> impl Fn(&Owner) -> bool {
        let Self { role, engine } = self;
        let in_force = facts.policy().and_then(|(_, text)| match &engine {
            engine if engine.text().hash == text.hash => Some(Arc::clone(engine)),
            _ => Engine::compile(text.files.clone()).ok().map(Arc::new),
        });
        move |owner| {
            let resource = Resource::OwnerToBe(Arc::new(owner.clone()));
            in_force.as_ref().is_some_and(|engine| engine.authorise(&role, Action::MoveWorkload, &resource, facts).is_ok())
        }
    }
}

/// A registered workload.
fn find<'a>(id: &SpiffeId, facts: &'a Facts) -> Result<&'a Known<Workload>, Refusal> {
    facts.workload(id).filter(|known| known.is_registered()).ok_or_else(|| Refusal::not_found("workload", id))
}

impl Broker {
    /// The caller as a mover of workloads.
    pub(super) fn mover(&self, caller: &Caller) -> Result<Mover, Error> {
        self.decide(|_, facts| Role::of(caller, &self.administrators, facts)).map(|role| self.moves_as(role))
    }

    /// A source as a mover of workloads.
    pub(super) fn mover_of(&self, source: &SourceName) -> Result<Mover, Error> {
        self.decide(|_, _| Role::Source(source.clone())).map(|role| self.moves_as(role))
    }

    fn moves_as(&self, role: Role) -> Mover {
        Mover { role, engine: self.engine.load_full() }
    }

    /// Opens a workload that was moved to an owner and waits for it. Revives nothing; idempotent. Answers where
    /// the acceptance stands, if there was something to accept, and whose the workload is.
    ///
    /// # Errors
    /// `NotFound` for an unknown workload; `Invalid` if it is of another owner than the one that is named, or
    /// goes to another one meanwhile; `Denied` by policy.
    pub(crate) async fn accept_workload(
        &self,
        caller: &Caller,
        id: SpiffeId,
        named: Option<OwnerId>,
        note: Option<Note>,
    ) -> Result<(Option<Position>, OwnerId), Error> {
        let mut asked = Position::ZERO;
        self.authorise(caller, Action::AcceptWorkload, |facts, _| {
            asked = find(&id, facts)?.record.owner;
            Ok(Resource::Owner(asked))
        })
        .await?;
        let plan = move |present: &Present<'_>| {
            let known = find(&id, present.facts)?;
            let owner = known.record.owner;
            let record = &present.facts.owner_numbered(owner).ok_or_else(|| Refusal::not_found("owner", owner))?.record;
            // Whoever speaks for one owner does not accept for another.
            if owner != asked || named.is_some_and(|named| named != record.id) {
                return Err(Invalid::new("owner", format!("`{id}` is of owner `{}` now; look at it, and repeat", record.id)).into());
            }
            let event = Event::WorkloadAccepted { number: known.number, owner, note };
            Ok((known.awaiting.map(|_| event).into_iter().collect(), record.id.clone()))
        };
        let (committed, owner) = self.change(Some(&caller.spiffe_id), plan).await?;
        Ok((committed.first, owner))
    }
}
