//! Decisions over facts that were built by applying entries, as a ledger would.

mod authorise;
mod cache;
mod case;
mod compile;
mod decide;
mod properties;
mod terms;
mod world;
