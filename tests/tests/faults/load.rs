//! The load: jobs one after the other over several scripted destinations, each submitted until it is taken.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use sluice::scripted::{Call, Destination, Rule, Script, WebhookReceiver};
use sluice_tests::DEADLINE;
use sluice_tests::client::Client;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// Between two jobs.
const EVERY: Duration = Duration::from_millis(60);
/// Between two tries to submit one.
const PAUSE: Duration = Duration::from_millis(50);
/// How long a gateway is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// The gateways as they are at the moment: one that was restarted is somewhere else.
pub(crate) type Gateways = Arc<Mutex<Vec<Client>>>;

/// What the jobs call and where their outcomes go.
pub(crate) struct Cast {
    pub(crate) main: Destination,
    pub(crate) other: Destination,
    pub(crate) hooks: WebhookReceiver,
}

impl Cast {
    pub(crate) async fn start() -> Self {
        let (main, other) = (Destination::start().await.unwrap(), Destination::start().await.unwrap());
        main.on("/fast", answers(Duration::ZERO, 0)).on("/slow", answers(Duration::from_millis(700), 0));
        main.on("/flaky", answers(Duration::from_millis(20), 4)).on("/race", answers(Duration::from_millis(300), 2));
        other.on("*", answers(Duration::from_millis(50), 0));
        Self { main, other, hooks: WebhookReceiver::start().await.unwrap() }
    }

    /// Every answer has a body of its own, so that two outcomes of a job differ.
    fn job(&self, key: &str, number: usize) -> Value {
        let path = ["/fast", "/slow", "/flaky", "/race"][number % 4];
        let hooks = [json!({"url": self.hooks.url()})];
        let mut job = json!({"url": self.main.at(path), "method": "POST", "idempotent_key": key, "webhooks": hooks});
        if path == "/race" {
            let trigger = match number % 8 {
                3 => json!({"type": "on_error", "codes": [429, 500]}),
                _ => json!({"type": "on_timeout", "timeout_ms": 150}),
            };
            job["fallback_job"] = json!({"url": self.other.at("/race"), "method": "POST", "trigger": trigger});
        }
        job
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        [self.main.all_calls(), self.other.all_calls()].concat()
    }
}

/// After `delay`: every `bad`th time 500, else 200.
fn answers(delay: Duration, bad: usize) -> Rule {
    Rule::choose(move |_, seen| {
        let refuses = bad > 0 && seen % bad == bad - 1;
        let status = if refuses { 500 } else { 200 };
        Script::answer(status).after(delay).body(format!("answer {seen}"))
    })
}

/// A load that goes on until it is told to end.
pub(crate) struct Load {
    ended: Arc<AtomicBool>,
    running: JoinHandle<Vec<String>>,
}

impl Load {
    pub(crate) fn start(cast: Arc<Cast>, gateways: Gateways) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&ended);
        let running = tokio::spawn(async move {
            let mut accepted = Vec::new();
            while !until.load(Ordering::SeqCst) {
                let number = accepted.len();
                let job = cast.job(&format!("key-{number}"), number);
                accepted.push(submit(&gateways, number, &job).await);
                sleep(EVERY).await;
            }
            accepted
        });
        Self { ended, running }
    }

    /// Ends it; the jobs that were accepted, in the order of their keys.
    pub(crate) async fn end(self) -> Vec<String> {
        self.ended.store(true, Ordering::SeqCst);
        self.running.await.unwrap()
    }
}

async fn submit(gateways: &Gateways, number: usize, job: &Value) -> String {
    let until = Instant::now() + DEADLINE;
    for attempt in number.. {
        let client = {
            let gateways = gateways.lock().unwrap();
            gateways[attempt % gateways.len()].clone()
        };
        let sent = client.try_send(Method::POST, "/v1/jobs", &[], Some(job.to_string().into()));
        match timeout(PATIENCE, sent).await {
            Ok(Ok(answer)) if matches!(answer.status, 200 | 202) => {
                return answer.body["job_id"].as_str().unwrap().to_owned();
            }
            Ok(Ok(answer)) => assert!(answer.status == 503, "{answer:#?}"),
            Ok(Err(_)) | Err(_) => {}
        }
        assert!(Instant::now() < until, "no gateway takes job {number}");
        sleep(PAUSE).await;
    }
    unreachable!("attempts do not run out")
}
