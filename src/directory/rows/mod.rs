//! Records as rows: what feeds and queries yield, one row for one record.
//!
//! A reader picks the cells that [`Columns`] name and hands each [`Row`] to [`Gather`], which makes a
//! [`Snapshot`](super::Snapshot) of them. A row that is wrong is told and skipped, and what it names stays as it is.

use std::collections::BTreeMap;
use std::fmt;

use super::Subject;

pub(crate) mod csv;
mod gather;
pub(crate) mod json;

#[cfg(test)]
mod tests;

pub(crate) use gather::Gather;

/// What a cell says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cell {
    /// Nothing.
    Empty,
    /// A text, a number or a truth.
    Text(String),
    /// Several texts.
    List(Vec<String>),
    /// Something that no field can be, and what to write instead.
    Wrong(String),
}

impl Cell {
    /// What a text says; nothing if there is none.
    pub(crate) fn of(text: String) -> Self {
        if text.is_empty() { Self::Empty } else { Self::Text(text) }
    }
}

/// Where a row stands in what was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// What is counted; empty where the order means nothing to people.
    pub counted: &'static str,
    /// From 1 on.
    pub number: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.counted.is_empty() { Ok(()) } else { write!(f, "{} {}: ", self.counted, self.number) }
    }
}

/// One record, as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// Where it stands.
    pub place: Place,
    /// The cell of each column, in their order; `None` where the row has no such column. An error if the row
    /// cannot be told apart into cells.
    pub cells: Result<Vec<Option<Cell>>, String>,
}

/// What a field may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Text,
    Instant,
    List,
}

/// A field of a record.
#[derive(Debug, PartialEq, Eq)]
struct Field {
    name: &'static str,
    shape: Shape,
    mandatory: bool,
}

const fn mandatory(name: &'static str) -> Field {
    Field { name, shape: Shape::Text, mandatory: true }
}

const fn text(name: &'static str) -> Field {
    Field { name, shape: Shape::Text, mandatory: false }
}

const fn instant(name: &'static str, mandatory: bool) -> Field {
    Field { name, shape: Shape::Instant, mandatory }
}

const fn list(name: &'static str, mandatory: bool) -> Field {
    Field { name, shape: Shape::List, mandatory }
}

/// The fields of a kind of record; the first one names it.
const fn fields(subject: Subject) -> &'static [Field] {
    match subject {
        Subject::Owner => {
            &const {
                [
                    mandatory("id"),
                    mandatory("kind"),
                    mandatory("business_owner"),
                    mandatory("technical_owner"),
                    instant("contract_end", false),
                    text("record"),
                ]
            }
        }
        Subject::Environment => &const { [mandatory("name"), text("record")] },
        Subject::Workload => {
            &const {
                [
                    mandatory("spiffe_id"),
                    mandatory("owner"),
                    mandatory("purpose"),
                    list("environments", true),
                    instant("valid_until", false),
                    text("business_owner"),
                    text("technical_owner"),
                    text("record"),
                ]
            }
        }
        Subject::Downstream => {
            &const {
                [
                    mandatory("name"),
                    list("accepts", true),
                    list("audiences", false),
                    list("environments", true),
                    mandatory("verifier_kind"),
                    text("verifier"),
                    text("business_owner"),
                    text("technical_owner"),
                    text("record"),
                ]
            }
        }
        Subject::Person => &const { [mandatory("id"), text("active"), text("record")] },
        Subject::Inventory => &const { [mandatory("spiffe_id")] },
        Subject::Contract => &const { [mandatory("record"), mandatory("owner"), instant("end", true)] },
    }
}

/// Where the fields of a record are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Columns {
    subject: Subject,
    columns: Vec<Column>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Column {
    field: &'static Field,
    /// What it is called where it is read; in JSON a path with dots.
    name: String,
    /// Whether somebody said so: then it must be there.
    is_stated: bool,
    /// What stands in for nothing.
    default: Option<String>,
}

impl Columns {
    /// The columns of a kind of record: under the names of `stated`, and under those of the fields where that says
    /// none; with `defaults` where a row says nothing.
    ///
    /// # Errors
    /// If one of them names a field that there is not.
    pub(crate) fn new(subject: Subject, stated: &BTreeMap<String, String>, defaults: &BTreeMap<String, String>) -> Result<Self, String> {
        let fields = fields(subject);
        if let Some(name) = stated.keys().chain(defaults.keys()).find(|name| fields.iter().all(|field| field.name != **name)) {
            let known: Vec<&str> = fields.iter().map(|field| field.name).collect();
            return Err(format!("a {subject} has no field `{name}`; it has: {}", known.join(", ")));
        }
        let column = |field: &'static Field| {
            let given = stated.get(field.name);
            let name = given.cloned().unwrap_or_else(|| field.name.to_owned());
            Column { field, name, is_stated: given.is_some(), default: defaults.get(field.name).cloned() }
        };
        Ok(Self { subject, columns: fields.iter().map(column).collect() })
    }

    /// Their names, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| column.name.as_str())
    }

    /// Where each stands in a header.
    ///
    /// # Errors
    /// If one is missing that must be there, or stands there twice.
    pub(crate) fn placed(&self, header: &[&str]) -> Result<Vec<Option<usize>>, String> {
        let place = |column: &Column| {
            let name = column.name.as_str();
            let mut places = header.iter().enumerate().filter(|(_, title)| **title == name).map(|(place, _)| place);
            let place = places.next();
            if places.next().is_some() {
                return Err(format!("there are two columns `{name}`"));
            }
            if place.is_none() && (column.is_stated || (column.field.mandatory && column.default.is_none())) {
                let told: Vec<String> = header.iter().take(20).map(|title| title.chars().take(60).collect()).collect();
                let field = column.field.name;
                return Err(format!("there is no column `{name}` for `{field}`, but: {}", told.join(", ").escape_debug()));
            }
            Ok(place)
        };
        self.columns.iter().map(place).collect()
    }
}
