//! How far a revocation was seen to come: when it had come to which stage, and how it stands at each downstream.

use std::time::Duration;

use serde::{Serialize, Serializer};

use super::Stage;
use crate::cli::wire;
use crate::client::api;
use crate::model::Timestamp;

/// The stages that a revocation has come to, and where it is not enforced yet.
#[derive(Debug, Default, Serialize)]
pub(in crate::cli) struct Reached {
    pub(in crate::cli) stage: Stage,
    /// It is accepted by being committed: nothing is queued in between.
    #[serde(serialize_with = "written")]
    accepted_at: Option<Timestamp>,
    #[serde(serialize_with = "written")]
    committed_at: Option<Timestamp>,
    #[serde(serialize_with = "written")]
    pub(super) published_at: Option<Timestamp>,
    #[serde(serialize_with = "written")]
    pub(super) enforced_at: Option<Timestamp>,
    #[serde(serialize_with = "written")]
    pub(super) until: Option<Timestamp>,
    pub(super) enforcement: Vec<AtDownstream>,
}

/// How it stands at one downstream.
#[derive(Debug, Default, Serialize)]
pub(super) struct AtDownstream {
    pub(super) downstream: Option<String>,
    pub(super) kind: String,
    pub(super) state: Option<String>,
    #[serde(serialize_with = "written")]
    pub(super) at: Option<Timestamp>,
    pub(super) living: u64,
    #[serde(serialize_with = "written")]
    pub(super) last_expiry: Option<Timestamp>,
    pub(super) entry: Option<u64>,
    /// How many processes have confirmed it, and the first of them.
    pub(super) confirmed: u32,
    pub(super) confirmed_by: Vec<Confirmed>,
    /// How many have not, and some of them.
    pub(super) waiting: u32,
    pub(super) waiting_for: Vec<String>,
}

/// What a process has confirmed.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Confirmed {
    pub(super) instance: String,
    pub(super) position: u64,
    #[serde(serialize_with = "written")]
    pub(super) at: Option<Timestamp>,
    /// How long after the commit.
    pub(super) after_ms: Option<u64>,
}

fn written<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    at.map(|at| at.to_string()).serialize(serializer)
}

fn timestamp(at: Option<prost_types::Timestamp>) -> Option<Timestamp> {
    wire::timestamp(&at?)
}

impl Reached {
    /// Nothing was changed.
    pub(in crate::cli) fn nothing() -> Self {
        Self { stage: Stage::DryRun, ..Self::default() }
    }

    /// It is in the ledger, since then if that was said.
    pub(in crate::cli) fn committed(at: Option<prost_types::Timestamp>) -> Self {
        let at = timestamp(at);
        Self { stage: Stage::Committed, accepted_at: at, committed_at: at, ..Self::default() }
    }

    pub(super) fn of(told: api::FollowEnforcementResponse) -> Self {
        let stage = match told.stage() {
            api::EnforcementStage::Unspecified | api::EnforcementStage::Committed => Stage::Committed,
            api::EnforcementStage::Published => Stage::Published,
            api::EnforcementStage::Enforced => Stage::Enforced,
        };
        let committed = Self::committed(told.committed_at);
        let enforcement: Vec<_> = told.downstreams.into_iter().map(|at| AtDownstream::of(at, committed.committed_at)).collect();
        // Where nothing was alive, the commit is all that it takes.
        let last = || enforcement.iter().filter_map(|at| at.at).chain(committed.committed_at).max();
        Self {
            stage,
            published_at: timestamp(told.published_at),
            enforced_at: if stage == Stage::Enforced { last() } else { None },
            until: timestamp(told.until),
            enforcement,
            ..committed
        }
    }

    /// When it was committed.
    pub(super) const fn committed_at(&self) -> Option<Timestamp> {
        self.committed_at
    }

    /// How long after the commit something was.
    pub(super) fn after_commit(&self, at: Option<Timestamp>) -> Option<Duration> {
        Some(at?.since(self.committed_at?))
    }

    /// Those of another history.
    pub(super) fn forked(&self) -> Vec<&str> {
        let forked = self.enforcement.iter().filter(|at| at.is("forked"));
        forked.filter_map(|at| at.downstream.as_deref()).collect()
    }

    /// Whether nothing more can come but what is known to have failed.
    pub(super) fn is_over(&self) -> bool {
        !self.enforcement.iter().any(|at| at.is("waiting"))
    }
}

impl AtDownstream {
    fn of(at: api::DownstreamEnforcement, committed_at: Option<Timestamp>) -> Self {
        let confirmed = |said: api::ProcessConfirmation| {
            let at = timestamp(said.at);
            let after = at.zip(committed_at).map(|(at, committed)| at.since(committed));
            let after_ms = after.and_then(|after| u64::try_from(after.as_millis()).ok());
            Confirmed { instance: said.instance, position: said.position, at, after_ms }
        };
        Self {
            downstream: wire::text(at.name),
            kind: at.verifier_kind,
            state: wire::enforcement_state(at.state),
            at: timestamp(at.at),
            living: at.living,
            last_expiry: timestamp(at.last_expiry),
            entry: wire::number(at.entry),
            confirmed: at.confirmed_count,
            confirmed_by: at.confirmations.into_iter().map(confirmed).collect(),
            waiting: at.waiting_count,
            waiting_for: at.waiting,
        }
    }

    pub(super) fn is(&self, state: &str) -> bool {
        self.state.as_deref() == Some(state)
    }
}
