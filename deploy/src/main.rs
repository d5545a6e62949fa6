//! The `sluice` command.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// A tenth of what the roles spend at full load went into the C library's allocator.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    sluice::cli::main()
}
