//! Sources: what each says is applied as one change, or is not believed and waits for a person.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dashmap::DashMap;
use tokio::sync::Notify;

use super::{Broker, Error};
use crate::directory::{self, Change, Scope, Snapshot};
use crate::model::{Event, Facts, Invalid, Known, Position, Refusal, SourceName, Timestamp};
use crate::policy::{Action, Caller, Resource};

mod belief;
mod day;
mod declared;
mod drift;
mod hearing;
mod inventory;
mod state;
mod voiced;

pub(in crate::broker) use day::Day;
pub(super) use declared::Everybody;
pub(crate) use declared::{Declared, SourceKind};
pub(in crate::broker) use hearing::held;
pub(crate) use inventory::Covers;
use inventory::Inventory;
pub(super) use inventory::{Existing, Presence};
use state::State;
pub(in crate::broker) use voiced::Voiced;

/// What a source says, as it was read.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    /// SHA-256 of it.
    pub digest: [u8; 32],
    /// What of it can be used.
    pub snapshot: Snapshot,
    /// How many records cannot be.
    pub wrong: usize,
    /// What is wrong with them.
    pub problems: Vec<String>,
}

/// What a source says that is not believed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Doubted {
    /// SHA-256 of it; absent if it could not be read.
    pub digest: Option<[u8; 32]>,
    /// Why.
    pub why: String,
    /// How many records would have ended within a day.
    pub ends: usize,
    /// Of how many.
    pub of: usize,
    /// When it is judged anew though nothing changes, since enough of what ended before is a day old.
    pub until: Option<Timestamp>,
    /// What would change.
    pub changes: Vec<Change>,
}

/// A source, as it is shown.
#[derive(Clone, Debug)]
pub(crate) struct SourceStory {
    /// As the configuration declares it.
    pub declared: Declared,
    /// How many records there are of it.
    pub records: usize,
    /// When it was last read, or was to be.
    pub heard: Option<Timestamp>,
    /// When what it said was last believed.
    pub believed: Option<Timestamp>,
    /// What of that is left as it was, and why.
    pub problems: Vec<String>,
    /// What it says now, if that is not believed.
    pub doubted: Option<Doubted>,
}

/// The sources of the configuration.
#[derive(Debug, Default)]
pub(super) struct Sources {
    declared: BTreeMap<SourceName, (Declared, Arc<Notify>)>,
    /// Those that it does not declare any more, and of which there are records.
    gone: Arc<BTreeSet<SourceName>>,
    states: DashMap<SourceName, State>,
}

/// Where more than so many records are new in what a source says, they come so many at a time: whoever revokes
/// waits for one transaction, and not for all that a source may ever say.
const MOST_AT_ONCE: usize = 10_000;

impl Sources {
    pub(super) fn new(declared: Vec<Declared>, facts: &Facts) -> Self {
        let declared: BTreeMap<_, _> = declared.into_iter().map(|declared| (declared.name.clone(), (declared, Arc::default()))).collect();
        let mut gone: BTreeMap<&SourceName, usize> = BTreeMap::new();
        sources(facts).filter(|(name, _)| !declared.contains_key(*name)).for_each(|(name, _)| *gone.entry(name).or_default() += 1);
        for (source, records) in &gone {
            tracing::warn!(%source, records, "the configuration does not declare a source any more; what it recorded goes on, and nothing ends it");
        }
        let gone = Arc::new(gone.into_keys().cloned().collect());
        Self { declared, gone, states: DashMap::new() }
    }

    /// Those that are no more.
    pub(super) fn gone(&self) -> Arc<BTreeSet<SourceName>> {
        Arc::clone(&self.gone)
    }

    pub(super) fn find(&self, name: &SourceName) -> Result<&(Declared, Arc<Notify>), Refusal> {
        self.declared.get(name).ok_or_else(|| Refusal::not_found("source", name))
    }

    fn state(&self, name: &SourceName) -> State {
        self.states.get(name).map(|state| state.value().clone()).unwrap_or_default()
    }

    /// What inventories say exists.
    pub(super) fn existing(&self) -> Existing {
        let inventories = self.declared.values().filter_map(|(declared, _)| Some((declared, declared.covers.clone()?)));
        Existing::of(inventories.map(|(declared, covers)| {
            let State { inventory, believed, doubted, .. } = self.state(&declared.name);
            (declared.name.clone(), covers, inventory.zip(believed).filter(|_| doubted.is_none()))
        }))
    }

    /// Whether the sources name everybody.
    pub(super) fn everybody(&self, facts: &Facts) -> Everybody {
        let complete: Vec<&Declared> = self.declared.values().map(|(declared, _)| declared).filter(|it| it.is_complete).collect();
        let is_known = |declared: &&Declared| {
            let State { believed, doubted, .. } = self.state(&declared.name);
            // What a client wrote outlives a start; what is read is read again.
            let is_heard = believed.is_some() || (declared.kind == SourceKind::Scim && own(facts, &declared.name).next().is_some());
            is_heard && doubted.is_none()
        };
        if complete.is_empty() {
            Everybody::Unclaimed
        } else if complete.iter().all(is_known) {
            Everybody::Known
        } else {
            Everybody::Unknown
        }
    }

    /// Which doubts about a source stand in the ledger.
    pub(super) fn voiced(&self, name: &SourceName) -> Voiced {
        self.state(name).voiced
    }

    /// A client was stopped, and that was written or not.
    pub(super) fn stopped(&self, name: &SourceName, now: Timestamp, (doubted, is_written): (Doubted, bool)) {
        self.change(name, |state| {
            if is_written {
                state.voiced.add(doubted.digest, now);
            }
            (state.heard, state.doubted) = (Some(now), Some(doubted));
        });
    }

    /// A client wrote something. That something ended shows that ends are believed again; and what it was stopped at
    /// is over a day after that was told, if it is not stopped at it again.
    pub(super) fn wrote(&self, name: &SourceName, now: Timestamp, ended: bool) {
        self.change(name, |state| {
            (state.heard, state.believed) = (Some(now), Some(now));
            state.doubted = state.doubted.take().filter(|doubted| !ended && !state.voiced.wants(doubted.digest, now));
            if !ended {
                state.problems.clear();
            }
        });
    }

    /// A client wants to write more than there is room for. That is told until there is some again.
    pub(super) fn full(&self, name: &SourceName, now: Timestamp) {
        self.change(name, |state| {
            state.heard = Some(now);
            if state.problems.is_empty() {
                let problem = "it wrote as much as max_bytes allows; what would be more is refused";
                tracing::warn!(source = %name, problem, "a record of a source is left as it is");
                state.problems.push(problem.to_owned());
            }
        });
    }

    fn change(&self, name: &SourceName, change: impl FnOnce(&mut State)) {
        change(&mut self.states.entry(name.clone()).or_default());
    }
}

impl Declared {
    fn scope(&self, gone: Arc<BTreeSet<SourceName>>) -> Scope {
        Scope { source: Some(self.name.clone()), holds: self.holds.clone(), takes_over: self.takes_over, gone }
    }

    fn story(&self, state: State, facts: &Facts) -> SourceStory {
        let State { heard, believed, problems, doubted, inventory, .. } = state;
        let records = inventory.map_or_else(|| own(facts, &self.name).count(), |inventory| inventory.len());
        SourceStory { records, declared: self.clone(), heard, believed, problems, doubted }
    }
}

/// The records of a source, by number.
fn own<'a>(facts: &'a Facts, name: &'a SourceName) -> impl Iterator<Item = Position> {
    sources(facts).filter(move |(of, _)| *of == name).map(|(_, number)| number)
}

/// The source of each record that has one, and its number.
fn sources(facts: &Facts) -> impl Iterator<Item = (&SourceName, Position)> {
    fn of<'a, T: 'a>(known: impl Iterator<Item = &'a Known<T>>) -> impl Iterator<Item = (&'a SourceName, Position)> {
        known.filter(|known| known.is_registered()).filter_map(|known| Some((&known.origin.as_ref()?.source, known.number)))
    }
    of(facts.owners())
        .chain(of(facts.environments()))
        .chain(of(facts.workloads()))
        .chain(of(facts.downstreams()))
        .chain(of(facts.people()))
        .chain(of(facts.contracts()))
}

impl Broker {
    /// Resolves when somebody wants a source to be read at once.
    pub(crate) async fn source_wanted(&self, name: &SourceName) {
        if let Some((_, wanted)) = self.sources.declared.get(name) {
            wanted.notified().await;
        }
    }

    /// Names that records of a source may refer to besides its own. When they are others than before, nothing
    /// is settled any more.
    pub(crate) fn names_beside(&self, name: &SourceName) -> Arc<directory::Names> {
        let facts = self.ledger.facts();
        let names = Arc::new(directory::Names::of_others(&facts, Some(name)));
        self.sources.change(name, |state| {
            if state.names != names {
                (state.names, state.settled) = (Arc::clone(&names), None);
            }
            state.told = facts.changed();
        });
        names
    }

    /// Whether this is what was last applied whole: to read it again changes nothing.
    pub(crate) fn is_settled(&self, name: &SourceName, digest: [u8; 32]) -> bool {
        self.sources.state(name).settled == Some(digest)
    }

    /// A source says what it said when that was applied whole: that is heard, and believed.
    pub(crate) fn source_unchanged(&self, name: &SourceName) {
        let now = self.clock.now();
        self.sources.change(name, |state| {
            if state.settled.is_some() && state.doubted.is_none() {
                (state.heard, state.believed) = (Some(now), Some(now));
            }
        });
    }

    /// Every source of the configuration, by name.
    ///
    /// # Errors
    /// `Denied` by policy.
    pub(crate) async fn list_sources(&self, caller: &Caller) -> Result<Vec<SourceStory>, Error> {
        self.authorise(caller, Action::ReadSource, |_, _| Ok(Resource::System)).await?;
        let facts = self.ledger.facts();
        let declared = self.sources.declared.values();
        Ok(declared.map(|(declared, _)| declared.story(self.sources.state(&declared.name), &facts)).collect())
    }

    /// One source.
    ///
    /// # Errors
    /// `NotFound`; `Denied` by policy.
    pub(crate) async fn source(&self, caller: &Caller, name: &SourceName) -> Result<SourceStory, Error> {
        self.authorise(caller, Action::ReadSource, |_, _| Ok(Resource::System)).await?;
        let (declared, _) = self.sources.find(name)?;
        Ok(declared.story(self.sources.state(name), &self.ledger.facts()))
    }

    /// Lets through exactly what a source says now and was not believed: it is read again, and applied if it
    /// still says that. What the source ended until now counts no more, so that it can go on.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` if it says something else; `Denied` by policy.
    pub(crate) async fn confirm_source(&self, caller: &Caller, name: &SourceName, digest: [u8; 32]) -> Result<SourceStory, Error> {
        self.authorise(caller, Action::ConfirmSource, |_, _| Ok(Resource::System)).await?;
        let (declared, wanted) = self.sources.find(name)?;
        let state = self.sources.state(name);
        if state.doubted.as_ref().and_then(|doubted| doubted.digest) != Some(digest) {
            let problem = "the source says nothing of this digest that is not believed; look at `source show`, and confirm what it names";
            return Err(Invalid::new("digest", problem).into());
        }
        let event = Event::SourceConfirmed { source: name.clone(), digest };
        self.change(Some(&caller.spiffe_id), move |_| Ok((vec![event], ()))).await?;
        self.sources.change(name, |state| {
            state.voiced.forget(Some(digest));
            match declared.kind {
                SourceKind::Folder | SourceKind::Feed | SourceKind::Sql => state.confirmed = Some(digest),
                SourceKind::Scim => state.doubted = None,
            }
        });
        wanted.notify_one();
        Ok(declared.story(self.sources.state(name), &self.ledger.facts()))
    }

    /// How many sources are not believed, and how many problems there are with all.
    pub(crate) fn sources_in_trouble(&self) -> (usize, usize) {
        let states: Vec<(bool, usize)> = self.sources.states.iter().map(|state| (state.doubted.is_some(), state.problems.len())).collect();
        (states.iter().filter(|(doubted, _)| *doubted).count(), states.iter().map(|(_, problems)| problems).sum())
    }
}
