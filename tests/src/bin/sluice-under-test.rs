//! The `sluice` command, built beside the tests so that they can start it. Here, and only here, jobs panic where their keys
//! say, the clock can be wrong, and names resolve to what a script says.

use std::process::ExitCode;

fn main() -> ExitCode {
    sluice_shared::fault_points::obey_keys();
    if let Some(millis) = std::env::var("SLUICE_CLOCK_WRONG_BY").ok().and_then(|millis| millis.parse().ok()) {
        sluice_shared::clock::be_wrong_by(millis);
    }
    if let Ok(script) = std::env::var("SLUICE_NAMES") {
        sluice_workers::targets::names::follow(&script);
    }
    sluice::cli::main()
}
