//! What this process gives away of its memory: nothing; and what it takes: no more than it uses.

use std::io;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::disable_transparent_huge_pages;

/// Makes the memory of this process unreadable for other processes of the same user, and leaves no
/// core file when it ends badly: both would hold private keys.
///
/// # Errors
/// If the operating system refuses.
pub fn keep_memory_private() -> io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// Has memory counted in small pages. The allocator asks for huge ones, each of which is resident as a whole however
/// little of it is used: a broker that does nothing has twice as much then. A kernel that knows no huge pages refuses.
pub fn keep_memory_small() {
    let _ = disable_transparent_huge_pages(true);
}

#[cfg(test)]
mod tests {
    use rustix::process::{dumpable_behavior, getrlimit};
    use rustix::thread::transparent_huge_pages_are_disabled;

    use super::*;

    #[test]
    fn nobody_reads_the_memory_of_a_process_that_asked_for_it() {
        keep_memory_private().expect("allowed");
        assert_eq!(dumpable_behavior().expect("known"), DumpableBehavior::NotDumpable);
        assert_eq!(getrlimit(Resource::Core), Rlimit { current: Some(0), maximum: Some(0) });
    }

    #[test]
    fn no_huge_page_is_taken_by_a_process_that_wants_little() {
        keep_memory_small();
        assert!(transparent_huge_pages_are_disabled().expect("known"));
    }
}
