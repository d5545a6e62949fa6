//! A worker with very many queues, and beside very many other workers: nobody waits for what is of others.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

use std::time::Duration;

use async_nats::jetstream::consumer::AckPolicy;
use async_nats::jetstream::consumer::pull::Config as Pull;
use futures_util::{FutureExt, StreamExt, stream};
use sluice::scripted::Destination;
use sluice_shared::clock;
use sluice_shared::config::Config;
use sluice_shared::domain::id::{Destination as Host, QueueName, Tenant};
use sluice_shared::domain::submission::{Limits, read};
use sluice_shared::domain::targets::Targets;
use sluice_shared::effects::{Effects, Submission};
use sluice_shared::nats::bucket::Written;
use sluice_shared::nats::pull::{Generation, Puller};
use sluice_shared::queues::{QueueEntry, QueueSpec};
use sluice_shared::telemetry::Metrics;
use sluice_tests::broker::TestBroker;
use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

const SOON: Duration = Duration::from_secs(20);
/// Destinations are on this machine.
const TARGETS: &str = "targets.allow_networks = [\"127.0.0.0/8\"]";

struct Rig {
    broker: TestBroker,
    effects: Effects,
    destination: Destination,
}

impl Rig {
    async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let broker = TestBroker::start().await;
        let effects = broker.effects().await;
        Self { broker, effects, destination: Destination::start().await.unwrap() }
    }

    async fn worker(&self) -> DropGuard {
        let config = Config::from_toml(TARGETS).unwrap();
        let (effects, stop) = (self.broker.effects().await, CancellationToken::new());
        let until = stop.clone();
        tokio::spawn(async move { sluice_workers::run(effects, &config, Metrics::new(), until).await.unwrap() });
        stop.drop_guard()
    }

    /// The queue of what this submits.
    fn queue(&self) -> QueueSpec {
        QueueSpec::plain(&Tenant::default(), host(&self.destination.at("/")))
    }

    async fn submit(&self) {
        let (tenant, targets) = (Tenant::default(), Targets::from(&Config::from_toml(TARGETS).unwrap().targets));
        let limits = Limits::new(1 << 20, clock::now(), "sluice", &tenant).calling(&targets);
        let json = format!(r#"{{"url":"{}"}}"#, self.destination.at("/"));
        let job = read(json.as_bytes(), &limits).unwrap();
        let submission = Submission { tenant: tenant.clone(), key: "a job".into(), job, traceparent: None };
        self.effects.submit(submission).await.unwrap();
    }

    async fn called(&self, within: Duration) {
        let called = self.destination.wait_for(|calls| !calls.is_empty(), within).await;
        called.expect("the job was not called");
    }
}

fn host(url: &str) -> Host {
    Host::of(&url.parse().unwrap()).unwrap()
}

#[tokio::test]
async fn a_worker_leaves_a_queue_to_the_many_that_ask_and_takes_part_again_later() {
    let rig = Rig::start().await;
    let (nats, queue) = (rig.effects.nats(), rig.queue());
    let shard = rig.effects.queues().keep(&queue, clock::now()).await.unwrap();
    let (stream, name) = (nats.topology().jobs_stream(shard), queue.name().to_string());
    // One request may wait, and one does.
    let consumer = Pull {
        durable_name: Some(name.clone()),
        filter_subject: nats.topology().queue_filter(shard, &queue.name()),
        ack_policy: AckPolicy::Explicit,
        max_waiting: 1,
        ..Pull::default()
    };
    nats.jetstream().create_consumer_on_stream(consumer, &stream).await.unwrap();
    let mut other = Puller::open(nats, &stream, &name, &Generation::default()).await.unwrap();
    other.request(1, Duration::from_secs(60)).await.unwrap();
    let asked = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}");
    let mut requests = nats.client().subscribe(asked).await.unwrap();
    nats.client().flush().await.unwrap();

    let _worker = rig.worker().await;
    timeout(SOON, requests.next()).await.expect("the worker asks").unwrap();
    // It asks again after two seconds at the earliest.
    sleep(Duration::from_secs(3)).await;
    let again = std::iter::from_fn(|| requests.next().now_or_never()).count();
    assert!(again <= 1, "it was refused, and asked {again} times more");

    other.close().await;
    rig.submit().await;
    rig.called(SOON).await;
}

/// The consumers of a thousand queues cannot be made, for their stream is not there: each keeps whoever makes it busy for half
/// a second, all together for more than half a minute.
#[tokio::test]
async fn a_thousand_new_queues_of_one_tenant_do_not_keep_that_of_another_from_being_made() {
    const QUEUES: usize = 1000;
    let rig = Rig::start().await;
    let (nats, flood) = (rig.effects.nats(), "flood".parse::<Tenant>().unwrap());
    let nowhere = nats.topology().settings().shards + 76;
    let model = QueueSpec::plain(&flood, host("http://127.0.0.1:19999/"));
    rig.effects.queues().keep(&model, clock::now()).await.unwrap();
    let model = rig.effects.queues().bucket().get(model.name().as_str()).await.unwrap().unwrap().value;
    stream::iter(0..QUEUES)
        .for_each_concurrent(32, async |number| {
            let destination = host(&format!("http://127.0.0.1:{}/", 20_000 + number));
            let name = QueueName::of(&flood, &destination, None);
            let entry = QueueEntry { tenant: flood.clone(), destination, shard: nowhere, ..model.clone() };
            let written = rig.effects.queues().bucket().create(name.as_str(), &entry).await.unwrap();
            assert!(matches!(written, Written::At(_)));
        })
        .await;
    let tries = format!("$JS.API.CONSUMER.CREATE.{}.>", nats.topology().jobs_stream(nowhere));
    let mut tries = nats.client().subscribe(tries).await.unwrap();
    nats.client().flush().await.unwrap();

    let _worker = rig.worker().await;
    // All that one tenant may make at a time, twice over: the rest of its queues wait.
    for _ in 0..28 {
        timeout(SOON, tries.next()).await.expect("their consumers are tried").unwrap();
    }
    rig.submit().await;
    rig.called(Duration::from_secs(10)).await;
}
