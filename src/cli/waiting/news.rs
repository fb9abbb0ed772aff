//! What is said on standard error while a revocation is waited for: each stage, who has confirmed and who has not,
//! as that changes. Of many followers the first are named and then counted: what is said of a downstream grows
//! with the number of digits of their number.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use super::Stage;
use super::reached::{AtDownstream, Reached};
use crate::model::Timestamp;

/// How many of those that are missing are named in one line. While there are more, it is said when they are half or
/// twice as many as was said before.
const NAMED: usize = 5;

/// What was said so far.
#[derive(Debug, Default)]
pub(super) struct News {
    stage: Option<Stage>,
    until: Option<Timestamp>,
    downstreams: BTreeMap<Option<String>, Said>,
}

/// What was said of a downstream.
#[derive(Debug, Default)]
struct Said {
    state: Option<String>,
    waiting: u32,
    confirmed: BTreeSet<String>,
}

impl News {
    /// Whether anything was said.
    pub(super) const fn began(&self) -> bool {
        self.stage.is_some()
    }

    /// What is new of the revocation at a position, in lines.
    pub(super) fn of(&mut self, position: u64, reached: &Reached) -> String {
        let mut lines = Vec::new();
        if self.stage.is_none() {
            let at = reached.committed_at().map(|at| format!(", {at}")).unwrap_or_default();
            lines.push(format!("curfew: accepted and committed at position {position}{at}"));
        }
        let after = |at| reached.after_commit(at).map(|after| format!(" {} after the commit", seconds(after))).unwrap_or_default();
        if self.stage < Some(Stage::Published) && reached.published_at.is_some() {
            lines.push(format!("curfew: published{}", after(reached.published_at)));
        }
        if let Some(until) = reached.until.filter(|until| self.until != Some(*until)) {
            lines.push(format!("curfew: not yet enforced, until {until} at the latest"));
        }
        for at in &reached.enforcement {
            let said = self.downstreams.entry(at.downstream.clone()).or_default();
            for one in at.confirmed_by.iter().filter(|one| said.confirmed.insert(one.instance.clone())) {
                let (name, instance, position) = (at.name(), &one.instance, one.position);
                lines.push(format!("  {name}: {instance} has confirmed position {position}{}", after(one.at)));
            }
            if said.is_outdated(at) {
                (said.state, said.waiting) = (at.state.clone(), at.waiting);
                lines.push(format!("  {}: {}", at.name(), at.words(&after(at.at))));
            }
        }
        if reached.stage == Stage::Enforced {
            lines.push(format!("curfew: enforced{}", after(reached.enforced_at)));
        }
        (self.stage, self.until) = (Some(reached.stage), reached.until);
        lines.iter().fold(String::new(), |mut text, line| {
            // A string takes all.
            let _ = writeln!(text, "{line}");
            text
        })
    }
}

impl Said {
    fn is_outdated(&self, at: &AtDownstream) -> bool {
        let (before, now) = (self.waiting, at.waiting);
        let few = usize::try_from(now).is_ok_and(|now| now <= NAMED);
        self.state != at.state || (now != before && (few || now <= before / 2 || now / 2 >= before))
    }
}

impl AtDownstream {
    fn name(&self) -> String {
        format!("{} ({})", self.downstream.as_deref().unwrap_or("what no downstream accepts any more"), self.kind)
    }

    fn words(&self, after: &str) -> String {
        let (confirmed, until) = (self.confirmed, self.at.map(|at| at.to_string()).unwrap_or_default());
        match self.state.as_deref() {
            Some("waiting") if self.waiting > 0 => format!("{confirmed} confirmed, not yet: {}", self.missing()),
            Some("waiting") if confirmed > 0 => format!("{confirmed} confirmed; others may follow that are not known yet, until {until}"),
            Some("waiting") => format!("nobody there can confirm; until {until}"),
            Some("forked") => format!("a verifier has another history than the ledger; until {until}"),
            Some(way) => format!("enforced ({way}){after}"),
            None => "not known".to_owned(),
        }
    }

    fn missing(&self) -> String {
        let named: Vec<&str> = self.waiting_for.iter().take(NAMED).map(String::as_str).collect();
        let more = usize::try_from(self.waiting).unwrap_or(usize::MAX).saturating_sub(named.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        named.join(", ") + &more
    }
}

fn seconds(time: Duration) -> String {
    format!("{}.{:03} s", time.as_secs(), time.subsec_millis())
}

#[cfg(test)]
mod tests {
    use super::super::reached::Confirmed;
    use super::*;
    use crate::client::api;

    const COMMITTED: u64 = 1_790_000_000;

    fn at(millis: u64) -> Option<prost_types::Timestamp> {
        Some(crate::cli::wire::sent_instant(Timestamp::from_millis(COMMITTED * 1000 + millis)))
    }

    /// So many of `all` followers of one downstream have confirmed, a millisecond after another.
    fn followed(confirmed: u32, all: u32) -> Reached {
        let enforced = confirmed == all;
        let said = |one: u32| api::ProcessConfirmation { instance: format!("pod-{one}"), position: 19, at: at(u64::from(one)) };
        let state = if enforced { api::EnforcementState::Confirmed } else { api::EnforcementState::Waiting };
        let stage = if enforced { api::EnforcementStage::Enforced } else { api::EnforcementStage::Published };
        Reached::of(api::FollowEnforcementResponse {
            position: 17,
            stage: stage.into(),
            committed_at: at(0),
            published_at: at(4),
            until: if enforced { None } else { at(60_000) },
            downstreams: vec![api::DownstreamEnforcement {
                name: "ledger-api".to_owned(),
                verifier_kind: "follower".to_owned(),
                state: state.into(),
                at: if enforced { at(u64::from(confirmed)) } else { at(60_000) },
                confirmed_count: confirmed,
                confirmations: (1..=confirmed.min(20)).map(said).collect(),
                waiting: (confirmed + 1..=all).take(20).map(|one| format!("pod-{one}")).collect(),
                waiting_count: all - confirmed,
                ..Default::default()
            }],
        })
    }

    #[test]
    fn each_stage_and_who_has_confirmed_is_said_once_and_who_has_not() {
        let mut news = News::default();
        let said = news.of(17, &followed(0, 2));
        assert_eq!(
            said.lines().collect::<Vec<_>>(),
            [
                "curfew: accepted and committed at position 17, 2026-09-21T14:13:20Z",
                "curfew: published 0.004 s after the commit",
                "curfew: not yet enforced, until 2026-09-21T14:14:20Z at the latest",
                "  ledger-api (follower): 0 confirmed, not yet: pod-1, pod-2",
            ]
        );
        assert_eq!(news.of(17, &followed(0, 2)), "", "nothing is new");
        assert_eq!(
            news.of(17, &followed(1, 2)).lines().collect::<Vec<_>>(),
            [
                "  ledger-api (follower): pod-1 has confirmed position 19 0.001 s after the commit",
                "  ledger-api (follower): 1 confirmed, not yet: pod-2",
            ]
        );
        assert_eq!(
            news.of(17, &followed(2, 2)).lines().collect::<Vec<_>>(),
            [
                "  ledger-api (follower): pod-2 has confirmed position 19 0.002 s after the commit",
                "  ledger-api (follower): enforced (confirmed) 0.002 s after the commit",
                "curfew: enforced 0.002 s after the commit",
            ]
        );
    }

    #[test]
    fn a_thousand_followers_do_not_flood_and_the_last_of_them_are_named() {
        let mut news = News::default();
        let said: Vec<String> =
            (0..=1000).flat_map(|one| news.of(17, &followed(one, 1000)).lines().map(str::to_owned).collect::<Vec<_>>()).collect();
        assert!(said.len() < 50, "{} lines: {said:#?}", said.len());
        assert_eq!(said.iter().filter(|line| line.contains("has confirmed")).count(), 20);
        let has = |words: &str| assert!(said.iter().any(|line| line.ends_with(words)), "no `{words}` in {said:#?}");
        has("0 confirmed, not yet: pod-1, pod-2, pod-3, pod-4, pod-5 and 995 more");
        has("500 confirmed, not yet: pod-501, pod-502, pod-503, pod-504, pod-505 and 495 more");
        has("998 confirmed, not yet: pod-999, pod-1000");
        has("curfew: enforced 1.000 s after the commit");
        assert!(said.iter().all(|line| line.len() < 120), "{said:#?}");
    }

    #[test]
    fn what_nobody_can_confirm_is_not_said_to_be_waited_for_by_name() {
        let waiting = || AtDownstream { kind: "follower".to_owned(), state: Some("waiting".to_owned()), ..AtDownstream::default() };
        let said = Confirmed { instance: "a".to_owned(), position: 19, at: None, after_ms: None };
        assert!(waiting().words("").starts_with("nobody there can confirm"));
        let all = AtDownstream { confirmed: 1, confirmed_by: vec![said], ..waiting() };
        assert!(all.words("").starts_with("1 confirmed; others may follow"), "after a start of the broker");
    }
}
