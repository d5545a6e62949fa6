//! What the performance benchmarks run on: a fleet, the sink, and looks at what they use and store.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use sluice_shared::nats::{ConnectOptions, Nats};
use tempfile::TempDir;

use super::audience::Audience;
use super::fleet::{Fleet, FleetError, Setup, Target};
use super::load::Door;
use super::process::{Process, Start};
use super::usage::{Usage, Used};
use crate::cli::Failure;
use crate::cli::args::{Consumers, Via};

/// Destinations on this machine, a gate that holds nothing up, webhooks that are not either, quiet roles, and what is in hand when a worker dies comes
/// again as soon as it may.
const CONFIGURATION: &str = r#"
targets.allow_networks = ["127.0.0.0/8", "::1/128"]
gateway.auth = "open"
gate.rate = 1000000.0
gate.burst = 1000
gate.concurrency = 100000
worker.ack_wait = "15s"
delivery.per_endpoint = 256
log.filter = "warn"
"#;

/// What is started.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) workers: usize,
    pub(super) consumers: Consumers,
    /// The limit of the sink: calls a second.
    pub(super) sink_limit: Option<u32>,
    /// The rate of the gate of the sink, where it is to have one: calls a second.
    pub(super) gate: Option<u32>,
    /// How many streams the queues are spread over, where it is not as many as are by default.
    pub(super) shards: Option<u16>,
}

impl Plan {
    /// One of each role, nothing held up.
    pub(super) fn one_each(consumers: Consumers) -> Self {
        Self { workers: 1, consumers, sink_limit: None, gate: None, shards: None }
    }
}

/// One Sluice and whom it meets. Dropped, nothing is left of it.
pub(super) struct Stage {
    pub(super) fleet: Fleet,
    pub(super) audience: Audience,
    /// Workers that came later.
    later: Vec<Process>,
    workers: usize,
    program: PathBuf,
    configuration: String,
    dir: TempDir,
}

impl Stage {
    /// Starts everything.
    pub(super) async fn start(plan: &Plan) -> Result<Self, Failure> {
        let program = std::env::current_exe().context("this program cannot be found")?;
        let dir = tempfile::Builder::new().prefix("sluice-bench-").tempdir();
        let dir = dir.context("there is no temporary directory")?;
        let audience = Audience::start(&program, dir.path(), plan.sink_limit).await?;
        let configuration = configuration(plan, audience.address());
        let setup = Setup {
            program: program.clone(),
            servers: 1,
            gateways: 1,
            workers: plan.workers,
            deliveries: 1,
            linked: Vec::new(),
            configuration: configuration.clone(),
        };
        let fleet = Fleet::start(&setup).await.map_err(failure)?;
        Ok(Self { fleet, audience, later: Vec::new(), workers: plan.workers, program, configuration, dir })
    }

    /// Where its NATS is.
    pub(super) fn nats(&self) -> String {
        self.fleet.servers().url()
    }

    /// The version of its nats-server.
    pub(super) fn nats_version(&self) -> Option<String> {
        self.fleet.servers().version().map(|version| version.to_string())
    }

    /// A way in.
    pub(super) async fn door(&self, via: Via) -> anyhow::Result<Door> {
        let gateway = self.fleet.gateways().into_iter().next().context("there is no gateway")?;
        Door::open(via, &gateway, &self.nats(), self.fleet.topology().prefix()).await
    }

    /// Starts one more worker.
    pub(super) async fn add_worker(&mut self) -> anyhow::Result<()> {
        let file = self.dir.path().join("sluice.toml");
        std::fs::write(&file, &self.configuration).context("the configuration cannot be written")?;
        let nats = self.nats();
        let arguments: [&str; 7] = ["worker", "--metrics", "127.0.0.1:0", "--json", "--nats", &nats, "--config"];
        let mut arguments: Vec<OsString> = arguments.map(Into::into).into();
        arguments.push(file.into());
        let number = self.workers + self.later.len();
        let (name, log) = (format!("worker {number}"), self.dir.path().join(format!("worker-{number}.log")));
        let start = Start { name, program: self.program.clone(), arguments, environment: Vec::new(), log };
        self.later.push(Process::start(start).await?);
        Ok(())
    }

    /// What each role has used so far.
    pub(super) fn used(&mut self) -> Used {
        let mut of = |target| Usage::of(self.fleet.process(target).and_then(|process| process.pid()));
        let workers = (0..self.workers).map(|number| of(Target::Worker(number))).fold(Usage::default(), |a, b| a + b);
        let (gateway, delivery) = (of(Target::Gateway(0)), of(Target::Delivery(0)));
        let later = self.later.iter().map(|process| Usage::of(process.pid()));
        Used {
            nats: Usage::of(self.fleet.servers().pids().next()),
            gateway,
            worker: later.fold(workers, |a, b| a + b),
            delivery,
        }
    }

    /// How many messages were stored so far, by what they are.
    pub(super) async fn stored(&self) -> anyhow::Result<BTreeMap<&'static str, u64>> {
        let topology = self.fleet.topology();
        let bucket = sluice_shared::topology::Topology::stream_of;
        let settings = topology.settings();
        let mut streams: Vec<(&str, String)> = vec![
            ("results", topology.results_stream()),
            ("retries", topology.deliveries_stream()),
            ("deliveries", bucket(&topology.deliveries_bucket())),
            ("submissions", topology.submit_stream()),
            ("events", topology.events_stream()),
            ("gates", bucket(&topology.gates_bucket())),
            ("queues", bucket(&topology.queues_bucket())),
            ("bodies", bucket(&topology.bodies_bucket())),
            ("dead", topology.dead_stream()),
        ];
        streams.extend((0..settings.shards).map(|shard| ("jobs", topology.jobs_stream(shard))));
        streams
            .extend((0..settings.record_buckets).map(|number| ("records", bucket(&topology.records_bucket(number)))));
        let jetstream = async_nats::jetstream::new(async_nats::connect(self.nats()).await?);
        let mut stored = BTreeMap::new();
        for (kind, stream) in streams {
            let stream = jetstream.get_stream(&stream).await.with_context(|| format!("{stream} is not there"))?;
            *stored.entry(kind).or_default() += stream.cached_info().state.last_sequence;
        }
        Ok(stored)
    }

    /// How many durable submissions no gateway has taken in.
    pub(super) async fn not_taken_in(&self) -> anyhow::Result<u64> {
        let options = ConnectOptions { url: self.nats().to_owned(), ..ConnectOptions::default() };
        let nats = Nats::connect(options, self.fleet.topology().clone()).await?;
        nats.held(&nats.topology().submit_stream()).await.map_err(|error| anyhow!("what is not taken in: {error}"))
    }

    /// Ends everything.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        for process in &mut self.later {
            process.stop().await?;
        }
        self.fleet.stop().await?;
        self.audience.stop().await
    }
}

fn configuration(plan: &Plan, sink: &str) -> String {
    let storage = format!("topology.consumer_storage = \"{}\"\n", plan.consumers.as_str());
    let gate = plan.gate.map(|rate| {
        let section = format!("gate.destinations.\"{sink}\"");
        format!("{section}.rate = {rate}.0\n{section}.burst = 1\n{section}.concurrency = 10000\n")
    });
    let shards = plan.shards.map(|shards| format!("topology.shards = {shards}\n"));
    format!("{CONFIGURATION}{storage}{}{}", gate.unwrap_or_default(), shards.unwrap_or_default())
}

/// A failure of the benchmark.
pub(super) fn failure(error: FleetError) -> Failure {
    match error {
        FleetError::Broker(error) => error.into(),
        FleetError::Role(error) => error.into(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a configuration that cannot be read fails the test")]

    use sluice_shared::config::{Config, ConsumerStorage};

    use super::*;

    #[test]
    fn the_configuration_is_one_and_the_gate_is_that_of_the_sink() {
        let plan = Plan { gate: Some(500), ..Plan::one_each(Consumers::Memory) };
        let config = Config::from_toml(&configuration(&plan, "127.0.0.1:9")).unwrap();
        assert_eq!(config.topology.consumer_storage, ConsumerStorage::Memory);
        assert_eq!(config.gate.destinations["127.0.0.1:9"].rate, Some(500.0));
        let config = Config::from_toml(&configuration(&Plan::one_each(Consumers::File), "127.0.0.1:9")).unwrap();
        assert!(config.gate.destinations.is_empty());
    }
}
