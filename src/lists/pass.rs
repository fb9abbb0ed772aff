//! One pass over everything in the ledger that can be unexpired: who is dead, by the verifier's own rule.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::ambient::Clock;
use crate::formats::status_index::{Indices, list_of};
use crate::formats::status_list::StatusList;
use crate::ledger::{Ledger, LedgerError, Stored};
use crate::model::{CLOCK_STEP, CredentialId, CredentialKind, Cut, Cuts, Event, Issued, Position, Reason, Timestamp};

/// How many entries are read at once: no reader holds the disk, or keeps the journal from being folded, for longer.
const CHUNK: usize = 4096;

/// How many status lists are there before the first token of them is issued: more than are begun between two
/// passes, at whatever rate a machine can issue.
const AHEAD: u64 = 4;

/// A certificate that is dead and, but for the moment it takes verifiers to notice, not expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dead {
    pub(super) id: CredentialId,
    /// The key that signed it.
    pub(super) key: Position,
    pub(super) expires_at: Timestamp,
    /// The cut that it is dead by.
    pub(super) cut: Position,
    pub(super) reason: Reason,
}

/// Which pass something was made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Made {
    /// An instant before the ledger was read.
    pub(super) taken_at: Timestamp,
    /// It covers everything up to here.
    pub(super) position: Position,
}

/// What one pass found.
#[derive(Clone, Debug, Default)]
pub(super) struct Pass {
    pub(super) made: Made,
    /// The same instant, but for a clock that was set back: never before the last entry.
    pub(super) not_before: Timestamp,
    /// By position, ascending.
    pub(super) certificates: Vec<Dead>,
    /// The status lists that unexpired tokens can stand in, and the next ones. A million dead tokens are some
    /// hundred kilobytes here.
    pub(super) tokens: BTreeMap<u64, StatusList>,
    /// The same of those alone that were dead by `known` already, and have not expired.
    pub(super) known_tokens: BTreeMap<u64, StatusList>,
    /// How many tokens are dead.
    pub(super) dead_tokens: u64,
    /// When each cut that a certificate is dead by was made.
    pub(super) cut_at: HashMap<Position, Timestamp>,
    /// Entries that cannot be read: each may be a credential that is dead.
    pub(super) unreadable: Vec<Position>,
    /// Cuts that the ledger holds and that are not known as they should be.
    pub(super) unknown_cuts: Vec<Position>,
    /// The cuts that were active, by which this pass judged.
    pub(super) cuts: Cuts,
    /// What the lists cover that are out.
    pub(super) known: Position,
}

/// What a pass goes by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms<'a> {
    pub(super) clock: &'a Clock,
    pub(super) indices: &'a Indices,
    /// How long a credential is kept among the dead after it has expired.
    pub(super) grace: Duration,
    /// What the lists cover that are out.
    pub(super) known: Position,
}

impl Pass {
    /// Reads everything that can be unexpired, in small steps, off the async threads.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub(super) async fn over(ledger: &dyn Ledger, terms: Terms<'_>) -> Result<Self, LedgerError> {
        // The clock first, then cuts and head of one moment: what was cut before `taken_at` is in.
        let taken_at = terms.clock.now();
        let (head, cuts) = {
            let facts = ledger.facts();
            (ledger.head(), facts.cuts().clone())
        };
        let (made, not_before) = (Made { taken_at, position: head.position }, taken_at.max(head.time));
        let since = |kind: CredentialKind| taken_at.minus(kind.longest_life() + terms.grace + CLOCK_STEP);
        let first_token = ledger.first_since(since(CredentialKind::AccessToken)).await?;
        let mut next = ledger.first_since(since(CredentialKind::Certificate)).await?;
        let lists = list_of(first_token)..=list_of(made.position) + AHEAD;
        let tokens: BTreeMap<u64, StatusList> = lists.map(|list| (list, StatusList::all_valid())).collect();
        let known_tokens = tokens.clone();
        let mut pass = Self { made, not_before, tokens, known_tokens, cuts, known: terms.known, ..Self::default() };
        while next <= made.position {
            let chunk = ledger.entries(next, CHUNK).await?;
            let Some(last) = chunk.last().map(|stored| stored.position) else { break };
            for stored in chunk.into_iter().filter(|stored| stored.position <= made.position) {
                // Entries follow each other without gaps: one that is not there was lost.
                pass.unreadable.extend((next.get()..stored.position.get()).map(Position::new));
                next = stored.position.next();
                pass.consider(stored, terms);
            }
            next = next.max(last.next());
        }
        pass.unreadable.extend((next.get()..=made.position.get()).map(Position::new));
        for position in &pass.unreadable {
            mark(&mut pass.tokens, terms.indices, *position);
        }
        pass.date_cuts(ledger).await?;
        Ok(pass)
    }

    fn consider(&mut self, stored: Stored, terms: Terms<'_>) {
        let position = stored.position;
        let Ok(entry) = stored.entry else { return self.unreadable.push(position) };
        match entry.event {
            Event::CredentialIssued(issued) => self.judge(position, &issued, terms),
            Event::Cut(made) => {
                self.cut_at.insert(position, entry.time);
                let active = made.listed(position).filter(|cut| cut.ends > self.made.taken_at);
                let known = |cut: &Cut| self.cuts.get(cut.number).is_some_and(|known| known.position >= position);
                self.unknown_cuts.extend(active.filter(|cut| !known(cut)).map(|cut| cut.position));
            }
            Event::LedgerOpened { .. }
            | Event::KeyActivated(_)
            | Event::KeyRetired { .. }
            | Event::PolicyChanged(_)
            | Event::OwnerRecorded(_)
            | Event::EnvironmentRecorded(_)
            | Event::WorkloadRecorded(_)
            | Event::DownstreamRecorded(_)
            | Event::DownstreamRemoved { .. }
            | Event::TaskOpened(_)
            | Event::Reinstated { .. }
            | Event::WorkloadAccepted { .. }
            | Event::AdministrativeRead { .. }
            | Event::EpochBegun(_)
            | Event::DownstreamConfirmed(_)
            | Event::RequestsRefused(_)
            | Event::ExceptionRequested(_)
            | Event::FindingRaised(_)
            | Event::FindingChanged { .. }
            | Event::ExceptionApproved { .. }
            | Event::PersonRecorded(_)
            | Event::PersonEnded { .. }
            | Event::ContractRecorded(_)
            | Event::ContractEnded { .. }
            | Event::ResourceRecorded(_)
            | Event::SourceHeld(_)
            | Event::SourceConfirmed { .. }
            | Event::SourceEnded { .. } => {}
        }
    }

    fn judge(&mut self, position: Position, issued: &Issued, terms: Terms<'_>) {
        let taken_at = self.made.taken_at;
        if issued.expires_at.plus(terms.grace) <= taken_at {
            return;
        }
        let Some(cut) = self.cuts.death(issued.key, position, issued.numbers(position)) else { return };
        if issued.kind == CredentialKind::Certificate {
            let (id, cut, reason) = (CredentialId::new(position, issued.nonce), cut.position, cut.reason);
            return self.certificates.push(Dead { id, key: issued.key, expires_at: issued.expires_at, cut, reason });
        }
        self.dead_tokens += 1;
        mark(&mut self.tokens, terms.indices, position);
        if cut.position <= self.known && issued.expires_at > taken_at {
            mark(&mut self.known_tokens, terms.indices, position);
        }
    }

    /// Finds out when those cuts were made that stand before everything unexpired: those of keys.
    async fn date_cuts(&mut self, ledger: &dyn Ledger) -> Result<(), LedgerError> {
        let mut cuts: Vec<Position> = self.certificates.iter().map(|dead| dead.cut).collect();
        cuts.sort_unstable();
        cuts.dedup();
        for cut in cuts {
            if !self.cut_at.contains_key(&cut) {
                let entry = ledger.find(cut).await?.and_then(|stored| stored.entry.ok());
                // Of one that cannot be read it is known only that it was before now.
                self.cut_at.insert(cut, entry.map_or(self.made.taken_at, |entry| entry.time));
            }
        }
        Ok(())
    }

    /// The certificates of a key that are dead.
    pub(super) fn certificates(&self, key: Position) -> impl Iterator<Item = &Dead> {
        self.certificates.iter().filter(move |dead| dead.key == key)
    }

    /// The first entry that may be a dead certificate of this key and cannot be read, so that it cannot be
    /// named: it stands below a cut, and above the entry that activated the key.
    pub(super) fn unnameable(&self, key: Position) -> Option<Position> {
        let below = self.cuts.iter().map(|cut| cut.position).max().unwrap_or(Position::ZERO);
        let key_cut = self.cuts.get(key).is_some();
        self.unreadable.iter().copied().find(|position| *position > key && (*position < below || key_cut))
    }
}

/// Says of the token at `position`, if it is one, that it is not good.
fn mark(lists: &mut BTreeMap<u64, StatusList>, indices: &Indices, position: Position) {
    let place = indices.place(position);
    if let Some(list) = lists.get_mut(&place.list) {
        list.invalidate(place.index);
    }
}
