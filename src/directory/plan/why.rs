//! Why a record cuts, and how.

use super::Planning;
use crate::model::{Closing, CutMade, Event, Note, Position, Reason, Whose, cut_ends};

/// Why what was issued may not live on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    Absent,
    Decommissioned,
    Moved,
    MovedUnasked,
    EnvironmentTaken,
    ContractEnd,
    ContractGone,
    ValidUntil,
}

impl Why {
    const fn consequence(self) -> (Closing, Reason) {
        match self {
            Self::Absent => (Closing::Unregister, Reason::CessationOfOperation),
            Self::Decommissioned => (Closing::Nothing, Reason::CessationOfOperation),
            Self::ContractGone => (Closing::Offboard, Reason::CessationOfOperation),
            Self::Moved => (Closing::MoveOwner, Reason::AffiliationChanged),
            Self::MovedUnasked => (Closing::AwaitOwner, Reason::AffiliationChanged),
            Self::EnvironmentTaken | Self::ContractEnd | Self::ValidUntil => (Closing::Nothing, Reason::PrivilegeWithdrawn),
        }
    }

    /// What comes of it besides, for people.
    pub(super) const fn besides(self) -> &'static str {
        if matches!(self, Self::MovedUnasked) { "it waits until its new owner accepts it" } else { "" }
    }

    const fn what(self) -> &'static str {
        match self {
            Self::Absent | Self::Decommissioned => "no longer named",
            Self::Moved | Self::MovedUnasked => "moved to another owner",
            Self::EnvironmentTaken => "an environment was taken away",
            Self::ContractEnd => "contract_end was moved earlier",
            Self::ContractGone => "its contract is no longer named",
            Self::ValidUntil => "valid_until was moved earlier",
        }
    }
}

impl Planning<'_> {
    /// Why, for people.
    pub(super) fn note(&self, why: Why) -> String {
        let by = self.scope.source.as_ref().map_or_else(|| "the registry".to_owned(), |source| format!("source {source}"));
        format!("{} by {by}", why.what())
    }

    /// Cuts a subject and counts what dies. The cut stays in the list until everything that was
    /// ever issued, to anybody, has expired everywhere, so that it needs no look at whose that is.
    pub(super) fn cut(&mut self, number: Position, whose: Whose, why: Why) -> u64 {
        let ends = cut_ends(self.present.latest_expiry, self.present.now);
        let (closing, reason) = why.consequence();
        let census = self.present.living.census(whose, self.present.now);
        let concerns = Some(self.present.concerns(number, &census));
        let (note, source) = (self.note(why).parse::<Note>().ok(), self.scope.source.clone());
        self.difference.events.push(Event::Cut(CutMade { number, reason, ends, closing, note, concerns, source }));
        census.total
    }
}
