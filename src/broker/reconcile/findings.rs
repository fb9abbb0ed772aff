//! What was found, as people look at it, settle it, and have it wait.

use std::time::Duration;

use super::name;
use crate::broker::{Broker, Error, required};
use crate::ledger::Present;
use crate::model::{
    Entry, Event, Facts, FindingAction, FindingChange, Invalid, KnownFinding, Note, Position, Refusal, Resolution, Timestamp,
};
use crate::policy::{Action, Caller, Resource};

/// How long a waiver may hold.
const LONGEST_WAIVER: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// A finding, in names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FindingStory {
    /// What is known of it.
    pub known: KnownFinding,
    /// What it is about.
    pub about: String,
    /// What is to be done about it.
    pub action: FindingAction,
    /// When that is done, unless it was, or is too much at once.
    pub due: Option<Timestamp>,
    /// How it was settled; absent while it is open.
    pub resolved: Option<Resolution>,
}

impl Broker {
    /// The open findings, by number: at most `limit`, and whether there are more.
    ///
    /// # Errors
    /// `Denied` by policy.
    pub(crate) async fn findings(&self, caller: &Caller, limit: usize) -> Result<(Vec<FindingStory>, bool), Error> {
        self.authorise(caller, Action::ReadFinding, |_, _| Ok(Resource::System)).await?;
        let facts = self.ledger.facts();
        let stories: Vec<_> = facts.findings().iter().take(limit + 1).map(|known| self.finding_story(known, &facts)).collect();
        let more = stories.len() > limit;
        Ok((stories.into_iter().take(limit).collect(), more))
    }

    /// One finding, open or settled.
    ///
    /// # Errors
    /// `NotFound`; `Denied` by policy; `Unavailable`.
    pub(crate) async fn finding(&self, caller: &Caller, number: Position) -> Result<FindingStory, Error> {
        self.authorise(caller, Action::ReadFinding, |_, _| Ok(Resource::System)).await?;
        let open = {
            let facts = self.ledger.facts();
            facts.findings().get(number).map(|known| self.finding_story(known, &facts))
        };
        match open {
            Some(story) => Ok(story),
            None => self.settled_finding(number).await,
        }
    }

    /// One that was settled, from its entries.
    async fn settled_finding(&self, number: Position) -> Result<FindingStory, Error> {
        let entries = self.ledger.of_finding(number).await?.into_iter().map(|stored| stored.entry);
        let entries: Vec<Entry> = entries.collect::<Result<_, _>>().map_err(|unreadable| Error::Internal(unreadable.into()))?;
        let (known, resolution) = KnownFinding::settled(&entries).ok_or_else(|| Refusal::not_found("finding", number))?;
        let story = self.finding_story(&known, &self.ledger.facts());
        Ok(FindingStory { due: None, resolved: Some(resolution), ..story })
    }

    /// Says that a finding is settled. If it is still so, the next run raises it anew.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` without a note; `Denied` by policy.
    pub(crate) async fn resolve_finding(&self, caller: &Caller, number: Position, note: Option<Note>) -> Result<Position, Error> {
        let note = required(note)?;
        self.authorise(caller, Action::ResolveFinding, |facts, _| open(number, facts).map(|_| Resource::System)).await?;
        self.change_finding(caller, (number, FindingChange::Resolved), note).await
    }

    /// Has nothing done about a finding until then.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` without a note, or for an end that is past or more than a year ahead; `Denied` by policy.
    pub(crate) async fn waive_finding(
        &self,
        caller: &Caller,
        number: Position,
        until: Timestamp,
        note: Option<Note>,
    ) -> Result<Position, Error> {
        let note = required(note)?;
        self.authorise(caller, Action::WaiveFinding, |facts, now| {
            open(number, facts)?;
            if until <= now || until > now.plus(LONGEST_WAIVER) {
                return Err(Invalid::new("until", format!("it is {until}; give an instant after now, {now}, and within a year")).into());
            }
            Ok(Resource::System)
        })
        .await?;
        self.change_finding(caller, (number, FindingChange::Waived { until }), note).await
    }

    async fn change_finding(&self, caller: &Caller, (number, change): (Position, FindingChange), note: Note) -> Result<Position, Error> {
        let plan = move |present: &Present<'_>| {
            open(number, present.facts)?;
            Ok((vec![Event::FindingChanged { number, change, note: Some(note) }], ()))
        };
        Ok(self.change(Some(&caller.spiffe_id), plan).await?.0.last)
    }

    fn finding_story(&self, known: &KnownFinding, facts: &Facts) -> FindingStory {
        let settings = &self.reconciliation.settings;
        let due = settings.due(known).map(|(_, due)| due);
        let action = if known.record.can_be_acted_on() { settings.action(known.record.kind) } else { FindingAction::Report };
        FindingStory { about: name(&known.record.about, facts), action, due, known: known.clone(), resolved: None }
    }
}

fn open(number: Position, facts: &Facts) -> Result<&KnownFinding, Refusal> {
    facts.findings().get(number).ok_or_else(|| Refusal::not_found("open finding", number))
}
