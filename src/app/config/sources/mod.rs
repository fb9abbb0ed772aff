//! The sources of records that a configuration declares.

mod feed;
mod folder;
mod sql;
mod trusted;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::check::Problems;
use super::scim::{self, RawClient};
use super::units::{Share, Span};
use crate::broker::{Covers, Declared, SourceKind};
use crate::directory::Subject;
use crate::directory::rows::Columns;
use crate::http::Client;
use feed::RawFeed;
pub(in crate::app) use feed::{Feed, FeedOrigin, Format, Web};
pub(in crate::app) use folder::Folder;
use folder::RawFolder;
pub(in crate::app) use sql::Query;
use sql::RawSql;
#[cfg(test)]
pub(in crate::app) use trusted::Trusted;

/// A source, by how records come from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(super) enum RawSource {
    /// The broker reads a folder of registry files.
    Folder(RawFolder),
    /// The broker reads a file, or asks an address.
    Feed(Box<RawFeed>),
    /// The broker asks a database.
    Sql(Box<RawSql>),
    /// Clients provision over SCIM.
    Scim(RawClient),
}

impl RawSource {
    fn name(&self) -> &str {
        match self {
            Self::Folder(folder) => &folder.name,
            Self::Feed(feed) => &feed.name,
            Self::Sql(sql) => &sql.name,
            Self::Scim(client) => &client.name,
        }
    }

    /// The files and folders that it names.
    pub(super) fn paths(&mut self) -> Vec<&mut PathBuf> {
        match self {
            Self::Folder(folder) => vec![&mut folder.path],
            Self::Feed(feed) => [&mut feed.path, &mut feed.cacert, &mut feed.authorization_file].into_iter().flatten().collect(),
            Self::Sql(sql) => [&mut sql.password_file, &mut sql.cacert].into_iter().flatten().collect(),
            Self::Scim(_) => Vec::new(),
        }
    }
}

/// A source without contradictions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::app) struct Source {
    pub(in crate::app) every: Duration,
    pub(in crate::app) declared: Declared,
    pub(in crate::app) reading: Reading,
}

/// How the broker reads a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::app) enum Reading {
    Folder(Folder),
    Feed(Box<Feed>),
    Sql(Box<Query>),
}

/// How soon a source may be read again.
const SOONEST: Duration = Duration::from_secs(1);
/// How late.
const LATEST: Duration = Duration::from_secs(24 * 60 * 60);

/// How long one reading may take, and how many rows it may have.
const LONGEST_TIME: Duration = Duration::from_secs(60 * 60);
const MOST_ROWS: usize = 10_000_000;

const fn every() -> Span {
    Span::seconds(30)
}

const fn timeout() -> Span {
    Span::seconds(60)
}

const fn max_rows() -> usize {
    1_000_000
}

/// What a source may hold, in the words of the configuration.
const HOLDS: [(&str, Subject); 7] = [
    ("owners", Subject::Owner),
    ("environments", Subject::Environment),
    ("workloads", Subject::Workload),
    ("downstreams", Subject::Downstream),
    ("people", Subject::Person),
    ("contracts", Subject::Contract),
    ("inventory", Subject::Inventory),
];

/// What a configuration declares.
#[derive(Debug, Default)]
pub(super) struct Sources {
    /// What the broker reads.
    pub(super) read: Vec<Source>,
    /// Who writes.
    pub(super) clients: Vec<Client>,
}

/// The sources, or what is wrong with them.
pub(super) fn validate(raw: &[RawSource], problems: &mut Problems) -> Sources {
    let (mut names, mut sources) = (BTreeSet::new(), Sources::default());
    for raw in raw {
        let name = raw.name();
        problems.unless(names.insert(name), "source.name", format_args!("`{name}` is declared more than once; give each its own"));
        match raw {
            RawSource::Folder(folder) => sources.read.extend(folder::source(folder, problems)),
            RawSource::Feed(feed) => sources.read.extend(feed::source(feed, problems)),
            RawSource::Sql(sql) => sources.read.extend(sql::source(sql, problems)),
            RawSource::Scim(client) => sources.clients.extend(scim::client(client, &sources.clients, problems)),
        }
    }
    sources
}

/// What every source that is read says of itself.
struct Declaring<'a> {
    kind: SourceKind,
    name: &'a str,
    holds: &'a [String],
    max_ended: Share,
    takes_over: bool,
}

impl Declaring<'_> {
    /// As the broker is told, if it may hold some of `known`.
    fn declared(&self, every: Span, known: &[(&str, Subject)], problems: &mut Problems) -> Option<Declared> {
        let name = problems.parsed("source.name", self.name);
        problems.unless((SOONEST..=LATEST).contains(&every.duration()), "source.every", "write a time from 1s to 1d");
        let mut holds = BTreeSet::new();
        for word in self.holds {
            match known.iter().find(|(known, _)| known == word) {
                Some((_, subject)) => {
                    holds.insert(*subject);
                }
                None => {
                    let known: Vec<&str> = known.iter().map(|(word, _)| *word).collect();
                    problems.note("source.holds", format_args!("`{word}` is not one of: {}", known.join(", ")));
                }
            }
        }
        problems.unless(!self.holds.is_empty(), "source.holds", "say what it is authoritative for, such as [\"workloads\"]");
        Some(Declared {
            name: name?,
            kind: self.kind,
            holds,
            takes_over: self.takes_over,
            max_ended: self.max_ended.share(),
            covers: None,
            is_complete: false,
        })
    }

    /// The same of a source of rows, each of which is one record, and where their fields are found.
    fn one(
        &self,
        every: Span,
        (columns, defaults): (&BTreeMap<String, String>, &BTreeMap<String, String>),
        (covers, complete): (Option<&str>, bool),
        problems: &mut Problems,
    ) -> Option<(Declared, Columns)> {
        let mut declared = self.declared(every, &HOLDS, problems)?;
        let mut holds = declared.holds.iter();
        let (Some(subject), None) = (holds.next(), holds.next()) else {
            problems.note("source.holds", "one row is one record: name one kind, and declare another source for each other");
            return None;
        };
        let is_inventory = *subject == Subject::Inventory;
        problems.unless(is_inventory || covers.is_none(), "source.covers", "it is for an inventory; leave it out");
        problems.unless(*subject == Subject::Person || !complete, "source.complete", "it is for people; leave it out");
        let covers = covers.and_then(|text| problems.parsed("source.covers", text)).unwrap_or_else(Covers::everything);
        let columns = Columns::new(*subject, columns, defaults).map_err(|problem| problems.note("source.columns", problem)).ok()?;
        (declared.covers, declared.is_complete) = (is_inventory.then_some(covers), complete);
        Some((declared, columns))
    }
}
