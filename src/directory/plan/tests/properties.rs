//! What holds of every document, after whatever there was.

use std::collections::{HashMap, HashSet};

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::directory::generators::document;

/// A step in the life of a registry: a document, then issuances, then time that passes.
#[derive(Clone, Debug)]
struct Step {
    document: Document,
    issue: Vec<(prop::sample::Index, prop::sample::Index, u64)>,
    pass: u64,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let issue = vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 1..1_500u64), 0..8);
    let step = (document(), issue, 0..400u64).prop_map(|(document, issue, pass)| Step { document, issue, pass });
    vec(step, 1..6)
}

impl Difference {
    /// How many records are new.
    fn added(&self) -> usize {
        self.changes.iter().filter(|change| change.action == Action::Add).count()
    }
}

impl World {
    fn live_through(&mut self, step: &Step) {
        for (workload, environment, life) in &step.issue {
            if step.document.workloads.is_empty() {
                continue;
            }
            let workload = workload.get(&step.document.workloads);
            let environment = environment.get(&workload.environments.iter().collect::<Vec<_>>()).to_string();
            self.issue(workload.spiffe_id.as_str(), &environment, *life);
        }
        self.now = self.now.plus(Duration::from_secs(step.pass));
        self.facts.expire(self.now);
        self.living.expire(self.now);
    }
}

proptest! {
    #[test]
    fn applying_makes_the_records_equal_to_the_document_from_whatever_there_was(steps in steps()) {
        let mut world = World::default();
        for step in &steps {
            world.apply(&step.document);
            prop_assert_eq!(&Document::of(&world.facts), &step.document);
            prop_assert_eq!(world.plan(&Document::of(&world.facts)), Difference::default());
            world.live_through(step);
            prop_assert_eq!(world.plan(&step.document), Difference::default(), "issuing and time change no record");
        }
    }

    /// With the clock of a verifier behind by what is granted.
    #[test]
    fn nothing_lives_on_that_the_registry_would_no_longer_allow(steps in steps()) {
        let mut world = World::default();
        for step in &steps {
            world.apply(&step.document);
            for credential in &world.issued {
                let expired = credential.1.expires_at.plus(CUT_GRACE) <= world.now;
                prop_assert!(expired || world.is_cut(credential) || world.is_allowed(credential), "{credential:?}");
            }
            world.live_through(step);
            for credential in &world.issued {
                let expired = credential.1.expires_at.plus(CUT_GRACE) <= world.now;
                prop_assert!(expired || world.is_cut(credential) || world.is_allowed(credential), "{credential:?} came back");
            }
        }
    }

    #[test]
    fn a_name_keeps_its_number_and_no_number_has_two_names(steps in steps()) {
        let mut world = World::default();
        let mut known: HashMap<String, Position> = HashMap::new();
        for step in &steps {
            world.apply(&step.document);
            let numbers = world.numbers();
            prop_assert!(known.iter().all(|(name, number)| numbers.get(name) == Some(number)));
            prop_assert_eq!(numbers.values().collect::<HashSet<_>>().len(), numbers.len());
            known = numbers;
        }
    }

    #[test]
    fn the_order_of_a_document_does_not_matter(before in document(), mut after in document()) {
        let world = World::at(&before);
        let sorted = world.plan(&after);
        after.owners.reverse();
        after.environments.reverse();
        after.workloads.reverse();
        after.downstreams.reverse();
        prop_assert_eq!(world.plan(&after), sorted);
    }

    #[test]
    fn what_is_counted_as_ended_is_what_is_named_no_longer_over_or_moved(before in document(), after in document(), now in 1..2_000u64) {
        let names = |document: &Document| -> HashSet<String> {
            let owners = document.owners.iter().map(|owner| format!("owner {}", owner.id));
            let environments = document.environments.iter().map(|environment| format!("environment {}", environment.name));
            let workloads = document.workloads.iter().map(|workload| format!("workload {}", workload.spiffe_id));
            let downstreams = document.downstreams.iter().map(|downstream| format!("downstream {}", downstream.name));
            owners.chain(environments).chain(workloads).chain(downstreams).collect()
        };
        let mut world = World::at(&before);
        world.now = Timestamp::from_seconds(now);
        let is_here = |end: Option<Timestamp>| end.is_some_and(|end| end <= world.now);
        let owner = |of: &Document, id: &str| of.owners.iter().find(|owner| owner.id.as_str() == id).map(|owner| owner.contract_end);
        let workload = |of: &Document, id: &str| of.workloads.iter().find(|one| one.spiffe_id.as_str() == id).cloned();
        let is_over = |name: &str| match name.split_once(' ') {
            Some(("owner", id)) => owner(&before, id).zip(owner(&after, id)).is_some_and(|(old, new)| is_here(new) && !is_here(old)),
            Some(("workload", id)) => workload(&before, id).zip(workload(&after, id)).is_some_and(|(old, new)| {
                old.owner == new.owner && is_here(new.valid_until) && !is_here(old.valid_until)
            }),
            _ => false,
        };
        let (difference, head) = (world.plan(&after), world.head);
        let told = |action| -> HashSet<String> {
            let told = difference.changes.iter().filter(|change| change.action == action);
            told.map(|change| format!("{} {}", change.subject, change.name)).collect()
        };
        let (before, after) = (names(&before), names(&after));
        let gone = before.difference(&after);
        let ended: HashSet<String> = gone.chain(before.intersection(&after).filter(|name| is_over(name))).cloned().collect();
        prop_assert_eq!(told(Action::End), ended);
        prop_assert_eq!(difference.ends, told(Action::End).len() + told(Action::Move).len(), "nothing is alive");
        let ended: HashSet<Position> = difference.ended().into_iter().collect();
        prop_assert!(ended.len() == difference.ends && ended.iter().all(|number| *number <= head), "each has a number of its own");
    }

    #[test]
    fn every_change_says_something_and_every_death_is_counted(steps in steps()) {
        let mut world = World::default();
        for step in &steps {
            let dead = |world: &World| world.issued.iter().filter(|one| world.is_cut(one)).map(|(at, _)| *at).collect::<HashSet<_>>();
            let before = dead(&world);
            let difference = world.apply(&step.document);
            prop_assert!(difference.changes.iter().all(|change| change.subject == Subject::Environment || !change.detail.is_empty()));
            let counted: u64 = difference.changes.iter().map(|change| change.living).sum();
            let alive = |at: &Position| world.issued.iter().any(|(position, one)| position == at && one.expires_at > world.now);
            let died = dead(&world).difference(&before).filter(|at| alive(at)).count();
            prop_assert!(counted >= u64::try_from(died).expect("few"), "{died} died, {counted} were counted");
            world.live_through(step);
        }
    }

    /// A source that says very much at once.
    #[test]
    fn what_comes_in_several_transactions_ends_the_same_in_the_first_and_is_the_same_in_the_end(steps in steps(), most in 1..6usize) {
        let (mut parts, mut whole) = (World::default(), World::default());
        let source = source("assets");
        for step in &steps {
            let mut snapshot = Snapshot::from(step.document.clone());
            let once = whole.hear(&source, &snapshot);
            let mut aside = snapshot.set_aside(&source, &parts.facts, most);
            let first = parts.hear(&source, &snapshot);
            prop_assert_eq!(first.ends, once.ends);
            let mut changes = first.changes.len();
            while let Some(portion) = aside.as_mut().and_then(|aside| aside.portion(most)) {
                let portion = parts.hear(&source, &portion);
                prop_assert!(portion.ends == 0 && portion.problems.is_empty(), "{portion:?}");
                prop_assert!(portion.changes.len() == portion.added() && portion.added() <= most, "{portion:?}");
                changes += portion.changes.len();
            }
            prop_assert_eq!(changes, once.changes.len());
            prop_assert_eq!(Document::of(&parts.facts), Document::of(&whole.facts));
            parts.live_through(step);
            whole.live_through(step);
        }
    }
}
