//! What ends: what a scope no longer names, and what it names with an end that is here.

use super::{Action, Change, Planning, Subject, Why};
use crate::model::{Event, Known, Position, Timestamp, Whose};

impl Change {
    /// Whether something ends by it: the record, what is alive of it, or what its former owner answered for.
    pub(super) const fn ends(&self) -> bool {
        matches!(self.action, Action::End | Action::Move) || self.living > 0
    }
}

impl Planning<'_> {
    /// What happens to a record by an end that was `old` and is `new`.
    pub(super) fn ending(&self, old: Option<Timestamp>, new: Option<Timestamp>) -> Action {
        let is_here = |end: Option<Timestamp>| end.is_some_and(|end| end <= self.present.now);
        if is_here(new) && !is_here(old) { Action::End } else { Action::Change }
    }

    /// Tells what is missing though something of the same snapshot refers to it.
    fn missing(&mut self) {
        if self.snapshot.referred.is_empty() {
            return;
        }
        let facts = self.present.facts;
        let owners = self.own(facts.owners()).map(|known| (Subject::Owner, known.record.id.to_string()));
        let environments = self.own(facts.environments()).map(|known| (Subject::Environment, known.record.name.to_string()));
        let missing = |(subject, name): (Subject, String)| {
            let by = self.snapshot.missing(subject, &name).filter(|_| self.scope.holds(subject))?;
            Some(format!("{subject} `{name}` is named by {by}, and recorded nowhere any more; left as it is"))
        };
        let mut problems: Vec<String> = owners.chain(environments).filter_map(missing).collect();
        problems.sort();
        self.difference.problems.extend(problems);
    }

    /// The records of this scope.
    fn own<'k, T: 'k>(&self, known: impl Iterator<Item = &'k Known<T>>) -> impl Iterator<Item = &'k Known<T>> {
        known.filter(|known| known.is_registered() && self.scope.is_own(known))
    }

    /// Whether a registered record of this scope is named no longer.
    pub(super) fn has_ended<T>(&self, subject: Subject, known: &Known<T>, name: &str) -> bool {
        known.is_registered() && self.scope.holds(subject) && self.scope.is_own(known) && self.snapshot.ends(subject, name)
    }

    /// Ends what is not named.
    pub(super) fn ends(&mut self) {
        self.missing();
        let facts = self.present.facts;
        for (name, known) in self.absent(Subject::Workload, facts.workloads(), |record| record.spiffe_id.to_string()) {
            let whose = Whose::Workload { owner: known.record.owner, workload: known.number };
            let living = self.cut(known.number, whose, Why::Absent);
            self.end((Subject::Workload, known.number), &name, living);
        }
        for (name, known) in self.absent(Subject::Owner, facts.owners(), |record| record.id.to_string()) {
            let living = self.cut(known.number, Whose::Owner(known.number), Why::Absent);
            self.end((Subject::Owner, known.number), &name, living);
        }
        for (name, known) in self.absent(Subject::Environment, facts.environments(), |record| record.name.to_string()) {
            let living = self.cut(known.number, Whose::Environment(known.number), Why::Absent);
            self.end((Subject::Environment, known.number), &name, living);
        }
        for (name, known) in self.absent(Subject::Downstream, facts.downstreams(), |record| record.name.to_string()) {
            let living = self.cut(known.number, Whose::Bearing(known.number), Why::Decommissioned);
            self.difference.events.push(Event::DownstreamRemoved { number: known.number });
            self.end((Subject::Downstream, known.number), &name, living);
        }
    }

    /// The records that have ended, by name.
    pub(super) fn absent<'k, T: 'k>(
        &self,
        subject: Subject,
        known: impl Iterator<Item = &'k Known<T>>,
        name: impl Fn(&T) -> String,
    ) -> Vec<(String, &'k Known<T>)> {
        if !self.scope.holds(subject) || self.snapshot.unnamed.contains(&subject) {
            return Vec::new();
        }
        let own = known.filter(|known| self.scope.is_own(known)).map(|known| (name(&known.record), known));
        let mut absent: Vec<_> = own.filter(|(name, known)| self.has_ended(subject, known, name)).collect();
        absent.sort_by(|(one, _), (other, _)| one.cmp(other));
        absent
    }

    pub(super) fn end(&mut self, (subject, number): (Subject, Position), name: &str, living: u64) {
        let detail = self.note(Why::Absent);
        self.change((Action::End, subject, Some(number)), &name, detail, living);
    }
}
