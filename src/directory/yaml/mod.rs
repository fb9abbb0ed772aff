//! The registry as YAML files: `owners`, `environments`, `workloads` and `downstreams`, each a list.
//!
//! Several files make one registry. What is wrong is told with file and line: syntax and shape,
//! the first in each YAML document; if there is none of that, everything else.
//!
//! A [`Draft`] of plain texts is what is written: serialised, it reads back as the same registry.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_saphyr::{Error, MessageFormatter, Spanned, UserMessageFormatter};

use super::{Document, Draft, Finding, Names, Place, Problem, Snapshot};

mod parsed;

#[cfg(test)]
mod tests;

pub(crate) use parsed::Parsed;

/// Reads files, each with its name and its text, as one registry. It may refer to what `others` record.
///
/// # Errors
/// What is wrong, in the order of the files and their lines.
pub(crate) fn read(files: &[(PathBuf, String)], others: &Names) -> Result<Document, Vec<Problem>> {
    if let Some(document) = Parsed::default().all(files).and_then(|draft| draft.check(others).ok()) {
        return Ok(document);
    }
    written(files)?.check(others).map_err(|findings| told_all(findings, files))
}

/// What of the files can be used, and what is wrong with the rest. To remember where each text stands costs more
/// than all else, and is done only where something is wrong.
///
/// # Errors
/// Syntax and shape: nothing can be used then.
pub(crate) fn sift(files: &[(PathBuf, String)], others: &Names, parsed: &mut Parsed) -> Result<(Snapshot, Vec<Problem>), Vec<Problem>> {
    if let Some(document) = parsed.all(files).and_then(|draft| draft.check(others).ok()) {
        return Ok((Snapshot::from(document), Vec::new()));
    }
    let draft = written(files)?;
    let (snapshot, findings) = Snapshot::sift(&draft, others);
    Ok((snapshot, told_all(findings, files)))
}

fn told_all(mut findings: Vec<Finding<'_, Written>>, files: &[(PathBuf, String)]) -> Vec<Problem> {
    findings.sort_by_key(|finding| (finding.at.file, finding.at.line));
    findings.into_iter().map(|finding| told(finding, files)).collect()
}

/// The texts, each with its place.
fn written(files: &[(PathBuf, String)]) -> Result<Draft<Written>, Vec<Problem>> {
    let mut draft = Draft::default();
    let mut problems = Vec::new();
    for (file, (name, text)) in files.iter().enumerate() {
        for document in serde_saphyr::read_with_options(&mut text.as_bytes(), options()) {
            match document {
                Ok(document) => draft.extend(placed(&document, file)),
                Err(error) => problems.push(refused(&error, name)),
            }
        }
    }
    if problems.is_empty() { Ok(draft) } else { Err(problems) }
}

/// A text and where it was written.
struct Written {
    text: String,
    /// The place of its file in the order of reading.
    file: usize,
    line: u64,
}

impl AsRef<str> for Written {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

/// What one YAML document of file `file` says.
fn placed(document: &Draft<Spanned<String>>, file: usize) -> Draft<Written> {
    document.map(&|text: &Spanned<String>| Written { text: text.value.clone(), file, line: text.referenced.line() })
}

/// Reads one file that holds one YAML document of another shape, as strictly as a registry.
///
/// # Errors
/// Syntax or shape: what stands there, and what to write.
pub(crate) fn read_one<T: DeserializeOwned>(file: &Path, text: &str) -> Result<T, Problem> {
    serde_saphyr::from_str_with_options(text, options()).map_err(|error| refused(&error, file))
}

/// Nothing in a file may be read as less than it says: no key twice, no merge, no unknown tag.
fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        merge_keys: serde_saphyr::options::MergeKeyPolicy::Error,
        reject_unsupported_tags: true,
        reject_tagged_field_names: true,
        with_snippet: false,
    }
}

/// Syntax or shape: what stands there, and what to write.
#[expect(clippy::wildcard_enum_match_arm, reason = "a foreign enum; what has no words of ours keeps its own")]
fn refused(error: &Error, file: &Path) -> Problem {
    let line = error.location().map_or(1, |location| location.line());
    let message = match error {
        Error::SerdeUnknownField { field, expected, .. } => {
            format!("no field `{}` is known here; write one of: {}", field.escape_debug(), expected.join(", "))
        }
        Error::SerdeMissingField { field, .. } => format!("the record has no `{field}`; add it"),
        Error::DuplicateMappingKey { key: Some(key), .. } => format!("`{}` is written twice; keep one", key.escape_debug()),
        Error::NullIntoString { .. } => "nothing is written here; write a text, or leave the line out".to_owned(),
        Error::Unexpected { expected: "sequence start", .. } => {
            "a list is wanted here; begin each item on a line of its own with `- `".to_owned()
        }
        Error::Unexpected { expected: "mapping start", .. } => "a record is wanted here; write `field: value` lines".to_owned(),
        Error::Unexpected { expected: "string scalar", .. } => "a single text is wanted here".to_owned(),
        other => {
            format!("{}; indent with spaces, and put a text with special characters in quotes", UserMessageFormatter.format_message(other))
        }
    };
    Problem { place: Some(Place { file: file.to_owned(), line }), message }
}

fn told(finding: Finding<'_, Written>, files: &[(PathBuf, String)]) -> Problem {
    let place = |text: &Written| files.get(text.file).map(|(file, _)| Place { file: file.clone(), line: text.line });
    let message = match finding.earlier.and_then(place) {
        Some(earlier) => format!("{} (first at {earlier})", finding.message),
        None => finding.message,
    };
    Problem { place: place(finding.at), message }
}
