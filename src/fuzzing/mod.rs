//! The targets of fuzzers: for each parser, a function that asserts what holds of any input.
//!
//! No part of the public interface. The kept corpora in `tests/corpus` are replayed by the tests;
//! `tests/fuzz` drives the same functions with a fuzzer. A broken assertion is a finding.

mod feeds;
mod signed;
mod text;
mod wire;

/// A parser under test.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The name of its corpus.
    pub name: &'static str,
    /// Puts one input to it.
    pub run: fn(&[u8]),
}

const fn target(name: &'static str, run: fn(&[u8])) -> Target {
    Target { name, run }
}

/// All of them.
pub const TARGETS: &[Target] = &[
    target("binding", wire::binding),
    target("certificate", signed::certificate),
    target("checkpoint", signed::checkpoint),
    target("claims", wire::claims),
    target("crl", wire::crl),
    target("entry", wire::entry),
    target("feed_csv", feeds::feed_csv),
    target("feed_json", feeds::feed_json),
    target("jws", wire::jws),
    target("keys", wire::keys),
    target("list", wire::list),
    target("policy", text::policy),
    target("policy_annotations", text::policy_annotations),
    target("registry", text::registry),
    target("scim_filter", text::scim_filter),
    target("scim_patch", text::scim_patch),
    target("signed_list", signed::list),
    target("signing_request", signed::signing_request),
    target("spiffe_id", text::spiffe_id),
    target("status_list", wire::status_list),
    target("token", signed::token),
];
