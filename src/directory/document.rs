//! A whole registry, with names where the ledger has numbers.

use std::collections::BTreeSet;

use crate::model::{
    Audience, Contact, Downstream, DownstreamName, Environment, EnvironmentName, Facts, Known, Note, Owner, OwnerId, Position, SpiffeId,
    Timestamp, VerifierKind, Workload,
};

/// A whole registry. What it does not name has ended.
///
/// The order of its records has no meaning; [`Document::of`] sorts them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    /// Who answers.
    pub owners: Vec<Owner>,
    /// Where credentials may be used.
    pub environments: Vec<Environment>,
    /// Who may ask for credentials.
    pub workloads: Vec<WorkloadSpec>,
    /// Who accepts credentials.
    pub downstreams: Vec<DownstreamSpec>,
}

/// A workload as the registry names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadSpec {
    /// Its identity.
    pub spiffe_id: SpiffeId,
    /// Its owner.
    pub owner: OwnerId,
    /// What it is for.
    pub purpose: Note,
    /// The environments in which it may act; one or more.
    pub environments: BTreeSet<EnvironmentName>,
    /// When it ends by itself.
    pub valid_until: Option<Timestamp>,
    /// Who answers for the purpose, if not who does for all of the owner.
    pub business_owner: Option<Contact>,
    /// Who answers for the running, if not who does for all of the owner.
    pub technical_owner: Option<Contact>,
}

/// A downstream as the registry names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DownstreamSpec {
    /// Its name.
    pub name: DownstreamName,
    /// Whether it accepts access tokens and JWT-SVIDs.
    pub accepts_tokens: bool,
    /// Whether it accepts certificates.
    pub accepts_certificates: bool,
    /// The audiences that it answers to; some exactly if it accepts tokens.
    pub audiences: BTreeSet<Audience>,
    /// Its environments; one or more.
    pub environments: BTreeSet<EnvironmentName>,
    /// How it checks.
    pub verifier_kind: VerifierKind,
    /// The identity under which its verifiers follow the list.
    pub verifier: Option<SpiffeId>,
    /// Who answers for the purpose.
    pub business_owner: Option<Contact>,
    /// Who answers for the running.
    pub technical_owner: Option<Contact>,
}

impl Document {
    /// What the ledger's records say, without those that the registry no longer names; sorted.
    pub fn of(facts: &Facts) -> Self {
        let mut document = Self {
            owners: registered(facts.owners()).map(|known| known.record.as_ref().clone()).collect(),
            environments: registered(facts.environments()).map(|known| known.record.as_ref().clone()).collect(),
            workloads: registered(facts.workloads()).filter_map(|known| WorkloadSpec::of(&known.record, facts)).collect(),
            downstreams: facts.downstreams().map(|known| DownstreamSpec::of(&known.record, facts)).collect(),
        };
        document.sort();
        document
    }

    /// Puts each list in the order of its names.
    pub fn sort(&mut self) {
        self.owners.sort_by(|one, other| one.id.cmp(&other.id));
        self.environments.sort_by(|one, other| one.name.cmp(&other.name));
        self.workloads.sort_by(|one, other| one.spiffe_id.cmp(&other.spiffe_id));
        self.downstreams.sort_by(|one, other| one.name.cmp(&other.name));
    }
}

/// What the registry names, of all that the ledger knows.
pub(super) fn registered<'a, T: 'a>(known: impl Iterator<Item = &'a Known<T>>) -> impl Iterator<Item = &'a Known<T>> {
    known.filter(|known| known.is_registered())
}

impl WorkloadSpec {
    /// The record with names; `None` if the owner's number names nothing, which no ledger says.
    pub(super) fn of(record: &Workload, facts: &Facts) -> Option<Self> {
        Some(Self {
            spiffe_id: record.spiffe_id.clone(),
            owner: facts.owner_numbered(record.owner)?.record.id.clone(),
            purpose: record.purpose.clone(),
            environments: environment_names(&record.environments, facts),
            valid_until: record.valid_until,
            business_owner: record.business_owner.clone(),
            technical_owner: record.technical_owner.clone(),
        })
    }
}

impl DownstreamSpec {
    /// The record with names.
    pub(super) fn of(record: &Downstream, facts: &Facts) -> Self {
        Self {
            name: record.name.clone(),
            accepts_tokens: record.accepts_tokens,
            accepts_certificates: record.accepts_certificates,
            audiences: record.audiences.iter().cloned().collect(),
            environments: environment_names(&record.environments, facts),
            verifier_kind: record.verifier_kind,
            verifier: record.verifier.clone(),
            business_owner: record.business_owner.clone(),
            technical_owner: record.technical_owner.clone(),
        }
    }
}

fn environment_names(numbers: &[Position], facts: &Facts) -> BTreeSet<EnvironmentName> {
    numbers.iter().filter_map(|number| facts.environment_numbered(*number)).map(|known| known.record.name.clone()).collect()
}
