//! The wire formats, encode beside decode. Pure: no clock, no network, no key but a public one.
//!
//! `docs/formats.md` is the reference; golden files pin every byte that cannot change later.

pub mod binding;
pub mod checkpoint;
pub mod claims;
pub mod crl;
mod der;
pub mod jwk;
pub mod jws;
pub mod keyset;
pub mod list;
pub mod pem;
pub mod report;
pub mod status_index;
pub mod status_list;
pub mod svid;
pub mod urls;

#[cfg(test)]
mod golden;
