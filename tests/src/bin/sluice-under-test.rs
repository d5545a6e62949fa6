//! The `sluice` command, built beside the tests so that they can start it. Here, and only here, jobs panic where their keys say.

use std::process::ExitCode;

fn main() -> ExitCode {
    sluice_shared::fault_points::obey_keys();
    sluice::cli::main()
}
