//! Valid documents for properties. Names come from small sets, so that two documents overlap.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::str::FromStr;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::{Document, DownstreamSpec, WorkloadSpec};
use crate::model::{
    Audience, Contact, DownstreamName, Environment, EnvironmentName, Note, Owner, OwnerId, OwnerKind, SpiffeId, Timestamp, VerifierKind,
};

const OWNERS: [&str; 5] = ["a", "b", "c", "d", "e"];
const ENVIRONMENTS: [&str; 4] = ["p", "q", "r", "s"];
const IDENTITIES: [&str; 6] = ["spiffe://x/a", "spiffe://x/b", "spiffe://x/c", "spiffe://y.z/a", "spiffe://y.z/B", "spiffe://y.z/c/d"];
const DOWNSTREAMS: [&str; 4] = ["k", "l", "m", "n"];
const AUDIENCES: [&str; 5] = ["https://x", "null", "017", "#a:b", "{[*&!|>'%@`"];

/// Texts that YAML could read as something else than what they are.
const ODD: [&str; 26] = [
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
    "&a",
    "!a",
    "%a",
    "{a}",
    "[a]",
    "|",
    ">",
    "\\",
    "2027-03-31",
    "a\u{2028}b",
    "\u{feff}a",
    "a\u{feff}b",
];

fn read<T: FromStr<Err: Debug>>(text: &str) -> T {
    text.parse().expect("well formed")
}

fn one<T: FromStr<Err: Debug> + Clone + Debug + 'static>(texts: &'static [&'static str]) -> impl Strategy<Value = T> {
    select(texts).prop_map(read)
}

/// One line that may stand for a contact or a text.
fn line() -> impl Strategy<Value = String> {
    prop_oneof![select(&ODD[..]).prop_map(str::to_owned), "\\PC{1,60}", "([a-z]{1,12} ){0,14}[a-z]{1,12}"]
        .prop_filter("one line without padding", |text| text.parse::<Contact>().is_ok())
}

/// Any instant that a file can say, often one within the lives that properties give.
fn end() -> impl Strategy<Value = Timestamp> {
    prop_oneof![(1..2_000u64).prop_map(Timestamp::from_seconds), (1..4_102_444_800_000u64).prop_map(Timestamp::from_millis)]
}

fn owner(id: OwnerId, lines: &[String]) -> impl Strategy<Value = Owner> + use<> {
    let contact = || select(lines.to_vec()).prop_map(|text| read::<Contact>(&text));
    (select(OwnerKind::ALL), contact(), contact(), end(), any::<bool>()).prop_map(
        move |(kind, business_owner, technical_owner, end, ends)| {
            let contract_end = (ends || kind == OwnerKind::Vendor).then_some(end);
            Owner { id: id.clone(), kind, business_owner, technical_owner, contract_end }
        },
    )
}

fn some_of(environments: &[EnvironmentName]) -> impl Strategy<Value = BTreeSet<EnvironmentName>> + use<> {
    subsequence(environments.to_vec(), 1..=environments.len()).prop_map(|names| names.into_iter().collect())
}

fn workload(
    owners: Vec<OwnerId>,
    environments: &[EnvironmentName],
    lines: &[String],
) -> impl Strategy<Value = (SpiffeId, WorkloadSpec)> + use<> {
    let lines = lines.to_vec();
    let contact = || option::of(select(lines.clone()).prop_map(|text| read::<Contact>(&text)));
    let contacts = (contact(), contact());
    let purpose = select(lines.clone()).prop_map(|text| read::<Note>(&text));
    (one(&IDENTITIES), select(owners), purpose, some_of(environments), option::of(end()), contacts).prop_map(
        |(spiffe_id, owner, purpose, environments, valid_until, (business_owner, technical_owner)): (SpiffeId, _, _, _, _, _)| {
            let name = spiffe_id.clone();
            (name, WorkloadSpec { spiffe_id, owner, purpose, environments, valid_until, business_owner, technical_owner })
        },
    )
}

fn downstream(environments: &[EnvironmentName]) -> impl Strategy<Value = (DownstreamName, DownstreamSpec)> + use<> {
    let accepts = select(vec![(true, true), (true, false), (false, true)]);
    let audiences = subsequence(AUDIENCES.to_vec(), 1..=AUDIENCES.len());
    (one(&DOWNSTREAMS), accepts, audiences, some_of(environments), select(VerifierKind::ALL), option::of(one(&IDENTITIES))).prop_map(
        |(name, (accepts_tokens, accepts_certificates), audiences, environments, verifier_kind, verifier): (
            DownstreamName,
            _,
            _,
            _,
            _,
            _,
        )| {
            let audiences = audiences.into_iter().filter(|_| accepts_tokens).map(read::<Audience>).collect();
            let (business_owner, technical_owner) = (verifier.is_some().then(|| read::<Contact>("ada@example.org")), None);
            let spec = DownstreamSpec {
                name: name.clone(),
                accepts_tokens,
                accepts_certificates,
                audiences,
                environments,
                verifier_kind,
                verifier,
                business_owner,
                technical_owner,
            };
            (name, spec)
        },
    )
}

/// A document that passes every rule, sorted; now and then an empty one.
pub(super) fn document() -> impl Strategy<Value = Document> {
    let owners = subsequence(OWNERS.to_vec(), 1..=OWNERS.len());
    let environments = subsequence(ENVIRONMENTS.to_vec(), 1..=ENVIRONMENTS.len());
    let full = (owners, environments, vec(line(), 1..6)).prop_flat_map(|(ids, names, lines)| {
        let ids: Vec<OwnerId> = ids.into_iter().map(read).collect();
        let names: Vec<EnvironmentName> = names.into_iter().map(read).collect();
        let owners: Vec<_> = ids.iter().map(|id| owner(id.clone(), &lines)).collect();
        let workloads = vec(workload(ids, &names, &lines), 0..6);
        (owners, workloads, vec(downstream(&names), 0..4)).prop_map(move |(owners, workloads, downstreams)| Document {
            owners,
            environments: names.iter().cloned().map(|name| Environment { name }).collect(),
            workloads: BTreeMap::from_iter(workloads).into_values().collect(),
            downstreams: BTreeMap::from_iter(downstreams).into_values().collect(),
        })
    });
    prop_oneof![12 => full, 1 => Just(Document::default())]
}
