//! Sources that provision over SCIM: what their clients write becomes people and owners, and is read back.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use super::error::Limit;
use super::limits::Rate;
use super::{Broker, Error};
use crate::directory::scim::meaning::Fallback;
use crate::directory::scim::{Kind, Query, Resource, Selection, member_id};
use crate::ledger::{Present, Urgency};
use crate::model::{Position, SourceName};

mod plan;
mod share;

#[cfg(test)]
mod tests;

pub(crate) use plan::{Trouble, What, Write};
use share::Stop;

/// What the configuration says of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    /// Its name.
    pub source: SourceName,
    /// Who answers for owners that name nobody.
    pub fallback: Fallback,
    /// How many of a hundred records may end within a day, of its people and of its owners each.
    pub most_ended: u8,
}

/// How many requests of one source are answered a second.
const MOST_REQUESTS: u32 = 200;

type Resources = BTreeMap<Position, Arc<Resource>>;

/// The resources of all sources, understood: as of an entry, and brought up to the present when they are asked for.
#[derive(Debug, Default)]
struct Shelf {
    upto: Position,
    sources: HashMap<SourceName, Arc<Resources>>,
}

/// The sources that provision over SCIM.
#[derive(Debug)]
pub(crate) struct Provisioning {
    broker: Arc<Broker>,
    base: String,
    shelf: Mutex<Shelf>,
    /// At what each source was stopped last: that stands in the ledger once.
    stops: Mutex<HashMap<SourceName, Stop>>,
    rate: Rate<SourceName>,
}

impl Provisioning {
    /// Of a broker whose SCIM service is found at `base`.
    pub(crate) fn new(broker: Arc<Broker>, base: String) -> Self {
        Self { broker, base, shelf: Mutex::default(), stops: Mutex::default(), rate: Rate::per_second(MOST_REQUESTS) }
    }

    /// Where the SCIM service is found.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// Whether a source may ask for something now.
    ///
    /// # Errors
    /// If it asked for too much.
    pub(crate) fn hear(&self, source: &SourceName) -> Result<(), Error> {
        self.rate.take(source.clone(), self.broker.clock.now()).map_err(|wait| Limit::SourceRate.after(wait))
    }

    /// One resource of a source; none of another's.
    pub(crate) fn find(&self, source: &SourceName, kind: Kind, id: &str) -> Option<Arc<Resource>> {
        let number: Position = id.parse().ok()?;
        self.resources(source).get(&number).filter(|resource| resource.kind == kind && number.to_string() == id).cloned()
    }

    /// What a client sees of one.
    pub(crate) fn shown(&self, source: &SourceName, resource: &Resource, selection: &Selection) -> Value {
        show(&self.resources(source), &self.base, resource, selection)
    }

    /// The resources that a client asks for. Takes long where there are many.
    pub(crate) fn list(&self, source: &SourceName, kind: Kind, query: &Query) -> Value {
        let resources = self.resources(source);
        let matching: Vec<_> = resources.values().filter(|resource| resource.kind == kind && query.matches(resource)).collect();
        let page = query.page(matching.iter());
        query.answer(matching.len(), page.into_iter().map(|resource| show(&resources, &self.base, resource, &query.selection)).collect())
    }

    /// Does what a client wants, and answers the number of the resource once that is durable.
    ///
    /// # Errors
    /// `Err` within the result if the request cannot be done as it is.
    pub(crate) async fn write(&self, rules: &Rules, kind: Kind, write: Write) -> Result<Result<Position, Trouble>, Error> {
        let stopped = self.stops().get(&rules.source).copied();
        let urgency = if write.may_end() { Urgency::First } else { Urgency::Ordinary };
        let owned = rules.clone();
        let plan = move |present: &Present<'_>| Ok(plan::plan(&owned, stopped, kind, &write, present));
        let (_, done) = self.broker.change_when(urgency, None, plan).await?;
        if let Err(Trouble::Stopped(stop)) = &done {
            let (ends, of) = (stop.ends, stop.of);
            tracing::error!(source = %rules.source, ends, of, "more records of a source end within a day than max_ended allows: none does");
            self.stops().insert(rules.source.clone(), *stop);
        }
        Ok(done)
    }

    fn stops(&self) -> MutexGuard<'_, HashMap<SourceName, Stop>> {
        self.stops.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The resources of a source as the ledger has them now.
    fn resources(&self, source: &SourceName) -> Arc<Resources> {
        let mut shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        let upto = shelf.upto;
        let (changed, newer) = {
            // Held briefly: what is new is understood after it.
            let facts = self.broker.ledger.facts();
            let newer: Vec<_> = if facts.changed() == upto {
                Vec::new()
            } else {
                let new = facts.resources().filter(|known| known.changed > upto);
                new.map(|known| (known.number, known.changed, Arc::clone(&known.record))).collect()
            };
            (facts.changed(), newer)
        };
        for (number, changed, record) in newer {
            let resources = Arc::make_mut(shelf.sources.entry(record.source.clone()).or_default());
            match record.text.as_deref().and_then(|text| Resource::of(number, changed, text)) {
                Some(resource) => drop(resources.insert(number, Arc::new(resource))),
                None => drop(resources.remove(&number)),
            }
        }
        shelf.upto = changed;
        shelf.sources.get(source).cloned().unwrap_or_default()
    }
}

fn show(resources: &Resources, base: &str, resource: &Resource, selection: &Selection) -> Value {
    let there = |id: &str| {
        let member = id.parse().ok().and_then(|number| resources.get(&number));
        member.is_some_and(|member| member.kind == Kind::User)
    };
    Value::Object(selection.of(resource.kind, resource.shown(base, there)))
}

/// The ids of the members of a group.
fn members(attributes: &serde_json::Map<String, Value>) -> impl Iterator<Item = &str> {
    attributes.get("members").and_then(Value::as_array).into_iter().flatten().filter_map(member_id)
}
