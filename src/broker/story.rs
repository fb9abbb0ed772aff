//! The whole story of one credential: whose, why, by which policies, what was obtained with it, and
//! how it ended.

use super::credential::subject;
use super::{Broker, CredentialStory, Error};
use crate::ledger::{By, Found, Search};
use crate::model::{Contact, CredentialId, CredentialKind, CutMade, Event, Issued, Note, Position, Reason, SpiffeId, Timestamp};
use crate::policy::{Action, Caller, Resource, Role};

/// How many of those obtained with a credential are told with it.
const MOST_CHILDREN: usize = 20;
/// How often the ledger is searched for them.
const MOST_SEARCHES: usize = 16;

/// What the ledger knows of one credential, and of what it is tied to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WholeStory {
    /// Itself.
    pub story: CredentialStory,
    /// Whom to reach: who answers for the purpose, and who for the running.
    pub contacts: Option<(Contact, Contact)>,
    /// What its task was for.
    pub task_purpose: Option<Note>,
    /// How it ended.
    pub end: End,
    /// What was obtained with it or through its chain, the newest first.
    pub children: Vec<CredentialStory>,
    /// Below which position more of them may be found.
    pub more_children: Option<Position>,
}

/// How a credential ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It has not.
    Alive,
    /// By itself.
    Expired,
    /// By a cut.
    Cut(CutStory),
}

/// The cut that ended a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CutStory {
    /// Which of its subjects was cut.
    pub subject: &'static str,
    /// Where.
    pub position: Position,
    /// When.
    pub time: Timestamp,
    /// Why.
    pub reason: Reason,
    /// Why, for people; only for those who may read the ledger.
    pub note: Option<Note>,
    /// By whom; only for those who may read the ledger, and absent if it was the broker.
    pub actor: Option<SpiffeId>,
}

impl Broker {
    /// What the ledger knows of a credential.
    ///
    /// # Errors
    /// `NotFound` unless the whole id is right; `Denied` by policy.
    pub(crate) async fn credential(&self, caller: &Caller, id: CredentialId) -> Result<WholeStory, Error> {
        let role = self.hear(caller, Action::ReadCredential)?;
        let issued = self.issued(id).await?;
        self.allow(caller, Action::ReadCredential, |_, _| Ok(Resource::credential(id.position(), &issued))).await?;
        let end = self.end(id.position(), &issued, self.may_read_ledger(caller)?).await?;
        let task_purpose = match issued.subjects.task {
            Some(task) => self.task_purpose(task).await?,
            None => None,
        };
        let found = if issued.kind == CredentialKind::Certificate {
            self.obtained(&role, id, issued.subjects.workload).await?
        } else {
            Found::default()
        };
        let facts = self.ledger.facts();
        let owner = facts.owner_numbered(issued.subjects.owner);
        Ok(WholeStory {
            contacts: owner.map(|known| (known.record.business_owner.clone(), known.record.technical_owner.clone())),
            task_purpose,
            end,
            children: found.credentials.into_iter().map(|(id, issued)| CredentialStory::of(id, issued, &facts)).collect(),
            more_children: found.next,
            story: CredentialStory::of(id, issued, &facts),
        })
    }

    /// How it ended: by the first cut of a subject above it, unless it had expired by then.
    async fn end(&self, position: Position, issued: &Issued, in_full: bool) -> Result<End, Error> {
        let by_itself = || if issued.expires_at <= self.clock.now() { End::Expired } else { End::Alive };
        // A cut of a key reaches whatever it signed, wherever the cut stands.
        let numbers = issued.numbers(position).map(|number| (number, position)).chain([(issued.key, Position::ZERO)]);
        let Some(at) = self.ledger.first_cut(numbers.collect()).await? else { return Ok(by_itself()) };
        let Some(stored) = self.ledger.find(at).await? else { return Ok(by_itself()) };
        let entry = stored.entry.map_err(|unreadable| Error::Internal(unreadable.into()))?;
        let Event::Cut(CutMade { number, reason, note, .. }) = entry.event else { return Ok(by_itself()) };
        if entry.time >= issued.expires_at {
            return Ok(by_itself());
        }
        let (note, actor) = (note.filter(|_| in_full), entry.actor.filter(|_| in_full));
        Ok(End::Cut(CutStory { subject: subject(issued, number), position: at, time: entry.time, reason, note, actor }))
    }

    /// What was obtained with a certificate or through its chain, the newest first, and below which
    /// position there may be more. It looks no further than the caller may have the ledger searched.
    async fn obtained(&self, role: &Role, id: CredentialId, workload: Position) -> Result<Found, Error> {
        let mut found = Found { credentials: Vec::new(), next: Some(self.ledger.head().position.next()) };
        for _ in 0..MOST_SEARCHES {
            let Some(before) = found.next else { break };
            if found.credentials.len() >= MOST_CHILDREN || self.limiters.search(role, self.clock.now()).is_err() {
                break;
            }
            let more = self.ledger.search(Search {
                before,
                after: id.position(),
                limit: MOST_CHILDREN - found.credentials.len(),
                since: Timestamp::EPOCH,
                // What is obtained with a certificate is of the same workload.
                by: Some(By::Subject(workload)),
                wanted: Box::new(move |_, issued| issued.parent == Some(id) || issued.subjects.lineage == Some(id.position())),
            });
            let more = more.await?;
            found.credentials.extend(more.credentials);
            found.next = more.next;
        }
        Ok(found)
    }

    /// Notes and who acted stand in the ledger, and are for those who may read it.
    fn may_read_ledger(&self, caller: &Caller) -> Result<bool, Error> {
        self.decide(|engine, facts| {
            let role = Role::of(caller, &self.administrators, facts);
            engine.authorise(&role, Action::ReadLedger, &Resource::System, facts).is_ok()
        })
    }

    async fn task_purpose(&self, task: Position) -> Result<Option<Note>, Error> {
        let entry = self.ledger.find(task).await?.and_then(|stored| stored.entry.ok());
        Ok(entry.and_then(|entry| if let Event::TaskOpened(task) = entry.event { Some(task.purpose) } else { None }))
    }
}
