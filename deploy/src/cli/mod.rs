//! The command line: what can be asked for, and with which exit code it ends.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::broker::{GuardOptions, guard};

/// Executes outbound HTTP calls so that nothing is lost to a 429.
#[derive(Debug, Parser)]
#[command(name = "sluice", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the embedded nats-server for the process that holds the other end of standard input.
    #[command(name = crate::broker::SUBCOMMAND, hide = true)]
    EmbeddedNats(GuardOptions),
}

/// The whole program: reads the command line, runs what it asks for.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("sluice: {error}");
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(async {
        match cli.command {
            Command::EmbeddedNats(options) => guard(options).await,
        }
    })
}
