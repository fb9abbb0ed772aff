//! Rows become a snapshot, one after the other, so that no more than a few are held as they were read.

use std::collections::{BTreeSet, HashSet};
use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

use super::{Cell, Column, Columns, Place, Row, Shape};
use crate::directory::{
    ContractSpec, DownstreamDraft, Draft, EnvironmentDraft, Finding, Names, OwnerDraft, Snapshot, Subject, WorkloadDraft,
};
use crate::model::{Contact, OwnerId, Person, RecordId, Timestamp};

/// So many records are held as texts. Downstreams are judged together, and there are few.
const CHUNK: usize = 4096;
/// So many problems are told; the rest is counted.
const MOST_TOLD: usize = 1000;

/// What rows said.
#[derive(Debug)]
pub(crate) struct Gathered {
    /// What of it can be used.
    pub snapshot: Snapshot,
    /// What is wrong with the rest.
    pub problems: Vec<String>,
    /// How many rows are wrong.
    pub wrong: usize,
}

/// A text, and the row that it is of.
struct Written {
    text: String,
    place: Place,
}

impl AsRef<str> for Written {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

/// Takes rows, and gives what they say.
pub(crate) struct Gather<'a> {
    columns: &'a Columns,
    names: &'a Names,
    most: usize,
    count: usize,
    snapshot: Snapshot,
    draft: Draft<Written>,
    /// Every name, as people would not tell it from others.
    seen: HashSet<String>,
    /// Those that are left, since they stood there twice or something beside the record is wrong.
    left: HashSet<String>,
    /// Which columns some row had.
    met: Vec<bool>,
    problems: Vec<String>,
    wrong: usize,
}

impl<'a> Gather<'a> {
    /// Takes at most `most` rows, which may refer to `names`.
    pub(crate) fn new(columns: &'a Columns, names: &'a Names, most: usize) -> Self {
        Self {
            columns,
            names,
            most,
            count: 0,
            snapshot: Snapshot::default(),
            draft: Draft::default(),
            seen: HashSet::new(),
            left: HashSet::new(),
            met: vec![false; columns.columns.len()],
            problems: Vec::new(),
            wrong: 0,
        }
    }

    /// How many rows there were.
    pub(crate) const fn count(&self) -> usize {
        self.count
    }

    /// Takes a row.
    ///
    /// # Errors
    /// If there are too many.
    pub(crate) fn take(&mut self, row: Row) -> Result<(), String> {
        if self.count == self.most {
            return Err(format!("it has more than {} rows; if that is right, raise `max_rows`", self.most));
        }
        self.count += 1;
        let Row { place, cells } = row;
        let cells = match cells {
            Ok(cells) => cells,
            Err(problem) => {
                self.refuse(place, None, &problem);
                return Ok(());
            }
        };
        self.met.iter_mut().zip(&cells).for_each(|(met, cell)| *met |= cell.is_some());
        let mut values = Vec::with_capacity(cells.len());
        let mut problem = None;
        for (column, cell) in self.columns.columns.iter().zip(cells) {
            match value(column, cell.unwrap_or(Cell::Empty)) {
                Ok(value) => values.push(value),
                Err(found) => {
                    values.push(Vec::new());
                    problem.get_or_insert_with(|| format!("{}: {found}", column.field.name));
                }
            }
        }
        let name = values.first().and_then(|value| value.first()).cloned();
        let Some(name) = name else {
            let missing = || self.columns.columns.first().map_or("", |column| column.field.name);
            let problem = problem.unwrap_or_else(|| format!("it has no `{}`", missing()));
            self.refuse(place, None, &problem);
            return Ok(());
        };
        if let Some(problem) = problem {
            self.refuse(place, Some(&name), &problem);
            return Ok(());
        }
        let key = folded(self.columns.subject, &name);
        if self.seen.insert(key.clone()) {
            self.enter(place, &name, values);
        } else {
            self.refuse(place, Some(&name), "it is there more than once; keep one");
            self.left.insert(key);
        }
        Ok(())
    }

    /// What they said.
    ///
    /// # Errors
    /// If no row had a column that somebody named.
    pub(crate) fn finish(mut self) -> Result<Gathered, String> {
        self.flush();
        let unmet = self.columns.columns.iter().zip(&self.met).find(|(column, met)| column.is_stated && !**met);
        if let Some((column, _)) = unmet.filter(|_| self.count > 0) {
            return Err(format!("no record has `{}` for `{}`", column.name, column.field.name));
        }
        let unsaid = self.columns.columns.iter().zip(&self.met).filter(|(column, met)| !**met && column.default.is_none());
        self.snapshot.unmet = unsaid.filter(|_| self.count > 0).map(|(column, _)| column.field.name).collect();
        let (subject, left) = (self.columns.subject, std::mem::take(&mut self.left));
        self.seen = HashSet::new();
        let told = self.problems.len();
        if self.problems.len() > MOST_TOLD {
            self.problems.truncate(MOST_TOLD);
            self.problems.push(format!("and {} more", told - MOST_TOLD));
        }
        self.snapshot.forget(|name| !left.is_empty() && left.contains(&folded(subject, name)));
        Ok(Gathered { snapshot: self.snapshot.indexed(), problems: self.problems, wrong: self.wrong })
    }

    /// Adds what a row says to what is known.
    fn enter(&mut self, place: Place, name: &str, values: Vec<Vec<String>>) {
        let mut values = values.into_iter();
        let mut several = || values.next().unwrap_or_default();
        let written = |text: String| Written { text, place };
        let texts = |texts: Vec<String>| texts.into_iter().map(written).collect::<Vec<_>>();
        let mut record = None;
        let entered = match self.columns.subject {
            Subject::Owner => {
                let (id, kind) = (several(), several().pop().map(written));
                let (business_owner, technical_owner) = (several().pop().map(written), several().pop().map(written));
                let contract_end = several().pop().map(written);
                record = several().pop();
                let id = texts(id).pop();
                self.draft.owners.extend(id.map(|id| OwnerDraft { id, kind, business_owner, technical_owner, contract_end }));
                Ok(())
            }
            Subject::Environment => {
                self.draft.environments.extend(several().pop().map(written).map(|name| EnvironmentDraft { name }));
                record = several().pop();
                Ok(())
            }
            Subject::Workload => {
                let (spiffe_id, owner) = (several().pop().map(written), several().pop().map(written));
                let (purpose, environments) = (several().pop().map(written), texts(several()));
                let valid_until = several().pop().map(written);
                let (business_owner, technical_owner) = (several().pop().map(written), several().pop().map(written));
                record = several().pop();
                let draft =
                    |spiffe_id| WorkloadDraft { spiffe_id, owner, purpose, environments, valid_until, business_owner, technical_owner };
                self.draft.workloads.extend(spiffe_id.map(draft));
                Ok(())
            }
            Subject::Downstream => {
                let (name, accepts, audiences) = (several().pop().map(written), texts(several()), texts(several()));
                let (environments, verifier_kind) = (texts(several()), several().pop().map(written));
                let verifier = several().pop().map(written);
                let (business_owner, technical_owner) = (several().pop().map(written), several().pop().map(written));
                record = several().pop();
                self.draft.downstreams.extend(name.map(|name| DownstreamDraft {
                    name,
                    accepts,
                    audiences,
                    environments,
                    verifier_kind,
                    verifier,
                    business_owner,
                    technical_owner,
                }));
                Ok(())
            }
            Subject::Person => {
                let (id, active) = (several(), several().pop());
                record = several().pop();
                person(id.first(), active.as_deref()).map(|person| self.snapshot.people.push(person))
            }
            Subject::Inventory => parsed("spiffe_id", name).map(|identity| {
                self.snapshot.inventory.insert(identity);
            }),
            Subject::Contract => {
                let (record, owner, end) = (several().pop(), several().pop(), several().pop());
                contract(record, owner, end).map(|contract| self.snapshot.contracts.push(contract))
            }
        };
        let record = record.map(|id| self.called(name, &id)).transpose();
        if let Err(problem) = entered.and(record) {
            self.refuse(place, Some(name), &problem);
            self.left.insert(folded(self.columns.subject, name));
        }
        if self.draft.owners.len() + self.draft.environments.len() + self.draft.workloads.len() >= CHUNK {
            self.flush();
        }
    }

    /// What a record is called where it comes from.
    fn called(&mut self, name: &str, id: &str) -> Result<Option<RecordId>, String> {
        let id: RecordId = parsed("record", id)?;
        Ok(Arc::make_mut(&mut self.snapshot.ids).insert((self.columns.subject, name.to_owned()), id))
    }

    /// Judges the records that are held as texts.
    fn flush(&mut self) {
        let draft = std::mem::take(&mut self.draft);
        let (part, findings) = Snapshot::sift(&draft, self.names);
        let rows: BTreeSet<Place> = findings.iter().map(|Finding { at, .. }| at.place).collect();
        self.wrong += rows.len();
        self.problems.extend(findings.iter().map(|finding| format!("{}{}", finding.at.place, finding.message)));
        self.snapshot.absorb(part);
    }

    /// Tells what is wrong with a row, and keeps what it names.
    fn refuse(&mut self, place: Place, name: Option<&str>, problem: &str) {
        let subject = self.columns.subject;
        self.wrong += 1;
        self.snapshot.keep_named(subject, name);
        let name = name.map(|name| format!(" `{}`", name.chars().take(120).collect::<String>().escape_debug()));
        self.problems.push(format!("{place}{subject}{}: {problem}", name.unwrap_or_default()));
    }
}

/// A name without what people would not tell apart.
fn folded(subject: Subject, name: &str) -> String {
    match (subject, name.parse::<Contact>()) {
        (Subject::Person, Ok(contact)) => contact.address(),
        (Subject::Contract, _) => name.to_owned(),
        _ => name.to_lowercase(),
    }
}

/// The texts of a cell, as the field wants them.
fn value(column: &Column, cell: Cell) -> Result<Vec<String>, String> {
    let cell = match (cell, &column.default) {
        (Cell::Empty, Some(default)) => Cell::Text(default.clone()),
        (cell, _) => cell,
    };
    match (cell, column.field.shape) {
        (Cell::Wrong(problem), _) => Err(problem),
        (Cell::Empty, _) => Ok(Vec::new()),
        (Cell::Text(text), Shape::Text) => Ok(vec![text]),
        (Cell::Text(text), Shape::Instant) => Ok(vec![end_of_day(text)]),
        (Cell::Text(text), Shape::List) => {
            Ok(text.split(|c: char| c == ';' || c.is_whitespace()).filter(|part| !part.is_empty()).map(str::to_owned).collect())
        }
        (Cell::List(texts), Shape::List) => Ok(texts),
        (Cell::List(_), Shape::Text | Shape::Instant) => Err("it is a list, and one text is wanted".to_owned()),
    }
}

/// A date ends with its last second, in UTC.
fn end_of_day(text: String) -> String {
    let is_date = text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| if at == 4 || at == 7 { byte == b'-' } else { byte.is_ascii_digit() });
    if is_date { format!("{text}T23:59:59Z") } else { text }
}

fn parsed<T: FromStr<Err: Display>>(field: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|problem| format!("{field}: {problem}"))
}

fn person(id: Option<&String>, active: Option<&str>) -> Result<Person, String> {
    let id = parsed("id", id.map_or("", String::as_str))?;
    let active = match active.map(str::to_lowercase).as_deref() {
        None | Some("true" | "t" | "yes" | "y" | "1" | "active") => true,
        Some("false" | "f" | "no" | "n" | "0" | "inactive") => false,
        Some(other) => {
            return Err(format!("active: `{}` is not one of: true, false, yes, no, 1, 0, active, inactive", other.escape_debug()));
        }
    };
    Ok(Person { id, active })
}

fn contract(record: Option<String>, owner: Option<String>, end: Option<String>) -> Result<ContractSpec, String> {
    let record = parsed("record", &record.unwrap_or_default())?;
    let owner: OwnerId = parsed("owner", &owner.ok_or("owner: missing; write the id of the owner that it is of")?)?;
    let end: Timestamp = parsed("end", &end.ok_or("end: missing; write when it ends")?)?;
    if end == Timestamp::EPOCH {
        Err("end: it is the epoch; write a later instant".to_owned())
    } else {
        Ok(ContractSpec { record, owner, end })
    }
}
