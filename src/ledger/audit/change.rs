//! What a change may say: of whom, by which number, and until when a cut stays in the list.

use super::Audit;
use crate::model::{
    About, Closing, Contract, CutMade, Downstream, DownstreamConfirmed, Entry, Event, Exception, Facts, Known, Position, Recording,
    Resource, Task, Timestamp, Whose, Workload, cut_ends,
};
use crate::policy::text_hash;

/// What is wrong with an entry that is no issuance, on what was right before it.
pub(super) fn wrong(entry: &Entry, before: &Audit, find: &impl Fn(Position) -> Option<Entry>) -> Vec<String> {
    let facts = &before.facts;
    let wrong = match &entry.event {
        Event::OwnerRecorded(recording) => numbered(recording, facts.owner(&recording.record.id)),
        Event::EnvironmentRecorded(recording) => numbered(recording, facts.environment(&recording.record.name)),
        Event::WorkloadRecorded(recording) => numbered(recording, facts.workload(&recording.record.spiffe_id))
            .or_else(|| unfounded(&recording.record, facts))
            .or_else(|| moved(recording, before, entry.time)),
        Event::DownstreamRecorded(recording) => {
            numbered(recording, facts.downstream(&recording.record.name)).or_else(|| nowhere(&recording.record, facts))
        }
        Event::DownstreamRemoved { number } => {
            let known = facts.downstreams().any(|known| known.number == *number);
            (!known).then(|| format!("removed downstream {number}, which was unknown"))
        }
        // An entry later than the one before is of the clock's time; any other may be of a clock that was set back.
        Event::TaskOpened(task) => opened(task, Some(entry.time).filter(|time| *time > before.tip.time), facts),
        Event::KeyActivated(key) => {
            let known = facts.signing_keys().named(key.purpose, &key.kid);
            known.map(|known| format!("activated a key that was activated as {} before", known.number))
        }
        Event::KeyRetired { number, ends } => retired_wrongly(*number, *ends, before),
        Event::PolicyChanged(text) => {
            (text.hash != text_hash(&text.files)).then(|| "names a policy by another hash than that of its text".to_owned())
        }
        Event::Reinstated { number, .. } => {
            let closes = Subject::find(*number, facts, find).is_some_and(|subject| subject.allows(Closing::Suspend));
            (!closes).then(|| format!("reinstated {number}, which is no owner, workload, environment or downstream"))
        }
        Event::WorkloadAccepted { number, owner, .. } => accepted_wrongly(*number, *owner, facts),
        Event::FindingRaised(finding) => unfounded_finding(&finding.about, facts),
        Event::FindingChanged { number, .. } => {
            let known = facts.findings().get(*number).is_some();
            (!known).then(|| format!("changes finding {number}, which was not open"))
        }
        Event::ExceptionRequested(exception) => requested_wrongly(exception, facts),
        Event::ExceptionApproved { number, .. } => approved_wrongly(*number, entry, facts),
        Event::EpochBegun(begun) => {
            let again = before.epochs.iter().any(|(_, epoch)| *epoch == begun.epoch);
            again.then(|| "began an epoch that was before".to_owned())
        }
        Event::Cut(cut) => {
            let mut wrong = misplaced(cut, entry, before, find);
            wrong.extend(unconcerned(cut, facts));
            return wrong;
        }
        Event::DownstreamConfirmed(confirmed) => unconfirmed(confirmed, entry.position, facts),
        Event::PersonRecorded(recording) => numbered(recording, facts.person(&recording.record.id)),
        Event::ResourceRecorded(recording) => resource(recording, facts),
        Event::PersonEnded { number } => {
            let known = facts.people().any(|known| known.number == *number);
            (!known).then(|| format!("ended person {number}, which was unknown"))
        }
        Event::ContractRecorded(recording) => contracted(recording, facts),
        Event::ContractEnded { number, owner } => {
            let known = facts.contracts().any(|known| known.number == *number && known.record.owner == *owner);
            (!known).then(|| format!("ended contract {number} of owner {owner}, which was unknown"))
        }
        Event::LedgerOpened { .. }
        | Event::AdministrativeRead { .. }
        | Event::RequestsRefused(_)
        | Event::CredentialIssued(_)
        | Event::SourceHeld(_)
        | Event::SourceConfirmed { .. } => None,
        Event::SourceEnded { records, .. } => {
            let unknown = records.iter().find(|number| **number >= entry.position);
            unknown.map(|number| format!("ended record {number}, which was not there"))
        }
    };
    wrong.into_iter().collect()
}

/// A number means one subject for ever, and a name one number at a time.
fn numbered<T>(recording: &Recording<T>, known: Option<&Known<T>>) -> Option<String> {
    match (recording.number, known.map(|known| known.number)) {
        (None, Some(known)) => Some(format!("records anew what has the number {known}")),
        (Some(number), known) if known != Some(number) => Some(format!("records something else under the number {number}")),
        _ => None,
    }
}

/// A resource is of one source, and the same owner or none, for ever.
fn resource(recording: &Recording<Resource>, facts: &Facts) -> Option<String> {
    let number = recording.number?;
    let same = |known: &Known<Resource>| known.record.source == recording.record.source && known.record.owner == recording.record.owner;
    (!facts.resource(number).is_some_and(same)).then(|| format!("records something else under the number {number}"))
}

/// A contract is of one owner for ever.
fn contracted(recording: &Recording<Contract>, facts: &Facts) -> Option<String> {
    let owner = recording.record.owner;
    if facts.owner_numbered(owner).is_none() {
        return Some(format!("records a contract of owner {owner}, which was unknown"));
    }
    let number = recording.number?;
    let known = facts.contracts().any(|known| known.number == number && known.record.owner == owner);
    (!known).then(|| format!("records something else under the number {number}"))
}

fn unfounded(record: &Workload, facts: &Facts) -> Option<String> {
    if facts.owner_numbered(record.owner).is_none() {
        return Some(format!("records a workload of owner {}, which was unknown", record.owner));
    }
    unknown_environment(&record.environments, facts)
}

fn nowhere(record: &Downstream, facts: &Facts) -> Option<String> {
    unknown_environment(&record.environments, facts)
}

fn unknown_environment(environments: &[Position], facts: &Facts) -> Option<String> {
    let unknown = environments.iter().find(|number| facts.environment_numbered(**number).is_none());
    unknown.map(|number| format!("names environment {number}, which was unknown"))
}

/// What was issued under another owner dies before the workload is under this one.
fn moved(recording: &Recording<Workload>, before: &Audit, now: Timestamp) -> Option<String> {
    let workload = recording.number?;
    let owner = before.facts.workload_numbered(workload)?.record.owner;
    let living = before.living.census(Whose::Workload { owner, workload }, now).total;
    (owner != recording.record.owner && living > 0)
        .then(|| format!("took workload {workload} from owner {owner} with {living} credentials alive"))
}

/// A key signs until it is retired, once, and is believed until the last of what it signed has ended.
fn retired_wrongly(number: Position, ends: Option<Timestamp>, before: &Audit) -> Option<String> {
    let Some(key) = before.facts.signing_keys().get(number).filter(|key| key.lives()) else {
        return Some(format!("retired {number}, which was no key in use"));
    };
    let last = before.last_signed.get(&key.number).copied();
    (ends.is_some() && ends < last).then(|| format!("retired key {number} before all that it signed has ended"))
}

fn opened(task: &Task, now: Option<Timestamp>, facts: &Facts) -> Option<String> {
    let owner = facts.owner_numbered(task.owner).is_some_and(Known::is_open);
    let environment = facts.environment_numbered(task.environment).is_some_and(Known::is_open);
    let theirs = |number| facts.workload_numbered(number).is_some_and(|known| known.is_open() && known.record.owner == task.owner);
    if !owner || !environment || !task.workload.is_none_or(theirs) {
        return Some("opened a task under something that was unknown, closed or of somebody else".to_owned());
    }
    now.is_some_and(|now| task.deadline <= now).then(|| "opened a task whose deadline had passed".to_owned())
}

/// A finding is about somebody who is known, about nobody who is, or about another that is open.
fn unfounded_finding(about: &About, facts: &Facts) -> Option<String> {
    match *about {
        About::Subject(number) if !facts.is_answered_for(number) => {
            Some(format!("is a finding about {number}, which was no owner, workload or downstream"))
        }
        About::Finding(number) if facts.findings().get(number).is_none() => {
            Some(format!("is a finding about finding {number}, which was not open"))
        }
        About::Subject(_) | About::Identity(_) | About::Finding(_) => None,
    }
}

/// A workload is accepted once, for the owner that it waits for.
fn accepted_wrongly(number: Position, owner: Position, facts: &Facts) -> Option<String> {
    let known = facts.workload_numbered(number).is_some_and(|known| known.awaiting.is_some() && known.record.owner == owner);
    (!known).then(|| format!("accepted {number} for owner {owner}, which it did not wait for"))
}

fn requested_wrongly(exception: &Exception, facts: &Facts) -> Option<String> {
    let Exception { workload, environment, .. } = exception;
    let known = facts.workload_numbered(*workload).is_some() && facts.environment_numbered(*environment).is_some();
    (!known).then(|| format!("asks for an exception of workload {workload} in {environment}, one of which was unknown"))
}

/// An exception is approved once, while it can hold, and not by who asked for it.
fn approved_wrongly(number: Position, entry: &Entry, facts: &Facts) -> Option<String> {
    let Some(known) = facts.exceptions().get(number).filter(|known| known.approved.is_none() && known.ended.is_none()) else {
        return Some(format!("approved {number}, which was no exception that waited for it"));
    };
    let own = entry.actor.as_ref().is_none_or(|actor| *actor == known.record.requested_by);
    own.then(|| format!("approved exception {number}, and nobody else than who asked for it"))
}

/// A cut concerns downstreams that there are.
fn unconcerned(cut: &CutMade, facts: &Facts) -> Option<String> {
    let known = |number| facts.downstream_numbered(number).is_some();
    let mut concerned = cut.concerns.iter().flat_map(|concerns| concerns.downstreams()).filter_map(|concern| concern.downstream);
    let unknown = concerned.find(|number| !known(*number));
    unknown.map(|number| format!("concerns downstream {number}, which was unknown"))
}

/// What is confirmed is of a downstream that there is, and of the past.
fn unconfirmed(confirmed: &DownstreamConfirmed, at: Position, facts: &Facts) -> Option<String> {
    if confirmed.position >= at {
        return Some(format!("confirms position {}, which was not there", confirmed.position));
    }
    let number = confirmed.number;
    let known = facts.downstream_numbered(number).is_some();
    (!known).then(|| format!("is a confirmation of downstream {number}, which was unknown"))
}

/// What a number stands for.
enum Subject {
    Owner,
    Workload,
    Environment,
    Task { owner: Position },
    Downstream,
    Exception,
    Key,
    Credential { owner: Position, expires_at: Timestamp },
}

impl Subject {
    fn find(number: Position, facts: &Facts, find: impl Fn(Position) -> Option<Entry>) -> Option<Self> {
        if facts.owner_numbered(number).is_some() {
            Some(Self::Owner)
        } else if facts.workload_numbered(number).is_some() {
            Some(Self::Workload)
        } else if facts.environment_numbered(number).is_some() {
            Some(Self::Environment)
        } else if facts.signing_keys().get(number).is_some() {
            Some(Self::Key)
        } else if facts.downstream_numbered(number).is_some() {
            Some(Self::Downstream)
        } else {
            let event = find(number)?.event;
            if let Event::TaskOpened(task) = event {
                return Some(Self::Task { owner: task.owner });
            }
            if matches!(event, Event::ExceptionRequested(_)) {
                return Some(Self::Exception);
            }
            event.issued().map(|issued| Self::Credential { owner: issued.subjects.owner, expires_at: issued.expires_at })
        }
    }

    const fn allows(&self, closing: Closing) -> bool {
        match closing {
            Closing::Nothing => true,
            Closing::Suspend | Closing::Offboard => matches!(self, Self::Owner | Self::Workload | Self::Environment | Self::Downstream),
            Closing::Unregister => matches!(self, Self::Owner | Self::Workload | Self::Environment),
            Closing::MoveOwner | Closing::AwaitOwner => matches!(self, Self::Workload),
            Closing::CloseTask => matches!(self, Self::Task { .. }),
            Closing::EndException => matches!(self, Self::Exception),
        }
    }

    /// When the last of what a cut covers ends.
    fn last_expiry(&self, number: Position, before: &Audit) -> Option<Timestamp> {
        let last = |whose| before.living.last_expiry(whose);
        match *self {
            Self::Owner => last(Whose::Owner(number)),
            Self::Workload => {
                let owners = before.facts.owners();
                owners.filter_map(|owner| last(Whose::Workload { owner: owner.number, workload: number })).max()
            }
            Self::Environment => last(Whose::Environment(number)),
            Self::Task { owner } => last(Whose::Task { owner, task: number }),
            Self::Downstream | Self::Exception => last(Whose::Bearing(number)),
            Self::Key => Some(before.tip.latest_expiry),
            Self::Credential { owner, expires_at } => last(Whose::Lineage { owner, lineage: number }).max(Some(expires_at)),
        }
    }
}

/// What is wrong with a cut: whose it is, what it closes, and how long it stays in the list.
fn misplaced(cut: &CutMade, entry: &Entry, before: &Audit, find: &impl Fn(Position) -> Option<Entry>) -> Vec<String> {
    let number = cut.number;
    let subject = Some(number).filter(|number| *number < entry.position).and_then(|number| Subject::find(number, &before.facts, find));
    let Some(subject) = subject else { return vec![format!("cuts {number}, which was no subject")] };
    let mut wrong = Vec::new();
    if !subject.allows(cut.closing) {
        wrong.push(format!("cuts {number} with `{}`, which it is not for", cut.closing));
    }
    let least = subject.last_expiry(number, before).and_then(|last| cut_ends(last, entry.time));
    let most = cut_ends(before.tip.latest_expiry.max(entry.time), entry.time);
    if cut.ends < least {
        wrong.push(format!("cuts {number} and leaves the list before all that it covers has ended"));
    } else if cut.ends > most && !matches!(subject, Subject::Key) {
        wrong.push(format!("cuts {number} and stays in the list after everything has ended"));
    }
    wrong
}
