//! Which attribute a text names (RFC 7644, section 3.10), and where its values stand.

use serde_json::{Map, Value};

use super::schema::{Attribute, COMMON, Kind, Mutability, Type, named};

/// An attribute of a resource, or a sub-attribute of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Path {
    /// The extension in which it stands, if it is in one.
    pub(super) extension: Option<&'static str>,
    pub(super) attribute: &'static Attribute,
    pub(super) sub: Option<&'static Attribute>,
}

/// The part of `text` behind `prefix`, compared without case.
pub(super) fn behind<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// What the standard has for a user and is of no use here: of the core, and of the enterprise extension.
const UNKEPT: [&str; 21] = [
    "nickName",
    "profileUrl",
    "title",
    "userType",
    "preferredLanguage",
    "locale",
    "timezone",
    "phoneNumbers",
    "ims",
    "photos",
    "addresses",
    "groups",
    "entitlements",
    "roles",
    "x509Certificates",
    "employeeNumber",
    "costCenter",
    "organization",
    "division",
    "department",
    "manager",
];

/// Whether a path names something of the standard, or of a schema that is none of ours, that is not kept. A client sends
/// such things together with those that count: if a title were refused, so would be who is not active any more.
pub(super) fn is_passed_over(text: &str, kind: Kind) -> bool {
    let own = std::iter::once(kind.core()).chain(kind.extension());
    if behind(text, "urn:").is_some() && own.into_iter().all(|schema| behind(text, schema.id).is_none()) {
        return true;
    }
    let rest = behind(text, kind.core().id).and_then(|rest| rest.strip_prefix(':')).unwrap_or(text);
    let name = rest.split(['.', '[']).next().unwrap_or_default();
    kind == Kind::User && UNKEPT.iter().any(|unkept| unkept.eq_ignore_ascii_case(name))
}

impl Path {
    /// What `text` names: `attribute`, `attribute.sub`, or either behind the URN of its schema. What the core
    /// schema does not have is looked for in the extension, so that `active` of a group is that of the owner.
    pub(super) fn parse(text: &str, kind: Kind) -> Option<Self> {
        let (core, extension) = (kind.core(), kind.extension());
        let own = |schema: &str| behind(text, schema).and_then(|rest| rest.strip_prefix(':'));
        if let Some(rest) = own(core.id) {
            return Self::within(rest, core.attributes, None).or_else(|| Self::within(rest, COMMON.attributes, None));
        }
        if let Some((schema, rest)) = extension.and_then(|schema| Some((schema, own(schema.id)?))) {
            return Self::within(rest, schema.attributes, Some(schema.id));
        }
        Self::within(text, core.attributes, None)
            .or_else(|| Self::within(text, COMMON.attributes, None))
            .or_else(|| extension.and_then(|schema| Self::within(text, schema.attributes, Some(schema.id))))
    }

    fn within(text: &str, attributes: &'static [Attribute], extension: Option<&'static str>) -> Option<Self> {
        let (name, sub) = text.split_once('.').map_or((text, None), |(name, sub)| (name, Some(sub)));
        let attribute = named(attributes, name)?;
        let sub = match sub {
            Some(sub) => Some(named(attribute.subs, sub)?),
            None => None,
        };
        Some(Self { extension, attribute, sub })
    }

    /// The whole value of the attribute, wherever the path ends.
    pub(super) fn attribute_in<'a>(&self, resource: &'a Map<String, Value>) -> Option<&'a Value> {
        match self.extension {
            Some(extension) => resource.get(extension)?.get(self.attribute.name),
            None => resource.get(self.attribute.name),
        }
    }

    /// The simple values that the path ends at. Of a complex attribute with several values that is each one's `value`.
    pub(super) fn values_in<'a>(&self, resource: &'a Map<String, Value>) -> Vec<&'a Value> {
        let sub = self.sub.map(|sub| sub.name).or_else(|| (self.attribute.of == Type::Complex).then_some("value"));
        let simple = |value: &'a Value| sub.map_or(Some(value), |sub| value.get(sub));
        match self.attribute_in(resource) {
            Some(Value::Array(values)) => values.iter().filter_map(simple).collect(),
            Some(value) => simple(value).into_iter().collect(),
            None => Vec::new(),
        }
    }

    /// What the values that the path ends at are compared as; `None` if they cannot be.
    pub(super) fn compared(&self) -> Option<&'static Attribute> {
        match (self.sub, self.attribute.of) {
            (Some(sub), _) => Some(sub),
            (None, Type::Complex) => named(self.attribute.subs, "value"),
            (None, Type::Text | Type::Boolean | Type::DateTime | Type::Reference) => Some(self.attribute),
        }
    }

    /// Whether a client cannot change it.
    pub(super) fn is_read_only(&self) -> bool {
        let is = |attribute: &Attribute| attribute.mutability == Mutability::ReadOnly;
        is(self.attribute) || self.sub.is_some_and(is)
    }
}
