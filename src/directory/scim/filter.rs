//! Filters (RFC 7644, section 3.4.2.2), bounded in length, depth and terms: whoever asks cannot make
//! an answer cost more than that.

use serde_json::{Map, Value};

use super::path::Path;
use super::refused::{Refused, Wrong, shown};
use super::schema::{Attribute, Kind, Type, named};
use crate::model::Timestamp;

/// The longest filter, in bytes.
pub(super) const LONGEST: usize = 1024;
/// How deep parentheses and brackets may stand in each other.
const DEEPEST: usize = 8;
/// How many comparisons one filter may make.
const TERMS: usize = 16;

/// Which resources, or which values of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Filter {
    Any(Vec<Self>),
    All(Vec<Self>),
    Not(Box<Self>),
    Present(Operand),
    Is(Operand, Operator, Value),
    /// Any of the values of an attribute that has several.
    Each(Path, Box<Self>),
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operand {
    Of(Path),
    /// A sub-attribute of the value at hand.
    Sub(&'static Attribute),
}

/// How.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Contains,
    Starts,
    Ends,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

impl Operator {
    fn named(word: &str) -> Option<Self> {
        Some(match word.to_ascii_lowercase().as_str() {
            "eq" => Self::Equal,
            "ne" => Self::NotEqual,
            "co" => Self::Contains,
            "sw" => Self::Starts,
            "ew" => Self::Ends,
            "gt" => Self::Greater,
            "ge" => Self::GreaterOrEqual,
            "lt" => Self::Less,
            "le" => Self::LessOrEqual,
            _ => return None,
        })
    }

    fn holds<T: Ord>(self, one: &T, other: &T) -> bool {
        match self {
            Self::Equal => one == other,
            Self::NotEqual => one != other,
            Self::Greater => one > other,
            Self::GreaterOrEqual => one >= other,
            Self::Less => one < other,
            Self::LessOrEqual => one <= other,
            Self::Contains | Self::Starts | Self::Ends => false,
        }
    }

    fn holds_of_texts(self, one: &str, other: &str) -> bool {
        match self {
            Self::Contains => one.contains(other),
            Self::Starts => one.starts_with(other),
            Self::Ends => one.ends_with(other),
            Self::Equal | Self::NotEqual | Self::Greater | Self::GreaterOrEqual | Self::Less | Self::LessOrEqual => {
                self.holds(&one, &other)
            }
        }
    }
}

impl Operand {
    fn values(self, at: &Map<String, Value>) -> Vec<&Value> {
        match self {
            Self::Of(path) => path.values_in(at),
            Self::Sub(attribute) => at.get(attribute.name).into_iter().collect(),
        }
    }

    fn compared(self) -> Option<&'static Attribute> {
        match self {
            Self::Of(path) => path.compared(),
            Self::Sub(attribute) => Some(attribute),
        }
    }

    fn is_there(self, at: &Map<String, Value>) -> bool {
        match self {
            // Whatever a complex attribute holds.
            Self::Of(path @ Path { sub: None, .. }) => path.attribute_in(at).is_some(),
            Self::Of(_) | Self::Sub(_) => !self.values(at).is_empty(),
        }
    }
}

impl Filter {
    /// Reads a filter on resources of a kind.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(text: &str, kind: Kind) -> Result<Self, Refused> {
        let mut reader = Reader::new(text)?;
        let filter = reader.any(Scope::Resource(kind), 0)?;
        match reader.rest.trim_start() {
            "" => Ok(filter),
            rest => Err(wrong(format!("`{}` stands behind the end of the filter", shown(rest)))),
        }
    }

    /// Whether it is so of a resource, or of one value of an attribute.
    pub(super) fn holds(&self, at: &Map<String, Value>) -> bool {
        match self {
            Self::Any(filters) => filters.iter().any(|filter| filter.holds(at)),
            Self::All(filters) => filters.iter().all(|filter| filter.holds(at)),
            Self::Not(filter) => !filter.holds(at),
            Self::Present(operand) => operand.is_there(at),
            Self::Is(operand, operator, value) => compare(*operand, *operator, value, at),
            Self::Each(path, filter) => {
                let each = path.attribute_in(at).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object);
                each.into_iter().any(|value| filter.holds(value))
            }
        }
    }

    /// What a value would have to be for this to hold, if that is one thing.
    pub(super) fn demands(&self) -> Option<Map<String, Value>> {
        match self {
            Self::Is(Operand::Sub(attribute), Operator::Equal, value) if !value.is_null() => {
                Some(Map::from_iter([(attribute.name.to_owned(), value.clone())]))
            }
            Self::All(filters) => {
                let mut all = Map::new();
                for filter in filters {
                    all.extend(filter.demands()?);
                }
                Some(all)
            }
            Self::Any(_) | Self::Not(_) | Self::Present(_) | Self::Is(..) | Self::Each(..) => None,
        }
    }
}

fn compare(operand: Operand, operator: Operator, wanted: &Value, at: &Map<String, Value>) -> bool {
    match operator {
        // Nothing that is there is equal.
        Operator::NotEqual => return !compare(operand, Operator::Equal, wanted, at),
        Operator::Equal if wanted.is_null() => return !operand.is_there(at),
        Operator::Equal
        | Operator::Contains
        | Operator::Starts
        | Operator::Ends
        | Operator::Greater
        | Operator::GreaterOrEqual
        | Operator::Less
        | Operator::LessOrEqual => {}
    }
    let Some(attribute) = operand.compared() else { return false };
    operand.values(at).into_iter().any(|value| match (value, wanted) {
        (Value::Bool(value), Value::Bool(wanted)) => operator.holds(value, wanted),
        (Value::String(value), Value::String(wanted)) => match attribute.of {
            Type::DateTime => match (value.parse::<Timestamp>(), wanted.parse::<Timestamp>()) {
                (Ok(value), Ok(wanted)) => operator.holds(&value, &wanted),
                _ => false,
            },
            Type::Text | Type::Boolean | Type::Reference | Type::Complex if attribute.exact => operator.holds_of_texts(value, wanted),
            Type::Text | Type::Boolean | Type::Reference | Type::Complex => {
                operator.holds_of_texts(&value.to_lowercase(), &wanted.to_lowercase())
            }
        },
        _ => false,
    })
}

/// What names in a filter are names of.
#[derive(Clone, Copy)]
pub(super) enum Scope {
    Resource(Kind),
    /// The sub-attributes of one attribute.
    Within(&'static Attribute),
}

fn wrong(detail: impl Into<String>) -> Refused {
    Refused::new(Wrong::Filter, detail)
}

/// What is not read yet.
pub(super) struct Reader<'a> {
    pub(super) rest: &'a str,
    terms: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str) -> Result<Self, Refused> {
        if text.len() > LONGEST {
            return Err(wrong(format!("a filter has at most {LONGEST} bytes; ask in several requests")));
        }
        Ok(Self { rest: text, terms: 0 })
    }

    /// `one or other`, of which `and` binds closer.
    fn any(&mut self, scope: Scope, depth: usize) -> Result<Filter, Refused> {
        let mut filters = vec![self.all(scope, depth)?];
        while self.word("or") {
            filters.push(self.all(scope, depth)?);
        }
        Ok(one_or(filters, Filter::Any))
    }

    fn all(&mut self, scope: Scope, depth: usize) -> Result<Filter, Refused> {
        let mut filters = vec![self.unit(scope, depth)?];
        while self.word("and") {
            filters.push(self.unit(scope, depth)?);
        }
        Ok(one_or(filters, Filter::All))
    }

    fn unit(&mut self, scope: Scope, depth: usize) -> Result<Filter, Refused> {
        if depth > DEEPEST {
            return Err(wrong(format!("parentheses stand at most {DEEPEST} deep")));
        }
        let before = self.rest;
        let negated = self.word("not");
        if self.sign('(') {
            let inner = self.any(scope, depth + 1)?;
            self.needs(')')?;
            return Ok(if negated { Filter::Not(Box::new(inner)) } else { inner });
        }
        // An attribute may begin with any word.
        self.rest = before;
        self.terms += 1;
        if self.terms > TERMS {
            return Err(wrong(format!("a filter compares at most {TERMS} times; ask in several requests")));
        }
        let name = self.name();
        let unknown = || wrong(format!("`{}` is no attribute that can be filtered by", shown(name)));
        let operand = match scope {
            Scope::Resource(kind) => Operand::Of(Path::parse(name, kind).ok_or_else(unknown)?),
            Scope::Within(attribute) => Operand::Sub(named(attribute.subs, name).ok_or_else(unknown)?),
        };
        match operand {
            Operand::Of(path) if path.attribute.many && path.sub.is_none() && self.rest.starts_with('[') => {
                let inner = self.bracketed(path.attribute, depth)?;
                // As Entra has it: `emails[type eq "work"].value eq "…"`, of one and the same value.
                let filter = match self.rest.strip_prefix('.') {
                    Some(rest) => {
                        self.rest = rest;
                        Filter::All(vec![inner, self.unit(Scope::Within(path.attribute), depth)?])
                    }
                    None => inner,
                };
                Ok(Filter::Each(path, Box::new(filter)))
            }
            Operand::Of(_) | Operand::Sub(_) => self.comparison(operand, name),
        }
    }

    /// `[filter]`, of the values of an attribute.
    pub(super) fn bracketed(&mut self, attribute: &'static Attribute, depth: usize) -> Result<Filter, Refused> {
        self.needs('[')?;
        let inner = self.any(Scope::Within(attribute), depth + 1)?;
        self.needs(']')?;
        Ok(inner)
    }

    fn comparison(&mut self, operand: Operand, name: &str) -> Result<Filter, Refused> {
        let word = self.name();
        if word.eq_ignore_ascii_case("pr") {
            return Ok(Filter::Present(operand));
        }
        let operator = Operator::named(word)
            .ok_or_else(|| wrong(format!("`{}` is not one of: eq, ne, co, sw, ew, pr, gt, ge, lt, le", shown(word))))?;
        let value = self.value()?;
        let attribute = operand.compared().ok_or_else(|| wrong(format!("compare a sub-attribute of `{}`", shown(name))))?;
        let equality = matches!(operator, Operator::Equal | Operator::NotEqual);
        let fits = match (&value, attribute.of) {
            (Value::Null, _) | (Value::Bool(_), Type::Boolean) => equality,
            (Value::String(text), Type::DateTime) => {
                text.parse::<Timestamp>().is_ok() && !matches!(operator, Operator::Contains | Operator::Starts | Operator::Ends)
            }
            (Value::String(_), Type::Text | Type::Reference) => true,
            _ => false,
        };
        if fits { Ok(Filter::Is(operand, operator, value)) } else { Err(wrong(format!("`{}` cannot be compared so", shown(name)))) }
    }

    /// A JSON text, true, false or null.
    fn value(&mut self) -> Result<Value, Refused> {
        let text = self.rest.trim_start();
        let unreadable = || wrong(format!("`{}` is no value: write a text in quotes, true, false or null", shown(text)));
        let end = match text.strip_prefix('"') {
            Some(inner) => {
                let mut escaped = false;
                let closes = |(_, byte): &(usize, u8)| {
                    let closes = *byte == b'"' && !escaped;
                    escaped = *byte == b'\\' && !escaped;
                    closes
                };
                inner.bytes().enumerate().find(closes).map(|(at, _)| at + 2).ok_or_else(unreadable)?
            }
            None => text.find(|letter: char| !letter.is_ascii_alphanumeric()).unwrap_or(text.len()),
        };
        let (value, rest) = text.split_at_checked(end).ok_or_else(unreadable)?;
        self.rest = rest;
        match serde_json::from_str(value) {
            Ok(value @ (Value::String(_) | Value::Bool(_) | Value::Null)) => Ok(value),
            _ => Err(unreadable()),
        }
    }

    /// What stands up to the next space, parenthesis or bracket.
    pub(super) fn name(&mut self) -> &'a str {
        let text = self.rest.trim_start();
        let end = text.find(|letter: char| letter.is_whitespace() || "()[]\"".contains(letter)).unwrap_or(text.len());
        let (name, rest) = text.split_at_checked(end).unwrap_or((text, ""));
        self.rest = rest;
        name
    }

    /// Whether this word comes next; then it is read.
    fn word(&mut self, word: &str) -> bool {
        let before = self.rest;
        let found = self.name().eq_ignore_ascii_case(word);
        if !found {
            self.rest = before;
        }
        found
    }

    fn sign(&mut self, sign: char) -> bool {
        let rest = self.rest.trim_start().strip_prefix(sign);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn needs(&mut self, sign: char) -> Result<(), Refused> {
        if self.sign(sign) { Ok(()) } else { Err(wrong(format!("`{sign}` is missing before `{}`", shown(self.rest)))) }
    }
}

fn one_or(mut filters: Vec<Filter>, several: fn(Vec<Filter>) -> Filter) -> Filter {
    match (filters.pop(), filters.is_empty()) {
        (Some(only), true) => only,
        (last, _) => {
            filters.extend(last);
            several(filters)
        }
    }
}
