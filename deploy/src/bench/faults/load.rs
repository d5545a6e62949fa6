//! The load: jobs submitted at an even rate, each until some gateway takes it, as a client does that wants its job done.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use reqwest::Client;
use serde_json::Value;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, sleep_until};

use super::cast::{Cast, key};

/// Between two tries to submit one.
const PAUSE: Duration = Duration::from_millis(50);
/// How long an answer of a gateway is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long all gateways may refuse a job.
const TAKEN_WITHIN: Duration = Duration::from_secs(120);

/// The base URLs of the gateways at the moment: one that was restarted is somewhere else.
pub type Gateways = Arc<Mutex<Vec<String>>>;

/// A job that a gateway has taken: from here on it may not be lost.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// Its key.
    pub key: String,
    /// Its id.
    pub job: String,
    /// When it was taken.
    pub at: Instant,
}

/// A load that goes on until it has submitted all its jobs or is told to end.
pub struct Load {
    ended: Arc<AtomicBool>,
    accepted: Arc<AtomicUsize>,
    running: JoinHandle<anyhow::Result<Vec<Accepted>>>,
}

impl Load {
    /// Submits `per_second` jobs, `jobs` of them at most.
    #[must_use]
    pub fn start(cast: Arc<Cast>, gateways: Gateways, per_second: f64, jobs: usize) -> Self {
        let (ended, accepted) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let source = Source { cast, gateways, client: client(), accepted: Arc::clone(&accepted) };
        let running = tokio::spawn(submit_all(Arc::new(source), Arc::clone(&ended), per_second, jobs));
        Self { ended, accepted, running }
    }

    /// How many were taken so far.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Waits until all were taken.
    ///
    /// # Errors
    /// Where one was refused for good.
    pub async fn done(self) -> anyhow::Result<Vec<Accepted>> {
        self.running.await.context("the load broke off")?
    }

    /// Submits no more; what was taken.
    ///
    /// # Errors
    /// Where one was refused for good.
    pub async fn end(self) -> anyhow::Result<Vec<Accepted>> {
        self.ended.store(true, Ordering::SeqCst);
        self.done().await
    }
}

struct Source {
    cast: Arc<Cast>,
    gateways: Gateways,
    client: Client,
    accepted: Arc<AtomicUsize>,
}

async fn submit_all(
    source: Arc<Source>,
    ended: Arc<AtomicBool>,
    per_second: f64,
    jobs: usize,
) -> anyhow::Result<Vec<Accepted>> {
    let (start, mut due, mut submissions) = (tokio::time::Instant::now(), Duration::ZERO, JoinSet::new());
    let every = Duration::from_secs_f64(1.0 / per_second);
    for number in 0..jobs {
        sleep_until(start + due).await;
        if ended.load(Ordering::SeqCst) {
            break;
        }
        let source = Arc::clone(&source);
        submissions.spawn(async move { source.submit(number).await });
        due += every;
    }
    let mut accepted = Vec::with_capacity(submissions.len());
    while let Some(submitted) = submissions.join_next().await {
        accepted.push(submitted??);
    }
    Ok(accepted)
}

impl Source {
    /// Submits a job to one gateway after the other until one takes it. That is safe: its key names it.
    async fn submit(&self, number: usize) -> anyhow::Result<Accepted> {
        let (job, until) = (self.cast.job(number), Instant::now() + TAKEN_WITHIN);
        for attempt in number.. {
            let answer = self.client.post(format!("{}/v1/jobs", self.gateway(attempt))).json(&job).send().await;
            if let Ok(answer) = answer {
                let status = answer.status().as_u16();
                match (status, answer.json::<Value>().await) {
                    (200 | 202, Ok(receipt)) => return self.taken(number, &receipt),
                    (503, _) | (_, Err(_)) => {}
                    (_, Ok(problem)) => bail!("job {number} was refused ({status}): {problem}"),
                }
            }
            if Instant::now() > until {
                bail!("no gateway takes job {number}");
            }
            sleep(PAUSE).await;
        }
        unreachable!("attempts do not run out")
    }

    fn taken(&self, number: usize, receipt: &Value) -> anyhow::Result<Accepted> {
        let job = receipt["job_id"].as_str().context("a receipt has no job_id")?.to_owned();
        self.accepted.fetch_add(1, Ordering::SeqCst);
        Ok(Accepted { key: key(number), job, at: Instant::now() })
    }

    fn gateway(&self, attempt: usize) -> String {
        let gateways = self.gateways.lock().unwrap_or_else(PoisonError::into_inner);
        gateways[attempt % gateways.len()].clone()
    }
}

/// A client that gives up on a gateway after a while.
pub(super) fn client() -> Client {
    Client::builder().no_proxy().timeout(PATIENCE).build().unwrap_or_default()
}
