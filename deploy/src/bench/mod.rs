//! `sluice bench`: what it does under load and under faults, measured on a system of its own on this machine.
//!
//! Each subcommand starts what it needs as processes, is bounded, leaves nothing running, and prints a table for people
//! or one JSON document.

mod audience;
mod backlog;
mod document;
pub mod faults;
pub mod fleet;
mod floor;
mod gate;
mod latency;
pub mod link;
mod load;
pub mod machine;
mod monotonic;
pub mod process;
mod queues;
pub mod servers;
mod sink;
mod stage;
mod storm;
mod sweep;
mod tenants;
mod throughput;
mod usage;
mod windows;

use crate::cli::Failure;
use crate::cli::args::{BenchCommand, FloorArgs, SinkArgs};
pub(crate) use floor::SUBCOMMAND as FLOOR;
pub(crate) use sink::SUBCOMMAND as SINK;

/// Runs one benchmark to its end.
pub(crate) async fn bench(command: BenchCommand) -> Result<(), Failure> {
    match command {
        BenchCommand::Faults(args) => Box::pin(faults::run(args)).await,
        BenchCommand::Sweep(args) => Box::pin(sweep::run(args)).await,
        BenchCommand::Throughput(args) => Box::pin(throughput::run(args)).await,
        BenchCommand::Latency(args) => Box::pin(latency::run(args)).await,
        BenchCommand::Gate(args) => Box::pin(gate::run(args)).await,
        BenchCommand::Storm(args) => Box::pin(storm::run(args)).await,
        BenchCommand::Queues(args) => Box::pin(queues::run(args)).await,
        BenchCommand::Tenants(args) => Box::pin(tenants::run(args)).await,
        BenchCommand::Backlog(args) => Box::pin(backlog::run(args)).await,
    }
}

/// Runs the sink, for the benchmark that started this process.
pub(crate) async fn sink(args: SinkArgs) -> Result<(), Failure> {
    sink::serve(args).await
}

/// Runs the bare path, for the benchmark that started this process.
pub(crate) async fn floor(args: FloorArgs) -> Result<(), Failure> {
    Box::pin(floor::floor(args)).await
}
