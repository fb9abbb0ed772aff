//! Decisions over facts that were built by applying entries, as a ledger would.

mod authorise;
mod compile;
mod decide;
mod properties;
mod world;
