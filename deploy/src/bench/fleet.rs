//! A whole Sluice as processes on a nats-server of its own, in a temporary directory: what the benchmarks run.
//!
//! Invariant: nothing is left of it, and no NATS that runs already is touched.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Context as _;
use futures_util::future::try_join_all;
use sluice_shared::config::Config;
use sluice_shared::topology::Topology;
use tempfile::TempDir;

use super::process::{Process, Start};
use crate::broker::{Broker, BrokerError, BrokerOptions};
use crate::cli::configuration;

/// How many processes of each role there are, and what they run with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The `sluice` program: it runs the roles, and the guard of the nats-server.
    pub program: PathBuf,
    /// Gateways.
    pub gateways: usize,
    /// Workers.
    pub workers: usize,
    /// Delivery services.
    pub deliveries: usize,
    /// The configuration of all of them, as TOML.
    pub configuration: String,
}

/// A part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The gateway of this number.
    Gateway(usize),
    /// The worker of this number.
    Worker(usize),
    /// The delivery service of this number.
    Delivery(usize),
    /// The nats-server.
    Broker,
}

/// The processes. Dropped, the roles end before the nats-server.
pub struct Fleet {
    gateways: Vec<Process>,
    workers: Vec<Process>,
    deliveries: Vec<Process>,
    broker: Broker,
    topology: Topology,
    _dir: TempDir,
}

impl Fleet {
    /// Starts everything, and waits until all have announced themselves.
    ///
    /// # Errors
    /// Where there is no nats-server.
    pub async fn start(setup: &Setup) -> Result<Self, FleetError> {
        let dir =
            tempfile::Builder::new().prefix("sluice-bench-").tempdir().context("there is no temporary directory")?;
        let config = Config::from_toml(&setup.configuration).context("the configuration is wrong")?;
        let configuration = dir.path().join("sluice.toml");
        std::fs::write(&configuration, &setup.configuration).context("the configuration cannot be written")?;
        let mut options = BrokerOptions::new(dir.path().join("nats"));
        options.environment.nats_url = None; // one of its own, always
        options.runner = Some(setup.program.clone());
        let broker = Broker::start(options).await?;
        let start = |role: &'static str, number: usize| {
            let name = format!("{role} {number}");
            let log = dir.path().join(format!("{role}-{number}.log"));
            let address = if role == "gateway" { "--listen" } else { "--metrics" };
            let arguments: [&str; 7] = [role, address, "127.0.0.1:0", "--json", "--nats", broker.url(), "--config"];
            let mut arguments: Vec<OsString> = arguments.map(Into::into).into();
            arguments.push(configuration.clone().into());
            Process::start(Start { name, program: setup.program.clone(), arguments, environment: Vec::new(), log })
        };
        let many = |role, count: usize| try_join_all((0..count).map(move |number| start(role, number)));
        // The first makes the topology; the others find it.
        let gateways = many("gateway", setup.gateways).await?;
        let (workers, deliveries) =
            tokio::try_join!(many("worker", setup.workers), many("delivery", setup.deliveries))?;
        let topology = Topology::new(configuration::topology(&config));
        Ok(Self { gateways, workers, deliveries, broker, topology, _dir: dir })
    }

    /// The base URLs of the gateways.
    #[must_use]
    pub fn gateways(&self) -> Vec<String> {
        let url = |gateway: &Process| gateway.announced()["http"].as_str().unwrap_or_default().to_owned();
        self.gateways.iter().map(url).collect()
    }

    /// The nats-server.
    #[must_use]
    pub fn broker(&self) -> &Broker {
        &self.broker
    }

    /// The names of what is in it.
    #[must_use]
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// A process of a role; `None` for the nats-server, and where there are not so many.
    #[must_use]
    pub fn process(&mut self, target: Target) -> Option<&mut Process> {
        match target {
            Target::Gateway(number) => self.gateways.get_mut(number),
            Target::Worker(number) => self.workers.get_mut(number),
            Target::Delivery(number) => self.deliveries.get_mut(number),
            Target::Broker => None,
        }
    }

    /// Ends a part as a crash would (SIGKILL).
    ///
    /// # Errors
    /// Where it does not run.
    pub async fn kill(&mut self, target: Target) -> anyhow::Result<()> {
        if target == Target::Broker {
            self.broker.kill().await;
            return Ok(());
        }
        self.of(target)?.kill().await.map(drop)
    }

    /// Starts a part again: with the same arguments, the nats-server on its store and port.
    ///
    /// # Errors
    /// Where it does not start.
    pub async fn start_again(&mut self, target: Target) -> anyhow::Result<()> {
        if target == Target::Broker {
            return Ok(self.broker.restart().await?);
        }
        self.of(target)?.restart().await
    }

    /// A process that has to be there.
    ///
    /// # Errors
    /// Where it is not.
    pub fn of(&mut self, target: Target) -> anyhow::Result<&mut Process> {
        self.process(target).with_context(|| format!("there is no process {target:?}"))
    }

    /// Ends everything: the roles that run are told to stop and hand back what they hold, then the nats-server ends.
    ///
    /// # Errors
    /// Where a role does not stop in good order.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        let roles = self.gateways.iter_mut().chain(&mut self.workers).chain(&mut self.deliveries);
        for process in roles.filter(|process| process.pid().is_some()) {
            let ended = process.stop().await?;
            anyhow::ensure!(ended.success(), "the {} did not stop in good order: {ended}", process.name());
        }
        self.broker.stop().await;
        Ok(())
    }
}

/// Why there is no fleet.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// No nats-server.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// A role does not run.
    #[error(transparent)]
    Role(#[from] anyhow::Error),
}
