//! The registry: who and what there is, as people write it, and what the ledger must record for it.
//!
//! A [`Draft`] is a registry as it was written, in texts. A [`Document`] is one whose every text is
//! what it claims to be and whose names all refer to something. [`plan()`] says what differs from
//! the ledger's records, and which events make them equal. **Absent means ended**: what the
//! document does not name is cut.
//!
//! What a source says is a [`Snapshot`]: of files ([`yaml`]), or of the [`rows`] of a feed or a query.

mod check;
mod document;
mod draft;
mod plan;
pub(crate) mod rows;
pub(crate) mod scim;
mod snapshot;
pub(crate) mod yaml;

#[cfg(test)]
mod generators;

pub(crate) use check::{Finding, Names, Place, Problem};
pub(crate) use document::{Document, DownstreamSpec, WorkloadSpec};
pub(crate) use draft::{DownstreamDraft, Draft, EnvironmentDraft, OwnerDraft, WorkloadDraft};
pub(crate) use plan::{Action, Change, Difference, Subject, plan};
pub(crate) use snapshot::{Aside, ContractSpec, Scope, Snapshot};
