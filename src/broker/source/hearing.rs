//! What a source says is heard: applied, or held until a person confirms it.

use std::sync::Arc;

use super::belief::{Disbelief, disbelief};
use super::inventory::{self, Inventory, Lost};
use super::state::{Compared, State};
use super::{Day, Declared, Doubted, MOST_AT_ONCE, Said, drift, own};
use crate::broker::moving::Mover;
use crate::broker::{Broker, Error};
use crate::directory::{self, Aside, Change, Difference, Scope};
use crate::ledger::Present;
use crate::model::{Event, Held, Note, Position, SourceName, Timestamp};

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
}

impl Broker {
    /// Applies what a source says as one change, if it is believed. What could not be read is not. Where very much
    /// is new, that comes afterwards, in several. Gives whether all of it is applied.
    ///
    /// # Errors
    /// If the ledger cannot commit, or there is no such source.
    pub(crate) async fn hear_source(&self, name: &SourceName, mut said: Result<Said, String>) -> Result<bool, Error> {
        let (declared, _) = self.sources.find(name)?;
        let (now, before) = (self.clock.now(), self.sources.state(name));
        let digest = said.as_ref().ok().map(|said| said.digest);
        let confirmed = before.confirmed.is_some() && before.confirmed == digest;
        // What a person let through is what it said then: if it says something else first, that is over.
        if digest.is_some() {
            self.sources.change(name, |state| state.confirmed = state.confirmed.filter(|known| Some(*known) == digest));
        }
        if digest.is_some_and(|digest| before.knows(digest, self.ledger.facts().changed(), now)) && !confirmed {
            let believed = if before.doubted.is_none() { Some(now) } else { before.believed };
            self.sources.change(name, |state| (state.heard, state.believed) = (Some(now), believed));
            return Ok(digest == before.settled && before.doubted.is_none());
        }
        let aside = said.as_mut().ok().and_then(|said| {
            let facts = self.ledger.facts();
            said.snapshot.set_aside(&declared.scope(self.sources.gone()), &facts, MOST_AT_ONCE)
        });
        let is_believed = self.hear_once(declared, said, (confirmed, aside.as_ref().map_or(0, Aside::len))).await?;
        if let Some(aside) = aside.filter(|_| is_believed) {
            self.hear_aside(declared, aside).await?;
            self.sources.change(name, |state| state.settled = digest.filter(|_| state.problems.is_empty()));
        }
        Ok(is_believed && self.sources.state(name).settled == digest)
    }

    /// Applies what a source says but for `left` records, as one change. Gives whether it is believed.
    async fn hear_once(&self, declared: &Declared, said: Result<Said, String>, (confirmed, left): (bool, usize)) -> Result<bool, Error> {
        let name = &declared.name;
        let (now, before) = (self.clock.now(), self.sources.state(name));
        let digest = said.as_ref().ok().map(|said| said.digest);
        let known = !before.voiced.wants(digest, now);
        let (mover, former) = (self.mover_of(name)?, before.inventory.clone());
        let plan = {
            let (declared, scope) = (declared.clone(), declared.scope(self.sources.gone()));
            move |present: &Present<'_>| {
                let (events, outcome) = hearing(present, (&declared, &scope, mover), said, former.as_deref(), (confirmed, known));
                Ok((events, (outcome, present.facts.changed())))
            }
        };
        let (committed, (outcome, changed)) = self.change(None, plan).await?;
        tell(name, &outcome, (&before, now), left);
        let is_believed = matches!(outcome, Outcome::Applied(_));
        self.sources.change(name, |state| {
            let (told, names, mut voiced) = (state.told, Arc::clone(&state.names), state.voiced.clone());
            let digest_told = digest.filter(|_| told == changed);
            let compared = |changed, until| Some(Compared { digest: digest_told?, changed, until });
            match outcome {
                Outcome::Doubted(doubted) => {
                    if committed.first.is_some() {
                        voiced.add(digest, now);
                    }
                    let (compared, doubted) = (compared(changed, doubted.until), Some(doubted));
                    *state = State { heard: Some(now), doubted, compared, voiced, ..state.clone() };
                }
                Outcome::Applied(Applied { problems, inventory, .. }) => {
                    let (heard, believed, inventory) = (Some(now), Some(now), inventory.map(Arc::new));
                    let settled = digest.filter(|_| problems.is_empty() && left == 0);
                    let changed = committed.first.map_or(changed, |_| committed.last);
                    let compared = compared(changed, None).filter(|_| left == 0);
                    *state = State { heard, believed, settled, compared, names, told, problems, inventory, voiced, ..State::default() };
                }
            }
        });
        Ok(is_believed)
    }

    /// Applies what was set aside of something that is believed. If that ends before all of it is recorded, the rest
    /// is new when the source is heard the next time.
    async fn hear_aside(&self, declared: &Declared, mut aside: Aside) -> Result<(), Error> {
        let source = &declared.name;
        while let Some(portion) = aside.portion(MOST_AT_ONCE) {
            let (scope, mover) = (declared.scope(self.sources.gone()), self.mover_of(source)?);
            let plan = move |present: &Present<'_>| {
                let Difference { changes, events, problems, .. } = directory::plan(&portion, &scope, present, &mover.asked(present.facts));
                Ok((events, (changes.len(), problems)))
            };
            let (_, (changes, problems)) = self.change(None, plan).await?;
            tracing::info!(%source, changes, left = aside.len(), "applied more of what the source says");
            tell_problems(source, problems.iter());
            self.sources.change(source, |state| state.problems.extend(problems));
        }
        Ok(())
    }
}

/// What to append for what a source says.
fn hearing(
    present: &Present<'_>,
    (declared, scope, mover): (&Declared, &Scope, Mover),
    said: Result<Said, String>,
    former: Option<&Inventory>,
    (confirmed, known): (bool, bool),
) -> (Vec<Event>, Outcome) {
    let (facts, name) = (present.facts, &declared.name);
    let doubted = match said {
        Err(why) => Doubted { digest: None, why, ends: 0, of: own(facts, name).count(), until: None, changes: Vec::new() },
        Ok(said) => {
            let (difference, day, lost) = match &declared.covers {
                Some(covers) => inventory::difference(present, covers, former, &said.snapshot),
                None => {
                    let difference = directory::plan(&said.snapshot, scope, present, &mover.asked(facts));
                    let day = Day::new(own(facts, name), &difference.ended(), facts.turnover().of(name, present.now));
                    (difference, day, Lost::new())
                }
            };
            let drifted = drift::lost(&said.snapshot, facts, name).map(|why| Disbelief { why, until: None });
            let disbelief = drifted.or_else(|| disbelief(&day, (&said.snapshot, said.wrong), declared.max_ended));
            let ended = difference.ended();
            let Difference { changes, mut events, problems, .. } = difference;
            match disbelief.filter(|_| !confirmed) {
                None => {
                    // What a person let through does not count.
                    let (ended, lost) = if confirmed { (Vec::new(), Lost::new()) } else { (ended, lost) };
                    events.extend(ended.chunks(MOST_AT_ONCE).map(|records| ended_by(name, records)));
                    let problems = said.problems.into_iter().chain(problems).collect();
                    let inventory = declared.covers.as_ref().map(|_| Inventory::of(said.snapshot, former, lost));
                    return (events, Outcome::Applied(Applied { changes, problems, inventory }));
                }
                Some(Disbelief { why, until }) => {
                    Doubted { digest: Some(said.digest), why, ends: day.ends(), of: day.of(), until, changes }
                }
            }
        }
    };
    let events = if known { Vec::new() } else { held(name, &doubted).into_iter().collect() };
    (events, Outcome::Doubted(doubted))
}

fn ended_by(source: &SourceName, records: &[Position]) -> Event {
    Event::SourceEnded { source: source.clone(), records: records.to_vec() }
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

impl State {
    /// Whether a doubt is to be logged: it is another than the one before, and was not written within a day, such as
    /// by a source that says one thing and another in turn.
    fn is_news(&self, doubted: &Doubted, now: Timestamp) -> bool {
        let before = self.doubted.as_ref();
        // Of the same content something else may be wrong by now.
        let is_other = before.is_some_and(|before| before.digest == doubted.digest && before.why != doubted.why);
        before != Some(doubted) && (is_other || !self.voiced.has(doubted.digest, now))
    }
}

/// The line in the log: what changed, and what is wrong, once. `left` records of it come later.
fn tell(source: &SourceName, outcome: &Outcome, (before, now): (&State, Timestamp), left: usize) {
    match outcome {
        Outcome::Doubted(doubted) if before.is_news(doubted, now) => {
            let Doubted { why, ends, of, .. } = doubted;
            tracing::error!(%source, why, ends, of, "the source is not believed, and nothing of it is applied");
        }
        Outcome::Doubted(_) => {}
        Outcome::Applied(Applied { changes, problems, .. }) => {
            for Change { action, subject, name, detail, living, .. } in changes.iter().take(MOST_TOLD) {
                tracing::info!(%source, %action, %subject, name, detail, living, "a source changed a record");
            }
            if !changes.is_empty() || left > 0 {
                tracing::info!(%source, changes = changes.len(), left, "applied what the source says");
            }
            tell_problems(source, problems.iter().filter(|problem| !before.problems.contains(problem)));
        }
    }
}

fn tell_problems<'a>(source: &SourceName, problems: impl Iterator<Item = &'a String>) {
    for problem in problems.take(MOST_TOLD) {
        tracing::warn!(%source, problem, "a record of a source is left as it is");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_source_that_flaps_has_each_doubt_logged_once_a_day() {
        let at = |hour: u64| Timestamp::from_seconds(1_000_000 + hour * 3600);
        let doubt = |content: Option<u8>, why: &str| {
            let digest = content.map(|byte| [byte; 32]);
            Doubted { digest, why: why.to_owned(), ends: 0, of: 9, until: None, changes: Vec::new() }
        };
        let mut state = State::default();
        // What it says each hour: nothing that is doubted, what is empty, what cannot be read.
        let said = [Some(doubt(Some(1), "empty")), None, Some(doubt(None, "no answer"))];
        let mut logged = Vec::new();
        for (hour, said) in (0..).zip(said.iter().cycle().take(27)) {
            if let Some(doubted) = said {
                if state.is_news(doubted, at(hour)) {
                    logged.push(hour);
                }
                if state.voiced.wants(doubted.digest, at(hour)) {
                    state.voiced.add(doubted.digest, at(hour));
                }
            }
            state.doubted.clone_from(said);
        }
        assert_eq!(logged, [0, 2, 24, 26]);
        // Another reason why the same is not believed is told.
        assert!(state.is_news(&doubt(None, "a wrong certificate"), at(27)) && !state.is_news(&doubt(None, "no answer"), at(27)));
        assert!(state.is_news(&doubt(Some(2), "other"), at(26).plus(Duration::from_secs(1))));
    }
}
