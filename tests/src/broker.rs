//! A nats-server of a test's own, with the topology made, and connections to it.

use std::time::Duration;

use sluice::broker::{Broker, BrokerOptions};
use sluice_shared::effects::{Caps, Effects};
use sluice_shared::nats::{ConnectOptions, Nats};
use sluice_shared::queues::Queues;
use sluice_shared::topology::{Options, Settings, Topology};
use tempfile::TempDir;

use crate::program;

/// A nats-server that ends with the test.
pub struct TestBroker {
    /// The server itself, to be restarted or killed.
    pub broker: Broker,
    topology: Topology,
    _dir: TempDir,
}

/// A small topology: one shard, one bucket of records.
#[must_use]
pub fn small() -> Settings {
    Settings { prefix: "sluice".into(), shards: 1, record_buckets: 1, replicas: 1, consumers_in_memory: false }
}

impl TestBroker {
    /// Starts one with the small topology made.
    ///
    /// # Panics
    /// Where it does not start.
    pub async fn start() -> Self {
        Self::with(small()).await
    }

    /// Starts one with this topology made.
    ///
    /// # Panics
    /// Where it does not start.
    pub async fn with(settings: Settings) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut options = BrokerOptions::new(dir.path().join("nats"));
        options.runner = Some(program());
        let broker = Broker::start(options).await.unwrap();
        let this = Self { broker, topology: Topology::new(settings), _dir: dir };
        let made = Options { dead_letter_age: Duration::from_secs(3600), ack_wait: Duration::from_secs(15) };
        this.topology.create(&this.connect().await, made).await.unwrap();
        this
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> &str {
        self.broker.url()
    }

    /// A connection of its own.
    ///
    /// # Panics
    /// Where it cannot be made.
    pub async fn connect(&self) -> Nats {
        let options = ConnectOptions { url: self.url().into(), name: "test".into(), ..ConnectOptions::default() };
        Nats::connect(options, self.topology.clone()).await.unwrap()
    }

    /// What it takes to act on jobs, over a connection of its own.
    ///
    /// # Panics
    /// Where there is no connection.
    pub async fn effects(&self) -> Effects {
        let nats = self.connect().await;
        let queues = Queues::start(&nats).await;
        Effects::new(&nats, &queues, Caps::new(nats.max_payload(), 1 << 20), Duration::from_secs(3600))
    }
}
