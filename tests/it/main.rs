//! What must hold of the whole: the house rules, and a real broker seen from outside.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on ends; clippy spares test functions only, not what they call"
)]

mod abuse;
mod audit;
mod authority;
mod certs;
mod chains;
mod cli;
mod clocks;
mod contracts;
mod corpus;
mod damage;
mod databases;
mod deadlines;
mod decommission;
mod disk;
mod embedding;
mod examples;
mod exceptions;
mod explaining;
mod exporter;
mod feeds;
mod findings;
mod follower;
mod followers;
mod following;
mod forked;
mod guarding;
mod harness;
mod held;
mod holder;
mod hsm;
mod https;
mod identities;
mod keys;
mod kill;
mod leaving;
mod limits;
mod lists;
mod offboarding;
mod operations;
mod outside;
mod overdue;
mod pages;
mod pkits;
mod postgres;
mod process;
mod race;
mod reconciling;
mod recovery;
mod rotation;
mod scenarios;
mod scim;
mod service;
mod slow;
mod sources;
mod stock;
mod tidy;
mod wire;
