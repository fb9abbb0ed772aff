//! An offboarding report, held against the ledger that it speaks of.

use std::collections::BTreeMap;

use super::tree::Tree;
use super::{Offline, OpenError, codec};
use crate::formats::list::to_hex;
use crate::formats::report::{Count, Downstream, Report, Revocation};
use crate::model::{CutMade, Entry, Epoch, EpochBegun, Event, Position, PublicKey};

/// What the ledger says of what a report says.
#[derive(Debug, Default)]
pub(crate) struct Testimony {
    /// How many entries were read.
    pub entries: u64,
    /// The keys that were ever active, for the signature.
    pub keys: Vec<PublicKey>,
    /// What the ledger says otherwise; the report is borne out if there is nothing.
    pub differences: Vec<String>,
}

/// What is read of the ledger, entry by entry.
#[derive(Default)]
struct Witness {
    tree: Tree,
    epoch: Option<Epoch>,
    counts: BTreeMap<(String, u64), u64>,
    after: u64,
    first: Option<u64>,
    last: Option<u64>,
    reinstated: Option<Position>,
    /// The entries that the report names.
    named: BTreeMap<u64, Entry>,
    found: Testimony,
}

impl Offline {
    /// Reads every entry that a report rests on, and says where they differ.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn hears(&self, report: &Report, mut progress: impl FnMut(Position)) -> Result<Testimony, OpenError> {
        let mut witness = Witness::default();
        self.walk((Position::BROKER, Position::new(report.pos).min(self.end())), |position, bytes| {
            progress(position);
            witness.tree.append(&bytes);
            match codec::decode(position, &bytes) {
                Ok(entry) => witness.entry(entry, report),
                Err(unreadable) => witness.found.differences.push(unreadable.to_string()),
            }
            true
        })?;
        Ok(witness.compare(report))
    }
}

impl Witness {
    fn entry(&mut self, entry: Entry, report: &Report) {
        let position = entry.position.get();
        let cut = report.revocation.as_ref().map(|revocation| revocation.position);
        let owner = report.owner.number;
        if let Event::LedgerOpened { epoch, .. } | Event::EpochBegun(EpochBegun { epoch, .. }) = &entry.event {
            self.epoch = Some(*epoch);
        } else if let Event::KeyActivated(key) = &entry.event {
            self.found.keys.push(key.clone());
        } else if let Event::CredentialIssued(issued) = &entry.event
            && issued.subjects.owner.get() == owner
        {
            if cut.is_some_and(|cut| position > cut) {
                self.after += 1;
            } else {
                *self.counts.entry((issued.kind.to_string(), issued.subjects.environment.get())).or_default() += 1;
                self.first = self.first.or(Some(position));
                self.last = Some(position);
            }
        } else if let Event::Reinstated { number, .. } = &entry.event
            && number.get() == owner
            && cut.is_some_and(|cut| position > cut)
        {
            self.reinstated = Some(entry.position);
        }
        if report.entries.binary_search(&position).is_ok() {
            self.named.insert(position, entry);
        }
    }

    fn compare(mut self, report: &Report) -> Testimony {
        self.found.entries = self.tree.size();
        if self.tree.size() < report.pos {
            self.differs(format!("the ledger ends at {}, before the position {} of the report", self.tree.size(), report.pos));
        } else if to_hex(&self.tree.root()) != report.root {
            self.differs("the ledger has another root at the position of the report: the two are not of one history");
        }
        if self.epoch.is_none_or(|epoch| epoch.to_string() != report.epoch) {
            self.differs("the ledger was of another epoch at the position of the report");
        }
        let owner = self.named.get(&report.owner.number).map(|entry| &entry.event);
        if !matches!(owner, Some(Event::OwnerRecorded(recording)) if recording.record.id.as_str() == report.owner.id) {
            self.differs(format!("entry {} does not record owner `{}`", report.owner.number, report.owner.id));
        }
        if let Some(at) = self.reinstated {
            self.differs(format!("the owner was reinstated at {at}, and the report does not say so"));
        }
        self.compare_counts(report);
        if let Some(revocation) = &report.revocation {
            self.compare_revocation(report, revocation);
        }
        for at in &report.downstreams {
            self.compare_confirmation(at);
        }
        self.found
    }

    fn compare_counts(&mut self, report: &Report) {
        let counts: BTreeMap<_, _> = report.issued.before.iter().map(by_kind).collect();
        if counts != self.counts {
            self.differs("the ledger counts other credentials under the owner before the revocation");
        }
        if report.issued.after != self.after {
            self.differs(format!("the ledger has {} credentials under the owner after the revocation", self.after));
        }
        if (report.issued.first, report.issued.last) != (self.first, self.last) {
            self.differs("the first and the last credential of the owner stand elsewhere");
        }
    }

    fn compare_revocation(&mut self, report: &Report, told: &Revocation) {
        let position = told.position;
        let Some(Event::Cut(made)) = self.named.get(&position).map(|entry| entry.event.clone()) else {
            return self.differs(format!("entry {position} is no revocation"));
        };
        let entry = self.named.get(&position);
        let when = entry.map(|entry| entry.time.to_string());
        let who = entry.and_then(|entry| entry.actor.as_ref()).map(ToString::to_string);
        let differences = [
            (made.number.get() != report.owner.number, "is of something else than the owner"),
            (when.as_ref() != Some(&told.committed_at), "was made at another time"),
            (who != told.requested_by, "was asked for by somebody else"),
            (made.reason.as_str() != told.reason, "has another reason"),
            (made.note.as_ref().map(ToString::to_string) != told.note, "has another note"),
            (made.closing.as_str() != told.closing, "closes in another way"),
            (ended(&made) != told.ended.iter().map(by_kind).collect(), "ended something else"),
            (concerned(&made) != report.downstreams.iter().map(place).collect(), "concerns other downstreams"),
        ];
        for (_, what) in differences.into_iter().filter(|(differs, _)| *differs) {
            self.differs(format!("the revocation at {position} {what}"));
        }
    }

    fn compare_confirmation(&mut self, at: &Downstream) {
        let (Some(position), Some(told)) = (at.entry, &at.confirmed) else { return };
        let entry = self.named.get(&position);
        let said = |entry: &Entry| {
            let Event::DownstreamConfirmed(said) = &entry.event else { return false };
            Some(said.number.get()) == at.number
                && said.position.get() == told.position
                && said.confirmed == told.processes
                && entry.time.to_string() == told.at
        };
        let sound = entry.is_some_and(said);
        if !sound {
            let name = at.name.as_deref().unwrap_or("a downstream");
            self.differs(format!("entry {position} does not say that {name} confirmed what the report says"));
        }
    }

    fn differs(&mut self, what: impl Into<String>) {
        self.found.differences.push(what.into());
    }
}

fn by_kind(count: &Count) -> ((String, u64), u64) {
    ((count.kind.clone(), count.environment_number), count.count)
}

fn ended(made: &CutMade) -> BTreeMap<(String, u64), u64> {
    let ended = made.concerns.iter().flat_map(|concerns| concerns.ended());
    ended.map(|ended| ((ended.kind.to_string(), ended.environment.get()), ended.count)).collect()
}

/// Number, count and last expiry of a downstream.
fn place(at: &Downstream) -> (Option<u64>, u64, String) {
    (at.number, at.living, at.last_expiry.clone())
}

fn concerned(made: &CutMade) -> std::collections::BTreeSet<(Option<u64>, u64, String)> {
    let concerns = made.concerns.iter().flat_map(|concerns| concerns.downstreams());
    concerns.map(|concern| (concern.downstream.map(Position::get), concern.living, concern.last_expiry.to_string())).collect()
}
