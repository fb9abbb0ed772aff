//! Valid documents for properties. Names come from small sets, so that two documents overlap.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::btree_set;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::{Document, DownstreamSpec, WorkloadSpec};
use crate::model::{Contact, Environment, EnvironmentName, Note, Owner, OwnerId, OwnerKind, SpiffeId, Timestamp, VerifierKind};

/// Any instant that a file can say.
fn instant() -> impl Strategy<Value = Timestamp> {
    (1..4_102_444_800_000u64).prop_map(Timestamp::from_millis)
}

/// An instant within the life of a day's credentials, so that ends and lives overlap.
fn near() -> impl Strategy<Value = Timestamp> {
    (1..2_000u64).prop_map(Timestamp::from_seconds)
}

fn end() -> impl Strategy<Value = Timestamp> {
    prop_oneof![near(), instant()]
}

/// Texts with everything that YAML could read as something else.
fn line() -> impl Strategy<Value = String> {
    const ODD: &[&str] = &[
        "null",
        "~",
        "true",
        "no",
        "017",
        "1e3",
        "a: b",
        "- a",
        "#a",
        "a #b",
        "'",
        "\"",
        "@a",
        "*a",
        "!a",
        "%a",
        "{a}",
        "[a]",
        "\\",
        "a\u{2028}b",
        "\u{feff}a",
        "a\u{feff}b",
        "2027-03-31",
    ];
    prop_oneof![select(ODD).prop_map(str::to_owned), "\\PC{1,120}", "([a-z]{1,12} ){0,30}[a-z]{1,12}"]
        .prop_filter("one line without padding", |text| text.parse::<Contact>().is_ok())
}

fn contact() -> impl Strategy<Value = Contact> {
    line().prop_map(|text| text.parse().expect("a contact"))
}

fn note() -> impl Strategy<Value = Note> {
    line().prop_map(|text| text.parse().expect("a note"))
}

fn identity() -> impl Strategy<Value = SpiffeId> {
    "spiffe://(a|b\\.c)/[a-d]".prop_map(|text| text.parse().expect("an identity"))
}

prop_compose! {
    fn owner(id: OwnerId)(
        kind in select(OwnerKind::ALL), business_owner in contact(), technical_owner in contact(), ends in end(), has_end: bool,
    ) -> Owner {
        let contract_end = (has_end || kind == OwnerKind::Vendor).then_some(ends);
        Owner { id: id.clone(), kind, business_owner, technical_owner, contract_end }
    }
}

fn some_of(environments: &[EnvironmentName]) -> impl Strategy<Value = BTreeSet<EnvironmentName>> + use<> {
    subsequence(environments.to_vec(), 1..=environments.len()).prop_map(|names| names.into_iter().collect())
}

fn workload(owners: Vec<OwnerId>, environments: &[EnvironmentName]) -> impl Strategy<Value = WorkloadSpec> + use<> {
    (identity(), select(owners), note(), some_of(environments), option::of(end())).prop_map(
        |(spiffe_id, owner, purpose, environments, valid_until)| WorkloadSpec { spiffe_id, owner, purpose, environments, valid_until },
    )
}

fn downstream(environments: &[EnvironmentName]) -> impl Strategy<Value = DownstreamSpec> + use<> {
    let accepts = prop_oneof![Just((true, true)), Just((true, false)), Just((false, true))];
    let audiences = btree_set("https://[a-c]|[!#-\\[\\]-~]{1,20}", 1..3);
    ("[a-d]", accepts, audiences, some_of(environments), select(VerifierKind::ALL), option::of(identity())).prop_map(
        |(name, (accepts_tokens, accepts_certificates), audiences, environments, verifier_kind, verifier)| DownstreamSpec {
            name: name.parse().expect("a name"),
            accepts_tokens,
            accepts_certificates,
            audiences: audiences.into_iter().filter(|_| accepts_tokens).map(|text| text.parse().expect("an audience")).collect(),
            environments,
            verifier_kind,
            verifier,
        },
    )
}

/// A document that passes every rule, sorted.
pub(super) fn document() -> impl Strategy<Value = Document> {
    let owners = btree_set("[a-e]", 0..5);
    let environments = btree_set("[p-s]", 0..4);
    (owners, environments).prop_flat_map(|(ids, names)| {
        let ids: Vec<OwnerId> = ids.iter().map(|id| id.parse().expect("an id")).collect();
        let names: Vec<EnvironmentName> = names.iter().map(|name| name.parse().expect("a name")).collect();
        let owners = ids.iter().cloned().map(owner).collect::<Vec<_>>();
        // Without an owner or an environment there is nothing that could refer to one.
        let (most_workloads, most_downstreams) =
            (if ids.is_empty() || names.is_empty() { 0 } else { 5 }, if names.is_empty() { 0 } else { 3 });
        let workloads = proptest::collection::vec(workload(or_any(ids), &or_any(names.clone())), 0..=most_workloads);
        let downstreams = proptest::collection::vec(downstream(&or_any(names.clone())), 0..=most_downstreams);
        (owners, workloads, downstreams).prop_map(move |(owners, workloads, downstreams)| {
            let workloads: BTreeMap<_, _> = workloads.into_iter().map(|workload| (workload.spiffe_id.clone(), workload)).collect();
            let downstreams: BTreeMap<_, _> = downstreams.into_iter().map(|downstream| (downstream.name.clone(), downstream)).collect();
            Document {
                owners,
                environments: names.iter().cloned().map(|name| Environment { name }).collect(),
                workloads: workloads.into_values().collect(),
                downstreams: downstreams.into_values().collect(),
            }
        })
    })
}

/// A strategy may not choose from nothing, not even if it is never asked.
fn or_any<T: std::str::FromStr<Err: std::fmt::Debug>>(names: Vec<T>) -> Vec<T> {
    if names.is_empty() { vec!["none".parse().expect("a name")] } else { names }
}
