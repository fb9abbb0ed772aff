//! Who the caller is to the broker.

use std::collections::BTreeSet;

use super::Caller;
use crate::model::{Facts, Position, SourceName, SpiffeId};

/// What an identity counts as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The configuration lists it.
    Administrator(SpiffeId),
    /// A workload by its number, registered or once registered.
    Workload(Position),
    /// A downstream names it as its verifier.
    Verifier(SpiffeId),
    /// A source of records. None calls; what it says is put to policy under its name.
    Source(SourceName),
    /// In no record.
    Unknown,
}

impl Role {
    /// The role of a caller: the first that fits, in the order of the variants.
    ///
    /// A workload that is closed is still that workload, so that it is refused with the right reason.
    pub(crate) fn of(caller: &Caller, administrators: &BTreeSet<SpiffeId>, facts: &Facts) -> Self {
        let id = &caller.spiffe_id;
        if administrators.contains(id) {
            return Self::Administrator(id.clone());
        }
        if let Some(workload) = facts.workload(id) {
            return Self::Workload(workload.number);
        }
        if facts.downstreams().any(|downstream| downstream.record.verifier.as_ref() == Some(id)) {
            return Self::Verifier(id.clone());
        }
        Self::Unknown
    }

    /// The word for it, stable.
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::Administrator(_) => "administrator",
            Self::Workload(_) => "workload",
            Self::Verifier(_) => "verifier",
            Self::Source(_) => "source",
            Self::Unknown => "unknown",
        }
    }
}
