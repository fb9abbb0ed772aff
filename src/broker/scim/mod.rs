//! Sources that provision over SCIM: what their clients write becomes people and owners, and is read back.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use super::source::{Declared, SourceKind};
use super::{Broker, Error};
use crate::directory::Subject;
use crate::directory::scim::meaning::Fallback;
use crate::directory::scim::{Kind, Query, Resource, Selection, member_id};
use crate::ledger::{Present, Urgency};
use crate::model::{Position, Share, SourceName};

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
    /// How much may end within a day, of its people and of its owners each.
    pub max_ended: Share,
    /// How much it may have written, all together.
    pub most_bytes: usize,
    /// Whether it names all the people there are.
    pub is_complete: bool,
}

impl Rules {
    /// The same as a source among others.
    pub(crate) fn declared(&self) -> Declared {
        let holds = [Subject::Owner, Subject::Person].into();
        Declared {
            name: self.source.clone(),
            kind: SourceKind::Scim,
            holds,
            takes_over: false,
            max_ended: self.max_ended,
            covers: None,
            is_complete: self.is_complete,
        }
    }
}

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
}

impl Provisioning {
    /// Of a broker whose SCIM service is found at `base`.
    pub(crate) fn new(broker: Arc<Broker>, base: String) -> Self {
        Self { broker, base, shelf: Mutex::default() }
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
        self.broker.limiters.source(source, self.broker.clock.now())
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
        let shown: Vec<_> = page.into_iter().map(|resource| show(&resources, &self.base, resource, &query.selection)).collect();
        query.answer(matching.len(), &shown)
    }

    /// Does what a client wants, and answers the number of the resource once that is durable.
    ///
    /// # Errors
    /// `Err` within the result if the request cannot be done as it is.
    pub(crate) async fn write(&self, rules: &Rules, kind: Kind, write: Write) -> Result<Result<Position, Trouble>, Error> {
        let voiced = self.broker.sources.voiced(&rules.source);
        let urgency = if write.may_end() { Urgency::First } else { Urgency::Postponable };
        let owned = rules.clone();
        let plan = move |present: &Present<'_>| Ok(plan::plan(&owned, &voiced, kind, &write, present));
        let (committed, done) = self.broker.change_when(urgency, None, plan).await?;
        let now = self.broker.clock.now();
        match &done {
            Err(Trouble::Stopped(stop)) => {
                let Stop { ends, of, .. } = stop;
                tracing::error!(source = %rules.source, ends, of, "more records of a source end within a day than max_ended allows: none does");
                self.broker.sources.stopped(&rules.source, now, (stop.doubted(), committed.first.is_some()));
            }
            Err(Trouble::Full) => self.broker.sources.full(&rules.source, now),
            Ok(done) => self.broker.sources.wrote(&rules.source, now, done.ended),
            Err(_) => {}
        }
        Ok(done.map(|done| done.number))
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
