//! A broker, a receiver of webhooks, results to be delivered, and services that deliver them.

use std::time::Duration;

use async_nats::HeaderMap;
use sluice::scripted::WebhookReceiver;
use sluice_shared::clock;
use sluice_shared::config::Config;
use sluice_shared::domain::delivery::{Deliveries, Schedule, WebhookState};
use sluice_shared::domain::event::{self, About, Event};
use sluice_shared::domain::id::{BranchId, Incarnation, JobId, Tenant, Token};
use sluice_shared::domain::job::{JsonText, Webhook};
use sluice_shared::domain::outcome::{Answer, Content, Outcome, Response, Status};
use sluice_shared::domain::result::JobResult;
use sluice_shared::domain::targets::Targets;
use sluice_shared::effects::Effects;
use sluice_shared::nats::Nats;
use sluice_shared::nats::publish::{MESSAGE_ID, PublishError};
use sluice_shared::nats::read::Held;
use sluice_shared::telemetry::Metrics;
use sluice_shared::topology::{LaneConsumer, Laned};
use sluice_shared::wire;
use sluice_tests::broker::TestBroker;
use sluice_tests::eventually;
use sluice_workers::deliver::{DeliveryError, DeliveryOptions, run};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

pub(crate) const DEADLINE: Duration = Duration::from_secs(30);
pub(crate) const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

pub(crate) struct Rig {
    pub(crate) broker: TestBroker,
    pub(crate) effects: Effects,
    pub(crate) receiver: WebhookReceiver,
}

/// A delivery service in this process, stopped when it is dropped.
pub(crate) struct Service {
    pub(crate) metrics: Metrics,
    stop: CancellationToken,
    running: JoinHandle<Result<(), DeliveryError>>,
}

/// Three tries, shortly after each other.
pub(crate) fn options() -> DeliveryOptions {
    DeliveryOptions {
        timeout: Duration::from_secs(20),
        per_endpoint: 8,
        concurrency: 64,
        schedule: Schedule { pauses: vec![Duration::from_millis(300); 2], jitter: 0.0 },
        grace: Duration::from_secs(20),
        ack_wait: Duration::from_secs(15),
        targets: Targets::from(&Config::default().with_loopback_targets().targets),
    }
}

impl Rig {
    pub(crate) async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let broker = TestBroker::start().await;
        let effects = broker.effects().await;
        Self { broker, effects, receiver: WebhookReceiver::start().await.unwrap() }
    }

    pub(crate) fn nats(&self) -> &Nats {
        self.effects.nats()
    }

    /// The consumer of the lane that all results here are in.
    pub(crate) fn lane(&self, what: Laned) -> LaneConsumer {
        let topology = self.nats().topology();
        topology.lane(what, topology.lane_of(&Tenant::default()))
    }

    /// A service with a connection of its own.
    pub(crate) async fn serve(&self, options: DeliveryOptions) -> Service {
        let (metrics, stop) = (Metrics::new(), CancellationToken::new());
        let service = run(self.broker.effects().await, options, metrics.clone(), stop.clone());
        Service { metrics, stop, running: tokio::spawn(service) }
    }

    /// The result of a job that succeeded, for one webhook at the receiver.
    pub(crate) fn result(&self, key: &str) -> JobResult {
        to(&[self.receiver.url()], key)
    }

    pub(crate) async fn publish(&self, result: &JobResult) {
        self.publish_as(result, &format!("{}.{}", result.job, result.incarnation)).await;
    }

    /// Published under an id of its own, a result is stored a second time.
    pub(crate) async fn publish_as(&self, result: &JobResult, id: &str) {
        let mut headers = HeaderMap::new();
        headers.insert(MESSAGE_ID, id);
        let subject = self.nats().topology().result(&result.tenant, &result.job);
        let publish = || self.nats().publish(subject.clone(), headers.clone(), wire::encode(result));
        match publish().await {
            Ok(stored) => assert!(!stored.duplicate),
            // A busy machine takes its time for a large one: again, under the same id.
            Err(PublishError::Unknown) => {
                let again = async || publish().await.ok();
                eventually("a result that is stored", again).await;
            }
            Err(refused) => panic!("{refused}"),
        }
    }

    /// What is remembered of the webhooks of a result.
    pub(crate) async fn known(&self, result: &JobResult) -> Option<Deliveries> {
        let bucket = self.nats().bucket::<Deliveries>(&self.nats().topology().deliveries_bucket());
        bucket.get(&Deliveries::key(&result.job, &result.incarnation)).await.unwrap().map(|entry| entry.value)
    }

    /// Writes what is to be remembered of a result that has no entry yet.
    pub(crate) async fn remember(&self, result: &JobResult, webhooks: Vec<WebhookState>) {
        let mut state = Deliveries::untried(result);
        state.webhooks = webhooks;
        let bucket = self.nats().bucket::<Deliveries>(&self.nats().topology().deliveries_bucket());
        bucket.swap(&Deliveries::key(&result.job, &result.incarnation), &state, 0).await.unwrap();
    }

    /// Waits until the first webhook of a result is remembered as wanted.
    pub(crate) async fn wait_for_state(&self, result: &JobResult, wanted: fn(&WebhookState) -> bool) -> WebhookState {
        let found = async || self.known(result).await.map(|known| known.of(0).clone()).filter(wanted);
        until("a state of the webhook", found).await
    }

    /// Waits until a result and all that came of it are done: neither it nor a timer is left.
    pub(crate) async fn wait_until_let_go(&self, result: &JobResult) {
        let topology = self.nats().topology();
        let subject = topology.result(&result.tenant, &result.job);
        let timers = topology.delivery_any(&result.tenant, &format!("{}.{}.*", result.job, result.incarnation));
        until("the end of a result's messages", async || {
            let waits = self.newest(&topology.results_stream(), &subject).await.is_some()
                || self.newest(&topology.deliveries_stream(), &timers).await.is_some();
            (!waits).then_some(())
        })
        .await;
    }

    /// Waits for the dead letter of a result's webhook.
    pub(crate) async fn wait_for_dead_letter(&self, result: &JobResult, webhook: usize) -> Held {
        let subject = self.nats().topology().dead("webhook", result.tenant.as_str(), &result.event_id(webhook));
        self.wait_for(&self.nats().topology().dead_stream(), &subject).await
    }

    pub(crate) async fn wait_for_event(&self, result: &JobResult, kind: &str) -> Event {
        let about = About::Webhook(0);
        let all = self.nats().topology().events_about(&result.tenant, &result.job, &result.incarnation, about);
        let subject = all.replace('*', kind);
        let held = self.wait_for(&self.nats().topology().events_stream(), &subject).await;
        event::read(&held.payload).pop().unwrap()
    }

    pub(crate) async fn wait_for(&self, stream: &str, subject: &str) -> Held {
        until(subject, async || self.newest(stream, subject).await).await
    }

    pub(crate) async fn newest(&self, stream: &str, subject: &str) -> Option<Held> {
        self.nats().newest(stream, subject).await.unwrap()
    }
}

impl Service {
    /// Asks it to stop, without waiting.
    pub(crate) fn ask_to_stop(&self) {
        self.stop.cancel();
    }

    /// Waits until it has ended.
    pub(crate) async fn ended(mut self) {
        tokio::time::timeout(DEADLINE, &mut self.running).await.expect("it did not stop").unwrap().unwrap();
    }

    pub(crate) async fn stop(self) {
        self.ask_to_stop();
        self.ended().await;
    }

    /// Whether a line is among its counts.
    pub(crate) fn counts(&self, line: &str) -> bool {
        self.metrics.encode().lines().any(|one| one == line)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop.cancel();
        self.running.abort();
    }
}

/// The result of a job that succeeded just now, for these webhooks.
pub(crate) fn to(urls: &[String], key: &str) -> JobResult {
    let (tenant, now) = (Tenant::default(), clock::now());
    let headers = vec![("content-type".into(), "text/plain".into())];
    let content = Content::Response(Response { status: 200, headers, body: "hello".into(), truncated: false });
    let winner = Token::Branch(BranchId::OWN);
    let answer = Some(Answer { attempt: 1, at: now, content, region: None });
    let webhook = |url: &String| Webhook { url: url.clone(), regions: Vec::new(), has_quorum_vote: true };
    JobResult {
        job: JobId::derive(&tenant, key),
        tenant,
        key: key.into(),
        incarnation: Incarnation::from_random(7),
        accepted_at: now,
        outcome: Outcome { status: Status::Success, reason: None, winner, at: now, answer },
        branches: Vec::new(),
        metadata: Some(JsonText(r#"{"order": 12}"#.into())),
        webhooks: urls.iter().map(webhook).collect(),
        webhook_quorum: 1,
        follow_up: None,
        traceparent: Some(TRACE.into()),
    }
}

/// The same result of an answer with another body.
pub(crate) fn with_body(mut result: JobResult, bytes: Vec<u8>) -> JobResult {
    let content = result.outcome.answer.as_mut().map(|answer| &mut answer.content);
    let Some(Content::Response(response)) = content else { panic!("a result without a response") };
    response.body = bytes.into();
    result
}

/// Asks again until there is something.
pub(crate) async fn until<T>(what: &str, mut found: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = found().await {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} did not come");
        sleep(Duration::from_millis(20)).await;
    }
}
