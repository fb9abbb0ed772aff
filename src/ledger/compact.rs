//! Which entries still matter. What the ledger says now is made by few of its entries: the latest
//! of each aspect of each subject. A store keeps a copy of these, so that a start reads them and
//! not the whole history.
//!
//! The rule: applying the entries that are kept, in order of position, and expiring, gives the
//! same [`Facts`](crate::model::Facts) as applying every entry, and expiring.

use crate::model::{
    CLOCK_STEP, CUT_GRACE, Closing, CutMade, Entry, Event, Exceptions, FindingChange, LONGEST_EXCEPTION, Position, Reason, Recording,
    Timestamp, Turnover,
};

/// What an entry is the latest of. The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Aspect {
    /// The last entry that changed the facts, whatever it says.
    Last = 0,
    /// The opening of the ledger.
    Opened = 1,
    /// The policy in force.
    Policy = 2,
    /// The first recording of a subject: what touched it later is lost on a subject not yet known.
    First = 3,
    /// The latest recording of a subject recorded before.
    Recorded = 4,
    /// The cuts that are in the list, one per number but for cuts that end before an earlier one.
    Listed = 5,
    /// How a revocation closed a subject.
    Closed = 6,
    /// That the registry no longer names a subject.
    Absent = 7,
    /// That a workload left its owner, and whether it waits for the one that it went to.
    Moved = 8,
    /// That a subject was opened again.
    Reinstated = 9,
    /// That a task has ended.
    TaskClosed = 10,
    /// That a task was opened.
    Task = 11,
    /// The first recording of a downstream, or a later one from before there was [`Aspect::DownstreamAnew`].
    Downstream = 12,
    /// The last removal of a downstream, whichever it was.
    Removed = 13,
    /// The last beginning of an epoch.
    Epoch = 14,
    /// That a signing key signs no more.
    KeyRetired = 16,
    /// That an exception was asked for.
    Exception = 20,
    /// That an exception was approved.
    ExceptionApproved = 21,
    /// That an exception was ended before its time.
    ExceptionEnded = 22,
    /// The latest recording of a person.
    Person = 17,
    /// That a source names a person no longer.
    PersonEnded = 18,
    /// The latest recording of a contract.
    Contract = 19,
    /// The last entry about any contract of an owner.
    Contracted = 23,
    /// That an owner accepted a workload.
    Accepted = 24,
    /// The latest recording of a downstream recorded before.
    DownstreamAnew = 25,
    /// That a finding was raised.
    Finding = 30,
    /// That a finding was seen again.
    FindingSeen = 31,
    /// That something was done about a finding.
    FindingActed = 32,
    /// That a finding was waived.
    FindingWaived = 33,
    /// That a person let a source go on.
    SourceConfirmed = 61,
    /// What a client of a source last wrote of a record.
    Resource = 62,
    /// That a source ended records.
    SourceEnded = 63,
}

impl Aspect {
    const ALL: [Self; 32] = [
        Self::Last,
        Self::Opened,
        Self::Policy,
        Self::First,
        Self::Recorded,
        Self::Listed,
        Self::Closed,
        Self::Absent,
        Self::Moved,
        Self::Reinstated,
        Self::TaskClosed,
        Self::Task,
        Self::Downstream,
        Self::Removed,
        Self::Epoch,
        Self::KeyRetired,
        Self::Exception,
        Self::ExceptionApproved,
        Self::ExceptionEnded,
        Self::Person,
        Self::PersonEnded,
        Self::Contract,
        Self::Contracted,
        Self::Accepted,
        Self::DownstreamAnew,
        Self::Finding,
        Self::FindingSeen,
        Self::FindingActed,
        Self::FindingWaived,
        Self::SourceConfirmed,
        Self::Resource,
        Self::SourceEnded,
    ];

    /// What is kept of a finding while it is open.
    pub(super) const OF_FINDINGS: &[Self] = &[Self::Finding, Self::FindingSeen, Self::FindingActed, Self::FindingWaived];

    /// Its number in the store.
    pub(super) const fn number(self) -> u8 {
        self as u8
    }

    /// The aspect with this number.
    pub(super) fn numbered(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|aspect| aspect.number() == number)
    }
}

/// A place that an entry takes, pushing out the one that held it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    /// The subject; zero where there is one such entry in the whole ledger.
    pub(super) number: Position,
    /// Of what it is the latest.
    pub(super) aspect: Aspect,
    /// When it stops to matter; never if absent.
    pub(super) ends: Option<Timestamp>,
}

/// The slots that an entry takes; none if it changes no facts.
pub(super) fn slots(entry: &Entry) -> Vec<Slot> {
    let slot = |number: Position, aspect: Aspect| Slot { number, aspect, ends: None };
    let at = entry.position;
    let for_a_day = |aspect: Aspect| Slot { ends: Some(Turnover::forgotten(entry.time)), ..slot(at, aspect) };
    let mut slots = match &entry.event {
        Event::CredentialIssued(_)
        | Event::AdministrativeRead { .. }
        | Event::RequestsRefused(_)
        | Event::DownstreamConfirmed(_)
        | Event::SourceHeld(_) => return Vec::new(),
        // By then what it is about is forgotten too. It is no fence, and so never the last change.
        Event::SourceConfirmed { .. } => return vec![for_a_day(Aspect::SourceConfirmed)],
        Event::SourceEnded { .. } => vec![for_a_day(Aspect::SourceEnded)],
        Event::LedgerOpened { .. } => vec![slot(Position::ZERO, Aspect::Opened)],
        Event::PolicyChanged(_) => vec![slot(Position::ZERO, Aspect::Policy)],
        Event::KeyActivated(_) => vec![slot(at, Aspect::First)],
        Event::KeyRetired { number, .. } => vec![slot(*number, Aspect::KeyRetired)],
        Event::TaskOpened(_) => vec![slot(at, Aspect::Task)],
        Event::OwnerRecorded(Recording { number, .. })
        | Event::EnvironmentRecorded(Recording { number, .. })
        | Event::WorkloadRecorded(Recording { number, .. }) => {
            vec![number.map_or(slot(at, Aspect::First), |number| slot(number, Aspect::Recorded))]
        }
        Event::DownstreamRecorded(Recording { number, .. }) => {
            vec![number.map_or(slot(at, Aspect::Downstream), |number| slot(number, Aspect::DownstreamAnew))]
        }
        Event::DownstreamRemoved { .. } => vec![slot(Position::ZERO, Aspect::Removed)],
        Event::Cut(cut) => cut_slots(cut, entry.time),
        Event::Reinstated { number, .. } => vec![slot(*number, Aspect::Reinstated)],
        Event::WorkloadAccepted { number, .. } => vec![slot(*number, Aspect::Accepted)],
        Event::EpochBegun(_) => vec![slot(Position::ZERO, Aspect::Epoch)],
        Event::FindingRaised(_) => vec![slot(at, Aspect::Finding)],
        Event::FindingChanged { number, change, .. } => match change {
            FindingChange::Seen => vec![slot(*number, Aspect::FindingSeen)],
            FindingChange::Acted(_) => vec![slot(*number, Aspect::FindingActed)],
            FindingChange::Waived { .. } => vec![slot(*number, Aspect::FindingWaived)],
            FindingChange::Resolved => Vec::new(),
        },
        Event::ExceptionRequested(exception) => {
            vec![Slot { ends: Some(Exceptions::forgotten(exception.until)), ..slot(at, Aspect::Exception) }]
        }
        Event::ExceptionApproved { number, .. } => {
            vec![Slot { ends: Some(outlives_exceptions(entry.time)), ..slot(*number, Aspect::ExceptionApproved) }]
        }
        Event::PersonRecorded(recording) => vec![slot(recording.number.unwrap_or(at), Aspect::Person)],
        Event::ResourceRecorded(recording) => vec![slot(recording.number.unwrap_or(at), Aspect::Resource)],
        Event::PersonEnded { number } => vec![slot(*number, Aspect::PersonEnded)],
        Event::ContractRecorded(recording) => {
            vec![slot(recording.number.unwrap_or(at), Aspect::Contract), slot(recording.record.owner, Aspect::Contracted)]
        }
        Event::ContractEnded { owner, .. } => vec![slot(*owner, Aspect::Contracted)],
    };
    slots.push(slot(Position::ZERO, Aspect::Last));
    slots
}

/// When every exception that was asked for by `time` is forgotten, on a clock that may be set back.
fn outlives_exceptions(time: Timestamp) -> Timestamp {
    Exceptions::forgotten(time.plus(LONGEST_EXCEPTION).plus(CLOCK_STEP))
}

fn cut_slots(cut: &CutMade, time: Timestamp) -> Vec<Slot> {
    let slot = |aspect: Aspect, ends: Option<Timestamp>| Slot { number: cut.number, aspect, ends };
    let effect = match cut.closing {
        Closing::Nothing => None,
        Closing::MoveOwner | Closing::AwaitOwner => Some(slot(Aspect::Moved, None)),
        Closing::Suspend | Closing::Offboard => Some(slot(Aspect::Closed, None)),
        Closing::Unregister => Some(slot(Aspect::Absent, None)),
        Closing::EndException => Some(slot(Aspect::ExceptionEnded, Some(outlives_exceptions(time)))),
        Closing::CloseTask => Some(slot(Aspect::TaskClosed, Some(cut.ends.unwrap_or(time)))),
    };
    cut.ends.map(|ends| slot(Aspect::Listed, Some(ends))).into_iter().chain(effect).collect()
}

/// The subject that an entry takes out of the facts, and what of it is not kept any longer.
pub(super) fn removed(entry: &Entry) -> Option<(Position, &'static [Aspect])> {
    if let Event::DownstreamRemoved { number } = entry.event {
        Some((number, &[Aspect::Downstream, Aspect::DownstreamAnew]))
    } else if let Event::ContractEnded { number, .. } = entry.event {
        Some((number, &[Aspect::Contract]))
    } else if let Event::FindingChanged { number, change: FindingChange::Resolved, .. } = entry.event {
        Some((number, Aspect::OF_FINDINGS))
    } else {
        None
    }
}

/// What to take in place of an entry that held `slot` at `position` and cannot be read any more: the
/// worst. A cut that may have been made was made; what may have been opened is not open.
pub(super) fn assumed(slot: Slot, position: Position, latest_expiry: Timestamp) -> Option<Entry> {
    let closing = match slot.aspect {
        Aspect::Listed => Closing::Nothing,
        Aspect::Closed => Closing::Suspend,
        Aspect::Absent => Closing::Unregister,
        Aspect::Moved => Closing::AwaitOwner,
        Aspect::TaskClosed => Closing::CloseTask,
        Aspect::ExceptionEnded => Closing::EndException,
        Aspect::Last
        | Aspect::Opened
        | Aspect::Policy
        | Aspect::First
        | Aspect::Recorded
        | Aspect::Reinstated
        | Aspect::Task
        | Aspect::Downstream
        | Aspect::Removed
        | Aspect::Epoch
        | Aspect::KeyRetired
        | Aspect::Exception
        | Aspect::ExceptionApproved
        | Aspect::Person
        | Aspect::PersonEnded
        | Aspect::Contract
        | Aspect::Contracted
        | Aspect::Accepted
        | Aspect::DownstreamAnew
        | Aspect::Finding
        | Aspect::FindingSeen
        | Aspect::FindingActed
        | Aspect::FindingWaived
        | Aspect::SourceConfirmed
        | Aspect::Resource
        | Aspect::SourceEnded => return None,
    };
    let ends = slot.ends.unwrap_or_else(|| latest_expiry.plus(CUT_GRACE));
    Some(cut((slot.number, closing), position, ends))
}

/// What to take besides an entry at `position` that records a subject anew whose first recording is lost: whether
/// something closed it in between is not known, so it did.
pub(super) fn closed(number: Position, position: Position, latest_expiry: Timestamp) -> Entry {
    cut((number, Closing::Suspend), position, latest_expiry.plus(CUT_GRACE))
}

fn cut((number, closing): (Position, Closing), position: Position, ends: Timestamp) -> Entry {
    let (reason, ends) = (Reason::PrivilegeWithdrawn, Some(ends));
    let cut = CutMade { number, reason, ends, closing, note: None, concerns: None, source: None };
    Entry { position, time: Timestamp::EPOCH, actor: None, request_id: None, event: Event::Cut(cut) }
}
