//! Looking for credentials: by whose they are, where they hold, and whether they are alive.

use super::{Broker, CredentialStory, Error};
use crate::ledger::{By, Search};
use crate::model::{Audience, CredentialId, CredentialKind, Cuts, EnvironmentName, Facts, Issued, OwnerId, Position, Refusal, SpiffeId};
use crate::policy::{Action, Caller, Resource};

/// What is looked for; whatever is absent matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Issued under this owner.
    pub owner: Option<OwnerId>,
    /// Issued to this workload.
    pub workload: Option<SpiffeId>,
    /// Bound to this environment.
    pub environment: Option<EnvironmentName>,
    /// Bound to this task.
    pub task: Option<Position>,
    /// For this audience.
    pub audience: Option<Audience>,
    /// Of this kind.
    pub kind: Option<CredentialKind>,
    /// Obtained with this certificate, or through the chain that it begins.
    pub through: Option<CredentialId>,
    /// Issued by this exception, or with a certificate that was.
    pub exception: Option<Position>,
    /// Neither expired nor dead.
    pub live: bool,
}

/// The same, in numbers.
struct Numbers {
    owner: Option<Position>,
    workload: Option<Position>,
    environment: Option<Position>,
    /// The cuts to live by, if only what lives is wanted.
    cuts: Option<Cuts>,
    wanted: Wanted,
}

impl Wanted {
    fn numbers(self, facts: &Facts) -> Result<Numbers, Refusal> {
        let owner = self.owner.as_ref().map(|id| facts.owner(id).map(|known| known.number).ok_or_else(|| Refusal::not_found("owner", id)));
        let workload =
            self.workload.as_ref().map(|id| facts.workload(id).map(|known| known.number).ok_or_else(|| Refusal::not_found("workload", id)));
        let environment = self
            .environment
            .as_ref()
            .map(|name| facts.environment(name).map(|known| known.number).ok_or_else(|| Refusal::not_found("environment", name)));
        Ok(Numbers {
            owner: owner.transpose()?,
            workload: workload.transpose()?,
            environment: environment.transpose()?,
            cuts: self.live.then(|| facts.cuts().clone()),
            wanted: self,
        })
    }
}

impl Numbers {
    fn matches(&self, position: Position, issued: &Issued, now: crate::model::Timestamp) -> bool {
        let (subjects, wanted) = (&issued.subjects, &self.wanted);
        let through = |id: CredentialId| issued.parent == Some(id) || subjects.lineage == Some(id.position());
        let alive = |cuts: &Cuts| {
            issued.expires_at > now && cuts.get(issued.key).is_none() && cuts.killer(position, issued.numbers(position)).is_none()
        };
        self.owner.is_none_or(|owner| owner == subjects.owner)
            && self.workload.is_none_or(|workload| workload == subjects.workload)
            && self.environment.is_none_or(|environment| environment == subjects.environment)
            && wanted.task.is_none_or(|task| subjects.task == Some(task))
            && wanted.exception.is_none_or(|exception| issued.exception == Some(exception))
            && wanted.kind.is_none_or(|kind| kind == issued.kind)
            && wanted.audience.as_ref().is_none_or(|audience| issued.audience.as_ref() == Some(audience))
            && wanted.through.is_none_or(through)
            && self.cuts.as_ref().is_none_or(alive)
    }
}

impl Broker {
    /// At most `limit` credentials below position `before`, the newest first, and below which
    /// position to go on; a page may be short and yet not be the last.
    ///
    /// # Errors
    /// `NotFound` for an unknown name; `Denied` by policy; `Unavailable`.
    pub(crate) async fn credentials(
        &self,
        caller: &Caller,
        wanted: Wanted,
        before: Option<Position>,
        limit: usize,
    ) -> Result<(Vec<CredentialStory>, Option<Position>), Error> {
        let role = self.hear(caller, Action::ReadCredential)?;
        self.allow(caller, Action::ReadCredential, |facts, _| match &wanted.owner {
            Some(id) => facts.owner(id).map(|known| Resource::Owner(known.number)).ok_or_else(|| Refusal::not_found("owner", id)),
            None => Ok(Resource::System),
        })
        .await?;
        let now = self.clock.now();
        self.limiters.search(&role, now)?;
        // What lives was recorded within the longest life.
        let since = if wanted.live { now.minus(CredentialKind::Certificate.longest_life()) } else { crate::model::Timestamp::EPOCH };
        let numbers = wanted.numbers(&self.ledger.facts())?;
        let by = numbers.workload.or(numbers.owner).map(By::Subject);
        let search = Search {
            after: Position::ZERO,
            before: before.unwrap_or_else(|| self.ledger.head().position.next()),
            limit,
            since,
            by: by.or_else(|| numbers.wanted.audience.clone().map(By::Audience)),
            wanted: Box::new(move |position, issued| numbers.matches(position, issued, now)),
        };
        let found = self.ledger.search(search).await?;
        let facts = self.ledger.facts();
        let stories = found.credentials.into_iter().map(|(id, issued)| CredentialStory::of(id, issued, &facts));
        Ok((stories.collect(), found.next))
    }
}
