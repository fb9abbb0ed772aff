//! SCIM 2.0 (RFC 7643, RFC 7644) as values: what a client sends is understood here, and what it is
//! answered is made here. Nothing here listens, waits or keeps anything.
//!
//! A resource is kept as the attributes that a client wrote, held to the [`schema`]. Users are people,
//! groups are owners: see [`meaning`].

mod describe;
mod filter;
mod list;
pub(crate) mod meaning;
mod patch;
mod path;
mod refused;
mod resource;
mod schema;

#[cfg(test)]
mod tests;

pub(crate) use describe::{provider, resource_types, schemas};
pub(crate) use list::{Query, whole};
pub(crate) use patch::Patch;
pub(crate) use refused::{Refused, Wrong};
pub(crate) use resource::{Resource, Selection, member_id, take};
pub(crate) use schema::Kind;
