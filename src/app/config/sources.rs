//! The sources of records that a configuration declares.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::check::Problems;
use super::files::{self, FileError};
use super::scim::{self, RawClient};
use super::units::{Share, Span};
use crate::broker::{Declared, SourceKind};
use crate::directory::Subject;
use crate::http::Client;

/// A source, by how records come from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(super) enum RawSource {
    /// The broker reads a folder of registry files.
    Folder(RawFolder),
    /// Clients provision over SCIM.
    Scim(RawClient),
}

impl RawSource {
    fn name(&self) -> &str {
        match self {
            Self::Folder(folder) => &folder.name,
            Self::Scim(client) => &client.name,
        }
    }

    /// The folder that it is read from.
    pub(super) fn path(&mut self) -> Option<&mut PathBuf> {
        match self {
            Self::Folder(folder) => Some(&mut folder.path),
            Self::Scim(_) => None,
        }
    }
}

/// A folder, field by field; `docs/sources.md` says what each is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFolder {
    pub(super) name: String,
    pub(super) holds: Vec<String>,
    pub(super) path: PathBuf,
    #[serde(default = "every")]
    pub(super) every: Span,
    #[serde(default = "Share::tenth")]
    pub(super) max_ended: Share,
    #[serde(default)]
    pub(super) take_over: bool,
}

/// A source without contradictions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::app) struct Source {
    pub(in crate::app) every: Duration,
    pub(in crate::app) declared: Declared,
    path: PathBuf,
}

impl Source {
    /// Path and text of each file.
    pub(in crate::app) fn files(&self) -> Result<Vec<(PathBuf, String)>, FileError> {
        files::read_folder(&self.path, &["yaml", "yml"])
    }
}

/// How soon a source may be read again.
const SOONEST: Duration = Duration::from_secs(1);
/// How late.
const LATEST: Duration = Duration::from_secs(24 * 60 * 60);

const fn every() -> Span {
    Span::seconds(30)
}

/// What a folder may hold, in the words of the files.
const HOLDS: [(&str, Subject); 4] = [
    ("owners", Subject::Owner),
    ("environments", Subject::Environment),
    ("workloads", Subject::Workload),
    ("downstreams", Subject::Downstream),
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
            RawSource::Folder(folder) => sources.read.extend(source(folder, problems)),
            RawSource::Scim(client) => sources.clients.extend(scim::client(client, &sources.clients, problems)),
        }
    }
    sources
}

fn source(raw: &RawFolder, problems: &mut Problems) -> Option<Source> {
    let name = problems.parsed("source.name", &raw.name);
    let every = raw.every.duration();
    problems.unless((SOONEST..=LATEST).contains(&every), "source.every", "write a time from 1s to 1d");
    let mut holds = BTreeSet::new();
    for word in &raw.holds {
        match HOLDS.iter().find(|(known, _)| known == word) {
            Some((_, subject)) => {
                holds.insert(*subject);
            }
            None => problems.note("source.holds", format_args!("`{word}` is not one of: owners, environments, workloads, downstreams")),
        }
    }
    problems.unless(!raw.holds.is_empty(), "source.holds", "say what it is authoritative for, such as [\"workloads\"]");
    let declared = Declared { name: name?, kind: SourceKind::Folder, holds, takes_over: raw.take_over, max_ended: raw.max_ended.share() };
    Some(Source { every, declared, path: raw.path.clone() })
}
