//! The program: parse, run, exit code.

/// A tenth of the CPU of an issuance went to the allocator of the system.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    curfew::cli::main()
}
