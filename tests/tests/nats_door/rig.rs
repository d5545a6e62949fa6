//! A broker, a gateway's NATS interface on it, and what its users and operators can see.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::PullConsumer;
use futures_util::StreamExt;
use serde_json::Value;
use sluice_gateway::access::Access;
use sluice_gateway::jobs::Jobs;
use sluice_gateway::nats::{Interface, Options, ServiceError};
use sluice_shared::domain::id::{JobId, Tenant};
use sluice_shared::domain::record::Record;
use sluice_shared::domain::result::JobResult;
use sluice_shared::effects::Effects;
use sluice_shared::nats::Nats;
use sluice_shared::nats::read::Held;
use sluice_shared::nats::records::Found;
use sluice_shared::telemetry::Metrics;
use sluice_shared::topology::{LaneConsumer, Laned};
use sluice_shared::wire;
use sluice_tests::broker::TestBroker;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

pub(crate) const DEADLINE: Duration = Duration::from_secs(30);
pub(crate) const JOB: &str = r#"{"url":"http://a.example/"}"#;

pub(crate) struct Rig {
    pub(crate) broker: TestBroker,
    /// A user's connection.
    pub(crate) nats: Nats,
    pub(crate) effects: Effects,
}

/// A gateway's NATS interface.
pub(crate) struct Gateway {
    pub(crate) metrics: Metrics,
    stop: CancellationToken,
    running: JoinHandle<Result<(), ServiceError>>,
}

pub(crate) fn options() -> Options {
    let seconds = Duration::from_secs;
    Options { intake: 16, max_wait: seconds(60), grace: seconds(10), ack_wait: seconds(15) }
}

/// Polls until there is something to see.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(Instant::now() < deadline, "{what}: not within {DEADLINE:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.insert(*name, *value);
    }
    headers
}

pub(crate) fn tenant(name: &str) -> Tenant {
    name.parse().unwrap()
}

impl Rig {
    pub(crate) async fn start() -> Self {
        let broker = TestBroker::start().await;
        let (nats, effects) = (broker.connect().await, broker.effects().await);
        Self { broker, nats, effects }
    }

    /// With a gateway that runs.
    pub(crate) async fn with_gateway() -> (Self, Gateway) {
        let rig = Self::start().await;
        let gateway = rig.gateway(options()).await;
        (rig, gateway)
    }

    /// A gateway with a connection of its own.
    pub(crate) async fn gateway(&self, options: Options) -> Gateway {
        let (metrics, stop) = (Metrics::new(), CancellationToken::new());
        let jobs = Jobs::new(self.broker.effects().await);
        let interface = Interface::start(jobs, Access::open(), options, metrics.clone(), stop.clone()).await.unwrap();
        Gateway { metrics, stop, running: tokio::spawn(interface.run()) }
    }

    /// Stores a submission as a client does; its sequence.
    pub(crate) async fn publish(&self, subject: &str, pairs: &[(&'static str, &str)], json: &str) -> u64 {
        let stored = self.nats.publish(subject.into(), headers(pairs), json.to_owned().into()).await;
        stored.unwrap().sequence
    }

    /// What is answered, if anybody answers.
    pub(crate) async fn ask(&self, subject: &str, payload: &str) -> Option<async_nats::Message> {
        let asked = self.nats.client().request(subject.to_owned(), payload.to_owned().into());
        timeout(DEADLINE, asked).await.unwrap().ok()
    }

    pub(crate) async fn record(&self, tenant: &Tenant, key: &str) -> Option<Record> {
        match self.effects.records().read(&JobId::derive(tenant, key)).await.unwrap() {
            Found::Record(record, _) => Some(*record),
            Found::Absent => None,
            other @ (Found::Newer(_) | Found::Malformed(_)) => panic!("{other:?}"),
        }
    }

    pub(crate) async fn until_record(&self, tenant: &Tenant, key: &str) -> Record {
        until("a record", async || self.record(tenant, key).await).await
    }

    pub(crate) async fn held(&self, stream: &str) -> u64 {
        self.nats.held(stream).await.unwrap()
    }

    /// Every submission was acknowledged.
    pub(crate) async fn until_all_taken(&self) {
        until("no submissions left", async || (self.held("SLUICE_SUBMIT").await == 0).then_some(())).await;
    }

    /// The consumer of the lane of submissions without a tenant's name.
    pub(crate) fn lane(&self) -> LaneConsumer {
        let topology = self.nats.topology();
        topology.lane(Laned::Submissions, topology.lane_of_submissions(None))
    }

    async fn consumer(&self) -> PullConsumer {
        let LaneConsumer { name, stream, .. } = self.lane();
        let asked = async || self.nats.jetstream().get_consumer_from_stream(&name, &stream).await.ok();
        until("the consumer of submissions", asked).await
    }

    /// Submissions that were handed out and not acknowledged.
    pub(crate) async fn in_hand(&self) -> usize {
        self.consumer().await.cached_info().num_ack_pending
    }

    /// Pulls exactly so many submissions, as another gateway would.
    pub(crate) async fn pull(&self, count: usize, within: Duration) -> Vec<Message> {
        let pulled = self.consumer().await.batch().max_messages(count).expires(within).messages().await.unwrap();
        let messages: Vec<Message> = pulled.map(Result::unwrap).collect().await;
        assert_eq!(messages.len(), count);
        messages
    }

    /// The key that a submission without one gets.
    pub(crate) async fn derived_key(&self, sequence: u64) -> String {
        let stream = self.nats.jetstream().get_stream("SLUICE_SUBMIT").await.unwrap();
        format!("submit-{}-{sequence}", stream.cached_info().created.unix_timestamp_nanos())
    }

    pub(crate) async fn dead_letter(&self, tenant: &str) -> Option<Held> {
        self.nats.newest("SLUICE_DEAD", &format!("sluice.dead.submission.{tenant}.*")).await.unwrap()
    }

    pub(crate) async fn until_dead_letter(&self, tenant: &str) -> Held {
        until("a dead letter", async || self.dead_letter(tenant).await).await
    }

    pub(crate) async fn result(&self, tenant: &str) -> Option<JobResult> {
        let held = self.nats.newest("SLUICE_RESULTS", &format!("sluice.results.*.{tenant}.*")).await.unwrap();
        held.map(|held| wire::decode(&held.payload).unwrap())
    }

    /// From now on the records' bucket takes nothing: the broker answers that it is full.
    pub(crate) async fn fill_records(&self) {
        self.limit_records(1).await;
    }

    pub(crate) async fn empty_records(&self) {
        self.limit_records(-1).await;
    }

    async fn limit_records(&self, bytes: i64) {
        let mut config =
            self.nats.jetstream().get_stream("KV_sluice_records_0").await.unwrap().cached_info().config.clone();
        config.max_bytes = bytes;
        self.nats.jetstream().update_stream(config).await.unwrap();
    }
}

impl Gateway {
    /// Tells it to stop and waits until it has.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        timeout(DEADLINE, self.running).await.unwrap().unwrap().unwrap();
    }

    pub(crate) fn has(&self, line: &str) -> bool {
        self.metrics.encode().lines().any(|one| one == line)
    }
}

/// The JSON of an answer, and its error code.
pub(crate) fn read(answer: &async_nats::Message) -> (Value, Option<u16>) {
    let code = answer.headers.as_ref().and_then(|headers| headers.get("Nats-Service-Error-Code"));
    (serde_json::from_slice(&answer.payload).unwrap(), code.map(|code| code.as_str().parse().unwrap()))
}
