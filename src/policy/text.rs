//! The policy text as it is written: files, their hash, annotations, and what is wrong with them.

use std::fmt;
use std::time::Duration;

use ring::digest::{Context, SHA256};

use crate::model::{PolicyName, PolicyText};

/// The policies that a new broker begins with, by file name: those in `policies/`.
pub(crate) const DEFAULT_PACK: &[(&str, &str)] = &[
    ("administration.cedar", include_str!("../../policies/administration.cedar")),
    ("exceptions.cedar", include_str!("../../policies/exceptions.cedar")),
    ("following.cedar", include_str!("../../policies/following.cedar")),
    ("issuing.cedar", include_str!("../../policies/issuing.cedar")),
    ("tasks.cedar", include_str!("../../policies/tasks.cedar")),
];

/// Something wrong with a policy text: where, what, and what to write.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Problem {
    /// The file; absent if it concerns the whole text.
    pub file: Option<PolicyName>,
    /// The line, from 1 on; absent if it concerns the whole file.
    pub line: Option<usize>,
    /// What is wrong, and what to write.
    pub what: String,
}

impl Problem {
    pub(super) fn of_text(what: impl Into<String>) -> Self {
        Self { file: None, line: None, what: what.into() }
    }

    pub(super) fn in_file(file: &PolicyName, line: Option<usize>, what: impl Into<String>) -> Self {
        Self { file: Some(file.clone()), line, what: what.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, "{file}:{line}: {}", self.what),
            (Some(file), None) => write!(f, "{file}: {}", self.what),
            (None, _) => f.write_str(&self.what),
        }
    }
}

/// Sorts the files and names their version. Two files of one name are a problem.
pub(super) fn assemble(mut files: Vec<(PolicyName, String)>) -> Result<PolicyText, Problem> {
    files.sort();
    let mut names = files.iter().map(|(name, _)| name).peekable();
    while let Some(name) = names.next() {
        if names.peek() == Some(&name) {
            return Err(Problem::in_file(name, None, "two files have this name; give each its own"));
        }
    }
    let hash = text_hash(&files);
    Ok(PolicyText { hash, files })
}

/// SHA-256 over the files by name. Every name and every text is preceded by its length, so that
/// two different sets of files never give the same bytes.
pub(crate) fn text_hash(files: &[(PolicyName, String)]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in files.iter().flat_map(|(name, text)| [name.as_str(), text.as_str()]) {
        let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
        context.update(&length.to_be_bytes());
        context.update(part.as_bytes());
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// What the annotations of one policy say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Annotations {
    /// The name that it goes by.
    pub(super) id: Option<PolicyName>,
    /// The longest life of what it allows.
    pub(super) max_ttl: Option<Duration>,
    /// Whether it allows a bearer token.
    pub(super) bearer: bool,
}

impl Annotations {
    /// Reads them, or says what is wrong with each.
    pub(super) fn read<'a>(annotations: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Self, Vec<String>> {
        let (mut read, mut wrong) = (Self::default(), Vec::new());
        for (key, value) in annotations {
            let understood = match key {
                "id" => value.parse().map(|id| read.id = Some(id)).map_err(|error| format!("@id: {error}")),
                "max_ttl" => match life(value) {
                    Some(life) => {
                        read.max_ttl = Some(life);
                        Ok(())
                    }
                    None => Err(format!(
                        r#"@max_ttl("{value}") is not a life; write a whole number above 0 and s, m or h, such as @max_ttl("15m")"#
                    )),
                },
                "bearer" if value == "allowed" => {
                    read.bearer = true;
                    Ok(())
                }
                "bearer" => Err(format!(r#"@bearer("{value}") means nothing; write @bearer("allowed"), or leave it out"#)),
                "doc" => Ok(()),
                _ => Err(format!("unknown annotation @{key}; known are @id, @max_ttl, @bearer and @doc")),
            };
            wrong.extend(understood.err());
        }
        if wrong.is_empty() { Ok(read) } else { Err(wrong) }
    }
}

/// A life as it is written: a whole number above 0 and `s`, `m` or `h`.
pub(crate) fn life(text: &str) -> Option<Duration> {
    let unit = text.char_indices().next_back()?;
    let scale = match unit.1 {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        _ => return None,
    };
    let digits = text.get(..unit.0).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    digits.parse::<u64>().ok()?.checked_mul(scale).filter(|seconds| *seconds > 0).map(Duration::from_secs)
}

/// The line, from 1 on, of the byte at `offset`.
pub(super) fn line_at(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}
