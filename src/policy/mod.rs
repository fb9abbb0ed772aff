//! Policy: pure decisions on facts. Only this module makes a [`Grant`].
//!
//! A request to issue passes, in this order: the caller's certificate, its lineage, the standing of
//! everything that the credential would stand on, the policies ([Cedar](https://cedarpolicy.com),
//! seen by one file only), and the bounds of its life. Every other call is a question to the
//! policies alone, after the standing of a workload. Nothing is allowed that no policy allows, and
//! a policy that cannot be evaluated refuses.
//!
//! `docs/policy.md` is the public format.

mod cache;
mod cedar;
mod decide;
mod depth;
mod engine;
mod explain;
mod grant;
mod request;
mod role;
mod text;

pub(crate) use decide::admit;
pub(crate) use engine::Engine;
pub(crate) use explain::Explanation;
pub(crate) use grant::{Caller, Grant, IssueRequest, OwnCertificate, ServerCertificate};
pub(crate) use request::{Action, Resource};
pub(crate) use role::Role;
pub(crate) use text::{DEFAULT_PACK, Problem, life, text_hash};

#[cfg(test)]
mod tests;
