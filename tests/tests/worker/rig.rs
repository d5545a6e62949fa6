//! A worker in this process, a real nats-server, and a destination.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::stream::Stream;
use bytes::Bytes;
use futures_util::TryStreamExt;
use sluice::scripted::Destination;
use sluice_shared::clock;
use sluice_shared::config::Config;
use sluice_shared::domain::id::{BranchId, JobId, Tenant, Token};
use sluice_shared::domain::record::Record;
use sluice_shared::domain::submission::{Limits, read};
use sluice_shared::domain::targets::Targets;
use sluice_shared::effects::{Effects, Receipt, Submission};
use sluice_shared::nats::records::Found;
use sluice_shared::telemetry::Metrics;
use sluice_shared::topology::Stage;
use sluice_tests::broker::TestBroker;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

pub(crate) const SOON: Duration = Duration::from_secs(20);
/// Destinations are on this machine.
const TARGETS: &str = "targets.allow_networks = [\"127.0.0.0/8\"]";

pub(crate) struct Rig {
    broker: TestBroker,
    pub(crate) effects: Effects,
    pub(crate) destination: Destination,
}

pub(crate) struct Worker {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Worker {
    pub(crate) async fn stopped(mut self) {
        self.stop.cancel();
        tokio::time::timeout(SOON, &mut self.task).await.expect("the worker did not stop").unwrap();
    }
}

impl Rig {
    pub(crate) async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let broker = TestBroker::start().await;
        let effects = broker.effects().await;
        Self { broker, effects, destination: Destination::start().await.unwrap() }
    }

    pub(crate) async fn worker(&self, settings: &str) -> Worker {
        let config = Config::from_toml(&format!("{TARGETS}\ngate.rate = 1000.0\n{settings}")).unwrap();
        let (effects, stop) = (self.broker.effects().await, CancellationToken::new());
        let until = stop.clone();
        let task = tokio::spawn(async move {
            sluice_workers::run(effects, &config, Metrics::new(), until).await.unwrap();
        });
        Worker { stop, task }
    }

    pub(crate) async fn submit(&self, key: &str) -> Receipt {
        let tenant = Tenant::default();
        let targets = Targets::from(&Config::from_toml(TARGETS).unwrap().targets);
        let limits = Limits::new(1 << 20, clock::now(), "sluice", &tenant).calling(&targets);
        let json = format!(r#"{{"url":"{}","webhooks":[{{"url":"nats:nobody"}}]}}"#, self.destination.at("/"));
        let job = read(json.as_bytes(), &limits).unwrap();
        let submission = Submission { tenant: tenant.clone(), key: key.into(), job, traceparent: None };
        self.effects.submit(submission).await.unwrap()
    }

    /// How many messages the shard holds.
    pub(crate) async fn held(&self) -> u64 {
        let nats = self.effects.nats();
        nats.held(&nats.topology().jobs_stream(0)).await.unwrap()
    }

    pub(crate) async fn stream(&self) -> Stream {
        let nats = self.effects.nats();
        nats.jetstream().get_stream(nats.topology().jobs_stream(0)).await.unwrap()
    }

    /// Puts this in the place of a branch's work message.
    pub(crate) async fn replace_work(&self, receipt: &Receipt, payload: &'static [u8]) {
        let nats = self.effects.nats();
        self.stream().await.purge().await.unwrap();
        let address = Effects::address(&receipt.job, &receipt.record, Token::Branch(BranchId::OWN)).unwrap();
        let subject = address.at(nats.prefix(), Stage::Work);
        nats.publish(subject, HeaderMap::new(), Bytes::from_static(payload)).await.unwrap();
    }

    pub(crate) async fn record(&self, job: &JobId) -> Box<Record> {
        let Found::Record(record, _) = self.effects.records().read(job).await.unwrap() else { panic!("no record") };
        record
    }

    pub(crate) async fn ended(&self, job: &JobId) -> Box<Record> {
        let deadline = Instant::now() + SOON;
        loop {
            let record = self.record(job).await;
            if record.outcome.is_some() {
                return record;
            }
            assert!(Instant::now() < deadline, "{job} did not end: {record:?}");
            sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) async fn empty(&self) {
        let deadline = Instant::now() + SOON;
        while self.held().await > 0 {
            assert!(Instant::now() < deadline, "messages are left");
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// The reasons of all dead letters, with their subjects.
    pub(crate) async fn dead_letters(&self) -> Vec<(String, String)> {
        let nats = self.effects.nats();
        let stream = nats.jetstream().get_stream(nats.topology().dead_stream()).await.unwrap();
        let count = stream.cached_info().state.messages;
        let mut letters = Vec::new();
        for sequence in 1..=count {
            let letter = stream.get_raw_message(sequence).await.unwrap();
            letters.push((letter.subject.to_string(), letter.headers.get("Sluice-Reason").unwrap().to_string()));
        }
        letters
    }

    pub(crate) async fn queue_consumers(&self) -> Vec<String> {
        let names: Vec<String> = self.stream().await.consumer_names().try_collect().await.unwrap();
        names.into_iter().filter(|name| name != "due").collect()
    }
}
