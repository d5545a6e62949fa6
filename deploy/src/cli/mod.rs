//! The command line: what can be asked for, what is said, and with which exit code it ends.

pub(crate) mod args;
mod bench_args;
pub(crate) mod configuration;
mod failure;
mod keys;
mod keys_args;
mod nats_config;
mod role;
mod secrets;
mod secrets_args;
pub(crate) mod stop;
mod topology;
mod up;

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::anyhow;
use clap::Parser as _;
use sluice_shared::config::Config;
use sluice_shared::telemetry::{self, LogError};
use tokio::net::TcpListener;

use args::{Cli, Command};
pub(crate) use failure::Failure;

use crate::bench;
use crate::broker::guard;
use crate::demo;
use crate::roles::Role;

/// The whole program: reads the command line, runs what it asks for, says why it failed.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|error| error.exit());
    // Another provider that was installed before is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::Failed(error.into()).report(),
    };
    runtime.block_on(run(cli.command))
}

async fn run(command: Command) -> ExitCode {
    let ended = match command {
        Command::Up(args) => Box::pin(up::up(args)).await,
        Command::Demo(args) => Box::pin(demo::demo(args.json)).await,
        Command::Bench(command) => bench::bench(command).await,
        Command::Gateway(args) => role::gateway(args).await,
        Command::Worker(args) => role::behind_the_door(Role::Worker, args).await,
        Command::Delivery(args) => role::behind_the_door(Role::Delivery, args).await,
        Command::Secrets(command) => secrets::secrets(command).await,
        Command::Keys(command) => Box::pin(keys::keys(command)).await,
        Command::Topology(args) => Box::pin(topology::topology(args)).await,
        Command::NatsConfig(args) => nats_config::nats_config(args),
        Command::OpenApi => {
            say(&format!("{:#}", sluice_gateway::http::document()));
            Ok(())
        }
        Command::BenchSink(args) => bench::sink(args).await,
        Command::BenchFloor(args) => bench::floor(args).await,
        Command::EmbeddedNats(options) => return guard(options).await,
    };
    ended.map_or_else(|failure| failure.report(), |()| ExitCode::SUCCESS)
}

/// Prints what was asked for. A reader that went away does not end us.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Starts log lines, as configured. A process that has them already keeps its own.
pub(crate) fn start_log(config: &Config) -> Result<(), Failure> {
    match telemetry::init(&config.log) {
        Ok(()) | Err(LogError::Already) => Ok(()),
        Err(error @ LogError::Filter { .. }) => Err(Failure::Usage(error.into())),
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        let advice = "choose another address, port 0 for a free one";
        Failure::Failed(anyhow!("{address} cannot be listened on: {error}; {advice}"))
    })
}
