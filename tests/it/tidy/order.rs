//! Module order: the numbered groups of `src/lib.rs`, and the rule that imports point upwards.

use std::collections::{BTreeMap, BTreeSet};

use super::paths::{Path, paths};
use super::rules::{Breach, Breaches, breach};
use super::source::Source;

/// The group of each module.
pub(super) struct Groups(BTreeMap<String, u32>);

impl Groups {
    /// Reads the groups from `src/lib.rs`: a comment `// 3: …` opens one, `mod` lines fill it.
    pub(super) fn of(lib: &Source) -> Result<Self, Breaches> {
        let mut groups = BTreeMap::new();
        let mut broken = Vec::new();
        let mut group = 0;
        for (number, line) in lib.text.lines().enumerate() {
            if let Some(next) = line.strip_prefix("// ").and_then(|comment| comment.split_once(':')?.0.parse().ok()) {
                if next <= group {
                    broken.push(breach(lib, number + 1, format!("group {next} follows group {group}")));
                }
                group = next;
            }
            let declared = line.strip_prefix("pub ").unwrap_or(line).strip_prefix("mod ");
            if let Some(module) = declared.and_then(|rest| rest.strip_suffix(';')) {
                if group == 0 {
                    broken.push(breach(lib, number + 1, format!("`{module}` stands in no group: put it below a line `// N: what it is`")));
                }
                groups.insert(module.to_owned(), group);
            }
        }
        if broken.is_empty() { Ok(Self(groups)) } else { Err(broken) }
    }

    pub(super) fn modules(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The beginnings of the rows of a table of the modules.
    pub(super) fn rows(&self) -> BTreeSet<String> {
        self.0.iter().map(|(module, group)| format!("| {group} | `{module}` |")).collect()
    }

    /// A module names only modules of groups above its own.
    pub(super) fn imports_point_upwards(&self, source: &Source) -> Breaches {
        let Some(own) = module_path(&source.path) else { return vec![] };
        let Some((module, own_group)) = own.first().and_then(|module| Some((*module, *self.0.get(*module)?))) else {
            return vec![];
        };
        let judge = |path: Path| -> Option<Breach> {
            let target = root_name(&path, own.len())?;
            match self.0.get(target) {
                _ if target == module => None,
                Some(group) if *group < own_group => None,
                Some(group) => Some(breach(
                    source,
                    path.line,
                    format!("`{module}` ({own_group}) names `{target}` ({group}): import only from groups above, see src/lib.rs"),
                )),
                None => Some(breach(source, path.line, format!("`{target}` is no module of src/lib.rs: name things where they are"))),
            }
        };
        paths(source).into_iter().filter_map(judge).collect()
    }
}

/// `src/ledger/sqlite/mod.rs` is `ledger::sqlite`; nothing for what is not a module of the library.
fn module_path(path: &str) -> Option<Vec<&str>> {
    let path = path.strip_prefix("src/")?.strip_suffix(".rs")?;
    let path = path.strip_suffix("/mod").unwrap_or(path);
    (!matches!(path, "lib" | "main")).then(|| path.split('/').collect())
}

/// What a path names at the root of the crate, if it goes there; `depth` is that of the file.
fn root_name(path: &Path, depth: usize) -> Option<&str> {
    let segments = path.segments.iter().map(String::as_str).skip_while(|segment| *segment == "self");
    let mut segments = segments.peekable();
    if segments.peek() == Some(&"crate") {
        return segments.nth(1);
    }
    let supers = path.segments.iter().filter(|segment| *segment == "super").count();
    if supers < depth + path.inline_modules {
        return None;
    }
    segments.find(|segment| *segment != "super")
}
