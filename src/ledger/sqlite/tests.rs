//! The contract on a file and in memory, and what is SQLite's own.

use super::*;
use crate::ledger::contract::{Rig, contract};
use crate::ledger::samples::{EPOCH, NOW};

pub(super) fn options() -> Options {
    let domain = "example.org".parse().expect("a trust domain");
    // Small segments, so that every test crosses from one to the next.
    Options { segment_size: 8, min_free_disk: 0, ..Options::new(domain, EPOCH) }
}

fn in_memory() -> Rig {
    let (clock, hand) = Clock::manual(NOW);
    let ledger = SqliteLedger::open(&Place::Memory, options(), clock).expect("opened");
    Rig { ledger, hand, _folder: None }
}

fn on_file() -> Rig {
    let (clock, hand) = Clock::manual(NOW);
    let folder = tempfile::tempdir().expect("a folder");
    let place = Place::File(folder.path().join("ledger.db"));
    let ledger = SqliteLedger::open(&place, options(), clock).expect("opened");
    Rig { ledger, hand, _folder: Some(folder) }
}

contract!(memory, in_memory());
contract!(file, on_file());
