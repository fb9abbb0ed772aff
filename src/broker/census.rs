//! A count of the living, in names.

use std::collections::BTreeSet;

use super::describe::nameless;
use crate::model::{Census, CredentialKind, Facts, Timestamp};

/// What is alive under a subject, for people and scripts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamedCensus {
    /// All together.
    pub total: u64,
    /// By kind.
    pub by_kind: Vec<(CredentialKind, u64)>,
    /// By environment.
    pub by_environment: Vec<(String, u64)>,
    /// By workload.
    pub by_workload: Vec<(String, u64)>,
    /// When the last of them expires.
    pub last_expiry: Option<Timestamp>,
    /// The downstreams that accept some of them.
    pub downstreams: BTreeSet<String>,
}

impl NamedCensus {
    /// The census with the names that the facts know.
    pub(super) fn of(census: &Census, facts: &Facts) -> Self {
        let mut downstreams = BTreeSet::new();
        for (environment, audience) in census.accepted.keys() {
            let named = |known: &crate::model::Known<crate::model::Downstream>| known.record.name.to_string();
            match audience {
                Some(audience) => downstreams.extend(facts.accepting_tokens(*environment, audience).map(named)),
                None => downstreams.extend(facts.accepting_certificates(*environment).map(named)),
            }
        }
        let environment =
            |number| facts.environment_numbered(number).map_or_else(|| nameless(number), |known| known.record.name.to_string());
        let workload =
            |number| facts.workload_numbered(number).map_or_else(|| nameless(number), |known| known.record.spiffe_id.to_string());
        let mut by_environment: Vec<_> = census.by_environment.iter().map(|(number, count)| (environment(*number), *count)).collect();
        let mut by_workload: Vec<_> = census.by_workload.iter().map(|(number, count)| (workload(*number), *count)).collect();
        by_environment.sort();
        by_workload.sort();
        Self {
            total: census.total,
            by_kind: census.by_kind.iter().map(|(kind, count)| (*kind, *count)).collect(),
            by_environment,
            by_workload,
            last_expiry: census.last_expiry,
            downstreams,
        }
    }
}
