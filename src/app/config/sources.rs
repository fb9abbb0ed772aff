//! The sources of records that a configuration declares.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::check::Problems;
use super::files::{self, FileError};
use super::units::Span;
use crate::broker::Declared;
use crate::directory::Subject;

/// A source, field by field; `docs/sources.md` says what each is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSource {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) holds: Vec<String>,
    pub(super) path: PathBuf,
    #[serde(default = "every")]
    pub(super) every: Span,
    #[serde(default = "max_ended")]
    pub(super) max_ended: String,
    #[serde(default)]
    pub(super) take_over: bool,
}

/// How a source is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::app) enum Kind {
    /// A folder of registry files.
    Folder,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Folder => "folder",
        }
    }
}

/// A source without contradictions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::app) struct Source {
    pub(in crate::app) kind: Kind,
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

fn max_ended() -> String {
    "10%".to_owned()
}

/// What a folder may hold, in the words of the files.
const HOLDS: [(&str, Subject); 4] = [
    ("owners", Subject::Owner),
    ("environments", Subject::Environment),
    ("workloads", Subject::Workload),
    ("downstreams", Subject::Downstream),
];

/// The sources, or what is wrong with them.
pub(super) fn validate(raw: &[RawSource], problems: &mut Problems) -> Vec<Source> {
    let mut names = BTreeSet::new();
    raw.iter().filter_map(|raw| source(raw, &mut names, problems)).collect()
}

fn source<'r>(raw: &'r RawSource, names: &mut BTreeSet<&'r str>, problems: &mut Problems) -> Option<Source> {
    let name = problems.parsed("source.name", &raw.name);
    problems.unless(names.insert(&raw.name), "source.name", format_args!("`{}` is declared more than once; give each its own", raw.name));
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
    let percent = raw.max_ended.strip_suffix('%').and_then(|text| text.parse::<u8>().ok()).filter(|percent| *percent <= 100);
    if percent.is_none() {
        problems.note("source.max_ended", format_args!("`{}` is no percentage; write one such as 10%", raw.max_ended));
    }
    let declared = Declared { name: name?, kind: raw.kind.as_str(), holds, takes_over: raw.take_over, max_ended: percent? };
    Some(Source { kind: raw.kind, every, declared, path: raw.path.clone() })
}
