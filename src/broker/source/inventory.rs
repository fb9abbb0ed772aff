//! Inventories: what exists according to the systems that run it. Memory alone: read again after a start.

use std::collections::{HashMap, HashSet};
use std::str::FromStr;
use std::sync::Arc;

use super::Day;
use crate::directory::{self, Change, Difference, Snapshot, Subject};
use crate::ledger::Present;
use crate::model::{About, FindingKind, Share, SourceName, SpiffeId, Timestamp};

/// So many of what is gone are shown.
const MOST_SHOWN: usize = 1000;

/// The identities of which an inventory names all that exist: those that begin so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Covers(String);

impl Covers {
    /// All identities.
    pub(crate) fn everything() -> Self {
        Self("spiffe://".to_owned())
    }

    fn covers(&self, identity: &SpiffeId) -> bool {
        identity.as_str().starts_with(&self.0)
    }
}

impl FromStr for Covers {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let whole =
            text.strip_suffix('/').is_some_and(|id| id.parse::<SpiffeId>().is_ok() || format!("{id}/x").parse::<SpiffeId>().is_ok());
        if whole {
            Ok(Self(text.to_owned()))
        } else {
            Err("write the beginning of SPIFFE IDs up to a `/`, such as spiffe://example.org/payments/")
        }
    }
}

/// What an inventory has named and lost within a day, and when it did last.
pub(super) type Lost = HashMap<SpiffeId, Timestamp>;

/// An inventory that was believed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Inventory {
    identities: HashSet<SpiffeId>,
    lost: Lost,
    /// Whether each row of it names something.
    is_whole: bool,
}

impl Inventory {
    /// What a snapshot names; what it names wrongly is as it was.
    pub(super) fn of(snapshot: Snapshot, former: Option<&Self>, lost: Lost) -> Self {
        let kept: Vec<SpiffeId> =
            former.into_iter().flat_map(|former| &former.identities).filter(|id| snapshot.exists(id)).cloned().collect();
        let wrong = snapshot.kept.iter().filter_map(|(_, name)| name.parse().ok());
        let is_whole = !snapshot.unnamed.contains(&Subject::Inventory);
        let mut identities: HashSet<SpiffeId> = wrong.chain(kept).collect();
        identities.extend(snapshot.inventory);
        Self { identities, lost, is_whole }
    }

    /// How many it names.
    pub(super) fn len(&self) -> usize {
        self.identities.len()
    }
}

/// What is gone from an inventory since the former reading, the day of that, and what it has lost by then. Where there
/// is none, what is gone are the workloads that are in use and that nobody has missed yet.
pub(super) fn difference(
    present: &Present<'_>,
    covers: &Covers,
    former: Option<&Inventory>,
    snapshot: &Snapshot,
) -> (Difference, Day, Lost) {
    let is_missed = |number| present.facts.findings().about(FindingKind::Ghost, &About::Subject(number)).is_some();
    let before: Vec<&SpiffeId> = match former {
        Some(former) => former.identities.iter().collect(),
        None => {
            let open = present.facts.workloads().filter(|known| known.is_open() && !is_missed(known.number));
            open.map(|known| &known.record.spiffe_id).filter(|id| covers.covers(id)).collect()
        }
    };
    let mut gone: Vec<&SpiffeId> = before.iter().copied().filter(|id| !snapshot.exists(id)).collect();
    gone.sort_unstable();
    let since = present.now.minus(Share::DAY);
    let lately = former.into_iter().flat_map(|former| &former.lost).filter(|(_, at)| **at > since).map(|(id, at)| (id, *at));
    let mut lost: HashMap<&SpiffeId, Timestamp> = lately.collect();
    let (day, ends) = (Day::new(before.iter().copied(), &gone, lost.clone()), gone.len());
    lost.extend(gone.iter().map(|id| (*id, present.now)));
    let lost = lost.into_iter().map(|(id, at)| (id.clone(), at)).collect();
    let change = |id: &SpiffeId| Change {
        action: directory::Action::End,
        subject: Subject::Inventory,
        number: None,
        name: id.to_string(),
        detail: "no longer in the inventory".to_owned(),
        living: 0,
    };
    let changes = gone.into_iter().take(MOST_SHOWN).map(change).collect();
    (Difference { changes, ends, ..Difference::default() }, day, lost)
}

/// What the inventories say of an identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::broker) enum Presence {
    /// None speaks for it, or one names it.
    Fine,
    /// One speaks for it that was not read yet, or is not believed.
    Unknown,
    /// All that speak for it were read, and none names it: the one that was read first, and when.
    Missing(SourceName, Timestamp),
}

/// What an inventory said when it was last read.
type Read = (Arc<Inventory>, Timestamp);

/// The inventories of all sources, as they are at a moment; absent where one cannot be relied on.
#[derive(Clone, Debug, Default)]
pub(in crate::broker) struct Existing(Vec<(SourceName, Covers, Option<Read>)>);

impl Existing {
    pub(super) fn of(inventories: impl Iterator<Item = (SourceName, Covers, Option<Read>)>) -> Self {
        Self(inventories.map(|(name, covers, read)| (name, covers, read.filter(|(known, _)| known.is_whole))).collect())
    }

    /// What they say of an identity.
    pub(in crate::broker) fn presence(&self, identity: &SpiffeId) -> Presence {
        let mut answer = Presence::Fine;
        for (name, _, read) in self.0.iter().filter(|(_, covers, _)| covers.covers(identity)) {
            match (read, &answer) {
                (Some((known, _)), _) if known.identities.contains(identity) => return Presence::Fine,
                (None, _) => answer = Presence::Unknown,
                (Some((_, read)), Presence::Missing(_, first)) if first <= read => {}
                (Some((_, read)), Presence::Fine | Presence::Missing(..)) => answer = Presence::Missing(name.clone(), *read),
                (Some(_), Presence::Unknown) => {}
            }
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> SpiffeId {
        text.parse().expect("an ID")
    }

    fn named(names: &[&str], is_whole: bool) -> Option<Read> {
        named_at(7, names, is_whole)
    }

    fn named_at(read: u64, names: &[&str], is_whole: bool) -> Option<Read> {
        let identities = names.iter().map(|name| id(name)).collect();
        Some((Arc::new(Inventory { identities, lost: Lost::new(), is_whole }), Timestamp::from_seconds(read)))
    }

    #[test]
    fn an_identity_is_missing_only_where_all_who_speak_for_it_were_read() {
        let at = |name: &str, covers: &str, known| (name.parse().expect("a name"), covers.parse().expect("a beginning"), known);
        let presence = |inventories: &[(SourceName, Covers, Option<Read>)]| {
            Existing::of(inventories.iter().cloned()).presence(&id("spiffe://x/pay/a"))
        };
        let missing = Presence::Missing("one".parse().expect("a name"), Timestamp::from_seconds(7));
        assert_eq!(presence(&[]), Presence::Fine);
        assert_eq!(presence(&[at("one", "spiffe://x/payments/", named(&[], true))]), Presence::Fine, "not its business");
        assert_eq!(presence(&[at("one", "spiffe://x/pay/", named(&["spiffe://x/pay/b"], true))]), missing);
        assert_eq!(presence(&[at("one", "spiffe://x/", named(&["spiffe://x/pay/a"], true))]), Presence::Fine);
        assert_eq!(presence(&[at("one", "spiffe://x/", None)]), Presence::Unknown);
        assert_eq!(presence(&[at("one", "spiffe://x/", named(&[], false))]), Presence::Unknown, "some row of it names nobody knows what");
        let two = |other| [at("one", "spiffe://x/", named(&[], true)), at("other", "spiffe://x/", other)];
        assert_eq!(presence(&two(named(&[], true))), missing);
        assert_eq!(presence(&two(named_at(8, &[], true))), missing, "whichever was read first");
        assert_eq!(presence(&two(named_at(6, &[], true))), Presence::Missing("other".parse().expect("a name"), Timestamp::from_seconds(6)));
        assert_eq!(presence(&two(None)), Presence::Unknown);
        assert_eq!(presence(&two(named(&["spiffe://x/pay/a"], true))), Presence::Fine);
        for bad in ["spiffe://x", "spiffe://x/pay", "https://x/", "", "/", "spiffe:///"] {
            assert!(bad.parse::<Covers>().is_err(), "{bad}");
        }
    }
}
