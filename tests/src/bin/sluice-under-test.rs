//! The `sluice` command, built beside the tests so that they can start it. Here, and only here, jobs panic where their keys
//! say, and the clock can be wrong.

use std::process::ExitCode;

fn main() -> ExitCode {
    sluice_shared::fault_points::obey_keys();
    if let Some(millis) = std::env::var("SLUICE_CLOCK_WRONG_BY").ok().and_then(|millis| millis.parse().ok()) {
        sluice_shared::clock::be_wrong_by(millis);
    }
    sluice::cli::main()
}
