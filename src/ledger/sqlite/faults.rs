//! Where every write of the store passes, so that tests can make it fail.

use rusqlite::{Result, Transaction};

#[cfg(test)]
pub(super) use armed::Fault;
pub(crate) use armed::Faults;

#[cfg(not(test))]
mod armed {
    use super::{Result, Transaction};
    use crate::ledger::OpenError;

    /// No write is made to fail.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct Faults(());

    #[expect(clippy::unused_self, reason = "in tests it says how the write fails")]
    impl Faults {
        /// Commits.
        pub(in crate::ledger::sqlite) fn commit(&self, transaction: Transaction<'_>) -> Result<()> {
            transaction.commit()
        }

        /// Lets a write pass that commits by itself.
        pub(in crate::ledger::sqlite) fn pass(&self, write: impl FnOnce() -> Result<(), OpenError>) -> Result<(), OpenError> {
            write()
        }
    }
}

#[cfg(test)]
mod armed {
    use std::collections::VecDeque;
    use std::sync::{Arc, Mutex};

    use super::{Result, Transaction};
    use crate::ledger::OpenError;

    /// How a write fails.
    #[derive(Clone, Copy, Debug)]
    pub(in crate::ledger::sqlite) enum Fault {
        /// Nothing persists.
        Before,
        /// Everything persists, and nobody is told.
        After,
    }

    /// What becomes of the next writes: whether and how each fails. Clones share it.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct Faults(Arc<Mutex<VecDeque<Option<Fault>>>>);

    impl Faults {
        /// After `spared` writes that succeed, one fails.
        pub(in crate::ledger::sqlite) fn arm(&self, spared: usize, fault: Fault) {
            let mut writes = self.0.lock().expect("sound");
            writes.extend(std::iter::repeat_n(None, spared));
            writes.push_back(Some(fault));
        }

        /// How many writes are still to come until none fails.
        pub(in crate::ledger::sqlite) fn left(&self) -> usize {
            self.0.lock().expect("sound").len()
        }

        fn next(&self) -> Option<Fault> {
            self.0.lock().expect("sound").pop_front().flatten()
        }

        pub(in crate::ledger::sqlite) fn commit(&self, transaction: Transaction<'_>) -> Result<()> {
            let failed = Err(rusqlite::Error::InvalidQuery);
            match self.next() {
                None => transaction.commit(),
                Some(Fault::Before) => transaction.rollback().and(failed),
                Some(Fault::After) => transaction.commit().and(failed),
            }
        }

        pub(in crate::ledger::sqlite) fn pass(&self, write: impl FnOnce() -> Result<(), OpenError>) -> Result<(), OpenError> {
            let failed = Err(OpenError::Store("the write failed".to_owned()));
            match self.next() {
                None => write(),
                Some(Fault::Before) => failed,
                Some(Fault::After) => write().and(failed),
            }
        }
    }
}
