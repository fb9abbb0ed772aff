//! What a request of a SCIM client changes, decided inside the transaction that commits it.

use serde_json::{Map, Value};

use super::share::{self, Stop};
use super::{Rules, members};
use crate::broker::source::{Voiced, held};
use crate::directory::scim::{Kind, Patch, Refused, Resource, Wrong, meaning};
use crate::ledger::Present;
use crate::model::{
    self, Closing, Contact, CutMade, Event, Known, Origin, Owner, Person, Position, Reason, RecordId, Recording, Timestamp, Whose, cut_ends,
};

/// What a client wants.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    /// What to do.
    pub what: What,
    /// The versions of which one the resource must have; any without it.
    pub versions: Option<String>,
}

/// What to do with which resource.
#[derive(Clone, Debug)]
pub(crate) enum What {
    Create(Map<String, Value>),
    Replace(String, Map<String, Value>),
    Patch(String, Patch),
    Delete(String),
}

impl Write {
    /// Whether it may end something, so that nothing may keep it waiting.
    pub(super) const fn may_end(&self) -> bool {
        !matches!(self.what, What::Create(_))
    }
}

/// Why a request is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The source has no such resource.
    Unknown,
    /// The resource was changed since.
    Version,
    /// It cannot be done as it is.
    Refused(Refused),
    /// It would end more than is believed.
    Stopped(Stop),
    /// The source wrote as much as it may.
    Full,
}

impl From<Stop> for Trouble {
    fn from(stop: Stop) -> Self {
        Self::Stopped(stop)
    }
}

impl From<Refused> for Trouble {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Done {
    /// The number of the resource.
    pub number: Position,
    /// Whether it ended by that.
    pub ended: bool,
}

/// When what was never active has ended: it is none of those that can end.
const BEFORE: Timestamp = Timestamp::from_millis(1);

/// The events of a change, and whether something ends by it for which the source answers.
type Changed = (Vec<Event>, bool);

/// So much longer may be whatever says that it ends, however much the source wrote.
const LITTLE: usize = 256;

type Decided = (Vec<Event>, Result<Done, Trouble>);

/// The events that make it so, and the number of the resource; or why not. A stop is an entry too.
pub(super) fn plan(rules: &Rules, voiced: &Voiced, kind: Kind, write: &Write, present: &Present<'_>) -> Decided {
    let planning = Planning { rules, kind, present };
    match planning.write(write) {
        Ok((events, done)) => (events, Ok(done)),
        Err(Trouble::Stopped(stop)) => {
            let is_news = voiced.wants(Some(stop.digest), present.now);
            let held = held(&rules.source, &stop.doubted()).filter(|_| is_news);
            (held.into_iter().collect(), Err(Trouble::Stopped(stop)))
        }
        Err(trouble) => (Vec::new(), Err(trouble)),
    }
}

struct Planning<'a> {
    rules: &'a Rules,
    kind: Kind,
    present: &'a Present<'a>,
}

/// A resource that is there.
struct There<'a> {
    known: &'a Known<model::Resource>,
    resource: Resource,
}

impl<'a> Planning<'a> {
    fn write(&self, write: &Write) -> Result<(Vec<Event>, Done), Trouble> {
        let there = match &write.what {
            What::Create(_) => None,
            What::Replace(id, _) | What::Patch(id, _) | What::Delete(id) => Some(self.find(id).ok_or(Trouble::Unknown)?),
        };
        if let (Some(there), Some(versions)) = (&there, &write.versions) {
            let version = there.resource.version();
            if !versions.split(',').map(str::trim).any(|wanted| wanted == "*" || wanted == version) {
                return Err(Trouble::Version);
            }
        }
        let before = there.as_ref().map(|there| there.resource.written());
        let after = match &write.what {
            What::Create(attributes) | What::Replace(_, attributes) => Some(attributes.clone()),
            What::Patch(_, patch) => Some(patch.apply(self.kind, before.clone().unwrap_or_default())?),
            What::Delete(_) => None,
        };
        let number = there.as_ref().map_or(self.present.head.next(), |there| there.known.number);
        if after == before {
            return Ok((Vec::new(), Done { number, ended: false }));
        }
        self.members_are_there(before.as_ref(), after.as_ref())?;
        let (mut events, ended) = match self.kind {
            Kind::User => self.user(there.as_ref(), number, before.as_ref(), after.as_ref())?,
            Kind::Group => self.group(there.as_ref(), number, before.as_ref(), after.as_ref())?,
        };
        events.extend(ended.then(|| Event::SourceEnded { source: self.rules.source.clone(), records: vec![number] }));
        Ok((events, Done { number, ended }))
    }

    fn find(&self, id: &str) -> Option<There<'a>> {
        let number: Position = id.parse().ok()?;
        let known = self.present.facts.resource(number).filter(|known| known.record.source == self.rules.source)?;
        let resource = Resource::of(number, known.changed, known.record.text.as_deref()?)?;
        (resource.kind == self.kind && number.to_string() == id).then_some(There { known, resource })
    }

    /// Those who are named as members for the first time are users of the source.
    fn members_are_there(&self, before: Option<&Map<String, Value>>, after: Option<&Map<String, Value>>) -> Result<(), Refused> {
        let known: std::collections::HashSet<&str> = before.into_iter().flat_map(members).collect();
        for id in after.into_iter().flat_map(members).filter(|id| !known.contains(id)) {
            let user = id.parse().ok().and_then(|number: Position| self.present.facts.resource(number));
            let user =
                user.filter(|user| user.record.source == self.rules.source && user.record.owner.is_none() && user.record.text.is_some());
            if user.is_none_or(|user| user.number.to_string() != id) {
                let id: String = id.chars().take(40).collect();
                return Err(Refused::new(Wrong::Value, format!("`members`: `{}` is no user here", id.escape_debug())));
            }
        }
        Ok(())
    }

    /// What is kept of it, where something ends by what was written or not: if so, the source must have ends left.
    fn recorded(
        &self,
        there: Option<&There<'_>>,
        owner: Option<Position>,
        after: Option<&Map<String, Value>>,
        (active, ends): (bool, bool),
    ) -> Result<Event, Trouble> {
        let number = there.map(|there| there.known.number);
        let ended = there.and_then(|there| there.known.record.ended);
        let now = self.present.now.max(BEFORE);
        if let Some(number) = number.filter(|_| ends) {
            share::check(self.rules, (owner.is_some(), number), self.present)?;
        }
        let ended = if ends { now } else { ended.unwrap_or(BEFORE) };
        let ended = Some(ended).filter(|_| !active);
        let created = there.and_then(|there| there.resource.created());
        let text = after.map(|attributes| Resource::kept(self.kind, attributes, created, self.present.now));
        self.has_room(there, text.as_deref(), ends)?;
        let record = model::Resource { source: self.rules.source.clone(), owner, text, ended };
        Ok(Event::ResourceRecorded(Recording { number, origin: None, record }))
    }

    /// Refuses what would make more of the source than it may have written. To say that something ends takes little.
    fn has_room(&self, there: Option<&There<'_>>, text: Option<&str>, ends: bool) -> Result<(), Trouble> {
        let before = there.and_then(|there| there.known.record.text.as_ref()).map_or(0, String::len);
        let more = text.map_or(0, str::len).saturating_sub(before);
        let least = if ends { LITTLE } else { 0 };
        let fits = || self.present.facts.written(&self.rules.source).saturating_add(more) <= self.rules.most_bytes;
        if more <= least || fits() { Ok(()) } else { Err(Trouble::Full) }
    }

    fn user(
        &self,
        there: Option<&There<'_>>,
        number: Position,
        before: Option<&Map<String, Value>>,
        after: Option<&Map<String, Value>>,
    ) -> Result<Changed, Trouble> {
        let active = after.is_some_and(meaning::is_active);
        let names = after.map(meaning::names).transpose()?.unwrap_or_default();
        let origin = self.origin(number)?;
        let of_another = |name: &Contact| {
            let known = self.present.facts.person(name)?;
            (known.is_registered() && known.origin.as_ref() != Some(&origin)).then_some(known)
        };
        if let Some(name) = names.first().filter(|name| of_another(name).is_some()) {
            return Err(
                Refused::new(Wrong::Uniqueness, format!("`userName`: `{name}` is another person, of this source or of another")).into()
            );
        }
        let ends = before.is_some_and(meaning::is_active) && !active;
        let mut events = vec![self.recorded(there, None, after, (active, ends))?];
        for id in &names {
            let known = self.present.facts.person(id);
            let record = Person { id: id.clone(), active };
            // An address that is another's already stays that one's.
            let is_new = known.is_none_or(|known| !known.is_registered() || *known.record != record);
            if of_another(id).is_none() && is_new {
                events.push(Event::PersonRecorded(Recording {
                    number: known.map(|known| known.number),
                    origin: Some(origin.clone()),
                    record,
                }));
            }
        }
        for name in before.map(meaning::names).transpose()?.unwrap_or_default() {
            let lives_on = |other: &Contact| other.as_str().to_lowercase() == name.as_str().to_lowercase();
            let known = self.present.facts.person(&name).filter(|known| known.is_registered() && known.origin.as_ref() == Some(&origin));
            events.extend(known.filter(|_| !names.iter().any(lives_on)).map(|known| Event::PersonEnded { number: known.number }));
        }
        Ok((events, ends))
    }

    fn group(
        &self,
        there: Option<&There<'_>>,
        number: Position,
        before: Option<&Map<String, Value>>,
        after: Option<&Map<String, Value>>,
    ) -> Result<Changed, Trouble> {
        let facts = self.present.facts;
        let known = there.and_then(|there| there.known.record.owner).and_then(|owner| facts.owner_numbered(owner));
        let id = match (known, after) {
            (Some(known), _) => known.record.id.clone(),
            (None, attributes) => {
                let name = attributes.and_then(|attributes| attributes.get("displayName")).and_then(Value::as_str);
                meaning::owner_id(name.unwrap_or_default())?
            }
        };
        let known = known.or_else(|| facts.owner(&id));
        let is_registered = known.is_some_and(Known::is_registered);
        if there.is_none() && is_registered {
            return Err(Refused::new(Wrong::Uniqueness, format!("`displayName`: there is an owner `{id}` already")).into());
        }
        let origin = self.origin(number)?;
        let active = after.is_some_and(meaning::owns);
        // Of one that ends nothing else has to be right.
        let said = after.filter(|_| active || there.is_none());
        let owner = said.map(|attributes| meaning::owner(attributes, id, &self.rules.fallback)).transpose()?;
        // The entry of a new owner comes right behind that of the resource.
        let owner_number = known.map_or(self.present.head.next().next(), |known| known.number);
        let is_ours = known.is_none_or(|known| !known.is_registered() || there.is_none() || known.origin.as_ref() == Some(&origin));
        let goes_on = owner.as_ref().filter(|_| active && is_ours).zip(known.filter(|_| is_registered));
        let shortened = goes_on.filter(|(owner, known)| self.is_shortened(known, owner)).map(|(_, known)| known);
        let ends = (before.is_some_and(meaning::owns) && !active) || goes_on.is_some_and(|(owner, known)| self.ends(known, owner));
        let mut events = vec![self.recorded(there, Some(owner_number), after, (active, ends))?];
        if !is_ours {
            // An administrator or another source has taken the owner over: it is theirs to end.
            return Ok((events, ends));
        }
        match owner {
            Some(owner) => {
                let same = known.is_some_and(|known| known.is_registered() && *known.record == owner);
                if let Some(known) = shortened {
                    events.push(self.cut(
                        known.number,
                        Closing::Nothing,
                        Reason::PrivilegeWithdrawn,
                        "contractEnd was moved earlier by its source",
                    ));
                }
                if !same {
                    let number = known.map(|known| known.number);
                    events.push(Event::OwnerRecorded(Recording { number, origin: Some(origin), record: owner }));
                }
                if !active {
                    events.push(self.ended(owner_number));
                }
            }
            None if is_registered => events.push(self.ended(owner_number)),
            None => {}
        }
        Ok((events, ends))
    }

    fn origin(&self, number: Position) -> Result<Origin, Refused> {
        let record: Result<RecordId, _> = number.to_string().parse();
        let record = record.map_err(|error| Refused::new(Wrong::Value, error.to_string()))?;
        Ok(Origin { source: self.rules.source.clone(), record })
    }

    /// Whether the contract ends before something that may be alive, and ended later before.
    fn is_shortened(&self, known: &Known<Owner>, owner: &Owner) -> bool {
        let earlier = |new: Timestamp| known.record.contract_end.is_none_or(|old| new < old) && new < self.present.latest_expiry;
        owner.contract_end.is_some_and(earlier)
    }

    /// Whether an owner that goes on is over by its contract, or what is alive of it ends now.
    fn ends(&self, known: &Known<Owner>, owner: &Owner) -> bool {
        let is_here = |end: Option<Timestamp>| end.is_some_and(|end| end <= self.present.now);
        let alive = || self.present.living.census(Whose::Owner(known.number), self.present.now).total > 0;
        is_here(owner.contract_end) && !is_here(known.record.contract_end) || self.is_shortened(known, owner) && alive()
    }

    fn ended(&self, owner: Position) -> Event {
        self.cut(owner, Closing::Unregister, Reason::CessationOfOperation, "its source named it inactive, or deleted it")
    }

    fn cut(&self, number: Position, closing: Closing, reason: Reason, note: &str) -> Event {
        let ends = cut_ends(self.present.latest_expiry, self.present.now);
        let Present { living, now, .. } = self.present;
        let concerns = Some(self.present.concerns(number, &living.census(Whose::Owner(number), *now)));
        let source = Some(self.rules.source.clone());
        Event::Cut(CutMade { number, reason, ends, closing, note: note.parse().ok(), concerns, source })
    }
}
