//! What clients of sources wrote, and how much that is of each.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::{Known, Position, Recording, Resource, SourceName};

/// What one takes in memory beside its text, about. What was deleted takes that still: its number is never another's.
const BESIDE: usize = 256;

/// What clients of sources wrote and deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    by_number: BTreeMap<Position, Known<Resource>>,
    sizes: HashMap<SourceName, usize>,
}

impl Written {
    pub(super) fn record(&mut self, recording: &Recording<Resource>, at: Position) {
        let number = recording.number.unwrap_or(at);
        let (record, origin) = (Arc::new(recording.record.clone()), recording.origin.clone());
        let size = self.sizes.entry(record.source.clone()).or_default();
        *size = size.saturating_add(size_of(&record));
        let known = Known { number, record, origin, recorded: at, changed: at, closed: None, absent: None, awaiting: None };
        if let Some(Known { record, .. }) = self.by_number.insert(number, known) {
            self.sizes.entry(record.source.clone()).and_modify(|size| *size = size.saturating_sub(size_of(&record)));
        }
    }

    /// How much a source wrote, in bytes.
    pub(super) fn size(&self, source: &SourceName) -> usize {
        self.sizes.get(source).copied().unwrap_or_default()
    }

    pub(super) fn get(&self, number: Position) -> Option<&Known<Resource>> {
        self.by_number.get(&number)
    }

    /// All of it, by number.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Known<Resource>> {
        self.by_number.values()
    }
}

fn size_of(resource: &Resource) -> usize {
    BESIDE.saturating_add(resource.text.as_ref().map_or(0, String::len))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_anew_takes_the_place_of_what_it_was_and_each_source_has_its_own() {
        let mut written = Written::default();
        let mut write = |number: Option<u64>, at: u64, source: &str, text: Option<&str>| {
            let record = Resource { source: source.parse().expect("a name"), owner: None, text: text.map(str::to_owned), ended: None };
            written.record(&Recording { number: number.map(Position::new), origin: None, record }, Position::new(at));
            ["hr", "okta"].map(|source| written.size(&source.parse().expect("a name")))
        };
        assert_eq!(write(None, 7, "hr", Some("12345")), [BESIDE + 5, 0]);
        assert_eq!(write(None, 8, "okta", Some("1")), [BESIDE + 5, BESIDE + 1]);
        assert_eq!(write(Some(7), 9, "hr", Some("12")), [BESIDE + 2, BESIDE + 1]);
        assert_eq!(write(Some(7), 10, "hr", None), [BESIDE, BESIDE + 1], "what was deleted keeps its number");
    }
}
