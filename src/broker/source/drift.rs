//! Where what a source says is shaped otherwise than before: a column that is gone would take back each end that it told,
//! and nothing would end by that which anybody counts.

use crate::directory::Snapshot;
use crate::model::{Facts, Known, Share, SourceName};

/// Which field is gone that more than a few records of a source have, and how many; `None` if all are there.
pub(super) fn lost(snapshot: &Snapshot, facts: &Facts, source: &SourceName) -> Option<String> {
    fn count<'a, T: 'a>(known: impl Iterator<Item = &'a Known<T>>, source: &SourceName, is_so: impl Fn(&T) -> bool) -> usize {
        known.filter(|known| known.is_registered() && known.is_of(Some(source)) && is_so(&known.record)).count()
    }
    let ends = |field: &str| match field {
        "active" => count(facts.people(), source, |person| !person.active),
        "valid_until" => count(facts.workloads(), source, |workload| workload.valid_until.is_some()),
        "contract_end" => count(facts.owners(), source, |owner| owner.contract_end.is_some()),
        _ => 0,
    };
    let mut lost = snapshot.unmet.iter().map(|field| (field, ends(field)));
    let (field, ends) = lost.find(|(_, ends)| *ends > Share::FEW)?;
    Some(format!(
        "no record has `{field}` any more, by which {ends} of its records have ended or will; if it is called otherwise now, say so in `columns`"
    ))
}
