//! `[reconcile]`: what is looked for among what is registered, and what is done about it.

use serde::{Deserialize, Serialize};

use super::units::{Share, Span};
use crate::broker::Reconciling;
use crate::model::{FindingAction, FindingKind, SharedBy};

/// As it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawReconcile {
    every: Span,
    dormant_after: Span,
    unused_after: Span,
    shared_by: Vec<String>,
    announce: Span,
    grace: Span,
    max_acted: Share,
    actions: RawActions,
}

/// What is done, by kind of finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawActions {
    orphan: String,
    unregistered: String,
    dormant: String,
    shared: String,
    over_privileged: String,
    overdue: String,
    expiring: String,
    ghost: String,
    ownerless: String,
}

impl Default for RawActions {
    fn default() -> Self {
        let report = || FindingAction::Report.to_string();
        Self {
            orphan: report(),
            unregistered: report(),
            dormant: report(),
            shared: report(),
            over_privileged: report(),
            overdue: report(),
            expiring: report(),
            ghost: report(),
            ownerless: report(),
        }
    }
}

impl Default for RawReconcile {
    fn default() -> Self {
        Self {
            every: Span::seconds(60 * 60),
            dormant_after: Span::days(90),
            unused_after: Span::days(90),
            shared_by: vec![SharedBy::Keys.to_string()],
            announce: Span::days(30),
            grace: Span::days(7),
            max_acted: Share::tenth(),
            actions: RawActions::default(),
        }
    }
}

impl RawReconcile {
    /// The settings; says what is wrong with them.
    pub(super) fn checked(&self, mut wrong: impl FnMut(&'static str, String)) -> Reconciling {
        let positive = [
            ("reconcile.every", self.every),
            ("reconcile.dormant_after", self.dormant_after),
            ("reconcile.unused_after", self.unused_after),
        ];
        for (field, _) in positive.into_iter().filter(|(_, span)| span.duration().as_secs() == 0) {
            wrong(field, "write at least 1s".to_owned());
        }
        if self.shared_by.is_empty() {
            wrong(
                "reconcile.shared_by",
                "write keys, places or both; where neither says anything, set actions.shared to ignore".to_owned(),
            );
        }
        let read = |word: &String| word.parse::<SharedBy>().map_err(|error| wrong("reconcile.shared_by", error.to_string())).ok();
        let shared_by = self.shared_by.iter().filter_map(read).collect();
        let actions = &self.actions;
        let written = [
            (FindingKind::Orphan, "reconcile.actions.orphan", &actions.orphan),
            (FindingKind::Unregistered, "reconcile.actions.unregistered", &actions.unregistered),
            (FindingKind::Dormant, "reconcile.actions.dormant", &actions.dormant),
            (FindingKind::Shared, "reconcile.actions.shared", &actions.shared),
            (FindingKind::OverPrivileged, "reconcile.actions.over_privileged", &actions.over_privileged),
            (FindingKind::Overdue, "reconcile.actions.overdue", &actions.overdue),
            (FindingKind::Expiring, "reconcile.actions.expiring", &actions.expiring),
            (FindingKind::Ghost, "reconcile.actions.ghost", &actions.ghost),
            (FindingKind::Ownerless, "reconcile.actions.ownerless", &actions.ownerless),
        ];
        let mut read = |(kind, field, text): (FindingKind, &'static str, &String)| {
            let action = text.parse::<FindingAction>().map_err(|error| wrong(field, error.to_string())).ok()?;
            if !kind.can_be_acted_on() && matches!(action, FindingAction::Suspend | FindingAction::Revoke) {
                wrong(field, "there is nothing to end yet: write report or ignore".to_owned());
            }
            Some((kind, action))
        };
        Reconciling {
            every: self.every.duration(),
            dormant_after: self.dormant_after.duration(),
            unused_after: self.unused_after.duration(),
            shared_by,
            announce: self.announce.duration(),
            grace: self.grace.duration(),
            max_acted: self.max_acted.share(),
            actions: written.into_iter().filter_map(&mut read).collect(),
        }
    }
}
