//! How far a cut is enforced: at each downstream that it concerns, by whom it waits for, and until when
//! at the latest.

use std::collections::BTreeMap;
use std::time::Duration;

use super::followers::{Seen, Tracked};
use super::{Broker, Error};
use crate::ledger::{Present, Urgency};
use crate::model::{
    CUT_GRACE, Census, Closing, Concern, Concerns, CutMade, Downstream, DownstreamConfirmed, Enforcement, Entry, Event, Facts, Known,
    Position, Refusal, Sight, Timestamp, VerifierKind, Way, Whose,
};
use crate::policy::{Action, Caller, Resource};

/// How long confirmations are gathered before the ledger takes them down together.
const GATHER: Duration = Duration::from_millis(100);
/// How often it is looked whether somebody has had to fail closed.
const LOOK: Duration = Duration::from_secs(1);

/// How far a cut has come. It is accepted when it is committed: there is no stage before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// In the ledger.
    Committed,
    /// In a list that is out.
    Published,
    /// Enforced at every downstream that it concerns.
    Enforced,
}

/// How a cut stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The cut.
    pub position: Position,
    /// How far it has come.
    pub stage: Stage,
    /// When it was committed.
    pub committed_at: Timestamp,
    /// When the first list that covers it was out; of a cut from before the start, when the first list was.
    pub published_at: Option<Timestamp>,
    /// Each downstream that it concerns, by name.
    pub downstreams: Vec<AtDownstream>,
}

/// How a cut stands at one downstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AtDownstream {
    /// Its number; absent for what no downstream accepts any more.
    pub number: Option<Position>,
    /// Its name; absent too if it is known no more.
    pub name: Option<String>,
    /// How it checks.
    pub kind: VerifierKind,
    /// How many were alive there; 0 if they could not be counted.
    pub living: u64,
    /// When the last of them expires.
    pub last_expiry: Timestamp,
    /// How the cut stands there.
    pub enforcement: Enforcement,
    /// The entry that took down its confirmation.
    pub entry: Option<Position>,
    /// The processes that have confirmed, in that order.
    pub confirmed: Vec<Confirmed>,
    /// Those that have not, by name.
    pub waiting: Vec<String>,
}

/// A process that has confirmed a cut.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Confirmed {
    /// When.
    pub at: Timestamp,
    /// The name that it gave itself.
    pub name: String,
    /// The position of the list that it had applied then.
    pub position: Position,
}

/// What an earlier cut of the same subject ended, which the one that replaces it in the list has to end too.
#[derive(Clone, Debug, Default)]
pub(super) struct Carried {
    position: Option<Position>,
    concerns: Concerns,
}

impl Progress {
    /// The last moment at which anything could still be accepted somewhere, if it has not come.
    pub(crate) fn until(&self) -> Option<Timestamp> {
        self.downstreams.iter().filter_map(|at| at.enforcement.until()).max()
    }

    /// The same, with what was confirmed when that was first seen: whoever has confirmed a cut goes on to later lists,
    /// and only the last that a process confirmed is remembered.
    #[must_use]
    pub(crate) fn since(mut self, before: &Self) -> Self {
        for at in &mut self.downstreams {
            let Some(known) = before.downstreams.iter().find(|known| known.number == at.number) else { continue };
            let first: BTreeMap<&str, &Confirmed> = known.confirmed.iter().map(|one| (one.name.as_str(), one)).collect();
            for one in &mut at.confirmed {
                if let Some(first) = first.get(one.name.as_str()) {
                    one.clone_from(first);
                }
            }
            at.confirmed.sort();
        }
        self
    }
}

impl Broker {
    /// What the last cut of `number` ended, to be carried over into the next.
    /// What cannot be read is not known, and holds no revocation up.
    pub(super) async fn carried(&self, number: Position) -> Carried {
        let position = self.ledger.facts().cuts().get(number).map(|cut| cut.position);
        let Some(position) = position else { return Carried::default() };
        let made = self.cut_at(position).await.ok().and_then(|(_, made)| made.concerns);
        made.map_or_else(Carried::default, |concerns| Carried { position: Some(position), concerns })
    }

    /// The cut at a position, and its entry.
    pub(super) async fn cut_at(&self, position: Position) -> Result<(Entry, CutMade), Error> {
        let not_found = || Error::from(Refusal::not_found("revocation at position", position));
        let stored = self.ledger.find(position).await?.ok_or_else(not_found)?;
        let entry = stored.entry.map_err(|unreadable| Error::Internal(unreadable.into()))?;
        let Event::Cut(made) = entry.event.clone() else { return Err(not_found()) };
        Ok((entry, made))
    }

    /// How the cut at a position stands. Who made it may ask, and who may look at the followers.
    ///
    /// # Errors
    /// `NotFound` if no cut stands there; `Denied` by policy.
    pub(crate) async fn enforcement(&self, caller: &Caller, position: Position) -> Result<Progress, Error> {
        self.hear(caller, Action::ReadFollowers)?;
        let (entry, made) = self.cut_at(position).await?;
        if entry.actor.as_ref() != Some(&caller.spiffe_id) {
            self.allow(caller, Action::ReadFollowers, |_, _| Ok(Resource::System)).await?;
        }
        self.progress(&entry, &made).await
    }

    /// What changes whenever a cut may stand otherwise than before.
    pub(crate) fn enforcement_changes(&self) -> tokio::sync::watch::Receiver<u64> {
        self.followers.changes()
    }

    /// How a cut stands.
    pub(super) async fn progress(&self, entry: &Entry, made: &CutMade) -> Result<Progress, Error> {
        let position = entry.position;
        let tracked = match self.followers.tracked(position) {
            Some(tracked) => tracked,
            None => self.follow_cut(position, made).await?,
        };
        let (facts, now) = (self.ledger.facts(), self.clock.now());
        let mut downstreams: Vec<_> =
            tracked.concerns.iter().map(|concern| self.at_downstream(&facts, (position, &tracked), concern, now)).collect();
        downstreams.sort_by(|one, other| one.name.cmp(&other.name));
        let stage = if downstreams.iter().all(|at| at.enforcement.until().is_none()) {
            Stage::Enforced
        } else if tracked.out.is_some() {
            Stage::Published
        } else {
            Stage::Committed
        };
        Ok(Progress { position, stage, committed_at: entry.time, published_at: tracked.out, downstreams })
    }

    /// Begins to follow a cut. One that does not say what it concerns may concern everybody.
    pub(super) async fn follow_cut(&self, position: Position, made: &CutMade) -> Result<Tracked, Error> {
        let concerns = made.concerns.clone().unwrap_or_else(|| {
            let ends = made.ends.map(|ends| ends.minus(CUT_GRACE));
            ends.map_or_else(Concerns::default, |last_expiry| Concerns::default().anywhere(&self.ledger.facts(), last_expiry))
        });
        let mut tracked = Tracked { concerns: concerns.downstreams().to_vec(), ..Tracked::default() };
        for number in concerns.downstreams().iter().filter_map(|concern| concern.downstream) {
            let Some(at) = self.ledger.confirmed(number, position).await? else { continue };
            let Some(stored) = self.ledger.find(at).await? else { continue };
            if let Ok(entry) = stored.entry
                && let Event::DownstreamConfirmed(confirmed) = &entry.event
                && confirmed.number == number
                && confirmed.position >= position
            {
                tracked.recorded.insert(number, (at, entry.time));
            }
        }
        Ok(self.followers.track(position, tracked))
    }

    fn at_downstream(&self, facts: &Facts, (position, tracked): (Position, &Tracked), concern: &Concern, now: Timestamp) -> AtDownstream {
        let known = concern.downstream.and_then(|number| facts.downstream_numbered(number));
        let recorded = concern.downstream.and_then(|number| tracked.recorded.get(&number));
        let (sight, seen) = self.sight(known, (position, tracked), concern);
        let enforcement = sight.enforcement(self.followers.windows(), now);
        let (mut confirmed, mut waiting) = (Vec::new(), Vec::new());
        for Seen { name, confirmed: position, sighting } in seen {
            match position.zip(sighting.confirmed) {
                Some((position, at)) => confirmed.push(Confirmed { at, name, position }),
                None => waiting.push(name),
            }
        }
        confirmed.sort();
        AtDownstream {
            number: concern.downstream,
            name: known.map(|known| known.record.name.to_string()),
            kind: sight.kind,
            living: concern.living,
            last_expiry: concern.last_expiry,
            enforcement,
            entry: recorded.map(|(entry, _)| *entry),
            confirmed,
            waiting,
        }
    }

    /// What is known of a cut at one downstream, and of whom. A downstream that is known no more is one
    /// of which nothing is known but that everything expires.
    fn sight(&self, known: Option<&Known<Downstream>>, (position, tracked): (Position, &Tracked), concern: &Concern) -> (Sight, Vec<Seen>) {
        let verifier = known.and_then(|known| known.record.verifier.as_ref());
        let kind = known.map_or(VerifierKind::None, |known| known.record.verifier_kind);
        let seen = verifier.map(|verifier| self.followers.sightings(verifier, position)).unwrap_or_default();
        let recorded = concern.downstream.and_then(|number| tracked.recorded.get(&number)).map(|(_, time)| *time);
        let published = match kind {
            VerifierKind::Follower | VerifierKind::Guard => tracked.out,
            VerifierKind::Crl | VerifierKind::StatusList => tracked.stock_out,
            VerifierKind::None => None,
        };
        let sight = Sight {
            kind,
            named: verifier.is_some(),
            last_expiry: concern.last_expiry,
            published,
            recorded,
            remembered_from: self.followers.began(),
            instances: seen.iter().map(|seen| seen.sighting).collect(),
        };
        (sight, seen)
    }

    /// Has the ledger take down which downstreams have passed a cut that concerns them; returns how many.
    ///
    /// # Errors
    /// If the ledger cannot commit: it is tried again.
    pub(crate) async fn record_confirmations(&self) -> Result<usize, Error> {
        let passed = self.passed();
        if passed.is_empty() {
            return Ok(0);
        }
        let plan = move |present: &Present<'_>| {
            let known = passed.into_iter().filter(|confirmed| present.facts.downstream_numbered(confirmed.number).is_some());
            let known: Vec<DownstreamConfirmed> = known.collect();
            Ok((known.iter().copied().map(Event::DownstreamConfirmed).collect(), known))
        };
        let (committed, taken) = self.change_when(Urgency::Ordinary, None, plan).await?;
        let mut at = committed.first.unwrap_or(committed.last);
        for confirmed in &taken {
            self.followers.recorded(confirmed.number, confirmed.position, (at, committed.time));
            at = at.next();
        }
        Ok(taken.len())
    }

    /// The downstreams that have confirmed a cut which concerns them, and that the ledger does not know of.
    fn passed(&self) -> Vec<DownstreamConfirmed> {
        let now = self.clock.now();
        let tracked = self.followers.all_tracked(now);
        let facts = self.ledger.facts();
        let mut passed = BTreeMap::new();
        for (position, cut) in &tracked {
            for concern in &cut.concerns {
                let Some(known) = concern.downstream.and_then(|number| facts.downstream_numbered(number)) else { continue };
                if cut.recorded.contains_key(&known.number) {
                    continue;
                }
                let (sight, _) = self.sight(Some(known), (*position, cut), concern);
                let Enforcement::Enforced { way: Way::Confirmed, .. } = sight.enforcement(self.followers.windows(), now) else { continue };
                let count = |confirmed: bool| {
                    let of = sight.instances.iter().filter(|instance| instance.confirmed.is_some() == confirmed);
                    u64::try_from(of.count()).unwrap_or(u64::MAX)
                };
                // Cuts come in their order: the last is the one that is taken down.
                let number = known.number;
                passed.insert(number, DownstreamConfirmed { number, position: *position, confirmed: count(true), lapsed: count(false) });
            }
        }
        passed.into_values().collect()
    }

    /// Follows every cut in the list that says what it concerns, those from before the start too.
    ///
    /// # Errors
    /// If the ledger cannot be read: it is tried again.
    pub(crate) async fn follow_cuts(&self) -> Result<(), Error> {
        let after = self.followers.followed();
        let mut new: Vec<_> = {
            let facts = self.ledger.facts();
            facts.cuts().listed(self.clock.now()).map(|cut| cut.position).filter(|position| *position > after).collect()
        };
        new.sort_unstable();
        for position in new {
            let made = match self.cut_at(position).await {
                Ok((_, made)) => made,
                Err(unavailable @ Error::Unavailable(_)) => return Err(unavailable),
                // It cannot be read, and holds up none of the others.
                Err(_) => {
                    self.followers.followed_to(position);
                    continue;
                }
            };
            // That a task has ended is no revocation; it is followed once somebody asks.
            if made.concerns.is_some() && made.closing != Closing::CloseTask {
                self.follow_cut(position, &made).await?;
            }
            self.followers.followed_to(position);
        }
        Ok(())
    }

    /// Follows the cuts in the list, and has confirmations of them taken down as they come, until the ledger
    /// is closed.
    pub(crate) async fn keep_confirming(&self) {
        let mut changes = self.ledger.watch();
        loop {
            changes.mark_unchanged();
            if let Err(error) = self.follow_cuts().await {
                tracing::debug!(%error, "cuts are followed later");
            }
            if let Err(error) = self.record_confirmations().await {
                tracing::warn!(%error, "confirmations are taken down later");
            }
            tokio::select! {
                () = self.followers.heard() => self.clock.sleep(GATHER).await,
                () = self.clock.sleep(LOOK) => {}
                changed = changes.changed() => if changed.is_err() { return },
            }
        }
    }
}

/// What a cut concerns that ends what `census` counted, and what `carried` ended before.
pub(super) fn concerns(present: &Present<'_>, census: &Census, (number, carried): (Position, &Carried)) -> Concerns {
    let found = Concerns::of(census, present.facts).with(&carried.concerns, present.now);
    let last = present.facts.cuts().get(number).map(|cut| cut.position);
    // Not all that lives was counted, or not all that was ended before is known: it may be anywhere.
    if present.living.may_be_low(present.now) || last != carried.position {
        return found.anywhere(present.facts, present.latest_expiry);
    }
    found
}

/// The same of what is alive of a subject that was not cut before.
pub(super) fn concerns_of(present: &Present<'_>, whose: Whose, number: Position) -> Concerns {
    present.concerns(number, &present.living.census(whose, present.now))
}
