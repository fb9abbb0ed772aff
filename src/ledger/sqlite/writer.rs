//! The one thread that commits. It alone moves facts, counters and head, and only after what moves
//! them is durable: a reader never sees what could be lost.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::queue::{Issuance, Pending, Work};
use super::start::{self, find_entry};
use super::store::Batch;
use super::{Options, Shared};
use crate::ambient::{Clock, Stopwatch};
use crate::ledger::tip::Tip;
use crate::ledger::{Change, Committed, LedgerError, Plan, Present, Recorded, Urgency, codec, counters};
use crate::model::{Entry, Event, Position, Timestamp};

/// Facts and counters are rid of what expired this often, in ledger time. Counts leave it out at
/// any time.
const FORGET_FACTS: Duration = Duration::from_secs(1);
const FORGET_LIVING: Duration = Duration::from_secs(60);

/// The writer, with what only it may touch.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) options: Options,
    pub(super) clock: Clock,
    /// Where the ledger ends.
    pub(super) tip: Tip,
    /// A commit failed, so the store may have gone further than `tip`.
    pub(super) suspect: bool,
    /// When facts and counters were last rid of what expired.
    pub(super) forgot: Forgot,
    /// The counters are kept as of this position.
    pub(super) counted: Position,
    /// After how many more entries they are kept again.
    pub(super) count_after: u64,
}

/// When the expired was last forgotten.
#[derive(Debug, Default)]
pub(super) struct Forgot {
    facts: Timestamp,
    living: Timestamp,
}

impl Writer {
    /// Commits what comes until the queue is closed.
    pub(super) fn run(mut self) {
        let mut last = 0;
        while let Some(Work { changes, issuances }) = self.shared.queue.next(last) {
            last = issuances.len();
            for Pending { change, answer } in changes {
                // Who asked may be gone; what they asked for is done all the same.
                drop(answer.send(self.change(change)));
            }
            self.issue(issuances);
            self.look_after();
        }
        self.keep_counters();
    }

    /// Commits a change: its plan sees everything committed before, and nothing comes between.
    pub(super) fn change(&mut self, change: Change) -> Result<Committed, LedgerError> {
        self.recover()?;
        if change.urgency == Urgency::Postponable {
            self.room()?;
        }
        self.forget();
        let now = self.clock.now();
        let time = now.max(self.tip.time);
        let events = self.decide(change.plan, now)?;
        let first = self.tip.position().next();
        let mut tip = self.tip.clone();
        let mut entries = Vec::with_capacity(events.len());
        let mut rows = Vec::with_capacity(events.len());
        for event in events {
            let position = tip.position().next();
            let entry = Entry { position, time, actor: change.actor.clone(), request_id: change.request_id.clone(), event };
            let bytes = codec::encode(&entry);
            tip.append(&entry, &bytes);
            entries.push(entry);
            rows.push(bytes);
        }
        if entries.is_empty() {
            return Ok(Committed { first: None, last: self.tip.position(), time: self.tip.time });
        }
        self.commit(&Batch { first, rows: &rows, changes: &entries, tip: &tip, now })?;
        // Of a large registry they are many, and what is known of it comes now.
        drop(rows);
        self.advance(&entries, tip);
        Ok(Committed { first: Some(first), last: self.tip.position(), time })
    }

    /// Asks the plan. If it panics, only its caller is worse off.
    fn decide(&self, plan: Plan, now: Timestamp) -> Result<Vec<Event>, LedgerError> {
        let facts = self.shared.facts();
        let living = self.shared.living();
        let present = Present { facts: &facts, living: &living, head: self.tip.position(), latest_expiry: self.tip.latest_expiry, now };
        match catch_unwind(AssertUnwindSafe(|| plan(&present))) {
            Ok(decided) => Ok(decided?),
            Err(_panic) => Err(LedgerError::Unavailable("the change could not be decided; nothing was changed".to_owned())),
        }
    }

    /// Commits issuances together, but for those whose facts have changed.
    fn issue(&mut self, issuances: Vec<Issuance>) {
        if issuances.is_empty() {
            return;
        }
        if let Err(error) = self.recover() {
            return refuse(issuances, &error);
        }
        let issuances = match self.room() {
            Ok(()) => issuances,
            // Without a server certificate nobody could come to revoke.
            Err(error) => {
                let (own, others): (Vec<_>, Vec<_>) = issuances.into_iter().partition(|issuance| issuance.grant.is_own_certificate());
                refuse(others, &error);
                own
            }
        };
        let issuances = self.not_stale(issuances);
        if issuances.is_empty() {
            return;
        }
        let (now, first) = (self.clock.now(), self.tip.position().next());
        // Never before the last entry's.
        let time = now.max(self.tip.time);
        let mut tip = self.tip.clone();
        let mut rows = Vec::with_capacity(issuances.len());
        for issuance in &issuances {
            let issued = issuance.grant.issued();
            let bytes = codec::encode_issuance(tip.position().next(), time, &issuance.grant, issuance.nonce);
            tip.append_issuance(time, issued.expires_at, &bytes);
            rows.push(bytes);
        }
        if let Err(error) = self.commit(&Batch { first, rows: &rows, changes: &[], tip: &tip, now }) {
            return refuse(issuances, &error);
        }
        self.tip = tip;
        let mut position = first;
        let mut answers = Vec::with_capacity(issuances.len());
        let mut living = self.shared.living_mut();
        for Issuance { grant, nonce, answer } in issuances {
            let recorded = Recorded::new(grant, position, nonce);
            living.add(recorded.issued());
            answers.push((answer, recorded));
            position = position.next();
        }
        drop(living);
        self.shared.set_head(self.tip.head());
        answers.into_iter().for_each(|(answer, recorded)| drop(answer.send(Ok(recorded))));
    }

    /// The fence. Facts move in this thread alone, so what is found here holds at the commit.
    fn not_stale(&self, issuances: Vec<Issuance>) -> Vec<Issuance> {
        let facts = self.shared.facts();
        let mut good = Vec::with_capacity(issuances.len());
        for issuance in issuances {
            let issued = issuance.grant.issued();
            if issuance.answer.is_closed() {
                // Nobody waits for it any more.
            } else if facts.touched_since(issuance.grant.fence(), issued) {
                self.shared.counts.stale();
                drop(issuance.answer.send(Err(LedgerError::Stale)));
            } else {
                good.push(issuance);
            }
        }
        good
    }

    fn commit(&mut self, batch: &Batch<'_>) -> Result<(), LedgerError> {
        let watch = Stopwatch::start();
        let stored = self.shared.store.append(batch);
        match &stored {
            Ok(()) => self.shared.counts.committed(batch.rows.len(), watch.elapsed()),
            Err(error) => {
                tracing::error!(%error, first = %batch.first, entries = batch.rows.len(), "a commit failed; nothing was acknowledged");
                self.shared.counts.failed();
                self.suspect = true;
                // A cut that was stored all the same counts at once. If the store cannot be read
                // now, nothing is committed before it can.
                drop(self.recover());
            }
        }
        stored
    }

    /// Whether enough disk is free to issue. A change needs no room of its own: it may be what
    /// makes things safe.
    fn room(&self) -> Result<(), LedgerError> {
        let least = self.options.min_free_disk;
        if self.shared.store.free_disk().is_none_or(|free| free >= least) {
            return Ok(());
        }
        Err(LedgerError::Unavailable(format!("less than {} MiB of disk are free: issuing has stopped, revoking has not", least >> 20)))
    }

    /// After a commit that failed, takes over what it stored all the same.
    fn recover(&mut self) -> Result<(), LedgerError> {
        if !self.suspect {
            return Ok(());
        }
        let (entries, tip) = self.shared.store.beyond(&self.tip)?;
        if tip.position() > self.tip.position() {
            self.advance(&entries, tip);
        }
        self.suspect = false;
        Ok(())
    }

    /// Moves what is in memory by entries that are durable. Whoever sees the new facts sees the new
    /// head.
    fn advance(&mut self, entries: &[Entry], tip: Tip) {
        let ended: Vec<_> = entries.iter().map(|entry| self.ended(entry)).collect();
        let changed = tip.changed > self.tip.changed;
        self.tip = tip;
        let mut facts = self.shared.facts_mut();
        let mut living = self.shared.living_mut();
        for (entry, ended) in entries.iter().zip(ended) {
            facts.apply(entry);
            if let Event::CredentialIssued(issued) = &entry.event {
                living.add(issued);
            }
            ended.iter().for_each(|ended| ended.apply(&mut living));
        }
        self.shared.set_head(self.tip.head());
        drop((living, facts));
        if changed {
            self.shared.changed.send_replace(self.tip.changed);
        }
    }

    fn ended(&self, entry: &Entry) -> Vec<counters::Ended> {
        let store = &self.shared.store;
        let find = |position| store.write(|connection| Ok(find_entry(connection, store.segments, position))).ok().flatten();
        counters::ended(entry, &self.shared.facts(), find)
    }

    /// Between commits: forgets what expired, and keeps the counters from time to time.
    fn look_after(&mut self) {
        drop(self.recover());
        self.shared.index.reached(self.shared.store.segments, self.tip.position());
        self.forget();
        if self.tip.position().get() - self.counted.get() >= self.count_after {
            self.keep_counters();
        }
    }

    /// Goes by the clock: what ended by an entry from when it ran ahead is alive when it is set back.
    fn forget(&mut self) {
        let now = self.clock.now();
        if now.since(self.forgot.facts) >= FORGET_FACTS || self.forgot.facts > now {
            self.forgot.facts = now;
            self.shared.facts_mut().expire(now);
        }
        if now.since(self.forgot.living) >= FORGET_LIVING || self.forgot.living > now {
            start::doubt(&mut self.shared.living_mut(), self.forgot.living, &self.tip, now);
            self.forgot.living = now;
            self.shared.living_mut().expire(now);
        }
    }

    fn keep_counters(&mut self) {
        if self.counted == self.tip.position() || self.suspect {
            return;
        }
        if self.shared.living().may_be_low(self.clock.now()) {
            // Kept, they would count as whole at the next start.
            return;
        }
        let bytes = counters::encode(&self.shared.living());
        // Many counters are kept less often, so that keeping them stays a small part of the work,
        // and often enough for the next start to count all that came after.
        let worth = u64::try_from(bytes.len() / 64).unwrap_or(u64::MAX).min(self.options.most_replayed / 2);
        self.count_after = self.options.keep_counters_every.max(worth);
        match self.shared.store.keep_counters(self.tip.position(), &bytes) {
            Ok(()) => self.counted = self.tip.position(),
            Err(error) => tracing::warn!(%error, "the counters were not kept; they are tried again"),
        }
    }
}

fn refuse(issuances: Vec<Issuance>, error: &LedgerError) {
    issuances.into_iter().for_each(|issuance| drop(issuance.answer.send(Err(error.clone()))));
}

impl Drop for Writer {
    /// However the thread ends, nobody waits for it for ever.
    fn drop(&mut self) {
        self.shared.queue.abandon();
        self.shared.index.stop();
        self.shared.store.close();
        self.shared.closed.send_replace(true);
    }
}
