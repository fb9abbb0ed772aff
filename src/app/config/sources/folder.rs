//! A folder of registry files.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Declaring, HOLDS, Reading, Source, every};
use crate::app::config::check::Problems;
use crate::app::config::files::{self, FileError};
use crate::app::config::units::{Share, Span};
use crate::broker::SourceKind;

/// A folder, field by field; `docs/sources.md` says what each is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::app::config) struct RawFolder {
    pub(super) name: String,
    holds: Vec<String>,
    pub(super) path: PathBuf,
    #[serde(default = "every")]
    every: Span,
    #[serde(default = "Share::tenth")]
    max_ended: Share,
    #[serde(default)]
    take_over: bool,
}

/// A folder without contradictions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::app) struct Folder(PathBuf);

impl Folder {
    /// Path and text of each file.
    pub(in crate::app) fn files(&self) -> Result<Vec<(PathBuf, String)>, FileError> {
        files::read_folder(&self.0, &["yaml", "yml"])
    }
}

/// A folder as the broker reads it; notes what is wrong.
pub(super) fn source(raw: &RawFolder, problems: &mut Problems) -> Option<Source> {
    let declaring =
        Declaring { kind: SourceKind::Folder, name: &raw.name, holds: &raw.holds, max_ended: raw.max_ended, takes_over: raw.take_over };
    // Files have no people and contracts.
    let known = HOLDS.get(..4).unwrap_or_default();
    let declared = declaring.declared(raw.every, known, problems)?;
    Some(Source { every: raw.every.duration(), declared, reading: Reading::Folder(Folder(raw.path.clone())) })
}
