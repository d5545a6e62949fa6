//! A broker, a gateway in this process, and a client.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use sluice_gateway::access::Access;
use sluice_gateway::jobs::{Jobs, Room};
use sluice_shared::config::Config;
use sluice_shared::domain::id::JobId;
use sluice_shared::effects::Effects;
use sluice_shared::nats::Nats;
use sluice_shared::telemetry::Metrics;
use sluice_tests::broker::TestBroker;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) struct Rig {
    pub(crate) broker: TestBroker,
    pub(crate) effects: Effects,
    pub(crate) gateway: Gateway,
}

/// A gateway, stopped when it is dropped.
pub(crate) struct Gateway {
    pub(crate) client: Client,
    base: String,
    stop: CancellationToken,
    serving: JoinHandle<std::io::Result<()>>,
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Rig {
    pub(crate) async fn start() -> Self {
        Self::with("").await
    }

    /// With these lines of configuration.
    pub(crate) async fn with(settings: &str) -> Self {
        let broker = TestBroker::start().await;
        let effects = broker.effects().await;
        let gateway = Gateway::start(settings, |stop| Jobs::start(effects.clone(), Room::above(0.9), stop)).await;
        Self { broker, effects, gateway }
    }

    pub(crate) fn nats(&self) -> &Nats {
        self.effects.nats()
    }

    /// Takes in a job that nothing is wrong with.
    pub(crate) async fn submit(&self, job: Value) -> JobId {
        self.gateway.submit(job).await
    }

    /// A job as it is shown.
    pub(crate) async fn show(&self, job: &JobId) -> Value {
        let answer = self.gateway.get(&format!("/v1/jobs/{job}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.json()
    }
}

impl Gateway {
    pub(crate) async fn start(settings: &str, jobs: impl FnOnce(&CancellationToken) -> Jobs) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (stop, settings) = (CancellationToken::new(), Config::from_toml(settings).unwrap().gateway);
        let (jobs, until) = (jobs(&stop), stop.clone());
        let serving = tokio::spawn(async move {
            sluice_gateway::http::serve(listener, jobs, Access::open(), &settings, Metrics::new(), until).await
        });
        Self { client: Client::new(), base, stop, serving }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base)).timeout(DEADLINE)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::to(self.request(Method::GET, path)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        Answer::to(self.request(Method::DELETE, path)).await
    }

    pub(crate) async fn post(&self, path: &str, json: &Value) -> Answer {
        Answer::to(self.request(Method::POST, path).json(json)).await
    }

    pub(crate) async fn submit(&self, job: Value) -> JobId {
        let answer = self.post("/v1/jobs", &job).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
        answer.job_id()
    }

    /// Waits until so many clients wait for jobs.
    pub(crate) async fn until_waiting(&self, clients: usize) {
        let line = format!("sluice_clients_waiting {clients}");
        until(&line, async || self.get("/metrics").await.text.lines().any(|one| one == line).then_some(())).await;
    }

    /// Tells it to stop.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// Waits until it has stopped.
    pub(crate) async fn stopped(mut self) {
        timeout(DEADLINE, &mut self.serving).await.expect("the gateway did not stop").unwrap().unwrap();
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Answer {
    pub(crate) async fn to(request: RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        Self { status: response.status(), headers: response.headers().clone(), text: response.text().await.unwrap() }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn job_id(&self) -> JobId {
        self.json()["job_id"].as_str().unwrap().parse().unwrap()
    }

    /// Checks that it is a problem of this status and code, and returns it.
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!((&problem["status"], &problem["code"]), (&json!(status), &json!(code)), "{problem}");
        assert_eq!(problem["type"], "about:blank");
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem}");
        problem
    }
}

/// A job that goes nowhere, with these fields besides.
pub(crate) fn job(fields: Value) -> Value {
    let mut job = json!({"url": "http://a.example/path"});
    job.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    job
}

/// Asks again until there is something.
pub(crate) async fn until<T>(what: &str, mut found: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = found().await {
            return found;
        }
        assert!(Instant::now() < end, "waited in vain for {what}");
        sleep(Duration::from_millis(20)).await;
    }
}
