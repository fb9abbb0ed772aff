//! Refusals are entries, coalesced: the first of a caller and reason is told within a second, the
//! others with their count once in five minutes, and so many entries a minute at most, whoever
//! asks. A request is refused without waiting for its entry, which is the first thing to be dropped.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Broker, Error};
use crate::ledger::Urgency;
use crate::model::{Event, Position, Refused, SpiffeId, Timestamp};
use crate::policy::{Caller, Role};

/// How long one entry stands for.
const COALESCED: Duration = Duration::from_secs(5 * 60);
/// How many callers and reasons are told apart; what comes beyond them is counted by reason alone.
const MOST_TOLD_APART: usize = 4096;
/// How many of them are of callers in no record.
const MOST_STRANGERS: usize = 64;
/// How many entries are made in a minute; the others wait, and their counts grow.
const MOST_A_MINUTE: usize = 60;
/// How often it is looked whether something is to be told.
const LOOK: Duration = Duration::from_secs(1);

/// Who was refused, absent where they are not told apart, and why.
type Key = (Option<SpiffeId>, &'static str);

/// What was refused and is not told yet.
#[derive(Debug)]
struct Tally {
    workload: Option<Position>,
    stranger: bool,
    count: u64,
    /// When the first of them was refused.
    since: Timestamp,
    /// When it may be told.
    due: Timestamp,
}

/// The tallies, and how many entries this minute has.
#[derive(Debug, Default)]
struct Book {
    tallies: HashMap<Key, Tally>,
    strangers: usize,
    minute: Timestamp,
    told: usize,
}

/// What was refused lately.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<Book>);

impl Refusals {
    /// Counts one. `who` says which workload the caller is, or that it is a stranger.
    fn count(&self, caller: &SpiffeId, reason: &'static str, now: Timestamp, who: impl FnOnce() -> (Option<Position>, bool)) {
        let mut book = self.book();
        let key = (Some(caller.clone()), reason);
        if let Some(tally) = book.tallies.get_mut(&key) {
            return tally.add(1, now);
        }
        let (workload, stranger) = who();
        let crowded = book.tallies.len() >= MOST_TOLD_APART || stranger && book.strangers >= MOST_STRANGERS;
        if crowded {
            book.enter((None, reason), None, false, now);
        } else {
            book.enter(key, workload, stranger, now);
        }
    }

    /// What is to be told at `now`, the longest due first.
    fn take(&self, now: Timestamp) -> Vec<(Key, Refused)> {
        self.take_until(now, MOST_A_MINUTE)
    }

    /// The same, until the minute has so many.
    fn take_until(&self, now: Timestamp, most: usize) -> Vec<(Key, Refused)> {
        let mut book = self.book();
        if now.since(book.minute) >= Duration::from_secs(60) || book.minute > now {
            (book.minute, book.told) = (now, 0);
        }
        // A clock that was set back postpones nothing for longer than usual.
        let is_due = |tally: &Tally| tally.due <= now || tally.due > now.plus(COALESCED);
        let mut due: Vec<(Timestamp, Key)> = book
            .tallies
            .iter()
            .filter(|(_, tally)| tally.count > 0 && is_due(tally))
            .map(|(key, tally)| (tally.due, key.clone()))
            .collect();
        due.sort();
        due.truncate(most.saturating_sub(book.told));
        book.told += due.len();
        let mut taken = Vec::with_capacity(due.len());
        for (_, key) in due {
            if let Some(tally) = book.tallies.get_mut(&key) {
                let (identity, reason) = key.clone();
                let refused =
                    Refused { workload: tally.workload, identity, reason: reason.to_owned(), count: tally.count, since: tally.since };
                (tally.count, tally.due) = (0, now.plus(COALESCED));
                taken.push((key, refused));
            }
        }
        book.tallies.retain(|_, tally| tally.count > 0 || !is_due(tally));
        book.strangers = book.tallies.values().filter(|tally| tally.stranger).count();
        taken
    }

    /// Counts again what could not be told.
    fn put_back(&self, untold: Vec<(Key, Refused)>) {
        let mut book = self.book();
        for (key, refused) in untold {
            if let Some(tally) = book.tallies.get_mut(&key) {
                tally.since = if tally.count == 0 { refused.since } else { tally.since.min(refused.since) };
                tally.count = tally.count.saturating_add(refused.count);
                tally.due = refused.since;
            }
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn enter(&mut self, key: Key, workload: Option<Position>, stranger: bool, now: Timestamp) {
        self.strangers += usize::from(stranger);
        self.tallies.entry(key).or_insert(Tally { workload, stranger, count: 0, since: now, due: now }).add(1, now);
    }
}

impl Tally {
    fn add(&mut self, count: u64, now: Timestamp) {
        if self.count == 0 {
            self.since = now;
        }
        self.count = self.count.saturating_add(count);
    }
}

impl Broker {
    /// Counts a refusal, to be told later. Costs next to nothing and waits for nothing.
    pub(crate) fn note_refusal(&self, caller: &Caller, error: &Error) {
        let Some(reason) = error.refusal() else { return };
        self.refusals.count(&caller.spiffe_id, reason, self.clock.now(), || {
            let role = Role::of(caller, &self.administrators, &self.ledger.facts());
            match role {
                Role::Workload(number) => (Some(number), false),
                Role::Administrator(_) | Role::Verifier(_) | Role::Source(_) => (None, false),
                Role::Unknown => (None, true),
            }
        });
    }

    /// Records the refusals that are to be told at `now`, and says how many entries it made. What
    /// cannot be recorded is told later.
    ///
    /// # Errors
    /// `Unavailable`, when the disk is nearly full too; `Limited`.
    pub(crate) async fn tell_refusals(&self, now: Timestamp) -> Result<usize, Error> {
        self.tell(self.refusals.take(now)).await
    }

    async fn tell(&self, taken: Vec<(Key, Refused)>) -> Result<usize, Error> {
        if taken.is_empty() {
            return Ok(0);
        }
        let events = taken.iter().map(|(_, refused)| Event::RequestsRefused(refused.clone())).collect();
        match self.change_when(Urgency::Postponable, None, move |_| Ok((events, ()))).await {
            Ok(_) => Ok(taken.len()),
            Err(error) => {
                self.refusals.put_back(taken);
                Err(error)
            }
        }
    }

    /// Tells refusals as they become due.
    pub(crate) async fn keep_telling_refusals(&self) {
        loop {
            self.clock.sleep_until(self.clock.now().plus(LOOK)).await;
            if let Err(error) = self.tell_refusals(self.clock.now()).await {
                tracing::debug!(%error, "refusals are told later");
            }
        }
    }

    /// Tells what is left, whether it is due or not.
    pub(crate) async fn tell_all_refusals(&self) {
        let left = self.refusals.take_until(Timestamp::from_millis(u64::MAX), usize::MAX);
        if let Err(error) = self.tell(left).await {
            tracing::warn!(%error, "some refusals are not in the ledger");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn caller(number: usize) -> SpiffeId {
        format!("spiffe://example.org/w{number}").parse().expect("an ID")
    }

    fn workload() -> (Option<Position>, bool) {
        (Some(Position::new(7)), false)
    }

    fn counts(taken: &[(Key, Refused)]) -> Vec<u64> {
        taken.iter().map(|(_, refused)| refused.count).collect()
    }

    #[test]
    fn however_many_callers_there_are_a_minute_has_so_many_entries_and_nothing_is_lost() {
        let refusals = Refusals::default();
        for _ in 0..3 {
            (0..10_000).for_each(|number| refusals.count(&caller(number), "POLICY_DENIED", START, workload));
        }
        assert_eq!(refusals.book().tallies.len(), MOST_TOLD_APART + 1);
        let (mut told, mut total, mut now) = (refusals.take(START), 0, START);
        assert!(refusals.take(START.plus(Duration::from_secs(59))).is_empty(), "the minute is not over");
        while !told.is_empty() {
            assert!(told.len() <= MOST_A_MINUTE);
            total += counts(&told).iter().sum::<u64>();
            now = now.plus(Duration::from_secs(60));
            told = refusals.take(now);
        }
        assert_eq!(total, 30_000);
        refusals.take(now.plus(COALESCED));
        assert_eq!(refusals.book().tallies.len(), 0, "and nothing is kept of those who are quiet");
    }

    #[test]
    fn strangers_are_told_apart_up_to_a_number_and_leave_room_for_others() {
        let refusals = Refusals::default();
        (0..1000).for_each(|number| refusals.count(&caller(number), "IDENTITY_UNKNOWN", START, || (None, true)));
        refusals.count(&caller(2000), "POLICY_DENIED", START, workload);
        let told: Vec<_> = [refusals.take(START), refusals.take(START.plus(Duration::from_secs(60)))].concat();
        let strangers = told.iter().filter(|(_, refused)| refused.workload.is_none() && refused.identity.is_some()).count();
        let others: Vec<_> = told.iter().filter(|(_, refused)| refused.identity.is_none()).map(|(_, refused)| refused.count).collect();
        assert_eq!((strangers, others), (MOST_STRANGERS, vec![1000 - MOST_STRANGERS as u64]));
        assert!(told.iter().any(|(_, refused)| refused.identity == Some(caller(2000))));
    }

    #[test]
    fn what_could_not_be_told_is_told_later_with_what_came_meanwhile() {
        let refusals = Refusals::default();
        let count = |now| refusals.count(&caller(1), "POLICY_DENIED", now, workload);
        (0..3).for_each(|_| count(START));
        let untold = refusals.take(START);
        count(START.plus(Duration::from_secs(1)));
        refusals.put_back(untold);
        let told = refusals.take(START.plus(Duration::from_secs(2)));
        assert_eq!((counts(&told), told[0].1.since), (vec![4], START));
    }

    #[test]
    fn a_clock_that_is_set_back_silences_nothing() {
        let refusals = Refusals::default();
        refusals.count(&caller(1), "POLICY_DENIED", START, workload);
        assert_eq!(counts(&refusals.take(START)), [1]);
        let back = START.minus(Duration::from_secs(3600));
        refusals.count(&caller(1), "POLICY_DENIED", back, workload);
        assert_eq!(counts(&refusals.take(back)), [1]);
    }
}
