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

#[cfg(test)]
mod tests;

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
    /// When the contract of an owner ends, and the entry that says so.
    pub(super) ends: HashMap<Position, (Timestamp, Position)>,
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
            ends: facts.owners().filter_map(|known| Some((known.number, facts.contract_ending(known)?))).collect(),
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
                Some(About::Identity(_) | About::Finding(_)) | None => None,
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
    sighted.lapsed();
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
        if let Some((action, _)) = settings.due(open).filter(|(_, due)| *due <= now) {
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
            self.find(FindingKind::Overdue, number, &format!("{id} was registered until {end}"), vec![workload.recorded]);
        }
        match self.ground.elsewhere.existing.presence(id) {
            Presence::Fine => {}
            Presence::Missing(source, read) if !self.observed.touched_since(number, read) => {
                let what = format!("{id} is open, and in no inventory ({source} was read at {read})");
                self.find(FindingKind::Ghost, number, &what, vec![workload.recorded]);
            }
            // An inventory from before it was recorded says nothing of it.
            Presence::Missing(..) | Presence::Unknown => self.leave(FindingKind::Ghost, number),
        }
        // Nothing can be issued to those of an owner that is closed.
        if owner.is_some_and(Known::is_open) {
            self.used(workload);
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

    /// Whether a workload that could be issued something was.
    fn used(&mut self, workload: &Known<Workload>) {
        let (number, quiet) = (workload.number, self.now.minus(self.settings.dormant_after));
        let last = self.observed.last_use(number);
        if self.observed.settled(&[number, workload.record.owner], quiet) && last.is_none_or(|sight| sight.time < quiet) {
            let evidence = last.map_or(number, |sight| sight.at);
            let what = format!("nothing was issued to {} for {}", workload.record.spiffe_id, lasting(self.settings.dormant_after));
            self.find(FindingKind::Dormant, number, &what, vec![evidence]);
        } else {
            self.unused(workload);
        }
    }

    /// Where a workload that is in use may act and does not.
    fn unused(&mut self, workload: &Known<Workload>) {
        let (number, owner) = (workload.number, workload.record.owner);
        let idle = self.now.minus(self.settings.unused_after);
        if self.observed.last_use(number).is_none_or(|sight| sight.time < idle) {
            return;
        }
        let unused = workload.record.environments.iter().filter(|environment| {
            let is_open = self.ground.environments.get(environment).is_some_and(Known::is_open);
            let last = self.observed.last_use_in(number, **environment);
            is_open && self.observed.settled(&[number, owner, **environment], idle) && last.is_none_or(|sight| sight.time < idle)
        });
        let names: Vec<String> = unused
            .map(|number| self.ground.environments.get(number).map_or_else(|| number.to_string(), |known| known.record.name.to_string()))
            .collect();
        if !names.is_empty() {
            let idle = lasting(self.settings.unused_after);
            let what = format!("{} has used nothing in {} for {idle}", workload.record.spiffe_id, names.join(", "));
            self.find(FindingKind::OverPrivileged, number, &what, vec![workload.recorded]);
        }
    }

    fn owners(&mut self) {
        let now = self.now;
        let open = self.ground.owners.values().filter(|known| known.is_open());
        let ending: Vec<_> = open.filter_map(|known| Some((known, *self.ground.ends.get(&known.number)?))).collect();
        for (owner, (end, says)) in ending {
            let id = &owner.record.id;
            if end.plus(LATE) <= now {
                self.find(FindingKind::Overdue, owner.number, &format!("the contract of {id} ended at {end}"), vec![says]);
            } else if end > now && end <= now.plus(self.settings.announce) {
                self.find(FindingKind::Expiring, owner.number, &format!("the contract of {id} ends at {end}"), vec![says]);
            }
        }
    }

    /// What was waived until now, is so still, and has nothing follow from it: somebody has to look again.
    fn lapsed(&mut self) {
        for open in &self.ground.open {
            let Some(waiver) = open.waiver.as_ref().filter(|waiver| waiver.until <= self.now) else { continue };
            let (kind, about) = (open.record.kind, About::Finding(open.number));
            // What is overdue is told as that already.
            if kind == FindingKind::Overdue || self.settings.due(open).is_some() {
                continue;
            }
            let key = (kind, open.record.about.clone());
            if self.unknown.contains(&key) {
                self.unknown.insert((FindingKind::Overdue, about));
            } else if self.found.contains_key(&key) {
                let what = format!("finding {} ({kind}) was waived until {}, and is so still", open.number, waiver.until);
                self.enter(FindingKind::Overdue, about, &what, vec![open.number, waiver.at]);
            }
        }
    }

    fn forlorn(&mut self) {
        let ground = self.ground;
        for Forlorn { number, recorded, name, why } in &ground.forlorn {
            let (what, evidence) = match why {
                Nobody::Left(contact, left) => (format!("{contact}, who answers for {name}, is here no longer"), *left),
                Nobody::Unknown(contact) if ground.elsewhere.everybody == Everybody::Known => {
                    (format!("{contact}, who answers for {name}, is known nowhere"), *recorded)
                }
                Nobody::Unknown(_) => {
                    self.leave(FindingKind::Ownerless, *number);
                    continue;
                }
                Nobody::Unnamed(which) => (format!("{name} names {which}"), *recorded),
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

    /// Leaves what is told as it is.
    fn leave(&mut self, kind: FindingKind, number: Position) {
        self.unknown.insert((kind, About::Subject(number)));
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

/// How long something was so, in the largest unit that says it.
fn lasting(span: Duration) -> String {
    let seconds = span.as_secs();
    let units = [("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1)];
    let whole = |(_, unit): &(&str, u64)| seconds.is_multiple_of(*unit);
    let (unit, length) = units.into_iter().find(whole).unwrap_or(("second", 1));
    let count = seconds / length;
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// A text as a note, cut to what one may have.
fn note(text: &str) -> Option<Note> {
    const MOST: usize = 500;
    let cut = (0..=MOST.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).and_then(|end| text.get(..end))?;
    cut.trim().parse().ok()
}
