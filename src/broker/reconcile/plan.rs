//! What does not fit together, and what is to be done about it: pure, so that it can be read before it acts.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use super::Reconciling;
use super::elsewhere::{Elsewhere, Forlorn, Nobody, forlorn};
use super::observed::Observed;
use crate::broker::source::{Everybody, Presence};
use crate::model::{
    About, Closing, Environment, Facts, Finding, FindingAction, FindingKind, Known, KnownFinding, Note, Owner, Position, Share, SharedBy,
    Timestamp, Workload,
};

/// How long an identity in no record, or two keys or places at once, are worth a finding.
const LATELY: Duration = Duration::from_secs(24 * 60 * 60);
/// That a finding is still so is told this often.
const TOLD_AGAIN: Duration = Duration::from_secs(24 * 60 * 60);
/// What ends by itself ends within this time, or is overdue.
const LATE: Duration = Duration::from_secs(60);
/// No more is raised by one run; the rest by the next.
const MOST_RAISED: usize = 1000;

/// What is registered, and which findings are open, of one moment.
#[derive(Debug, Default)]
pub(super) struct Ground {
    pub(super) workloads: Vec<Known<Workload>>,
    pub(super) owners: HashMap<Position, Known<Owner>>,
    /// When the contract of an owner ends.
    pub(super) ends: HashMap<Position, Timestamp>,
    pub(super) environments: HashMap<Position, Known<Environment>>,
    /// The downstreams that are open.
    downstreams: Vec<Position>,
    pub(super) open: Vec<KnownFinding>,
    forlorn: Vec<Forlorn>,
    elsewhere: Elsewhere,
}

impl Ground {
    pub(super) fn of(facts: &Facts, elsewhere: Elsewhere) -> Self {
        Self {
            workloads: facts.workloads().cloned().collect(),
            owners: facts.owners().map(|known| (known.number, known.clone())).collect(),
            ends: facts.owners().filter_map(|known| Some((known.number, facts.contract_end(known)?))).collect(),
            environments: facts.environments().map(|known| (known.number, known.clone())).collect(),
            downstreams: facts.downstreams().filter(|known| known.is_open()).map(|known| known.number).collect(),
            open: facts.findings().iter().cloned().collect(),
            forlorn: forlorn(facts, elsewhere.everybody),
            elsewhere,
        }
    }

    /// Whether what is acted on closes no more than this share of the open workloads, with those whose owner it
    /// closes, nor of the open downstreams. An owner of no workload counts as one.
    fn may_close(&self, act: &[(Position, FindingAction)], share: Share) -> bool {
        let about: HashMap<Position, &About> = self.open.iter().map(|open| (open.number, &open.record.about)).collect();
        let mut acted: HashSet<Position> = act
            .iter()
            .filter_map(|(finding, _)| match about.get(finding) {
                Some(About::Subject(number)) => Some(*number),
                Some(About::Identity(_)) | None => None,
            })
            .collect();
        let downstreams = self.downstreams.iter().filter(|number| acted.remove(number)).count();
        let (mut idle, mut open, mut closes) = (acted.clone(), 0, 0);
        for known in self.workloads.iter().filter(|known| known.is_open()) {
            let ends_with = [known.number, known.record.owner];
            open += 1;
            closes += usize::from(ends_with.iter().any(|number| acted.contains(number)));
            for number in ends_with {
                idle.remove(&number);
            }
        }
        share.covers(closes + idle.len(), open) && share.covers(downstreams, self.downstreams.len())
    }
}

/// What is to be done, in the order in which it is done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// To be told.
    pub(super) raise: Vec<Finding>,
    /// Still so, and to be told again.
    pub(super) seen: Vec<Position>,
    /// So no longer.
    pub(super) resolve: Vec<Position>,
    /// To be acted on.
    pub(super) act: Vec<(Position, FindingAction)>,
    /// What would be acted on, if it were not so much at once: then nothing is.
    pub(super) held: Vec<(Position, FindingAction)>,
}

/// Compares what is registered with what was seen.
pub(super) fn plan(ground: &Ground, observed: &Observed, settings: &Reconciling, now: Timestamp) -> Plan {
    let mut sighted = Sighted { ground, observed, settings, now, found: BTreeMap::new(), unknown: HashSet::new() };
    for workload in ground.workloads.iter().filter(|known| known.is_open()) {
        sighted.workload(workload);
    }
    sighted.owners();
    sighted.strangers();
    sighted.forlorn();
    let Sighted { found, unknown, .. } = sighted;

    let mut plan = Plan::default();
    let mut known: HashSet<(FindingKind, &About)> = HashSet::new();
    for open in &ground.open {
        let key = (open.record.kind, open.record.about.clone());
        known.insert((open.record.kind, &open.record.about));
        if unknown.contains(&key) {
            continue;
        }
        if !found.contains_key(&key) {
            plan.resolve.push(open.number);
            continue;
        }
        if now.since(open.seen) >= TOLD_AGAIN {
            plan.seen.push(open.number);
        }
        let action = settings.action(open.record.kind);
        let due = open.awaits_action(now) && now >= open.raised.plus(settings.grace);
        if due && matches!(action, FindingAction::Suspend | FindingAction::Revoke) && open.record.kind.can_be_acted_on() {
            plan.act.push((open.number, action));
        }
    }
    if !ground.may_close(&plan.act, settings.max_acted) {
        plan.held = std::mem::take(&mut plan.act);
    }
    let new = found.iter().filter(|((kind, about), _)| !known.contains(&(*kind, about)));
    plan.raise = new.take(MOST_RAISED).map(|(_, finding)| finding.clone()).collect();
    plan
}

struct Sighted<'a> {
    ground: &'a Ground,
    observed: &'a Observed,
    settings: &'a Reconciling,
    now: Timestamp,
    found: BTreeMap<(FindingKind, About), Finding>,
    /// Of these nobody can say: they stay as they are.
    unknown: HashSet<(FindingKind, About)>,
}

impl Sighted<'_> {
    fn workload(&mut self, workload: &Known<Workload>) {
        let (number, now) = (workload.number, self.now);
        let id = &workload.record.spiffe_id;
        let owner = self.ground.owners.get(&workload.record.owner);
        // One that is suspended is expected back, and still answers.
        let closed = owner.and_then(|owner| owner.absent.or(owner.closed)).filter(|closed| closed.by != Closing::Suspend);
        if owner.is_none() || closed.is_some() {
            let name = owner.map_or_else(|| workload.record.owner.to_string(), |owner| owner.record.id.to_string());
            let evidence = closed.map(|closed| closed.at).into_iter().collect();
            self.find(FindingKind::Orphan, number, &format!("{id} is open, and its owner {name} has ended"), evidence);
        }
        if let Some(end) = workload.record.valid_until.filter(|end| end.plus(LATE) <= now) {
            self.find(FindingKind::Overdue, number, &format!("{id} was registered until {end}"), vec![number]);
        }
        match self.ground.elsewhere.existing.presence(id) {
            Presence::Fine => {}
            Presence::Unknown => {
                self.unknown.insert((FindingKind::Ghost, About::Subject(number)));
            }
            Presence::Missing(source, read) => {
                let what = format!("{id} is open, and in no inventory ({source} was read at {read})");
                self.find(FindingKind::Ghost, number, &what, vec![number]);
            }
        }
        let quiet = now.minus(self.settings.dormant_after);
        let last = self.observed.last_use(number);
        if self.observed.settled(number, quiet) && last.is_none_or(|sight| sight.time < quiet) {
            let days = self.settings.dormant_after.as_secs() / 86_400;
            let evidence = last.map_or(number, |sight| sight.at);
            self.find(FindingKind::Dormant, number, &format!("nothing was issued to {id} for {days} days"), vec![evidence]);
        } else {
            self.unused(workload);
        }
        self.shared(workload);
    }

    /// What shows a workload in several hands.
    fn shared(&mut self, workload: &Known<Workload>) {
        let (number, lately, by) = (workload.number, self.now.minus(LATELY), &self.settings.shared_by);
        let keys = self.observed.keys_at_once(number, lately).filter(|_| by.contains(&SharedBy::Keys));
        let places = self.observed.places_at_once(number, lately).filter(|_| by.contains(&SharedBy::Places));
        let seen = [
            keys.map(|keys| ("uses several keys".to_owned(), keys.evidence)),
            places.map(|places| {
                let [one, other] = places.both;
                (format!("asks from {one} and {other}"), places.evidence)
            }),
        ];
        let (what, evidence): (Vec<_>, Vec<_>) = seen.into_iter().flatten().unzip();
        if !what.is_empty() {
            let what = format!("{} {} at the same time", workload.record.spiffe_id, what.join(" and "));
            let evidence: BTreeSet<_> = evidence.into_iter().flatten().collect();
            self.find(FindingKind::Shared, number, &what, evidence.into_iter().collect());
        }
    }

    /// Where a workload that is in use may act and does not.
    fn unused(&mut self, workload: &Known<Workload>) {
        let number = workload.number;
        let idle = self.now.minus(self.settings.unused_after);
        if !self.observed.settled(number, idle) || self.observed.last_use(number).is_none_or(|sight| sight.time < idle) {
            return;
        }
        let unused = workload
            .record
            .environments
            .iter()
            .filter(|environment| self.observed.last_use_in(number, **environment).is_none_or(|sight| sight.time < idle));
        let names: Vec<String> = unused
            .map(|number| self.ground.environments.get(number).map_or_else(|| number.to_string(), |known| known.record.name.to_string()))
            .collect();
        if !names.is_empty() {
            let days = self.settings.unused_after.as_secs() / 86_400;
            let what = format!("{} has used nothing in {} for {days} days", workload.record.spiffe_id, names.join(", "));
            self.find(FindingKind::OverPrivileged, number, &what, vec![number]);
        }
    }

    fn owners(&mut self) {
        let now = self.now;
        let open = self.ground.owners.values().filter(|known| known.is_open());
        let ending: Vec<_> = open.filter_map(|known| Some((known, *self.ground.ends.get(&known.number)?))).collect();
        for (owner, end) in ending {
            let id = &owner.record.id;
            if end.plus(LATE) <= now {
                self.find(FindingKind::Overdue, owner.number, &format!("the contract of {id} ended at {end}"), vec![owner.number]);
            } else if end > now && end <= now.plus(self.settings.announce) {
                self.find(FindingKind::Expiring, owner.number, &format!("the contract of {id} ends at {end}"), vec![owner.number]);
            }
        }
    }

    fn forlorn(&mut self) {
        let ground = self.ground;
        for Forlorn { number, name, why } in &ground.forlorn {
            let (what, evidence) = match why {
                Nobody::Left(contact, left) => (format!("{contact}, who answers for {name}, is here no longer"), *left),
                Nobody::Unknown(contact) if ground.elsewhere.everybody == Everybody::Known => {
                    (format!("{contact}, who answers for {name}, is known nowhere"), *number)
                }
                Nobody::Unknown(_) => {
                    self.unknown.insert((FindingKind::Ownerless, About::Subject(*number)));
                    continue;
                }
                Nobody::Unnamed(since) => (format!("{name} names nobody who answers for it"), *since),
            };
            self.find(FindingKind::Ownerless, *number, &what, vec![evidence]);
        }
    }

    fn strangers(&mut self) {
        let registered: HashSet<_> =
            self.ground.workloads.iter().filter(|known| known.is_registered()).map(|known| &known.record.spiffe_id).collect();
        let lately = self.now.minus(LATELY);
        let asking: Vec<_> = self.observed.strangers().filter(|(id, sight)| sight.time >= lately && !registered.contains(id)).collect();
        for (identity, sight) in asking {
            let (about, what) = (About::Identity(identity.clone()), "it asks, and is in no record");
            self.enter(FindingKind::Unregistered, about, what, vec![sight.at]);
        }
    }

    fn find(&mut self, kind: FindingKind, number: Position, what: &str, evidence: Vec<Position>) {
        self.enter(kind, About::Subject(number), what, evidence);
    }

    fn enter(&mut self, kind: FindingKind, about: About, what: &str, evidence: Vec<Position>) {
        if self.settings.action(kind) == FindingAction::Ignore {
            return;
        }
        if let Some(detail) = note(what) {
            self.found.insert((kind, about.clone()), Finding { kind, about, detail, evidence });
        }
    }
}

/// A text as a note, cut to what one may have.
fn note(text: &str) -> Option<Note> {
    const MOST: usize = 500;
    let cut = (0..=MOST.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).and_then(|end| text.get(..end))?;
    cut.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::events;
    use super::*;
    use crate::ledger::Present;
    use crate::model::{
        Bound, CredentialKind, CutMade, Downstream, Entry, Event, FindingChange, Issued, Living, OwnerKind, Person, Reason, Recording,
        Subjects, VerifierKind,
    };

    const DAY: Duration = Duration::from_secs(86_400);

    fn at(number: u64) -> Position {
        Position::new(number)
    }

    fn issued(owner: Position, workload: Position, environment: Position, issued_at: Timestamp) -> Issued {
        Issued {
            kind: CredentialKind::Certificate,
            subjects: Subjects { owner, workload, environment, task: None, lineage: None },
            parent: None,
            nonce: [0; 8],
            issued_at,
            expires_at: issued_at.plus(DAY),
            bound_by: Bound::Default,
            audience: None,
            scopes: Vec::new(),
            confirmation: None,
            key: at(2),
            downstreams: Vec::new(),
            policies: Vec::new(),
            policy_hash: [0; 32],
            purpose: None,
            exception: None,
            asked_from: None,
        }
    }

    /// Facts of workloads: each with the day of its last use, absent for none, and whether its owner has ended.
    fn world(workloads: &[(Option<u64>, bool)]) -> (Facts, Observed) {
        let (mut facts, mut observed) = (Facts::default(), Observed::default());
        let mut position = Position::ZERO;
        let mut entry = |facts: &mut Facts, observed: &mut Observed, time: Timestamp, event: Event| {
            position = position.next();
            let entry = Entry { position, time, actor: None, request_id: None, event };
            facts.apply(&entry);
            observed.take(&entry);
            position
        };
        let start = Timestamp::from_seconds(1);
        let owner = |id: &str| Owner {
            id: id.parse().expect("an id"),
            kind: OwnerKind::Team,
            business_owner: "b@example.org".parse().expect("a contact"),
            technical_owner: "t@example.org".parse().expect("a contact"),
            contract_end: None,
        };
        let owners = ["here", "gone"].map(|id| {
            entry(&mut facts, &mut observed, start, Event::OwnerRecorded(Recording { number: None, origin: None, record: owner(id) }))
        });
        let environment = Environment { name: "production".parse().expect("a name") };
        let environment = entry(
            &mut facts,
            &mut observed,
            start,
            Event::EnvironmentRecorded(Recording { number: None, origin: None, record: environment }),
        );
        for (index, (_, orphan)) in workloads.iter().enumerate() {
            let record = Workload {
                spiffe_id: format!("spiffe://example.org/w{index}").parse().expect("an ID"),
                owner: owners[usize::from(*orphan)],
                purpose: "a test".parse().expect("a note"),
                environments: vec![environment],
                valid_until: None,
                business_owner: None,
                technical_owner: None,
            };
            let number = entry(&mut facts, &mut observed, start, Event::WorkloadRecorded(Recording { number: None, origin: None, record }));
            if let Some(day) = workloads[index].0 {
                let time = start.plus(DAY * u32::try_from(day).expect("few"));
                entry(&mut facts, &mut observed, time, Event::CredentialIssued(Box::new(issued(owners[0], number, environment, time))));
            }
        }
        let cut = CutMade {
            number: owners[1],
            reason: Reason::CessationOfOperation,
            ends: None,
            closing: Closing::Offboard,
            note: None,
            concerns: None,
            source: None,
        };
        entry(&mut facts, &mut observed, start, Event::Cut(cut));
        (facts, observed)
    }

    fn settings(action: FindingAction, max_acted: u8) -> Reconciling {
        let actions = FindingKind::ALL.iter().map(|kind| (*kind, action)).collect();
        Reconciling { max_acted: Share::percent(max_acted), actions, ..Reconciling::default() }
    }

    /// Applies what a plan says to the findings of the facts.
    fn apply(facts: &mut Facts, plan: &Plan, now: Timestamp) {
        let mut position = at(10_000).max(facts.changed());
        let mut push = |event: Event| {
            position = position.next();
            facts.apply(&Entry { position, time: now, actor: None, request_id: None, event });
        };
        plan.raise.iter().for_each(|finding| push(Event::FindingRaised(Box::new(finding.clone()))));
        let mut change = |number: Position, change| push(Event::FindingChanged { number, change, note: None });
        plan.seen.iter().for_each(|number| change(*number, FindingChange::Seen));
        plan.resolve.iter().for_each(|number| change(*number, FindingChange::Resolved));
        plan.act.iter().for_each(|(number, action)| change(*number, FindingChange::Acted(*action)));
    }

    fn workloads() -> impl Strategy<Value = Vec<(Option<u64>, bool)>> {
        proptest::collection::vec((proptest::option::of(0..200u64), any::<bool>()), 0..60)
    }

    proptest! {
        /// Each is raised once, by what the definition says, and a second run finds nothing new.
        #[test]
        fn what_is_found_is_what_the_definitions_say_and_a_second_run_changes_nothing(workloads in workloads(), day in 100..220u32) {
            let (mut facts, observed) = world(&workloads);
            let now = Timestamp::from_seconds(1).plus(DAY * day);
            let settings = settings(FindingAction::Report, 10);
            let first = plan(&Ground::of(&facts, Elsewhere::default()), &observed, &settings, now);
            let count = |kind: FindingKind| first.raise.iter().filter(|finding| finding.kind == kind).count();
            prop_assert_eq!(count(FindingKind::Orphan), workloads.iter().filter(|(_, orphan)| *orphan).count());
            let dormant = |last: &Option<u64>| last.is_none_or(|last| last + 90 < u64::from(day));
            prop_assert_eq!(count(FindingKind::Dormant), workloads.iter().filter(|(last, _)| dormant(last)).count());
            prop_assert!(first.act.is_empty() && first.resolve.is_empty());
            apply(&mut facts, &first, now);
            prop_assert_eq!(plan(&Ground::of(&facts, Elsewhere::default()), &observed, &settings, now), Plan::default());
        }

        /// No run acts before the grace is over, or on more than the share, and what was acted on is not again.
        #[test]
        fn a_run_acts_on_no_more_than_its_share_and_never_early(workloads in workloads(), max_acted in 0..101u8, waited in 0..20u32) {
            let (mut facts, observed) = world(&workloads);
            let settings = settings(FindingAction::Suspend, max_acted);
            let now = Timestamp::from_seconds(1).plus(DAY * 150);
            let first = plan(&Ground::of(&facts, Elsewhere::default()), &observed, &settings, now);
            apply(&mut facts, &first, now);
            let later = now.plus(DAY * waited);
            let second = plan(&Ground::of(&facts, Elsewhere::default()), &observed, &settings, later);
            prop_assert!(second.act.is_empty() || later >= now.plus(settings.grace));
            let about = |finding: &Position| facts.findings().get(*finding).expect("an open one").record.about.clone();
            let closed: HashSet<About> = second.act.iter().map(|(finding, _)| about(finding)).collect();
            prop_assert!(closed.len() <= Share::FEW.max(workloads.len() * usize::from(max_acted) / 100));
            prop_assert!(second.act.is_empty() || second.held.is_empty());
            apply(&mut facts, &second, later);
            let third = plan(&Ground::of(&facts, Elsewhere::default()), &observed, &settings, later);
            prop_assert!(third.act.iter().all(|(number, _)| second.act.iter().all(|(acted, _)| acted != number)));
        }
    }

    /// One finding about an owner ends all its workloads.
    #[test]
    fn what_an_owner_takes_with_it_counts_for_the_share() {
        for (max_acted, acts) in [(10, false), (99, false), (100, true)] {
            let (mut facts, observed) = world(&[(Some(149), false); 5]);
            let settings = settings(FindingAction::Suspend, max_acted);
            let left = Person { id: "b@example.org".parse().expect("a contact"), active: false };
            let event = Event::PersonRecorded(Recording { number: None, origin: None, record: left });
            let now = Timestamp::from_seconds(1).plus(DAY * 150);
            facts.apply(&Entry { position: facts.changed().next(), time: now, actor: None, request_id: None, event });
            let first = plan(&Ground::of(&facts, Elsewhere::default()), &observed, &settings, now);
            assert_eq!(first.raise.iter().map(|finding| finding.kind).collect::<Vec<_>>(), [FindingKind::Ownerless]);
            apply(&mut facts, &first, now);
            let due = plan(&Ground::of(&facts, Elsewhere::default()), &observed, &settings, now.plus(settings.grace));
            assert_eq!((due.act.len(), due.held.len()), if acts { (1, 0) } else { (0, 1) }, "{max_acted}");
        }
    }

    #[test]
    fn a_waiver_or_an_issuance_that_comes_between_the_plan_and_its_entries_holds() {
        let (mut facts, observed) = world(&[(None, false)]);
        let settings = settings(FindingAction::Suspend, 100);
        let now = Timestamp::from_seconds(1).plus(DAY * 150);
        let first = plan(&Ground::of(&facts, Elsewhere::default()), &observed, &settings, now);
        apply(&mut facts, &first, now);
        let now = now.plus(settings.grace);
        let planned = plan(&Ground::of(&facts, Elsewhere::default()), &observed, &settings, now);
        let cuts = |facts: &Facts, living: &Living| {
            let present = Present { facts, living, head: facts.changed(), latest_expiry: Timestamp::EPOCH, now };
            events(&planned, &present).iter().filter(|event| matches!(event, Event::Cut(_))).count()
        };
        assert_eq!(cuts(&facts, &Living::default()), 1);
        let number = facts.findings().iter().next().expect("one that is dormant").number;
        let mut woken = Living::default();
        let workload = facts.workloads().next().expect("one");
        woken.add(&issued(workload.record.owner, workload.number, workload.record.environments[0], now));
        assert_eq!(cuts(&facts, &woken), 0, "nor is it dormant any more if something was issued to it");
        let event = Event::FindingChanged { number, change: FindingChange::Waived { until: now.plus(DAY) }, note: None };
        facts.apply(&Entry { position: at(20_000), time: now, actor: None, request_id: None, event });
        assert_eq!(cuts(&facts, &Living::default()), 0);
    }

    /// Facts of a downstream, with the position of its recording and of the entry that said who answers for it.
    fn service(active: bool) -> (Facts, Position, Position) {
        let (mut facts, _) = world(&[]);
        let mut at = facts.changed();
        let mut push = |event: Event| {
            at = at.next();
            facts.apply(&Entry { position: at, time: Timestamp::from_seconds(1), actor: None, request_id: None, event });
            at
        };
        let left = Person { id: "lead@example.org".parse().expect("a contact"), active };
        let person = push(Event::PersonRecorded(Recording { number: None, origin: None, record: left }));
        let record = Downstream {
            name: "ledger".parse().expect("a name"),
            accepts_tokens: true,
            accepts_certificates: false,
            audiences: vec!["https://ledger.example.org".parse().expect("an audience")],
            environments: Vec::new(),
            verifier_kind: VerifierKind::None,
            verifier: None,
            business_owner: Some("Lead@example.org".parse().expect("a contact")),
            technical_owner: None,
        };
        let number = push(Event::DownstreamRecorded(Recording { number: None, origin: None, record }));
        (facts, number, person)
    }

    fn present<'a>(facts: &'a Facts, living: &'a Living, now: Timestamp) -> Present<'a> {
        Present { facts, living, head: facts.changed(), latest_expiry: now.plus(DAY), now }
    }

    #[test]
    fn a_downstream_whose_owner_left_is_told_and_ended_when_its_grace_is_over_and_not_again() {
        for (action, closing) in [(FindingAction::Suspend, Closing::Suspend), (FindingAction::Revoke, Closing::Offboard)] {
            let settings = settings(action, 10);
            let observed = Observed::default();
            let plan = |facts: &Facts, now: Timestamp| plan(&Ground::of(facts, Elsewhere::default()), &observed, &settings, now);
            let now = Timestamp::from_seconds(2);
            assert_eq!(plan(&service(true).0, now), Plan::default(), "whoever is here answers");
            let (mut facts, number, left) = service(false);
            let first = plan(&facts, now);
            let told: Vec<_> = first.raise.iter().map(|finding| (finding.kind, &finding.about, finding.evidence.as_slice())).collect();
            assert_eq!(told, [(FindingKind::Ownerless, &About::Subject(number), [left].as_slice())]);
            assert!(first.raise[0].detail.to_string().starts_with("Lead@example.org, who answers for downstream ledger,"));
            apply(&mut facts, &first, now);
            assert_eq!(plan(&facts, now.plus(settings.grace - DAY)).act, []);
            let due = now.plus(settings.grace);
            let second = plan(&facts, due);
            let living = Living::default();
            let cuts = |facts: &Facts| {
                let events = events(&second, &present(facts, &living, due));
                events.into_iter().filter_map(|event| if let Event::Cut(cut) = event { Some(cut) } else { None }).collect::<Vec<_>>()
            };
            let cut = cuts(&facts).pop().expect("it is ended");
            assert_eq!((cut.number, cut.closing), (number, closing));
            facts.apply(&Entry { position: at(20_000), time: due, actor: None, request_id: None, event: Event::Cut(cut) });
            assert_eq!(cuts(&facts), [], "it is closed already");
            assert_eq!(plan(&facts, due).resolve.len(), 1, "what is closed needs nobody");
        }
    }

    #[test]
    fn nothing_is_told_of_a_downstream_that_went_between_the_plan_and_its_entries() {
        let (mut facts, number, _) = service(false);
        let (now, living) = (Timestamp::from_seconds(2), Living::default());
        let planned = plan(&Ground::of(&facts, Elsewhere::default()), &Observed::default(), &settings(FindingAction::Report, 10), now);
        assert_eq!(events(&planned, &present(&facts, &living, now)).len(), 1);
        let event = Event::DownstreamRemoved { number };
        facts.apply(&Entry { position: at(20_000), time: now, actor: None, request_id: None, event });
        assert_eq!(events(&planned, &present(&facts, &living, now)), []);
    }

    #[test]
    fn a_note_is_cut_where_a_character_ends() {
        assert_eq!(note(&"é".repeat(400)).map(|note| note.to_string().len()), Some(500));
        assert_eq!(note(&format!("{}é", "a".repeat(499))).map(|note| note.to_string().len()), Some(499));
    }
}
