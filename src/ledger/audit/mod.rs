//! The rules that a history must keep, checked entry by entry, without trusting what wrote it.

use std::fmt;

use super::tip::Tip;
use super::{Unreadable, codec};
use crate::model::{CredentialId, CredentialKind, Entry, Event, Facts, Issued, Known, Position, Subjects};

#[cfg(test)]
mod tests;

/// Something that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// At which entry, if it is at one.
    pub position: Option<Position>,
    /// What.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some(position) => write!(f, "entry {position}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

/// More would not be read.
const MOST_PROBLEMS: usize = 1000;

/// A history as far as it was walked.
#[derive(Debug, Default)]
pub(super) struct Audit {
    /// What the entries say together; expired up to the last change.
    pub(super) facts: Facts,
    /// Where they end.
    pub(super) tip: Tip,
    /// The position of the last row.
    last: Position,
    pub(super) problems: Vec<Problem>,
    /// How many there were, the ones left out included.
    pub(super) found: u64,
}

impl Audit {
    /// Looks at the next row, and gives what it says. `find` gives the entry at an earlier position.
    pub(super) fn row(&mut self, position: Position, bytes: &[u8], find: impl FnOnce(Position) -> Option<Entry>) -> Option<Entry> {
        let expected = self.last.next();
        if position != expected {
            self.problem(position, format_args!("stands where entry {expected} must stand"));
        }
        self.last = position;
        match codec::decode(position, bytes) {
            Ok(entry) => {
                self.entry(&entry, find);
                self.tip.append(&entry, bytes);
                Some(entry)
            }
            Err(Unreadable { problem, .. }) => {
                self.problem(position, format_args!("is unreadable: {problem}"));
                self.tip.tree.append(bytes);
                None
            }
        }
    }

    fn entry(&mut self, entry: &Entry, find: impl FnOnce(Position) -> Option<Entry>) {
        let before = self.tip.time;
        if entry.time < before {
            self.problem(entry.position, format_args!("is of {}, and the one before it of {before}", entry.time));
        }
        if matches!(entry.event, Event::LedgerOpened { .. }) != (entry.position == Position::BROKER) {
            self.problem(entry.position, "the opening must be the first entry, and nothing else");
        }
        if let Event::CredentialIssued(issued) = &entry.event {
            let parent = issued.parent.map(|id| (id, find(id.position())));
            let mut wrong = self.closed_to(issued);
            wrong.extend(self.outlived(issued));
            wrong.extend(parent.and_then(|(id, parent)| disinherited(issued, id, parent)).map(str::to_owned));
            wrong.into_iter().for_each(|what| self.problem(entry.position, what));
        } else {
            // As the broker does before a change.
            self.facts.expire(entry.time);
            self.facts.apply(entry);
        }
    }

    /// What an issuance stood on that was closed, cut or unknown. The broker's own certificates
    /// stand on nothing.
    fn closed_to(&self, issued: &Issued) -> Vec<String> {
        let facts = &self.facts;
        let Subjects { owner, workload, environment, task, lineage } = issued.subjects;
        let parent = issued.parent.map(CredentialId::position);
        let mut wrong = Vec::new();
        let mut stand = |kind: &str, number: Position, open: Option<bool>| match open {
            Some(true) => {}
            Some(false) => wrong.push(format!("was issued under {kind} {number}, which was closed")),
            None => wrong.push(format!("was issued under {kind} {number}, which was unknown or long closed")),
        };
        if owner != Position::BROKER {
            stand("owner", owner, facts.owner_numbered(owner).map(Known::is_open));
            stand("workload", workload, facts.workload_numbered(workload).map(Known::is_open));
            stand("environment", environment, facts.environment_numbered(environment).map(Known::is_open));
        }
        if let Some(task) = task {
            stand("task", task, facts.task(task).map(|task| task.closed.is_none()));
        }
        for through in [lineage, parent].into_iter().flatten() {
            stand("certificate", through, Some(facts.cuts().get(through).is_none()));
        }
        stand("key", issued.key, facts.keys().any(|(number, _)| number == issued.key).then_some(true));
        if facts.workload_numbered(workload).is_some_and(|known| known.record.owner != owner) {
            wrong.push(format!("was issued under owner {owner}, which did not own workload {workload}"));
        }
        if parent.is_none() && lineage.is_some() {
            wrong.push("has a lineage and was obtained with nothing".to_owned());
        }
        wrong
    }

    /// What an issuance outlives that must bound it.
    fn outlived(&self, issued: &Issued) -> Option<String> {
        let subjects = &issued.subjects;
        let bounds = [
            ("the longest life of its kind", Some(issued.issued_at.plus(issued.kind.longest_life()))),
            ("its task", subjects.task.and_then(|task| self.facts.task(task)).map(|task| task.record.deadline)),
            ("its workload", self.facts.workload_numbered(subjects.workload).and_then(|known| known.record.valid_until)),
            ("the contract of its owner", self.facts.owner_numbered(subjects.owner).and_then(|known| known.record.contract_end)),
        ];
        if issued.expires_at <= issued.issued_at {
            return Some("was issued without any life".to_owned());
        }
        let outlived = bounds.into_iter().find(|(_, end)| end.is_some_and(|end| end < issued.expires_at));
        outlived.map(|(what, _)| format!("outlives {what}"))
    }

    /// Notes a problem at an entry.
    pub(super) fn problem(&mut self, position: Position, what: impl fmt::Display) {
        self.note(Problem { position: Some(position), what: what.to_string() });
    }

    /// Notes a problem of the whole.
    pub(super) fn note(&mut self, problem: Problem) {
        self.found += 1;
        if self.problems.len() < MOST_PROBLEMS {
            self.problems.push(problem);
        }
    }
}

/// What is wrong with what was obtained with the credential `id` of ours.
fn disinherited(issued: &Issued, id: CredentialId, found: Option<Entry>) -> Option<&'static str> {
    let Some(Event::CredentialIssued(parent)) = found.map(|entry| entry.event) else {
        return Some("was obtained with something that is no credential");
    };
    let inherited = parent.subjects.inherited(id.position());
    let adds_task = Subjects { task: inherited.task.or(issued.subjects.task), ..inherited };
    if parent.nonce != id.nonce() || parent.kind != CredentialKind::Certificate {
        Some("was obtained with a certificate that was never issued")
    } else if parent.expires_at <= issued.issued_at {
        Some("was obtained with a certificate that had expired")
    } else if adds_task != issued.subjects {
        Some("left the subjects of the certificate it was obtained with")
    } else {
        None
    }
}
