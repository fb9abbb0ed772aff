//! A resource as it is kept and shown: what a client wrote, held to the schema.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::filter::Filter;
use super::path::Path;
use super::refused::{Refused, Wrong, shown};
use super::schema::{Attribute, COMMON, Kind, Schema, Type, named};
use crate::model::{Position, Timestamp};

/// The longest text of a resource, in bytes.
const LONGEST_TEXT: usize = 1024;
/// The most values that an attribute may have.
const MOST_VALUES: usize = 10_000;

/// A resource.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Resource {
    /// Its id.
    pub number: Position,
    /// What it is.
    pub kind: Kind,
    /// The entry that last changed it; its version.
    pub changed: Position,
    /// Its attributes, with `id` and what is kept of `meta`.
    attributes: Map<String, Value>,
}

impl Resource {
    /// A resource as a text of the ledger keeps it; `None` if that is none.
    pub(crate) fn of(number: Position, changed: Position, kept: &str) -> Option<Self> {
        let mut attributes: Map<String, Value> = serde_json::from_str(kept).ok()?;
        let name = attributes.get("meta")?.get("resourceType")?.as_str()?;
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name)?;
        attributes.insert("id".to_owned(), number.to_string().into());
        Some(Self { number, kind, changed, attributes })
    }

    /// The text that keeps `attributes` for a resource that was `created` then and is changed now.
    pub(crate) fn kept(kind: Kind, attributes: &Map<String, Value>, created: Option<&str>, now: Timestamp) -> String {
        let now = now.to_string();
        let mut kept = attributes.clone();
        let meta = json!({ "resourceType": kind.name(), "created": created.unwrap_or(&now), "lastModified": now });
        kept.insert("meta".to_owned(), meta);
        Value::Object(kept).to_string()
    }

    /// What a client wrote of it.
    pub(crate) fn written(&self) -> Map<String, Value> {
        let mut attributes = self.attributes.clone();
        attributes.retain(|name, _| name != "id" && name != "meta");
        attributes
    }

    /// When it was created.
    pub(crate) fn created(&self) -> Option<&str> {
        self.attributes.get("meta")?.get("created")?.as_str()
    }

    /// Whether a filter of its kind holds of it.
    pub(super) fn matches(&self, filter: &Filter) -> bool {
        filter.holds(&self.attributes)
    }

    /// Its entity tag.
    pub(crate) fn version(&self) -> String {
        format!("W/\"{}\"", self.changed)
    }

    /// Where it is found below the SCIM service at `base`.
    pub(crate) fn location(&self, base: &str) -> String {
        format!("{base}/{}/{}", self.kind.endpoint(), self.number)
    }

    /// As a client sees it. Members who are not `there` any more are left out.
    pub(crate) fn shown(&self, base: &str, there: impl Fn(&str) -> bool) -> Map<String, Value> {
        let mut shown = self.attributes.clone();
        if let Some(Value::Object(meta)) = shown.get_mut("meta") {
            meta.insert("location".to_owned(), self.location(base).into());
            meta.insert("version".to_owned(), self.version().into());
        }
        if let Some(Value::Array(members)) = shown.get_mut("members") {
            members.retain(|member| member_id(member).is_some_and(&there));
            for member in members {
                let id = member_id(member).unwrap_or_default();
                let endpoint = Kind::User.endpoint();
                *member = json!({ "value": id, "$ref": format!("{base}/{endpoint}/{id}"), "type": Kind::User.name() });
            }
        }
        let extension = self.kind.extension().filter(|schema| shown.contains_key(schema.id));
        let schemas: Vec<_> = std::iter::once(self.kind.core()).chain(extension).map(|schema| schema.id).collect();
        shown.insert("schemas".to_owned(), schemas.into());
        shown
    }
}

/// The id of a member.
pub(crate) fn member_id(member: &Value) -> Option<&str> {
    member.get("value")?.as_str()
}

/// What a whole resource in a request says, held to the schema: attributes that nobody knows or may
/// write are passed over, and so is what has no value.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn take(kind: Kind, body: &Value) -> Result<Map<String, Value>, Refused> {
    let body = body.as_object().ok_or_else(|| Refused::new(Wrong::Syntax, "send a JSON object"))?;
    let schemas = body.get("schemas").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let core = kind.core().id;
    if !schemas.iter().filter_map(Value::as_str).any(|schema| schema.eq_ignore_ascii_case(core)) {
        return Err(Refused::new(Wrong::Syntax, format!("`schemas` does not name `{core}`")));
    }
    let mut taken = Map::new();
    for (name, value) in body {
        put(kind, &mut taken, name, value)?;
    }
    complete(kind, taken)
}

/// Puts what one member of a body says among the attributes, if it is something that a client may say.
pub(super) fn put(kind: Kind, taken: &mut Map<String, Value>, name: &str, value: &Value) -> Result<(), Refused> {
    if let Some(extension) = kind.extension().filter(|schema| schema.id.eq_ignore_ascii_case(name)) {
        let Some(members) = value.as_object() else {
            return if value.is_null() { Ok(()) } else { Err(not_of(name, "an object")) };
        };
        for (name, value) in members {
            if let Some(attribute) = named(extension.attributes, name) {
                set(taken, Path { extension: Some(extension.id), attribute, sub: None }, normal(attribute, value)?);
            }
        }
        return Ok(());
    }
    match Path::parse(name, kind) {
        Some(path) if !path.is_read_only() && path.sub.is_none() => {
            set(taken, path, normal(path.attribute, value)?);
            Ok(())
        }
        Some(_) | None => Ok(()),
    }
}

/// Puts a value of a whole attribute in its place, or takes it away.
pub(super) fn set(attributes: &mut Map<String, Value>, path: Path, value: Option<Value>) {
    let place = match path.extension {
        Some(extension) => match attributes.entry(extension).or_insert_with(|| Value::Object(Map::new())) {
            Value::Object(place) => place,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => return,
        },
        None => &mut *attributes,
    };
    match value {
        Some(value) => place.insert(path.attribute.name.to_owned(), value),
        None => place.remove(path.attribute.name),
    };
    attributes.retain(|_, value| value.as_object().is_none_or(|object| !object.is_empty()));
}

/// Attributes that are whole: what is required is there, and no more values are the first than one.
pub(super) fn complete(kind: Kind, attributes: Map<String, Value>) -> Result<Map<String, Value>, Refused> {
    for attribute in kind.core().attributes {
        let value = attributes.get(attribute.name);
        if attribute.required && value.is_none() {
            return Err(Refused::new(Wrong::Value, format!("`{}` is required", attribute.name)));
        }
        let primary = |value: &&Value| value.get("primary") == Some(&Value::Bool(true));
        if value.and_then(Value::as_array).is_some_and(|values| values.iter().filter(primary).count() > 1) {
            return Err(Refused::new(Wrong::Value, format!("more than one of `{}` is primary", attribute.name)));
        }
    }
    Ok(attributes)
}

fn not_of(name: &str, wanted: &str) -> Refused {
    Refused::new(Wrong::Value, format!("`{}` takes {wanted}", shown(name)))
}

/// A value of an attribute in the one form that is kept; `None` if it stands for no value.
pub(super) fn normal(attribute: &Attribute, value: &Value) -> Result<Option<Value>, Refused> {
    if !attribute.many {
        return one(attribute, value);
    }
    let values = match value {
        Value::Null => return Ok(None),
        Value::Array(values) => values.as_slice(),
        // What some clients send for one.
        single @ (Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => std::slice::from_ref(single),
    };
    if values.len() > MOST_VALUES {
        return Err(not_of(attribute.name, &format!("at most {MOST_VALUES} values")));
    }
    let mut kept: Vec<Value> = Vec::new();
    let mut seen = BTreeSet::new();
    for value in values {
        if let Some(value) = one(attribute, value)?
            && seen.insert(value.to_string())
        {
            kept.push(value);
        }
    }
    Ok((!kept.is_empty()).then_some(Value::Array(kept)))
}

/// One value.
pub(super) fn one(attribute: &Attribute, value: &Value) -> Result<Option<Value>, Refused> {
    let name = attribute.name;
    match (attribute.of, value) {
        (_, Value::Null) => Ok(None),
        (Type::Boolean, Value::Bool(_)) => Ok(Some(value.clone())),
        // As Entra sends it.
        (Type::Boolean, Value::String(text)) => match text.to_ascii_lowercase().parse() {
            Ok(value) => Ok(Some(Value::Bool(value))),
            Err(_) => Err(not_of(name, "true or false")),
        },
        (Type::Boolean, _) => Err(not_of(name, "true or false")),
        (Type::DateTime, Value::String(text)) => match text.parse::<Timestamp>() {
            Ok(instant) => Ok(Some(instant.to_string().into())),
            Err(error) => Err(not_of(name, &format!("an instant: {error}"))),
        },
        (Type::DateTime, _) => Err(not_of(name, "an instant such as 2027-03-31T17:00:00Z")),
        (Type::Text | Type::Reference, Value::String(text)) if text.len() > LONGEST_TEXT => {
            Err(not_of(name, &format!("at most {LONGEST_TEXT} bytes")))
        }
        (Type::Text | Type::Reference, Value::String(text)) => Ok((!text.is_empty()).then(|| value.clone())),
        (Type::Text | Type::Reference, _) => Err(not_of(name, "a text")),
        (Type::Complex, Value::Object(members)) => {
            let mut kept = Map::new();
            for (member, value) in members {
                let Some(sub) = named(attribute.subs, member) else { continue };
                if let Some(value) = normal(sub, value)? {
                    kept.insert(sub.name.to_owned(), value);
                }
            }
            if attribute.name == "members" {
                // Where it is found and what it is follows from the id.
                kept.retain(|name, _| name == "value");
            }
            Ok((!kept.is_empty()).then_some(Value::Object(kept)))
        }
        (Type::Complex, _) => Err(not_of(name, "an object")),
    }
}

/// Which attributes a client asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    attributes: Vec<String>,
    excluded: Vec<String>,
}

impl Selection {
    /// From `attributes` and `excludedAttributes`, each a list with commas. Names that are none of ours select nothing.
    ///
    /// # Errors
    /// If both are given.
    pub(crate) fn parse(attributes: Option<&str>, excluded: Option<&str>) -> Result<Self, Refused> {
        if attributes.is_some() && excluded.is_some() {
            return Err(Refused::new(Wrong::Value, "give `attributes` or `excludedAttributes`, not both"));
        }
        let names = |text: Option<&str>| text.map(|text| text.split(',').map(|name| name.trim().to_owned()).collect()).unwrap_or_default();
        Ok(Self { attributes: names(attributes), excluded: names(excluded) })
    }

    /// What of a resource was asked for.
    pub(crate) fn of(&self, kind: Kind, mut shown: Map<String, Value>) -> Map<String, Value> {
        if !self.attributes.is_empty() {
            let mut selected = Map::new();
            for name in &self.attributes {
                select(kind, name, &shown, &mut selected);
            }
            for always in ["schemas", "id"] {
                selected.extend(shown.remove_entry(always));
            }
            return selected;
        }
        for name in &self.excluded {
            exclude(kind, name, &mut shown);
        }
        shown
    }
}

fn extension_named(kind: Kind, name: &str) -> Option<&'static Schema> {
    kind.extension().filter(|schema| schema.id.eq_ignore_ascii_case(name))
}

fn select(kind: Kind, name: &str, shown: &Map<String, Value>, selected: &mut Map<String, Value>) {
    if let Some(extension) = extension_named(kind, name) {
        selected.extend(shown.get(extension.id).map(|value| (extension.id.to_owned(), value.clone())));
        return;
    }
    let Some(path) = Path::parse(name, kind) else { return };
    let Some(value) = path.attribute_in(shown) else { return };
    let value = match (path.sub, value) {
        (None, value) => value.clone(),
        (Some(sub), Value::Array(values)) => {
            values.iter().map(|value| value.get(sub.name).map_or_else(|| json!({}), |value| json!({ sub.name: value }))).collect()
        }
        (Some(sub), value) => match (value.get(sub.name), path.attribute_in(selected)) {
            (Some(value), Some(Value::Object(already))) => {
                let mut together = already.clone();
                together.insert(sub.name.to_owned(), value.clone());
                Value::Object(together)
            }
            (Some(value), _) => json!({ sub.name: value }),
            (None, _) => return,
        },
    };
    set(selected, path, Some(value));
}

fn exclude(kind: Kind, name: &str, shown: &mut Map<String, Value>) {
    if let Some(extension) = extension_named(kind, name) {
        shown.remove(extension.id);
        return;
    }
    let Some(path) = Path::parse(name, kind) else { return };
    // What is always returned.
    if COMMON.attributes.iter().any(|attribute| attribute == path.attribute && ["id", "schemas"].contains(&attribute.name)) {
        return;
    }
    let Some(sub) = path.sub else { return set(shown, path, None) };
    let mut value = path.attribute_in(shown).cloned();
    match &mut value {
        Some(Value::Array(values)) => values.iter_mut().filter_map(Value::as_object_mut).for_each(|value| drop(value.remove(sub.name))),
        Some(Value::Object(value)) => drop(value.remove(sub.name)),
        _ => {}
    }
    set(shown, path, value);
}
