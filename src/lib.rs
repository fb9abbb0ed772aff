//! Curfew: a secrets broker in which giving access and taking it away are one linked event.
//!
//! A workload proves who it is by mutual TLS and gets, just in time, a short-lived token or X.509
//! certificate. Each issuance stands in a ledger before it is signed. One call,
//! revoke-by-owner, ends everything that was issued under an owner, and a signed list says so.
//!
//! The order of the modules is the architecture: a module imports only from groups above its own,
//! and a test holds the code to it. `docs/architecture.md` is the map.

// 1: the vocabulary.
pub mod model;

// 2: pure decisions, formats, and the outside world as values.
#[cfg(feature = "client")]
pub mod ambient;
#[cfg(feature = "verifier")]
pub mod formats;
#[cfg(feature = "broker")]
mod policy;
#[cfg(feature = "client")]
mod proto;

// 3: what is durable, and what signs.
#[cfg(feature = "broker")]
mod keys;
#[cfg(feature = "broker")]
mod ledger;

// 4: what people write, and what is signed.
#[cfg(feature = "broker")]
mod directory;
#[cfg(feature = "broker")]
mod lists;
#[cfg(feature = "broker")]
mod mint;

// 5: use cases, and the check that needs no broker.
#[cfg(feature = "broker")]
mod broker;
#[cfg(feature = "verifier")]
pub mod verify;

// 6: the door, and what is published.
#[cfg(feature = "broker")]
mod listen;
#[cfg(feature = "broker")]
mod publish;

// 7: the wire.
#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "broker")]
mod grpc;
#[cfg(feature = "broker")]
mod http;

// 8: configuration and composition.
#[cfg(feature = "broker")]
pub mod app;

// 9: the program, and tests of programs that embed it.
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "testing")]
pub mod testing;

// 10: every parser, for fuzzers.
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
