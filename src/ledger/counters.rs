//! The counters of the living beside the ledger: moved forward by entries, kept as a snapshot.

use std::iter;

use prost::Message;

use crate::model::{Bucket, Buckets, CredentialKind, Entry, Event, Facts, Group, Issued, Living, NameError, Position, Timestamp, Whose};

/// What a cut takes from the counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// All of a subject.
    All(Whose),
    /// A credential itself.
    One(Box<Issued>),
    /// Everything that was ever counted.
    Everything,
}

impl Ended {
    /// Takes it.
    pub(super) fn apply(&self, living: &mut Living) {
        match self {
            Self::All(whose) => living.cut(*whose),
            Self::One(issued) => living.cut_one(issued),
            Self::Everything => living.clear(),
        }
    }
}

/// What an entry takes from the counters. `facts` are from before it, or of any moment since then;
/// `find` gives what stands at a position.
pub(super) fn ended(entry: &Entry, facts: &Facts, find: impl FnOnce(Position) -> Option<Entry>) -> Vec<Ended> {
    if let Event::Cut(cut) = &entry.event {
        return by_cut(cut.number, entry, facts, find);
    }
    // All keys from before are cut with it.
    if matches!(entry.event, Event::EpochBegun(_)) { vec![Ended::Everything] } else { Vec::new() }
}

/// What the cut of `number` takes. A workload's living are looked for under every owner: it may
/// have moved since.
fn by_cut(number: Position, cut: &Entry, facts: &Facts, find: impl FnOnce(Position) -> Option<Entry>) -> Vec<Ended> {
    if facts.owner_numbered(number).is_some() {
        return vec![Ended::All(Whose::Owner(number))];
    }
    if facts.environment_numbered(number).is_some() {
        return vec![Ended::All(Whose::Environment(number))];
    }
    if facts.workload_numbered(number).is_some() {
        return facts.owners().map(|owner| Ended::All(Whose::Workload { owner: owner.number, workload: number })).collect();
    }
    if let Some(task) = facts.task(number) {
        return vec![Ended::All(Whose::Task { owner: task.record.owner, task: number })];
    }
    let event = find(number).map(|entry| entry.event);
    if let Some(Event::TaskOpened(task)) = event {
        return vec![Ended::All(Whose::Task { owner: task.owner, task: number })];
    }
    if let Some(Event::DownstreamRecorded(_) | Event::ExceptionRequested(_)) = event {
        return vec![Ended::All(Whose::Bearing(number))];
    }
    let Some(Event::CredentialIssued(issued)) = event else {
        return Vec::new();
    };
    let obtained = Ended::All(Whose::Lineage { owner: issued.subjects.owner, lineage: number });
    let counted = issued.expires_at > cut.time && !is_dead(number, &issued, cut.position, facts);
    iter::once(obtained).chain(counted.then_some(Ended::One(issued))).collect()
}

/// Whether another cut than the one at `position` takes the credential `number` from the counters.
fn is_dead(number: Position, issued: &Issued, position: Position, facts: &Facts) -> bool {
    let others = issued.numbers(number).filter(|subject| *subject != number);
    let earlier = facts.cuts().get(number).is_some_and(|cut| cut.position < position);
    earlier || facts.cuts().killer(number, others).is_some()
}

/// The counters as they are kept: a cache, made anew from the ledger if it is lost.
#[derive(Clone, PartialEq, Message)]
struct Snapshot {
    #[prost(message, repeated, tag = "1")]
    groups: Vec<KeptGroup>,
    /// What they are counted by.
    #[prost(uint32, tag = "2")]
    version: u32,
}

/// Counted by further numbers too.
const VERSION: u32 = 1;

#[derive(Clone, PartialEq, Message)]
struct KeptGroup {
    #[prost(uint64, tag = "1")]
    owner: u64,
    #[prost(uint64, tag = "2")]
    workload: u64,
    #[prost(uint64, tag = "3")]
    environment: u64,
    #[prost(uint64, tag = "4")]
    task: u64,
    #[prost(uint64, tag = "5")]
    lineage: u64,
    #[prost(string, tag = "6")]
    kind: String,
    #[prost(string, tag = "7")]
    audience: String,
    #[prost(message, repeated, tag = "8")]
    buckets: Vec<KeptBucket>,
    #[prost(uint64, repeated, tag = "9")]
    further: Vec<u64>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct KeptBucket {
    #[prost(uint64, tag = "1")]
    minute: u64,
    #[prost(uint64, tag = "2")]
    count: u64,
    #[prost(uint64, tag = "3")]
    last_ms: u64,
}

/// The counters as bytes.
pub(super) fn encode(living: &Living) -> Vec<u8> {
    let number = |number: Option<Position>| number.unwrap_or_default().get();
    let bucket = |(minute, bucket): (&u64, &Bucket)| KeptBucket { minute: *minute, count: bucket.count, last_ms: bucket.last.millis() };
    let group = |(owner, group, buckets): (Position, &Group, &Buckets)| KeptGroup {
        owner: owner.get(),
        workload: group.workload.get(),
        environment: group.environment.get(),
        task: number(group.task),
        lineage: number(group.lineage),
        kind: group.kind.to_string(),
        audience: group.audience.as_ref().map(ToString::to_string).unwrap_or_default(),
        buckets: buckets.iter().map(bucket).collect(),
        further: group.further.iter().map(|number| number.get()).collect(),
    };
    Snapshot { groups: living.groups().map(group).collect(), version: VERSION }.encode_to_vec()
}

/// The counters that were made into these bytes, or what is wrong with them; `None` if they were counted by less
/// than is counted by now, so that they are to be made anew.
pub(super) fn decode(bytes: &[u8]) -> Result<Option<Living>, String> {
    let snapshot = Snapshot::decode(bytes).map_err(|error| error.to_string())?;
    if snapshot.version < VERSION {
        return Ok(None);
    }
    let audience = |text: String| Some(text).filter(|text| !text.is_empty()).map(|text| text.parse()).transpose();
    let mut living = Living::default();
    for kept in snapshot.groups {
        let group = Group {
            workload: Position::new(kept.workload),
            environment: Position::new(kept.environment),
            task: Position::new(kept.task).non_zero(),
            lineage: Position::new(kept.lineage).non_zero(),
            kind: kept.kind.parse::<CredentialKind>().map_err(|error| error.to_string())?,
            audience: audience(kept.audience).map_err(|error: NameError| error.to_string())?,
            further: kept.further.into_iter().map(Position::new).collect(),
        };
        let bucket =
            |kept: KeptBucket| (kept.minute, Bucket { count: kept.count, last: Timestamp::from_millis(kept.last_ms), lapsed: false });
        living.restore(Position::new(kept.owner), group, kept.buckets.into_iter().map(bucket).collect());
    }
    Ok(Some(living))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ledger::samples::{NOW, World, at, cut};
    use crate::model::Closing;

    fn entry(position: u64, event: Event) -> Entry {
        Entry { position: at(position), time: NOW, actor: None, request_id: None, event }
    }

    /// What the cut of the token at 20, made at 30, takes after the cuts that were made before; the
    /// token lives for so long from then on.
    fn taken(before: &[(u64, u64)], life: u64) -> Vec<Ended> {
        let (world, events) = World::events();
        let cuts = before.iter().map(|(number, position)| entry(*position, Event::Cut(cut(at(*number), Closing::Nothing, Some(NOW)))));
        let mut facts = Facts::default();
        (2..).zip(events).map(|(position, event)| entry(position, event)).chain(cuts).for_each(|entry| facts.apply(&entry));
        let token = Issued { expires_at: NOW.plus(Duration::from_secs(life)), ..world.issued(world.subjects()) };
        let find = |number: Position| Some(entry(number.get(), Event::CredentialIssued(Box::new(token))));
        ended(&entry(30, Event::Cut(cut(at(20), Closing::Nothing, Some(NOW)))), &facts, find)
    }

    #[test]
    fn the_cut_of_a_credential_takes_it_from_the_counters_once() {
        let obtained = Ended::All(Whose::Lineage { owner: at(2), lineage: at(20) });
        for (before, life, counted) in
            [(&[][..], 1, true), (&[(20, 25)], 1, false), (&[(2, 25)], 1, false), (&[(2, 19)], 1, true), (&[], 0, false)]
        {
            let taken = taken(before, life);
            assert_eq!(taken.first(), Some(&obtained));
            let itself = taken.iter().filter(|ended| matches!(ended, Ended::One(_))).count();
            assert_eq!(itself, usize::from(counted), "{before:?}");
        }
        assert!(taken(&[(20, 30)], 1).iter().any(|ended| matches!(ended, Ended::One(_))), "facts may hold the cut itself already");
    }
}
