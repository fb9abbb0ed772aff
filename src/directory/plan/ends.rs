//! What a scope no longer names has ended.

use super::{Action, Change, Planning, Subject, Why};
use crate::model::{Event, Known, Whose};

impl Planning<'_> {
    /// Whether a registered record of this scope is named no longer.
    pub(super) fn has_ended<T>(&self, subject: Subject, known: &Known<T>, name: &str) -> bool {
        known.is_registered() && self.scope.holds(subject) && self.scope.is_own(known) && self.snapshot.ends(subject, name)
    }

    /// Ends what is not named.
    pub(super) fn ends(&mut self) {
        let facts = self.present.facts;
        for (name, known) in self.absent(Subject::Workload, facts.workloads(), |record| record.spiffe_id.to_string()) {
            let whose = Whose::Workload { owner: known.record.owner, workload: known.number };
            let living = self.cut(known.number, whose, Why::Absent);
            self.end(Subject::Workload, name, living);
        }
        for (name, known) in self.absent(Subject::Owner, facts.owners(), |record| record.id.to_string()) {
            let living = self.cut(known.number, Whose::Owner(known.number), Why::Absent);
            self.end(Subject::Owner, name, living);
        }
        for (name, known) in self.absent(Subject::Environment, facts.environments(), |record| record.name.to_string()) {
            let living = self.cut(known.number, Whose::Environment(known.number), Why::Absent);
            self.end(Subject::Environment, name, living);
        }
        for (name, known) in self.absent(Subject::Downstream, facts.downstreams(), |record| record.name.to_string()) {
            let living = self.cut(known.number, Whose::Bearing(known.number), Why::Decommissioned);
            self.difference.events.push(Event::DownstreamRemoved { number: known.number });
            self.end(Subject::Downstream, name, living);
        }
    }

    /// The records that have ended, by name.
    pub(super) fn absent<'k, T: 'k>(
        &self,
        subject: Subject,
        known: impl Iterator<Item = &'k Known<T>>,
        name: impl Fn(&T) -> String,
    ) -> Vec<(String, &'k Known<T>)> {
        let own = known.filter(|known| self.scope.is_own(known)).map(|known| (name(&known.record), known));
        let mut absent: Vec<_> = own.filter(|(name, known)| self.has_ended(subject, known, name)).collect();
        absent.sort_by(|(one, _), (other, _)| one.cmp(other));
        absent
    }

    pub(super) fn end(&mut self, subject: Subject, name: String, living: u64) {
        let detail = self.note(Why::Absent);
        self.difference.changes.push(Change { action: Action::End, subject, name, detail, living });
        self.difference.ends += 1;
    }
}
