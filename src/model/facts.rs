//! The projection: what the ledger says now, for decisions. Moved forward by entries in order.
//!
//! Issued credentials are not in it; see [`Living`](super::Living) for their counters.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::accountable::Accountable;
use super::ends::Ends;
use super::known::{KnownTask, Register};
use super::written::Written;
use super::{
    Approval, Audience, Closed, Closing, Contact, Contract, CredentialId, CutMade, Cuts, Downstream, DownstreamName, Entry, Environment,
    EnvironmentName, Epoch, Event, Exceptions, Findings, Issued, Known, Owner, OwnerId, Person, PolicyText, Position, Resource, Retirement,
    SigningKeys, SourceName, SpiffeId, Timestamp, TrustDomain, Turnover, Workload,
};

/// What the ledger says now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    changed: Position,
    opened: Option<(Epoch, TrustDomain)>,
    policy: Option<(Position, Arc<PolicyText>)>,
    keys: SigningKeys,
    owners: Register<OwnerId, Owner>,
    environments: Register<EnvironmentName, Environment>,
    workloads: Register<SpiffeId, Workload>,
    downstreams: BTreeMap<Position, Known<Downstream>>,
    downstreams_changed: Position,
    tasks: HashMap<Position, KnownTask>,
    accountable: Accountable,
    written: Written,
    ends: Ends,
    turnover: Turnover,
    /// How many tasks are open, by owner.
    open_tasks: HashMap<Position, usize>,
    cuts: Cuts,
    exceptions: Exceptions,
    findings: Findings,
}

impl Facts {
    /// Moves forward by one entry. Entries come in order.
    pub fn apply(&mut self, entry: &Entry) {
        let at = entry.position;
        match &entry.event {
            Event::CredentialIssued(_)
            | Event::AdministrativeRead { .. }
            | Event::RequestsRefused(_)
            | Event::DownstreamConfirmed(_)
            | Event::SourceHeld(_) => return,
            // No fence: nothing that is issued is decided by it.
            Event::SourceConfirmed { source, .. } => return self.turnover.confirmed(source),
            Event::SourceEnded { source, records } => self.turnover.ended(source, records, entry.time),
            Event::LedgerOpened { epoch, trust_domain } => self.opened = Some((*epoch, trust_domain.clone())),
            Event::EpochBegun(begun) => self.opened.iter_mut().for_each(|(epoch, _)| *epoch = begun.epoch),
            Event::KeyActivated(key) => self.keys.add(at, key, entry.time),
            Event::KeyRetired { number, ends } => {
                self.keys.retire(*number, Retirement { at, since: entry.time, ends: *ends });
            }
            Event::PolicyChanged(text) => self.policy = Some((at, Arc::new(text.clone()))),
            Event::OwnerRecorded(recording) => self.owners.record(recording.record.id.clone(), recording, at),
            Event::EnvironmentRecorded(recording) => self.environments.record(recording.record.name.clone(), recording, at),
            Event::WorkloadRecorded(recording) => self.workloads.record(recording.record.spiffe_id.clone(), recording, at),
            Event::DownstreamRecorded(recording) => {
                let number = recording.number.unwrap_or(at);
                let closed = self.downstreams.get(&number).and_then(|known| known.closed);
                let (record, origin) = (Arc::new(recording.record.clone()), recording.origin.clone());
                let known = Known { number, record, origin, recorded: at, changed: at, closed, absent: None, awaiting: None };
                self.downstreams.insert(number, known);
                self.downstreams_changed = at;
            }
            Event::DownstreamRemoved { number } => {
                self.downstreams.remove(number);
                self.downstreams_changed = at;
            }
            Event::PersonRecorded(recording) => self.accountable.person(recording, at),
            Event::ResourceRecorded(recording) => self.written.record(recording, at),
            Event::PersonEnded { number } => self.accountable.end_person(*number, at, entry.time),
            Event::ContractRecorded(recording) => {
                self.accountable.contract(recording, at);
                self.contract_changed(recording.record.owner, at);
            }
            Event::ContractEnded { number, owner } => {
                self.accountable.end_contract(*number);
                self.contract_changed(*owner, at);
            }
            Event::WorkloadAccepted { number, .. } => self.workloads.touch(*number, at, |known| known.awaiting = None),
            Event::TaskOpened(task) => {
                *self.open_tasks.entry(task.owner).or_default() += 1;
                self.tasks.insert(at, KnownTask { number: at, record: Arc::new(task.clone()), opened: entry.time, closed: None });
            }
            Event::Cut(cut) => self.cut(cut, at, entry.time),
            Event::FindingRaised(finding) => self.findings.raise(at, finding, entry.time),
            Event::FindingChanged { number, change, note } => self.findings.change(*number, change, note.as_ref(), entry),
            Event::ExceptionRequested(exception) => self.exceptions.request(at, exception, entry.time),
            Event::ExceptionApproved { number, .. } => self.exceptions.approve(*number, Approval::of(entry)),
            Event::Reinstated { number, .. } => self.set_closed(*number, at, None),
        }
        self.changed = self.changed.max(at);
        self.reschedule(entry.event.subject().unwrap_or(at));
    }

    /// Says anew when a subject ends by itself. What is suspended still ends; what is closed for good, or no
    /// longer registered, has ended.
    fn reschedule(&mut self, number: Position) {
        let owner = self.owners.by_number.get(&number).filter(|known| known.has_not_ended()).and_then(|known| self.contract_end(known));
        let workload = self.workloads.by_number.get(&number).filter(|known| known.has_not_ended());
        let task = self.tasks.get(&number).filter(|task| task.closed.is_none());
        let end = owner.or(workload.and_then(|known| known.record.valid_until)).or(task.map(|task| task.record.deadline));
        self.ends.set(number, end);
    }

    fn contract_changed(&mut self, owner: Position, at: Position) {
        self.owners.touch(owner, at, |_| {});
        self.reschedule(owner);
    }

    fn cut(&mut self, cut: &CutMade, at: Position, time: Timestamp) {
        if let Some(line) = cut.listed(at) {
            self.cuts.add(line);
        }
        self.keys.cut(cut, at, time);
        let closed = Closed { by: cut.closing, at, settled: cut.ends.unwrap_or(time) };
        match cut.closing {
            Closing::Nothing => {}
            Closing::EndException => self.exceptions.end(cut.number, at),
            // Each move is judged by itself: nothing is left of what the one before it waited for.
            Closing::MoveOwner => self.workloads.touch(cut.number, at, |known| known.awaiting = None),
            Closing::AwaitOwner => self.workloads.touch(cut.number, at, |known| known.awaiting = Some(closed)),
            Closing::Suspend | Closing::Offboard => self.set_closed(cut.number, at, Some(closed)),
            Closing::Unregister => {
                self.owners.touch(cut.number, at, |known| known.absent = Some(closed));
                self.environments.touch(cut.number, at, |known| known.absent = Some(closed));
                self.workloads.touch(cut.number, at, |known| known.absent = Some(closed));
            }
            Closing::CloseTask => {
                if let Some(task) = self.tasks.get_mut(&cut.number) {
                    let was_open = task.closed.replace(closed).is_none();
                    let owner = task.record.owner;
                    if was_open {
                        self.one_task_less(owner);
                    }
                }
            }
        }
    }

    /// Says how a revocation closed a subject, or that it is open again.
    fn set_closed(&mut self, number: Position, at: Position, closed: Option<Closed>) {
        self.owners.touch(number, at, |known| known.closed = closed);
        self.environments.touch(number, at, |known| known.closed = closed);
        self.workloads.touch(number, at, |known| known.closed = closed);
        if let Some(known) = self.downstreams.get_mut(&number) {
            (known.closed, known.changed) = (closed, at);
            self.downstreams_changed = at;
        }
    }

    fn one_task_less(&mut self, owner: Position) {
        let left = self.open_tasks.remove(&owner).unwrap_or_default().saturating_sub(1);
        if left > 0 {
            self.open_tasks.insert(owner, left);
        }
    }

    /// Forgets tasks whose end has settled, cuts that left the list for good, and what sources ended long ago.
    pub fn expire(&mut self, now: Timestamp) {
        self.cuts.expire(now);
        self.turnover.expire(now);
        self.exceptions.expire(now);
        self.tasks.retain(|_, task| task.closed.is_none_or(|closed| closed.settled > now));
    }

    /// The last entry that changed something here: the fence of a decision made on these facts.
    pub const fn changed(&self) -> Position {
        self.changed
    }

    /// The epoch of the ledger, once it is open.
    pub fn epoch(&self) -> Option<Epoch> {
        self.opened.as_ref().map(|(epoch, _)| *epoch)
    }

    /// The trust domain whose identities are issued, once the ledger is open.
    pub fn trust_domain(&self) -> Option<&TrustDomain> {
        self.opened.as_ref().map(|(_, domain)| domain)
    }

    /// The policy text in force, with its position.
    pub fn policy(&self) -> Option<(Position, &Arc<PolicyText>)> {
        self.policy.as_ref().map(|(position, text)| (*position, text))
    }

    /// The signing keys.
    pub const fn signing_keys(&self) -> &SigningKeys {
        &self.keys
    }

    /// An owner by its id.
    pub fn owner(&self, id: &OwnerId) -> Option<&Known<Owner>> {
        self.owners.by_name(id)
    }

    /// An owner by its number.
    pub fn owner_numbered(&self, number: Position) -> Option<&Known<Owner>> {
        self.owners.by_number.get(&number)
    }

    /// All owners, in no order.
    pub fn owners(&self) -> impl Iterator<Item = &Known<Owner>> {
        self.owners.by_number.values()
    }

    /// A workload by its identity.
    pub fn workload(&self, id: &SpiffeId) -> Option<&Known<Workload>> {
        self.workloads.by_name(id)
    }

    /// A workload by its number.
    pub fn workload_numbered(&self, number: Position) -> Option<&Known<Workload>> {
        self.workloads.by_number.get(&number)
    }

    /// All workloads, in no order.
    pub fn workloads(&self) -> impl Iterator<Item = &Known<Workload>> {
        self.workloads.by_number.values()
    }

    /// An environment by its name.
    pub fn environment(&self, name: &EnvironmentName) -> Option<&Known<Environment>> {
        self.environments.by_name(name)
    }

    /// An environment by its number.
    pub fn environment_numbered(&self, number: Position) -> Option<&Known<Environment>> {
        self.environments.by_number.get(&number)
    }

    /// All environments, in no order.
    pub fn environments(&self) -> impl Iterator<Item = &Known<Environment>> {
        self.environments.by_number.values()
    }

    /// The downstreams, by number.
    pub fn downstreams(&self) -> impl Iterator<Item = &Known<Downstream>> {
        self.downstreams.values()
    }

    /// A downstream by its number.
    pub fn downstream_numbered(&self, number: Position) -> Option<&Known<Downstream>> {
        self.downstreams.get(&number)
    }

    /// A downstream by its name.
    pub fn downstream(&self, name: &DownstreamName) -> Option<&Known<Downstream>> {
        self.downstreams.values().find(|known| known.record.name == *name)
    }

    /// Whether a number is of what somebody answers for: an owner, a workload or a downstream.
    pub fn is_answered_for(&self, number: Position) -> bool {
        self.owner_numbered(number).is_some() || self.workload_numbered(number).is_some() || self.downstream_numbered(number).is_some()
    }

    /// When the contract of an owner ends: the earliest end of its record and of its contracts.
    pub fn contract_end(&self, owner: &Known<Owner>) -> Option<Timestamp> {
        self.contract_ending(owner).map(|(end, _)| end)
    }

    /// The same, and the entry that says so.
    pub fn contract_ending(&self, owner: &Known<Owner>) -> Option<(Timestamp, Position)> {
        let own = owner.record.contract_end.map(|end| (end, owner.recorded));
        own.into_iter().chain(self.accountable.contract_ending(owner.number)).min()
    }

    /// The contracts that sources name, by number.
    pub fn contracts(&self) -> impl Iterator<Item = &Known<Contract>> {
        self.accountable.contracts()
    }

    /// A person by what owners, workloads and downstreams name, without case.
    pub fn person(&self, contact: &Contact) -> Option<&Known<Person>> {
        self.accountable.find(contact)
    }

    /// What clients of sources wrote and deleted, by number.
    pub fn resources(&self) -> impl Iterator<Item = &Known<Resource>> {
        self.written.iter()
    }

    /// What a client of a source wrote, by its number.
    pub fn resource(&self, number: Position) -> Option<&Known<Resource>> {
        self.written.get(number)
    }

    /// How much the client of a source wrote, in bytes.
    pub fn written(&self, source: &SourceName) -> usize {
        self.written.size(source)
    }

    /// What sources ended within a day.
    pub const fn turnover(&self) -> &Turnover {
        &self.turnover
    }

    /// All people whom sources name or named, in no order.
    pub fn people(&self) -> impl Iterator<Item = &Known<Person>> {
        self.accountable.people()
    }

    /// The last entry that touched any downstream: what was found among them before may have changed.
    pub const fn downstreams_changed(&self) -> Position {
        self.downstreams_changed
    }

    /// The downstreams of an environment that accept tokens for `audience`.
    pub fn accepting_tokens<'a>(&'a self, environment: Position, audience: &'a Audience) -> impl Iterator<Item = &'a Known<Downstream>> {
        self.in_environment(environment).filter(move |known| known.record.accepts_tokens && known.record.audiences.contains(audience))
    }

    /// The downstreams of an environment that accept certificates.
    pub fn accepting_certificates(&self, environment: Position) -> impl Iterator<Item = &Known<Downstream>> {
        self.in_environment(environment).filter(|known| known.record.accepts_certificates)
    }

    fn in_environment(&self, environment: Position) -> impl Iterator<Item = &Known<Downstream>> {
        self.downstreams.values().filter(move |known| known.record.environments.contains(&environment))
    }

    /// A task that is open, or closed and not settled.
    pub fn task(&self, number: Position) -> Option<&KnownTask> {
        self.tasks.get(&number)
    }

    /// The tasks that are open, or closed and not settled, in no order.
    pub fn tasks(&self) -> impl Iterator<Item = &KnownTask> {
        self.tasks.values()
    }

    /// How many tasks of an owner are open.
    pub fn open_tasks(&self, owner: Position) -> usize {
        self.open_tasks.get(&owner).copied().unwrap_or_default()
    }

    /// The subjects that end by themselves, and whose end has come, earliest first: open tasks, owners whose
    /// contract ends, workloads with a `valid_until`.
    pub fn due(&self, now: Timestamp) -> impl Iterator<Item = Position> {
        self.ends.due(now)
    }

    /// When the next of them ends.
    pub fn next_end(&self) -> Option<Timestamp> {
        self.ends.next()
    }

    /// The exceptions that are asked for or hold, or were over an hour ago at most.
    pub const fn exceptions(&self) -> &Exceptions {
        &self.exceptions
    }

    /// The findings that are open.
    pub const fn findings(&self) -> &Findings {
        &self.findings
    }

    /// The active cuts.
    pub const fn cuts(&self) -> &Cuts {
        &self.cuts
    }

    /// Whether a decision about something that stands on `subjects`, made at `fence`, may be
    /// wrong by now: policy, downstreams or keys changed, or a subject was touched or cut.
    pub fn touched_since(&self, fence: Position, issued: &Issued) -> bool {
        if self.changed <= fence {
            return false;
        }
        let subjects = &issued.subjects;
        let later = |position: Option<Position>| position.is_some_and(|position| position > fence);
        let cut = |number: Option<Position>| later(number.and_then(|number| self.cuts.get(number)).map(|cut| cut.position));
        later(self.policy.as_ref().map(|(position, _)| *position))
            || self.downstreams_changed > fence
            || self.keys.changed() > fence
            || later(self.owners.by_number.get(&subjects.owner).map(|known| known.changed))
            || later(self.workloads.by_number.get(&subjects.workload).map(|known| known.changed))
            || later(self.environments.by_number.get(&subjects.environment).map(|known| known.changed))
            || subjects.task.is_some_and(|task| self.tasks.get(&task).is_none_or(|task| task.closed.is_some()))
            || issued.exception.is_some_and(|number| self.exceptions.get(number).is_none_or(|known| known.ended.is_some()))
            || cut(subjects.lineage)
            || cut(issued.parent.map(CredentialId::position))
            || cut(Some(issued.key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Bound, CUT_GRACE, CredentialKind, KeyPurpose, PublicKey, Reason, Recording, Subjects, Task, VerifierKind};

    const OWNER: Position = Position::new(2);

    fn at(number: u64) -> Position {
        Position::new(number)
    }

    fn seconds(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    /// Facts that have moved forward by these events, the first of them at position 10.
    fn facts(events: impl IntoIterator<Item = Event>) -> Facts {
        let mut facts = Facts::default();
        for (position, event) in (10..).map(Position::new).zip(events) {
            facts.apply(&Entry { position, time: Timestamp::EPOCH, actor: None, request_id: None, event });
        }
        facts
    }

    fn task(owner: Position, deadline: u64) -> Event {
        Event::TaskOpened(Task {
            owner,
            environment: at(3),
            workload: None,
            deadline: seconds(deadline),
            purpose: "a job".parse().expect("a note"),
            opened_by: "spiffe://example.org/ci".parse().expect("an ID"),
        })
    }

    fn cut(number: Position, closing: Closing) -> Event {
        Event::Cut(CutMade {
            number,
            reason: Reason::Superseded,
            ends: Some(seconds(60)),
            closing,
            note: None,
            concerns: None,
            source: None,
        })
    }

    fn downstream() -> Event {
        downstream_as(None)
    }

    fn downstream_as(number: Option<Position>) -> Event {
        let record = Downstream {
            name: "api".parse().expect("a name"),
            accepts_tokens: true,
            accepts_certificates: false,
            audiences: Vec::new(),
            environments: Vec::new(),
            verifier_kind: VerifierKind::Follower,
            verifier: None,
            business_owner: None,
            technical_owner: None,
        };
        Event::DownstreamRecorded(Recording { number, origin: None, record })
    }

    #[test]
    fn open_tasks_are_counted_by_owner_and_fall_due_in_order() {
        let opened = || vec![task(OWNER, 90), task(OWNER, 60), task(at(4), 60), task(OWNER, 60)];
        let open = |facts: &Facts| (facts.open_tasks(OWNER), facts.open_tasks(at(4)), facts.next_end());
        let due = |facts: &Facts, now: Timestamp| facts.due(now).collect::<Vec<_>>();
        let all = facts(opened());
        assert_eq!(open(&all), (3, 1, Some(seconds(60))));
        assert_eq!(due(&all, Timestamp::from_millis(59_999)), []);
        assert_eq!(due(&all, seconds(60)), [at(11), at(12), at(13)]);
        let closed = facts(opened().into_iter().chain([11, 12, 13, 13].map(|number| cut(at(number), Closing::CloseTask))));
        assert_eq!(open(&closed), (1, 0, Some(seconds(90))), "closing a task again takes no other");
        assert_eq!((closed.open_tasks.len(), facts([]).next_end()), (1, None));
    }

    #[test]
    fn a_task_is_forgotten_when_its_end_has_settled() {
        let mut facts = facts([task(OWNER, 90), task(OWNER, 90), cut(at(10), Closing::CloseTask)]);
        facts.expire(Timestamp::from_millis(59_999));
        assert!(facts.task(at(10)).is_some());
        facts.expire(seconds(60));
        assert_eq!(facts.tasks().map(|task| task.number).collect::<Vec<_>>(), [at(11)], "and an open one is not");
    }

    #[test]
    fn a_downstream_that_is_recorded_anew_stays_as_closed_as_it_was() {
        let anew = || downstream_as(Some(at(10)));
        let open = |events: Vec<Event>| facts(events).downstream_numbered(at(10)).map(Known::is_open);
        assert_eq!(open(vec![downstream(), cut(at(10), Closing::Nothing)]), Some(true));
        let suspended = || vec![downstream(), cut(at(10), Closing::Suspend), anew()];
        assert_eq!(open(suspended()), Some(false));
        let back = Event::Reinstated { number: at(10), note: None };
        assert_eq!(open(suspended().into_iter().chain([back, anew()]).collect()), Some(true));
    }

    #[test]
    fn a_decision_stands_unless_something_it_was_made_on_has_changed_since() {
        let subjects = Subjects { owner: OWNER, workload: at(3), environment: at(4), task: None, lineage: None };
        let issued = Issued {
            kind: CredentialKind::AccessToken,
            subjects,
            parent: None,
            nonce: [0; 8],
            issued_at: Timestamp::EPOCH,
            expires_at: seconds(1).plus(CUT_GRACE),
            bound_by: Bound::Default,
            audience: None,
            scopes: Vec::new(),
            confirmation: None,
            key: at(5),
            downstreams: Vec::new(),
            policies: Vec::new(),
            policy_hash: [0; 32],
            purpose: None,
            exception: None,
            asked_from: None,
        };
        // The last event has nothing to do with the decision.
        let touched = |change: Event, fence: u64| facts([change, task(at(9), 60)]).touched_since(at(fence), &issued);
        let renewed = Issued {
            subjects: Subjects { lineage: Some(at(6)), ..subjects },
            parent: Some(CredentialId::new(at(7), [0; 8])),
            ..issued.clone()
        };
        let key = PublicKey { purpose: KeyPurpose::Token, kid: "k".to_owned(), material: Vec::new(), not_after: None, signs_from: None };
        let policy = PolicyText { hash: [1; 32], files: Vec::new() };
        for change in [
            downstream(),
            Event::DownstreamRemoved { number: at(8) },
            Event::KeyActivated(key),
            Event::PolicyChanged(policy),
            cut(at(5), Closing::Nothing),
        ] {
            assert!(touched(change.clone(), 9), "{change:?}");
            assert!(!touched(change.clone(), 10), "seen: {change:?}");
        }
        for change in [cut(at(10), Closing::Suspend), Event::Reinstated { number: at(10), note: None }] {
            let facts = facts([downstream(), change.clone(), task(at(9), 60)]);
            assert!(facts.touched_since(at(10), &issued) && !facts.touched_since(at(11), &issued), "{change:?}");
        }
        for number in [6, 7] {
            let facts = facts([cut(at(number), Closing::Nothing), task(at(9), 60)]);
            assert!(facts.touched_since(at(9), &renewed) && !facts.touched_since(at(10), &renewed) && !facts.touched_since(at(9), &issued));
        }
    }
}
