//! `sluice bench`: what it does under load and under faults, measured on a system of its own on this machine.
//!
//! Each subcommand starts what it needs as processes, is bounded, leaves nothing running, and prints a table for people
//! or one JSON document.

pub mod faults;
pub mod fleet;
pub mod link;
pub mod machine;
pub mod process;
pub mod servers;
mod sweep;
mod usage;

use crate::cli::Failure;
use crate::cli::args::BenchCommand;

/// Runs one benchmark to its end.
pub(crate) async fn bench(command: BenchCommand) -> Result<(), Failure> {
    match command {
        BenchCommand::Faults(args) => Box::pin(faults::run(args)).await,
        BenchCommand::Sweep(args) => Box::pin(sweep::run(args)).await,
    }
}
