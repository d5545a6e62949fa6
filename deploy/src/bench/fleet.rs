//! A whole Sluice as processes on nats-servers of its own, in a temporary directory: what the benchmarks run.
//!
//! Invariant: nothing is left of it, and no NATS that runs already is touched.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Context as _;
use futures_util::future::try_join_all;
use sluice_shared::config::Config;
use sluice_shared::topology::Topology;
use tempfile::TempDir;

use super::link::Link;
use super::process::{Process, Start};
use super::servers::{Servers, ServersError};
use crate::broker::BrokerError;
use crate::cli::configuration;

/// How many processes of each role there are, and what they run with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The `sluice` program: it runs the roles, and the guard of the nats-server.
    pub program: PathBuf,
    /// The nats-servers: one, or three as a cluster.
    pub servers: usize,
    /// Gateways.
    pub gateways: usize,
    /// Workers.
    pub workers: usize,
    /// Delivery services.
    pub deliveries: usize,
    /// Roles that reach the nats-servers over links, which can be cut.
    pub linked: Vec<Target>,
    /// The configuration of all of them, as TOML.
    pub configuration: String,
}

/// A part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// The gateway of this number.
    Gateway(usize),
    /// The worker of this number.
    Worker(usize),
    /// The delivery service of this number.
    Delivery(usize),
    /// The nats-server of this number.
    Server(usize),
}

/// The processes. Dropped, the roles end before the nats-servers.
pub struct Fleet {
    gateways: Vec<Process>,
    workers: Vec<Process>,
    deliveries: Vec<Process>,
    links: HashMap<Target, Link>,
    servers: Servers,
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
        let servers = Servers::start(setup.servers, dir.path(), &setup.program).await?;
        let mut links = HashMap::new();
        for target in &setup.linked {
            links.insert(*target, Link::to(servers.urls()).await?);
        }
        let start = |role: &'static str, number: usize, target: Target| {
            let name = format!("{role} {number}");
            let log = dir.path().join(format!("{role}-{number}.log"));
            let address = if role == "gateway" { "--listen" } else { "--metrics" };
            let nats = links.get(&target).map_or_else(|| servers.url(), Link::url);
            let arguments: [&str; 7] = [role, address, "127.0.0.1:0", "--json", "--nats", &nats, "--config"];
            let mut arguments: Vec<OsString> = arguments.map(Into::into).into();
            arguments.push(configuration.clone().into());
            Process::start(Start { name, program: setup.program.clone(), arguments, environment: Vec::new(), log })
        };
        let many = |role, count: usize, target: fn(usize) -> Target| {
            try_join_all((0..count).map(move |number| start(role, number, target(number))))
        };
        // The first makes the topology; the others find it.
        let gateways = many("gateway", setup.gateways, Target::Gateway).await?;
        let (workers, deliveries) = tokio::try_join!(
            many("worker", setup.workers, Target::Worker),
            many("delivery", setup.deliveries, Target::Delivery)
        )?;
        let topology = Topology::new(configuration::topology(&config));
        Ok(Self { gateways, workers, deliveries, links, servers, topology, _dir: dir })
    }

    /// The base URLs of the gateways.
    #[must_use]
    pub fn gateways(&self) -> Vec<String> {
        let url = |gateway: &Process| gateway.announced()["http"].as_str().unwrap_or_default().to_owned();
        self.gateways.iter().map(url).collect()
    }

    /// The nats-servers.
    #[must_use]
    pub fn servers(&self) -> &Servers {
        &self.servers
    }

    /// The way of a role to the nats-servers.
    ///
    /// # Errors
    /// Where it has none of its own.
    pub fn link(&self, target: Target) -> anyhow::Result<&Link> {
        self.links.get(&target).with_context(|| format!("{target:?} is not linked"))
    }

    /// The names of what is in it.
    #[must_use]
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// A process of a role; `None` for a nats-server, and where there are not so many.
    #[must_use]
    pub fn process(&mut self, target: Target) -> Option<&mut Process> {
        match target {
            Target::Gateway(number) => self.gateways.get_mut(number),
            Target::Worker(number) => self.workers.get_mut(number),
            Target::Delivery(number) => self.deliveries.get_mut(number),
            Target::Server(_) => None,
        }
    }

    /// Ends a part as a crash would (SIGKILL).
    ///
    /// # Errors
    /// Where it does not run.
    pub async fn kill(&mut self, target: Target) -> anyhow::Result<()> {
        if let Target::Server(number) = target {
            return self.servers.kill(number).await;
        }
        self.of(target)?.kill().await.map(drop)
    }

    /// Starts a part again: with the same arguments, a nats-server on its store and port.
    ///
    /// # Errors
    /// Where it does not start.
    pub async fn start_again(&mut self, target: Target) -> anyhow::Result<()> {
        if let Target::Server(number) = target {
            return self.servers.start_again(number).await;
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

    /// Ends everything: the roles that run are told to stop and hand back what they hold, then the nats-servers end.
    ///
    /// # Errors
    /// Where a role does not stop in good order.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        let roles = self.gateways.iter_mut().chain(&mut self.workers).chain(&mut self.deliveries);
        for process in roles.filter(|process| process.pid().is_some()) {
            let ended = process.stop().await?;
            anyhow::ensure!(ended.success(), "the {} did not stop in good order: {ended}", process.name());
        }
        self.servers.stop().await;
        Ok(())
    }
}

/// Why there is no fleet.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// No nats-server.
    #[error(transparent)]
    Broker(BrokerError),
    /// A role does not run.
    #[error(transparent)]
    Role(#[from] anyhow::Error),
}

impl From<ServersError> for FleetError {
    fn from(error: ServersError) -> Self {
        match error {
            ServersError::Broker(error) => Self::Broker(error),
            ServersError::Cluster(error) => Self::Role(error),
        }
    }
}
