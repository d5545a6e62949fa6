//! A whole Sluice of a test's own: a nats-server and any number of role processes on it.

use std::ffi::OsString;
use std::path::PathBuf;

use futures_util::future::join_all;
use sluice_shared::topology::Settings;
use tempfile::TempDir;

use crate::broker::{TestBroker, small};
use crate::client::Client;
use crate::configuration::Configuration;
use crate::process::Process;

/// How many of each role there are, and what they are configured with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Gateways.
    pub gateways: usize,
    /// Workers.
    pub workers: usize,
    /// Delivery services.
    pub deliveries: usize,
    /// By how many milliseconds the clocks of machines are ahead, or behind: that of each role's process in turn.
    pub wrong_clocks: WrongClocks,
    /// The regions of workers: that of each in turn; none where it is empty, or nothing is said.
    pub regions: &'static [&'static str],
    /// What is in the environment of all of them.
    pub environment: Vec<(&'static str, String)>,
    /// What all of them are configured with.
    pub configuration: Configuration,
    /// Where the seeds are that they log in with, `<role>.nk`; they log in without where nothing is said.
    pub seeds: Option<PathBuf>,
}

/// Those of gateways, workers and deliveries; right where nothing is said.
#[derive(Clone, Copy, Debug, Default)]
pub struct WrongClocks {
    /// Of gateways.
    pub gateways: &'static [i64],
    /// Of workers.
    pub workers: &'static [i64],
    /// Of delivery services.
    pub deliveries: &'static [i64],
}

impl Default for Setup {
    fn default() -> Self {
        let (wrong_clocks, configuration) = (WrongClocks::default(), Configuration::default());
        Self {
            gateways: 1,
            workers: 1,
            deliveries: 1,
            wrong_clocks,
            regions: &[],
            environment: Vec::new(),
            configuration,
            seeds: None,
        }
    }
}

impl From<Configuration> for Setup {
    fn from(configuration: Configuration) -> Self {
        Self { configuration, ..Self::default() }
    }
}

/// The processes. Dropped, the roles end before the broker.
pub struct System {
    /// The gateways.
    pub gateways: Vec<Process>,
    /// The workers.
    pub workers: Vec<Process>,
    /// The delivery services.
    pub deliveries: Vec<Process>,
    /// The nats-server that they share.
    pub broker: TestBroker,
    clocks: WrongClocks,
    regions: &'static [&'static str],
    environment: Vec<(&'static str, String)>,
    seeds: Option<PathBuf>,
    files: TempDir,
}

impl System {
    /// Starts everything, and waits until all have announced themselves.
    ///
    /// # Panics
    /// Where one does not.
    pub async fn start(setup: Setup) -> Self {
        let configured = |key| setup.configuration.number(key);
        let settings = Settings {
            shards: configured("topology.shards").unwrap_or(16),
            record_buckets: configured("topology.record_buckets").unwrap_or(4),
            lanes: configured("topology.lanes").unwrap_or(8),
            ..small()
        };
        Self::on(TestBroker::with(settings).await, setup).await
    }

    /// The same on a broker that is there; its topology is to be that of the setup.
    ///
    /// # Panics
    /// Where a role does not announce itself.
    pub async fn on(broker: TestBroker, setup: Setup) -> Self {
        let files = tempfile::tempdir().unwrap();
        let (clocks, regions, environment) = (setup.wrong_clocks, setup.regions, setup.environment);
        let (gateways, workers, deliveries) = (Vec::new(), Vec::new(), Vec::new());
        let mut this =
            Self { gateways, workers, deliveries, broker, clocks, regions, environment, seeds: setup.seeds, files };
        this.reconfigure(&setup.configuration);
        let roles = [("gateway", setup.gateways), ("worker", setup.workers), ("delivery", setup.deliveries)];
        let each = roles.iter().flat_map(|(role, count)| (0..*count).map(|number| this.role(role, number)));
        let mut started = join_all(each).await.into_iter();
        let [gateways, workers, deliveries] =
            [setup.gateways, setup.workers, setup.deliveries].map(|count| started.by_ref().take(count).collect());
        (this.gateways, this.workers, this.deliveries) = (gateways, workers, deliveries);
        this
    }

    /// A client of the first gateway.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(self.gateways[0].http())
    }

    /// Starts one more worker.
    ///
    /// # Panics
    /// Where it does not announce itself.
    pub async fn add_worker(&mut self) -> &mut Process {
        let worker = self.role("worker", self.workers.len()).await;
        self.workers.push(worker);
        self.workers.last_mut().unwrap()
    }

    /// Starts one more delivery service.
    ///
    /// # Panics
    /// Where it does not announce itself.
    pub async fn add_delivery(&mut self) -> &mut Process {
        let delivery = self.role("delivery", self.deliveries.len()).await;
        self.deliveries.push(delivery);
        self.deliveries.last_mut().unwrap()
    }

    /// What every role is configured with from its next start on.
    ///
    /// # Panics
    /// Where it cannot be written.
    pub fn reconfigure(&self, configuration: &Configuration) {
        for role in ["gateway", "worker", "delivery"] {
            let configuration = match &self.seeds {
                Some(seeds) => {
                    let seed = seeds.join(format!("{role}.nk"));
                    configuration.clone().set("nats.nkey_seed_file", seed.to_str().unwrap())
                }
                None => configuration.clone(),
            };
            std::fs::write(self.file(&format!("{role}.toml")), configuration.toml()).unwrap();
        }
    }

    /// Stops every role, and starts it again as it is configured now.
    ///
    /// # Panics
    /// Where one does not come back.
    pub async fn restart(&mut self) {
        let roles = self.gateways.iter_mut().chain(&mut self.workers).chain(&mut self.deliveries);
        join_all(roles.map(Process::restart)).await;
    }

    async fn role(&self, role: &str, number: usize) -> Process {
        let name = format!("{role} {number}");
        let clocks = match role {
            "gateway" => self.clocks.gateways,
            "worker" => self.clocks.workers,
            _ => self.clocks.deliveries,
        };
        let wrong_by = clocks.get(number).copied().unwrap_or_default();
        let log = self.file(&format!("{role}-{number}.log"));
        let clock = ("SLUICE_CLOCK_WRONG_BY", wrong_by.to_string());
        let region = self.regions.get(number).filter(|region| role == "worker" && !region.is_empty());
        let region = region.map(|region| ("SLUICE_WORKER__REGION", (*region).to_owned()));
        let environment = self.environment.iter().cloned().chain([clock]).chain(region);
        let environment = environment.map(|(name, value)| (name.to_owned(), value.into())).collect();
        Process::within(&name, self.arguments(role), log, environment).await
    }

    fn arguments(&self, role: &str) -> Vec<OsString> {
        let address = if role == "gateway" { "--listen" } else { "--metrics" };
        let mut arguments: Vec<OsString> =
            [role, address, "127.0.0.1:0", "--json", "--nats", self.broker.url(), "--config"].map(Into::into).into();
        arguments.push(self.file(&format!("{role}.toml")).into());
        arguments
    }

    fn file(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }
}
