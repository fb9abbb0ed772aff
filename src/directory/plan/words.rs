//! How a difference reads.

use std::fmt;

use crate::directory::{DownstreamDraft, DownstreamSpec, OwnerDraft, WorkloadDraft, WorkloadSpec};
use crate::model::{Known, Origin, Owner};

/// What happens to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    /// It is new, or named again.
    Add,
    /// Something about it differs.
    Change,
    /// It is no longer named; or not active any more, or over by the end that it has now.
    End,
    /// It goes to another owner.
    Move,
}

impl Action {
    /// The word for it, stable.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Change => "change",
            Self::End => "end",
            Self::Move => "move",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What sort of record a change is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Subject {
    /// An owner.
    Owner,
    /// An environment.
    Environment,
    /// A workload.
    Workload,
    /// A downstream.
    Downstream,
    /// A person.
    Person,
    /// A contract.
    Contract,
    /// An identity that an inventory names, which is no record of the ledger.
    Inventory,
}

impl Subject {
    /// The word for it, stable.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Environment => "environment",
            Self::Workload => "workload",
            Self::Downstream => "downstream",
            Self::Person => "person",
            Self::Contract => "contract",
            Self::Inventory => "inventory",
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The fields of a record but its name, under the names that files use. Empty is absent.
pub(super) trait Fields {
    fn fields(&self) -> Vec<(&'static str, String)>;
}

impl Fields for Owner {
    fn fields(&self) -> Vec<(&'static str, String)> {
        let OwnerDraft { id: _, kind, business_owner, technical_owner, contract_end } = self.into();
        words([("kind", kind), ("business_owner", business_owner), ("technical_owner", technical_owner), ("contract_end", contract_end)])
    }
}

impl Fields for WorkloadSpec {
    fn fields(&self) -> Vec<(&'static str, String)> {
        let WorkloadDraft { spiffe_id: _, owner, purpose, environments, valid_until, business_owner, technical_owner } = self.into();
        words([
            ("owner", owner),
            ("purpose", purpose),
            ("environments", Some(environments.join(" "))),
            ("valid_until", valid_until),
            ("business_owner", business_owner),
            ("technical_owner", technical_owner),
        ])
    }
}

impl Fields for DownstreamSpec {
    fn fields(&self) -> Vec<(&'static str, String)> {
        let draft: DownstreamDraft<String> = self.into();
        let DownstreamDraft { name: _, accepts, audiences, environments, verifier_kind, verifier, business_owner, technical_owner } = draft;
        words([
            ("accepts", Some(accepts.join(" "))),
            ("audiences", Some(audiences.join(" "))),
            ("environments", Some(environments.join(" "))),
            ("verifier_kind", verifier_kind),
            ("verifier", verifier),
            ("business_owner", business_owner),
            ("technical_owner", technical_owner),
        ])
    }
}

fn words<const N: usize>(fields: [(&'static str, Option<String>); N]) -> Vec<(&'static str, String)> {
    fields.into_iter().map(|(name, value)| (name, value.unwrap_or_default())).collect()
}

/// All that a new record says.
pub(super) fn whole(record: &impl Fields) -> String {
    let said = record.fields().into_iter().filter(|(_, value)| !value.is_empty());
    said.map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>().join("; ")
}

/// Which fields differ, old and new.
pub(super) fn differing(old: &impl Fields, new: &impl Fields) -> String {
    let shown = |value: String| if value.is_empty() { "none".to_owned() } else { value };
    let pairs = old.fields().into_iter().zip(new.fields()).filter(|(old, new)| old != new);
    pairs.map(|((name, old), (_, new))| format!("{name}: {} -> {}", shown(old), shown(new))).collect::<Vec<_>>().join("; ")
}

/// How an addition reads: whether it was there before, and whether naming it opens it.
pub(super) fn added<T>(known: Option<&Known<T>>, fields: String) -> String {
    let again = match known {
        None => return fields,
        Some(Known { closed: None, .. }) => "named again",
        Some(_) => "named again, and still closed by a revocation",
    };
    joined(again, &fields)
}

/// How it reads that a record comes from somewhere else now.
pub(super) fn from<T>(known: &Known<T>, origin: Option<&Origin>) -> String {
    let shown = |origin: Option<&Origin>| {
        origin.map_or_else(|| "the administrators".to_owned(), |Origin { source, record }| format!("source {source} as `{record}`"))
    };
    if known.origin.as_ref() == origin {
        return String::new();
    }
    format!("recorded by: {} -> {}", shown(known.origin.as_ref()), shown(origin))
}

pub(super) fn joined(one: &str, other: &str) -> String {
    let separator = if one.is_empty() || other.is_empty() { "" } else { "; " };
    format!("{one}{separator}{other}")
}
