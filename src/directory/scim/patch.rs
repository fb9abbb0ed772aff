//! Changes of a part of a resource (RFC 7644, section 3.5.2), as the RFC has them and as Entra and Okta
//! send them: operations in any case, truths as texts, and paths as members of a value.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::filter::{Filter, LONGEST, Reader};
use super::path::{Path, is_passed_over};
use super::refused::{Refused, Wrong, shown};
use super::resource::{complete, normal, one, put, set};
use super::schema::{Kind, Type, named};

/// What `schemas` of a PATCH names.
pub(super) const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
/// The most operations of one request.
const MOST_OPERATIONS: usize = 100;

/// A request that can be read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Patch {
    operations: Vec<Operation>,
}

#[derive(Clone, Debug, PartialEq)]
struct Operation {
    what: What,
    target: Option<Target>,
    value: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Add,
    Replace,
    Remove,
}

/// What an operation is about.
#[derive(Clone, Debug, PartialEq)]
enum Target {
    /// Everything in the extension.
    Extension(&'static str),
    Attribute(Path),
    /// Those values of an attribute, or that sub-attribute of them.
    Values(Path, Filter),
}

impl Target {
    fn parse(text: &str, kind: Kind) -> Result<Self, Refused> {
        let unknown = || Refused::new(Wrong::Path, format!("`{}` is no attribute of a {}", shown(text), kind.name()));
        if text.len() > LONGEST {
            return Err(unknown());
        }
        if let Some(extension) = kind.extension().filter(|schema| schema.id.eq_ignore_ascii_case(text)) {
            return Ok(Self::Extension(extension.id));
        }
        let mut reader = Reader::new(text)?;
        let path = Path::parse(reader.name(), kind).ok_or_else(unknown)?;
        if path.is_read_only() {
            return Err(Refused::new(Wrong::Mutability, format!("`{}` cannot be written", shown(text))));
        }
        if reader.rest.is_empty() {
            return Ok(Self::Attribute(path));
        }
        if !path.attribute.many || path.sub.is_some() {
            return Err(unknown());
        }
        let in_path = |refused: Refused| Refused { wrong: Wrong::Path, ..refused };
        let filter = reader.bracketed(path.attribute, 0).map_err(in_path)?;
        let sub = match reader.rest.strip_prefix('.') {
            Some(sub) => Some(named(path.attribute.subs, sub).ok_or_else(unknown)?),
            None if reader.rest.is_empty() => None,
            None => return Err(unknown()),
        };
        Ok(Self::Values(Path { sub, ..path }, filter))
    }
}

impl Patch {
    /// Reads a request on a resource of a kind.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(kind: Kind, body: &Value) -> Result<Self, Refused> {
        let syntax = |detail: String| Refused::new(Wrong::Syntax, detail);
        let schemas = body.get("schemas").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        if !schemas.iter().filter_map(Value::as_str).any(|schema| schema.eq_ignore_ascii_case(PATCH)) {
            return Err(syntax(format!("`schemas` does not name `{PATCH}`")));
        }
        let operations = body.get("Operations").and_then(Value::as_array);
        let operations = operations.filter(|operations| (1..=MOST_OPERATIONS).contains(&operations.len()));
        let operations = operations.ok_or_else(|| syntax(format!("`Operations` is a list of 1 to {MOST_OPERATIONS} operations")))?;
        let operation = |operation: &Value| {
            let op = operation.get("op").and_then(Value::as_str).unwrap_or_default();
            let what = match op.to_ascii_lowercase().as_str() {
                "add" => What::Add,
                "replace" => What::Replace,
                "remove" => What::Remove,
                _ => return Err(syntax(format!("`{}` is no operation: write add, replace or remove", shown(op)))),
            };
            let target = match operation.get("path") {
                None | Some(Value::Null) => None,
                Some(Value::String(path)) if is_passed_over(path, kind) => return Ok(None),
                Some(Value::String(path)) => Some(Target::parse(path, kind)?),
                Some(_) => return Err(Refused::new(Wrong::Path, "a path is a text")),
            };
            Ok(Some(Operation { what, target, value: operation.get("value").cloned().unwrap_or_default() }))
        };
        Ok(Self { operations: operations.iter().filter_map(|told| operation(told).transpose()).collect::<Result<_, _>>()? })
    }

    /// The attributes after all operations; none is done if one cannot be.
    ///
    /// # Errors
    /// What cannot be done.
    pub(crate) fn apply(&self, kind: Kind, mut attributes: Map<String, Value>) -> Result<Map<String, Value>, Refused> {
        for operation in &self.operations {
            operation.apply(kind, &mut attributes)?;
        }
        complete(kind, attributes)
    }
}

impl Operation {
    fn apply(&self, kind: Kind, attributes: &mut Map<String, Value>) -> Result<(), Refused> {
        match (&self.target, self.what) {
            (None, What::Remove) => Err(Refused::new(Wrong::NoTarget, "name in `path` what to remove")),
            (None, What::Add | What::Replace) => {
                let members = self.value.as_object().ok_or_else(|| Refused::new(Wrong::Value, "without `path`, `value` is an object"))?;
                members.iter().try_for_each(|(name, value)| self.member(kind, attributes, name, value))
            }
            (Some(Target::Extension(extension)), What::Remove) => {
                attributes.remove(*extension);
                Ok(())
            }
            (Some(Target::Extension(extension)), What::Add) => put(kind, attributes, extension, &self.value),
            (Some(Target::Extension(extension)), What::Replace) => {
                attributes.remove(*extension);
                put(kind, attributes, extension, &self.value)
            }
            (Some(Target::Attribute(path)), what) => self.attribute(*path, what, &self.value, attributes),
            (Some(Target::Values(path, filter)), what) => self.values(*path, filter, what, attributes),
        }
    }

    /// A member of a value without a path: an attribute or, as Entra has it, a path. What nobody knows or
    /// may write is passed over, as it is in a whole resource.
    fn member(&self, kind: Kind, attributes: &mut Map<String, Value>, name: &str, value: &Value) -> Result<(), Refused> {
        match Target::parse(name, kind) {
            Ok(Target::Extension(extension)) => put(kind, attributes, extension, value),
            Ok(Target::Attribute(path)) => self.attribute(path, self.what, value, attributes),
            Ok(Target::Values(..)) | Err(_) => Ok(()),
        }
    }

    fn attribute(&self, path: Path, what: What, value: &Value, attributes: &mut Map<String, Value>) -> Result<(), Refused> {
        let attribute = path.attribute;
        let present = path.attribute_in(attributes).cloned();
        if let Some(sub) = path.sub {
            let value = if what == What::Remove { None } else { normal(sub, value)? };
            let given = |mut whole: Map<String, Value>| {
                match value.clone() {
                    Some(value) => drop(whole.insert(sub.name.to_owned(), value)),
                    None => drop(whole.remove(sub.name)),
                }
                (!whole.is_empty()).then_some(Value::Object(whole))
            };
            let whole = match present {
                Some(Value::Array(values)) => {
                    let values: Vec<_> = values.into_iter().filter_map(|value| value.as_object().cloned().and_then(given)).collect();
                    (!values.is_empty()).then_some(Value::Array(values))
                }
                Some(Value::Object(whole)) => given(whole),
                _ if attribute.many => return Err(nothing_there()),
                _ => given(Map::new()),
            };
            set(attributes, path, whole);
            return Ok(());
        }
        let value = match what {
            // As Entra has it: what to take out of several values.
            What::Remove if attribute.many && !value.is_null() => without(present, normal(attribute, value)?),
            What::Remove if attribute.required => {
                return Err(Refused::new(Wrong::Mutability, format!("`{}` is required", attribute.name)));
            }
            What::Remove => None,
            What::Add if attribute.many => together(present, normal(attribute, value)?),
            What::Add | What::Replace if attribute.of == Type::Complex && !attribute.many => match (present, one(attribute, value)?) {
                (Some(Value::Object(mut present)), Some(Value::Object(value))) => {
                    present.extend(value);
                    Some(Value::Object(present))
                }
                (_, value) => value,
            },
            What::Add | What::Replace => normal(attribute, value)?,
        };
        set(attributes, path, value);
        Ok(())
    }

    fn values(&self, path: Path, filter: &Filter, what: What, attributes: &mut Map<String, Value>) -> Result<(), Refused> {
        let mut values = match path.attribute_in(attributes) {
            Some(Value::Array(values)) => values.clone(),
            _ => Vec::new(),
        };
        let chosen = |value: &Value| value.as_object().is_some_and(|value| filter.holds(value));
        if !values.iter().any(chosen) {
            // What is added to a value that is not there makes one, if the path says what it is.
            match filter.demands().filter(|_| what == What::Add) {
                Some(made) => values.push(Value::Object(made)),
                None => return Err(nothing_there()),
            }
        }
        let mut kept = Vec::new();
        for value in values {
            if !chosen(&value) {
                kept.push(value);
                continue;
            }
            let whole = value.as_object().cloned().unwrap_or_default();
            kept.extend(match (path.sub, what) {
                (None, What::Remove) => None,
                (None, What::Add) => match one(path.attribute, &self.value)? {
                    Some(Value::Object(given)) => Some(Value::Object(whole.into_iter().chain(given).collect())),
                    _ => Some(value),
                },
                (None, What::Replace) => one(path.attribute, &self.value)?,
                (Some(sub), what) => {
                    let mut whole = whole;
                    match if what == What::Remove { None } else { normal(sub, &self.value)? } {
                        Some(value) => drop(whole.insert(sub.name.to_owned(), value)),
                        None => drop(whole.remove(sub.name)),
                    }
                    (!whole.is_empty()).then_some(Value::Object(whole))
                }
            });
        }
        set(attributes, Path { sub: None, ..path }, (!kept.is_empty()).then_some(Value::Array(kept)));
        Ok(())
    }
}

fn nothing_there() -> Refused {
    Refused::new(Wrong::NoTarget, "the path names no value that is there")
}

/// The values of both; those that are added win, and become the first to use if they say so.
fn together(present: Option<Value>, added: Option<Value>) -> Option<Value> {
    let (Some(Value::Array(mut values)), Some(Value::Array(added))) = (present.clone(), added.clone()) else { return added.or(present) };
    let index: HashSet<String> = added.iter().map(named_by).collect();
    values.retain(|value| !index.contains(&named_by(value)));
    if added.iter().any(|value| value.get("primary") == Some(&Value::Bool(true))) {
        values.iter_mut().filter_map(Value::as_object_mut).for_each(|value| drop(value.remove("primary")));
    }
    values.extend(added);
    Some(Value::Array(values))
}

/// What is told apart among several values: the `value` of each, or all of it.
fn named_by(value: &Value) -> String {
    value.get("value").unwrap_or(value).to_string()
}

/// The values without those that are taken out.
fn without(present: Option<Value>, taken: Option<Value>) -> Option<Value> {
    let (Some(Value::Array(mut values)), Some(Value::Array(taken))) = (present.clone(), taken) else { return present };
    let index: HashSet<String> = taken.iter().map(named_by).collect();
    values.retain(|value| !index.contains(&named_by(value)));
    (!values.is_empty()).then_some(Value::Array(values))
}
