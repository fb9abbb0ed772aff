//! Findings: what reconciliation found that does not fit together, and what became of it.

use std::collections::hash_map::Entry as Slot;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::{Entry, Event, FindingAction, FindingKind, Note, Position, Severity, SpiffeId, Timestamp};

/// What a finding is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum About {
    /// A subject of the ledger.
    Subject(Position),
    /// An identity in no record.
    Identity(SpiffeId),
    /// Another finding.
    Finding(Position),
}

/// Something that does not fit together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What sort.
    pub kind: FindingKind,
    /// What it is about.
    pub about: About,
    /// For people.
    pub detail: Note,
    /// The entries that show it.
    pub evidence: Vec<Position>,
}

impl Finding {
    /// Whether more than telling can be done about it: it is about something that can end.
    pub const fn can_be_acted_on(&self) -> bool {
        self.kind.can_be_acted_on() && matches!(self.about, About::Subject(_))
    }
}

/// What became of a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FindingChange {
    /// It is still so; told once a day at most.
    Seen,
    /// What was to be done was done.
    Acted(FindingAction),
    /// It is so no longer, or somebody says that it is settled.
    Resolved,
    /// Nothing is done about it until then.
    Waived {
        /// Until when.
        until: Timestamp,
    },
}

impl FindingChange {
    /// The word for it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Seen => "seen",
            Self::Acted(_) => "acted",
            Self::Resolved => "resolved",
            Self::Waived { .. } => "waived",
        }
    }

    /// The number of the sort of it.
    pub const fn step(&self) -> u8 {
        match self {
            Self::Seen => 1,
            Self::Acted(_) => 2,
            Self::Resolved => 3,
            Self::Waived { .. } => 4,
        }
    }
}

impl FindingKind {
    /// How much it matters.
    pub const fn severity(self) -> Severity {
        match self {
            Self::Orphan | Self::Overdue | Self::Ghost => Severity::High,
            Self::Unregistered | Self::Dormant | Self::Shared | Self::Ownerless => Severity::Medium,
            Self::OverPrivileged | Self::Expiring => Severity::Low,
        }
    }

    /// What is done about it if nobody says what.
    pub const fn default_action(self) -> FindingAction {
        FindingAction::Report
    }

    /// Whether more than telling can be done about it.
    pub const fn can_be_acted_on(self) -> bool {
        !matches!(self, Self::Unregistered | Self::Expiring)
    }
}

/// That nothing is done about a finding for a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiver {
    /// Until when.
    pub until: Timestamp,
    /// The entry.
    pub at: Position,
    /// Who says so.
    pub by: Option<SpiffeId>,
    /// Why.
    pub note: Option<Note>,
}

/// How a finding was settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// The entry.
    pub at: Position,
    /// When.
    pub time: Timestamp,
    /// Who settled it, or ran the comparison that found it so no longer; absent if the broker did that by itself.
    pub by: Option<SpiffeId>,
    /// Why; absent if it was so no longer.
    pub note: Option<Note>,
}

/// A finding that is open, or as it was when it was settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownFinding {
    /// Its number.
    pub number: Position,
    /// What was found.
    pub record: Arc<Finding>,
    /// When it was first seen.
    pub raised: Timestamp,
    /// When it was last seen, by the entries.
    pub seen: Timestamp,
    /// What was done, and the entry that says so.
    pub acted: Option<(FindingAction, Position)>,
    /// That it waits.
    pub waiver: Option<Waiver>,
}

impl KnownFinding {
    /// Whether nothing is done about it.
    pub fn is_waived(&self, now: Timestamp) -> bool {
        self.waiver.as_ref().is_some_and(|waiver| waiver.until > now)
    }

    /// What its entries, in order, say of a finding that was settled; nothing if it was not.
    pub fn settled<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Option<(Self, Resolution)> {
        let mut findings = Findings::default();
        for entry in entries {
            let (at, time, by) = (entry.position, entry.time, entry.actor.clone());
            if let Event::FindingRaised(finding) = &entry.event {
                findings.raise(at, finding, time);
            } else if let Event::FindingChanged { number, change, note } = &entry.event {
                if *change == FindingChange::Resolved {
                    return Some((findings.open.remove(number)?, Resolution { at, time, by, note: note.clone() }));
                }
                findings.change(*number, change, note.as_ref(), entry);
            }
        }
        None
    }

    /// When what is to be done about it is due, a time of `grace` after it was raised, and not before its waiver is
    /// over; absent if it was done.
    pub fn due(&self, grace: Duration) -> Option<Timestamp> {
        let due = self.waiver.iter().map(|waiver| waiver.until).fold(self.raised.plus(grace), Timestamp::max);
        self.acted.is_none().then_some(due)
    }

    /// Whether something may be done about it that was not done yet.
    pub fn awaits_action(&self, now: Timestamp) -> bool {
        self.acted.is_none() && !self.is_waived(now)
    }
}

/// The findings that are open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    open: BTreeMap<Position, KnownFinding>,
    by_about: HashMap<(FindingKind, About), BTreeSet<Position>>,
}

impl Findings {
    pub(super) fn raise(&mut self, number: Position, finding: &Finding, time: Timestamp) {
        self.by_about.entry((finding.kind, finding.about.clone())).or_default().insert(number);
        let record = Arc::new(finding.clone());
        self.open.insert(number, KnownFinding { number, record, raised: time, seen: time, acted: None, waiver: None });
    }

    pub(super) fn change(&mut self, number: Position, change: &FindingChange, note: Option<&Note>, entry: &Entry) {
        let (at, by, note) = (entry.position, entry.actor.clone(), note.cloned());
        let Some(known) = self.open.get_mut(&number) else { return };
        match change {
            FindingChange::Seen => known.seen = entry.time,
            FindingChange::Acted(action) => known.acted = Some((*action, at)),
            FindingChange::Waived { until } => known.waiver = Some(Waiver { until: *until, at, by, note }),
            FindingChange::Resolved => {
                let about = (known.record.kind, known.record.about.clone());
                self.open.remove(&number);
                if let Slot::Occupied(mut numbers) = self.by_about.entry(about) {
                    numbers.get_mut().remove(&number);
                    if numbers.get().is_empty() {
                        numbers.remove();
                    }
                }
            }
        }
    }

    /// One that is open.
    pub fn get(&self, number: Position) -> Option<&KnownFinding> {
        self.open.get(&number)
    }

    /// All that are open, by number.
    pub fn iter(&self) -> impl Iterator<Item = &KnownFinding> {
        self.open.values()
    }

    /// The first open one of this sort about this.
    pub fn about(&self, kind: FindingKind, about: &About) -> Option<&KnownFinding> {
        self.by_about.get(&(kind, about.clone()))?.first().and_then(|number| self.open.get(number))
    }
}
