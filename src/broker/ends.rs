//! What ends by itself: tasks at their deadlines, owners with their contracts, workloads at their
//! `valid_until`. Nothing is issued beyond such an end, so what could be late is the entry that says so;
//! it is made to the second, and at the start if the broker was away at that moment.

use super::enforcement::concerns_of;
use super::{Broker, Error};
use crate::ledger::Present;
use crate::model::{Closing, CutMade, Event, Facts, KnownTask, Note, Position, Reason, Timestamp, Whose, cut_ends};

/// So many end in one transaction, such as all whose end is that of a year: whoever revokes waits for one.
const MOST_AT_ONCE: usize = 10_000;

impl Broker {
    /// Ends the subjects whose end has come, the earliest first, and not more than one transaction should hold;
    /// returns how many.
    ///
    /// # Errors
    /// If the ledger cannot commit.
    pub(crate) async fn end_what_is_due(&self) -> Result<usize, Error> {
        let plan = |present: &Present<'_>| {
            let endings = present.facts.due(present.now).filter_map(|number| ending(present, number));
            let events: Vec<_> = endings.take(MOST_AT_ONCE).collect();
            let ended = events.len();
            Ok((events, ended))
        };
        Ok(self.change(None, plan).await?.1)
    }

    /// Ends each subject at its end, for as long as the ledger can commit.
    ///
    /// # Errors
    /// If the ledger cannot commit.
    pub(crate) async fn keep_ends(&self) -> Result<(), Error> {
        let mut changes = self.ledger.watch();
        loop {
            changes.mark_unchanged();
            let next = self.ledger.facts().next_end();
            match next {
                Some(end) if end <= self.clock.now() => {
                    self.end_what_is_due().await?;
                }
                Some(end) => tokio::select! {
                    () = self.clock.sleep_until(end) => {}
                    _ = changes.changed() => {}
                },
                None if changes.changed().await.is_err() => return Ok(()),
                None => {}
            }
        }
    }
}

/// The cut that ends a subject because its own end has come.
fn ending(present: &Present<'_>, number: Position) -> Option<Event> {
    let facts = present.facts;
    if let Some(task) = facts.task(number) {
        return Some(closing(present, task, Reason::CessationOfOperation, None));
    }
    let (whose, note) = owner_ending(facts, number).or_else(|| workload_ending(facts, number))?;
    let ends = last_expiry(present, whose).and_then(|last_expiry| cut_ends(last_expiry, present.now));
    let (reason, closing) = (Reason::CessationOfOperation, Closing::Offboard);
    let concerns = Some(concerns_of(present, whose, number));
    Some(Event::Cut(CutMade { number, reason, ends, closing, note: note.parse::<Note>().ok(), concerns, source: None }))
}

fn owner_ending(facts: &Facts, number: Position) -> Option<(Whose, String)> {
    let end = facts.contract_end(facts.owner_numbered(number)?)?;
    Some((Whose::Owner(number), format!("the contract ended at {end}")))
}

fn workload_ending(facts: &Facts, number: Position) -> Option<(Whose, String)> {
    let record = &facts.workload_numbered(number)?.record;
    let end = record.valid_until?;
    Some((Whose::Workload { owner: record.owner, workload: number }, format!("it was registered until {end}")))
}

/// The last expiry of what may be alive, if anything may be.
pub(super) fn last_expiry(present: &Present<'_>, whose: Whose) -> Option<Timestamp> {
    if present.living.may_be_low(present.now) { Some(present.latest_expiry) } else { present.living.last_expiry(whose) }
}

/// The cut that closes a task. It enters the list only if something may still be accepted.
pub(super) fn closing(present: &Present<'_>, task: &KnownTask, reason: Reason, note: Option<Note>) -> Event {
    let whose = Whose::Task { owner: task.record.owner, task: task.number };
    let alive = last_expiry(present, whose);
    let ends = alive.and_then(|last_expiry| cut_ends(last_expiry.min(task.record.deadline), present.now));
    let concerns = Some(concerns_of(present, whose, task.number));
    Event::Cut(CutMade { number: task.number, reason, ends, closing: Closing::CloseTask, note, concerns, source: None })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::{Entry, Living, Task};

    /// What a closed task leaves in the list, if `living` knows of nothing under it.
    fn listed(living: &Living) -> Option<Timestamp> {
        let (number, now) = (Position::new(9), Timestamp::from_seconds(1000));
        let record = Task {
            owner: Position::new(2),
            environment: Position::new(3),
            workload: None,
            deadline: now.plus(Duration::from_secs(600)),
            purpose: "a job".parse().expect("a note"),
            opened_by: "spiffe://example.org/job".parse().expect("an ID"),
        };
        let mut facts = Facts::default();
        facts.apply(&Entry { position: number, time: now, actor: None, request_id: None, event: Event::TaskOpened(record) });
        let latest_expiry = now.plus(Duration::from_secs(300));
        let present = Present { facts: &facts, living, head: number, latest_expiry, now };
        let task = facts.task(number).expect("opened");
        let Event::Cut(cut) = closing(&present, task, Reason::Superseded, None) else { panic!("not a cut") };
        cut.ends
    }

    #[test]
    fn a_task_leaves_a_cut_in_the_list_unless_it_is_known_that_nothing_lives_under_it() {
        let mut living = Living::default();
        assert_eq!(listed(&living), None);
        living.distrust(Timestamp::from_seconds(1100));
        assert_eq!(listed(&living), Some(Timestamp::from_seconds(1300 + 120)));
    }
}
