//! A registry as it was written: texts of which nothing is known yet but where they stand.

use serde::{Deserialize, Serialize};

use super::{Document, DownstreamSpec, WorkloadSpec};
use crate::model::{Environment, Owner};

/// A registry in texts of type `T`, which may remember where each was written.
///
/// Only what a record is named by must be there for it to be a record at all; what else is
/// missing is told by [`Draft::check`], together with everything else that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Draft<T> {
    /// Who answers.
    #[serde(default = "Vec::new")]
    pub owners: Vec<OwnerDraft<T>>,
    /// Where credentials may be used.
    #[serde(default = "Vec::new")]
    pub environments: Vec<EnvironmentDraft<T>>,
    /// Who may ask for credentials.
    #[serde(default = "Vec::new")]
    pub workloads: Vec<WorkloadDraft<T>>,
    /// Who accepts credentials.
    #[serde(default = "Vec::new")]
    pub downstreams: Vec<DownstreamDraft<T>>,
}

impl<T> Default for Draft<T> {
    fn default() -> Self {
        Self { owners: Vec::new(), environments: Vec::new(), workloads: Vec::new(), downstreams: Vec::new() }
    }
}

impl<T> Draft<T> {
    /// Adds what another says of the same registry.
    pub(super) fn extend(&mut self, more: Self) {
        self.owners.extend(more.owners);
        self.environments.extend(more.environments);
        self.workloads.extend(more.workloads);
        self.downstreams.extend(more.downstreams);
    }

    /// The same with another in the place of each text.
    pub(super) fn map<'a, U>(&'a self, text: &impl Fn(&'a T) -> U) -> Draft<U> {
        let given = |given: &'a Option<T>| given.as_ref().map(text);
        let all = |texts: &'a [T]| texts.iter().map(text).collect();
        let owner = |owner: &'a OwnerDraft<T>| OwnerDraft {
            id: text(&owner.id),
            kind: given(&owner.kind),
            business_owner: given(&owner.business_owner),
            technical_owner: given(&owner.technical_owner),
            contract_end: given(&owner.contract_end),
        };
        let workload = |workload: &'a WorkloadDraft<T>| WorkloadDraft {
            spiffe_id: text(&workload.spiffe_id),
            owner: given(&workload.owner),
            purpose: given(&workload.purpose),
            environments: all(&workload.environments),
            valid_until: given(&workload.valid_until),
            business_owner: given(&workload.business_owner),
            technical_owner: given(&workload.technical_owner),
        };
        let downstream = |downstream: &'a DownstreamDraft<T>| DownstreamDraft {
            name: text(&downstream.name),
            accepts: all(&downstream.accepts),
            audiences: all(&downstream.audiences),
            environments: all(&downstream.environments),
            verifier_kind: given(&downstream.verifier_kind),
            verifier: given(&downstream.verifier),
            business_owner: given(&downstream.business_owner),
            technical_owner: given(&downstream.technical_owner),
        };
        Draft {
            owners: self.owners.iter().map(owner).collect(),
            environments: self.environments.iter().map(|environment| EnvironmentDraft { name: text(&environment.name) }).collect(),
            workloads: self.workloads.iter().map(workload).collect(),
            downstreams: self.downstreams.iter().map(downstream).collect(),
        }
    }
}

/// An owner, as written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OwnerDraft<T> {
    /// Its id.
    pub id: T,
    /// `team`, `vendor` or `person`.
    pub kind: Option<T>,
    /// Who answers for the purpose.
    pub business_owner: Option<T>,
    /// Who answers for the running.
    pub technical_owner: Option<T>,
    /// When the contract ends, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contract_end: Option<T>,
}

/// An environment, as written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EnvironmentDraft<T> {
    /// Its name.
    pub name: T,
}

/// A workload, as written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WorkloadDraft<T> {
    /// Its identity.
    pub spiffe_id: T,
    /// The id of its owner.
    pub owner: Option<T>,
    /// What it is for.
    pub purpose: Option<T>,
    /// The names of its environments.
    #[serde(default = "Vec::new")]
    pub environments: Vec<T>,
    /// When it ends by itself, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<T>,
    /// Who answers for the purpose, if not who does for all of the owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub business_owner: Option<T>,
    /// Who answers for the running, if not who does for all of the owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub technical_owner: Option<T>,
}

/// A downstream, as written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DownstreamDraft<T> {
    /// Its name.
    pub name: T,
    /// `tokens`, `certificates` or both.
    #[serde(default = "Vec::new")]
    pub accepts: Vec<T>,
    /// The audiences of its tokens.
    #[serde(default = "Vec::new", skip_serializing_if = "Vec::is_empty")]
    pub audiences: Vec<T>,
    /// The names of its environments.
    #[serde(default = "Vec::new")]
    pub environments: Vec<T>,
    /// `follower`, `guard`, `crl`, `status_list` or `none`.
    pub verifier_kind: Option<T>,
    /// The SPIFFE ID of its verifiers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verifier: Option<T>,
    /// Who answers for the purpose.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub business_owner: Option<T>,
    /// Who answers for the running.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub technical_owner: Option<T>,
}

/// The word for access tokens and JWT-SVIDs in `accepts`.
pub(super) const TOKENS: &str = "tokens";
/// The word for certificates in `accepts`.
pub(super) const CERTIFICATES: &str = "certificates";

impl From<&Document> for Draft<String> {
    fn from(document: &Document) -> Self {
        Self {
            owners: document.owners.iter().map(OwnerDraft::from).collect(),
            environments: document.environments.iter().map(EnvironmentDraft::from).collect(),
            workloads: document.workloads.iter().map(WorkloadDraft::from).collect(),
            downstreams: document.downstreams.iter().map(DownstreamDraft::from).collect(),
        }
    }
}

impl From<&Owner> for OwnerDraft<String> {
    fn from(owner: &Owner) -> Self {
        Self {
            id: owner.id.to_string(),
            kind: Some(owner.kind.to_string()),
            business_owner: Some(owner.business_owner.to_string()),
            technical_owner: Some(owner.technical_owner.to_string()),
            contract_end: owner.contract_end.map(|end| end.to_string()),
        }
    }
}

impl From<&Environment> for EnvironmentDraft<String> {
    fn from(environment: &Environment) -> Self {
        Self { name: environment.name.to_string() }
    }
}

impl From<&WorkloadSpec> for WorkloadDraft<String> {
    fn from(workload: &WorkloadSpec) -> Self {
        Self {
            spiffe_id: workload.spiffe_id.to_string(),
            owner: Some(workload.owner.to_string()),
            purpose: Some(workload.purpose.to_string()),
            environments: texts(&workload.environments),
            valid_until: workload.valid_until.map(|end| end.to_string()),
            business_owner: workload.business_owner.as_ref().map(ToString::to_string),
            technical_owner: workload.technical_owner.as_ref().map(ToString::to_string),
        }
    }
}

impl From<&DownstreamSpec> for DownstreamDraft<String> {
    fn from(downstream: &DownstreamSpec) -> Self {
        let accepts = [(downstream.accepts_tokens, TOKENS), (downstream.accepts_certificates, CERTIFICATES)];
        Self {
            name: downstream.name.to_string(),
            accepts: accepts.into_iter().filter(|(accepted, _)| *accepted).map(|(_, word)| word.to_owned()).collect(),
            audiences: texts(&downstream.audiences),
            environments: texts(&downstream.environments),
            verifier_kind: Some(downstream.verifier_kind.to_string()),
            verifier: downstream.verifier.as_ref().map(ToString::to_string),
            business_owner: downstream.business_owner.as_ref().map(ToString::to_string),
            technical_owner: downstream.technical_owner.as_ref().map(ToString::to_string),
        }
    }
}

fn texts<T: ToString>(names: impl IntoIterator<Item = T>) -> Vec<String> {
    names.into_iter().map(|name| name.to_string()).collect()
}
