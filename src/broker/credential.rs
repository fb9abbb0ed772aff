//! One credential, as it is listed, and its end.

use super::describe::nameless;
use super::enforcement::{Carried, concerns};
use super::revoke::Planned;
use super::{Broker, Error, Limits, NamedCensus, Revoked};
use crate::ledger::Present;
use crate::model::{
    Closing, CredentialId, CredentialKind, CutMade, Event, Facts, Issued, Note, Position, Reason, Refusal, Whose, cut_ends,
};
use crate::policy::{Action, Caller, Resource};

/// What the ledger knows of one credential, in names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialStory {
    /// Its id.
    pub id: CredentialId,
    /// What was recorded.
    pub issued: Issued,
    /// Whose it is.
    pub workload: String,
    /// Who answers for it.
    pub owner: String,
    /// Where it holds.
    pub environment: String,
    /// The downstreams that it concerns, of those that are still known.
    pub downstreams: Vec<String>,
    /// Why it is dead, if an active cut covers it.
    pub death: Option<Death>,
}

impl CredentialStory {
    /// The story of what was recorded, in names.
    pub(super) fn of(id: CredentialId, issued: Issued, facts: &Facts) -> Self {
        let subjects = issued.subjects;
        let workload = facts.workload_numbered(subjects.workload).map(|known| known.record.spiffe_id.to_string());
        let owner = facts.owner_numbered(subjects.owner).map(|known| known.record.id.to_string());
        let environment = facts.environment_numbered(subjects.environment).map(|known| known.record.name.to_string());
        let concerned = facts.downstreams().filter(|known| issued.downstreams.contains(&known.number));
        Self {
            id,
            workload: workload.unwrap_or_else(|| nameless(subjects.workload)),
            owner: owner.unwrap_or_else(|| nameless(subjects.owner)),
            environment: environment.unwrap_or_else(|| nameless(subjects.environment)),
            downstreams: concerned.map(|known| known.record.name.to_string()).collect(),
            death: Death::of(&issued, id.position(), facts),
            issued,
        }
    }
}

/// Why a credential is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Death {
    /// Which of its subjects was cut.
    pub subject: &'static str,
    /// Where.
    pub position: Position,
    /// Why.
    pub reason: Reason,
}

impl Death {
    fn of(issued: &Issued, position: Position, facts: &Facts) -> Option<Self> {
        let cut = facts.cuts().death(issued.key, position, issued.numbers(position))?;
        Some(Self { subject: subject(issued, cut.number), position: cut.position, reason: cut.reason })
    }
}

/// Which of the subjects of a credential has this number.
pub(super) fn subject(issued: &Issued, number: Position) -> &'static str {
    let subjects = issued.subjects;
    let named = [
        (Some(subjects.owner), "owner"),
        (Some(subjects.workload), "workload"),
        (Some(subjects.environment), "environment"),
        (subjects.task, "task"),
        (subjects.lineage, "lineage"),
        (Some(issued.key), "key"),
        (issued.exception, "exception"),
    ];
    let named = named.iter().find(|(known, _)| *known == Some(number)).map(|(_, name)| *name);
    named.or_else(|| issued.further().contains(&number).then_some("downstream")).unwrap_or("credential")
}

impl Broker {
    /// Ends one credential; of a certificate, its lineage: everything obtained through it, and
    /// through the first certificate of its chain. Idempotent.
    ///
    /// # Errors
    /// `NotFound` unless the whole id is right; `Denied` by policy or by a limit.
    pub(crate) async fn revoke_credential(
        &self,
        caller: &Caller,
        id: CredentialId,
        reason: Reason,
        note: Option<Note>,
        limits: Limits,
    ) -> Result<Revoked, Error> {
        self.hear(caller, Action::RevokeCredential)?;
        let issued = self.issued(id).await?;
        self.allow(caller, Action::RevokeCredential, |_, _| Ok(Resource::credential(id.position(), &issued))).await?;
        let cut = match (issued.kind, issued.subjects.lineage) {
            (CredentialKind::Certificate, Some(lineage)) => self.first_of(lineage).await?,
            (CredentialKind::Certificate | CredentialKind::AccessToken | CredentialKind::JwtSvid, _) => (id.position(), issued),
        };
        let plan = move |present: &Present<'_>| plan(present, cut, (reason, note), limits);
        let (committed, planned) = self.change(Some(&caller.spiffe_id), plan).await?;
        Ok(Revoked::new(&committed, planned))
    }

    /// The certificate that begins a lineage.
    async fn first_of(&self, lineage: Position) -> Result<(Position, Issued), Error> {
        let not_found = || Error::from(Refusal::not_found("certificate at position", lineage));
        let stored = self.ledger.find(lineage).await?.ok_or_else(not_found)?;
        let entry = stored.entry.map_err(|unreadable| Error::Internal(unreadable.into()))?;
        entry.event.issued().map(|issued| (lineage, issued)).ok_or_else(not_found)
    }

    /// The issuance with exactly this id: a position alone opens nothing.
    pub(super) async fn issued(&self, id: CredentialId) -> Result<Issued, Error> {
        let not_found = || Error::from(Refusal::not_found("credential", id));
        let stored = self.ledger.find(id.position()).await?.ok_or_else(not_found)?;
        let entry = stored.entry.map_err(|unreadable| Error::Internal(unreadable.into()))?;
        entry.event.issued().filter(|issued| issued.nonce == id.nonce()).ok_or_else(not_found)
    }
}

/// The cut of what was issued at `number`, and of everything that was obtained through it.
fn plan(
    present: &Present<'_>,
    (number, issued): (Position, Issued),
    (reason, note): (Reason, Option<Note>),
    limits: Limits,
) -> Result<(Vec<Event>, Planned), Refusal> {
    if let Some(cut) = present.facts.cuts().get(number) {
        return Ok((Vec::new(), Planned { ended: NamedCensus::default(), first: Some(cut.position), standing: None }));
    }
    // What was obtained through a certificate may outlive it, and something may be decided and not
    // yet recorded: so that the fence sees it, the cut of a certificate always enters the list.
    let last_expiry = if issued.kind == CredentialKind::Certificate { present.latest_expiry.max(present.now) } else { issued.expires_at };
    let mut census = present.living.census(Whose::Lineage { owner: issued.subjects.owner, lineage: number }, present.now);
    // The lineage's own count leaves out the credential that begins it.
    if issued.expires_at > present.now && Death::of(&issued, number, present.facts).is_none() {
        census.add(&issued);
    }
    limits.check(present, census.total)?;
    let ended = NamedCensus::of(&census, present.facts);
    if limits.dry_run {
        return Ok((Vec::new(), Planned { ended, first: None, standing: None }));
    }
    let concerns = Some(concerns(present, &census, (number, &Carried::default())));
    let cut = CutMade { number, reason, ends: cut_ends(last_expiry, present.now), closing: Closing::Nothing, note, concerns, source: None };
    Ok((vec![Event::Cut(cut)], Planned { ended, first: None, standing: None }))
}
