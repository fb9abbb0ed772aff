//! What this process gives away of its memory: nothing.

use std::io;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Makes the memory of this process unreadable for other processes of the same user, and leaves no
/// core file when it ends badly: both would hold private keys.
///
/// # Errors
/// If the operating system refuses.
pub fn keep_memory_private() -> io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

#[cfg(test)]
mod tests {
    use rustix::process::{dumpable_behavior, getrlimit};

    use super::*;

    #[test]
    fn nobody_reads_the_memory_of_a_process_that_asked_for_it() {
        keep_memory_private().expect("allowed");
        assert_eq!(dumpable_behavior().expect("known"), DumpableBehavior::NotDumpable);
        assert_eq!(getrlimit(Resource::Core), Rlimit { current: Some(0), maximum: Some(0) });
    }
}
