//! What a source says is heard: applied, or held until a person confirms it.

use std::sync::Arc;

use super::belief::disbelief;
use super::inventory::{self, Inventory};
use super::{Declared, Doubted, Said, State, own};
use crate::broker::moving::Mover;
use crate::broker::{Broker, Error};
use crate::directory::{self, Change, Difference};
use crate::ledger::Present;
use crate::model::{Event, Held, Note, SourceName};

/// What became of what a source said.
enum Outcome {
    Applied(Applied),
    Doubted(Doubted),
}

/// What a source said that was applied.
struct Applied {
    changes: Vec<Change>,
    problems: Vec<String>,
    inventory: Option<Inventory>,
    /// What it said, if some of it is left for another transaction, and how many records that are.
    rest: Option<(Box<Said>, usize)>,
}

impl Broker {
    /// Applies what a source says as one change, if it is believed. What could not be read is not. Where very much
    /// is new, that comes in several; what ends is in the first. Gives whether all of it is applied.
    ///
    /// # Errors
    /// If the ledger cannot commit, or there is no such source.
    pub(crate) async fn hear_source(&self, name: &SourceName, mut said: Result<Said, String>) -> Result<bool, Error> {
        let (declared, _) = self.sources.find(name)?;
        let (now, before) = (self.clock.now(), self.sources.state(name));
        let digest = said.as_ref().ok().map(|said| said.digest);
        let confirmed = before.confirmed.is_some() && before.confirmed == digest;
        if digest.is_some_and(|digest| before.knows(digest, self.ledger.facts().changed())) && !confirmed {
            let believed = if before.doubted.is_none() { Some(now) } else { before.believed };
            self.sources.change(name, |state| (state.heard, state.believed) = (Some(now), believed));
            return Ok(digest == before.settled && before.doubted.is_none());
        }
        loop {
            match self.hear_once(declared, said, confirmed).await? {
                (_, Some(rest)) => said = Ok(*rest),
                (is_settled, None) => return Ok(is_settled),
            }
        }
    }

    /// One transaction of that. Gives whether everything is applied, and what is not yet.
    async fn hear_once(
        &self,
        declared: &Declared,
        said: Result<Said, String>,
        confirmed: bool,
    ) -> Result<(bool, Option<Box<Said>>), Error> {
        let name = &declared.name;
        let (now, before) = (self.clock.now(), self.sources.state(name));
        let digest = said.as_ref().ok().map(|said| said.digest);
        let known = before.doubted.as_ref().is_some_and(|doubted| doubted.digest == digest);
        let (mover, former) = (self.mover_of(name)?, before.inventory.clone());
        let plan = {
            let declared = declared.clone();
            move |present: &Present<'_>| {
                let (events, outcome) = hearing(present, (&declared, mover), said, former.as_deref(), (confirmed, known));
                Ok((events, (outcome, present.facts.changed())))
            }
        };
        let (committed, (outcome, changed)) = self.change(None, plan).await?;
        tell(name, &outcome, &before);
        let mut left = (false, None);
        self.sources.change(name, |state| {
            let (told, names) = (state.told, Arc::clone(&state.names));
            let compared = digest.filter(|_| told == changed);
            match outcome {
                Outcome::Doubted(doubted) => {
                    *state = State { heard: Some(now), doubted: Some(doubted), compared: compared.zip(Some(changed)), ..state.clone() };
                }
                Outcome::Applied(Applied { problems, inventory, rest, .. }) => {
                    let (heard, believed, inventory) = (Some(now), Some(now), inventory.map(Arc::new));
                    let settled = digest.filter(|_| problems.is_empty() && rest.is_none());
                    let changed = committed.first.map_or(changed, |_| committed.last);
                    let compared = compared.filter(|_| rest.is_none()).zip(Some(changed));
                    left = (settled.is_some(), rest.map(|(rest, _)| rest));
                    *state = State { heard, believed, settled, compared, names, told, problems, inventory, ..State::default() };
                }
            }
        });
        Ok(left)
    }
}

/// What to append for what a source says.
fn hearing(
    present: &Present<'_>,
    (declared, mover): (&Declared, Mover),
    said: Result<Said, String>,
    former: Option<&Inventory>,
    (confirmed, known): (bool, bool),
) -> (Vec<Event>, Outcome) {
    let of = own(present.facts, &declared.name);
    let doubted = match said {
        Err(why) => Doubted { digest: None, why, ends: 0, of, changes: Vec::new() },
        Ok(said) => {
            let (difference, of) = match &declared.covers {
                Some(covers) => inventory::difference(present, covers, former, &said.snapshot),
                None => (directory::plan(&said.snapshot, &declared.scope(), present, &mover.asked(present.facts)), of),
            };
            let why = disbelief(&difference, (&said.snapshot, said.wrong), of, declared.max_ended);
            let Difference { changes, events, ends, problems, left } = difference;
            match why.filter(|_| !confirmed) {
                None => {
                    let problems = said.problems.iter().cloned().chain(problems).collect();
                    let (inventory, rest) = match &declared.covers {
                        Some(_) => (Some(Inventory::of(said.snapshot, former, present.now)), None),
                        None => (None, (left > 0).then(|| (Box::new(said), left))),
                    };
                    return (events, Outcome::Applied(Applied { changes, problems, inventory, rest }));
                }
                Some(why) => Doubted { digest: Some(said.digest), why, ends, of, changes },
            }
        }
    };
    let events = if known { Vec::new() } else { held(&declared.name, &doubted).into_iter().collect() };
    (events, Outcome::Doubted(doubted))
}

/// What the ledger says of what is not believed.
pub(in crate::broker) fn held(source: &SourceName, doubted: &Doubted) -> Option<Event> {
    let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let line: String = doubted.why.chars().map(|c| if c.is_control() { ' ' } else { c }).take(120).collect();
    let why: Note = line.trim().parse().ok()?;
    Some(Event::SourceHeld(Held { source: source.clone(), digest: doubted.digest, why, ends: count(doubted.ends), of: count(doubted.of) }))
}

/// So many lines of a difference are logged.
const MOST_TOLD: usize = 100;

/// The line in the log: what changed, and what is wrong, once.
fn tell(source: &SourceName, outcome: &Outcome, before: &State) {
    match outcome {
        Outcome::Doubted(doubted) if before.doubted.as_ref() != Some(doubted) => {
            let Doubted { why, ends, of, .. } = doubted;
            tracing::error!(%source, why, ends, of, "the source is not believed, and nothing of it is applied");
        }
        Outcome::Doubted(_) => {}
        Outcome::Applied(Applied { changes, problems, rest, .. }) => {
            for Change { action, subject, name, detail, living } in changes.iter().take(MOST_TOLD) {
                tracing::info!(%source, %action, %subject, name, detail, living, "a source changed a record");
            }
            if !changes.is_empty() {
                let left = rest.as_ref().map_or(0, |(_, left)| *left);
                tracing::info!(%source, changes = changes.len(), left, "applied what the source says");
            }
            let news = problems.iter().filter(|problem| !before.problems.contains(problem));
            for problem in news.take(MOST_TOLD) {
                tracing::warn!(%source, problem, "a record of a source is left as it is");
            }
        }
    }
}
