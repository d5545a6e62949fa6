//! The load of the performance benchmarks: jobs of 1 KiB for the sink, spread over queues, submitted over HTTP or NATS as
//! fast as they are taken, at a rate, or with so many open at most.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use async_nats::Request;
use bytes::Bytes;
use reqwest::Client;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::audience::Audience;
use super::sink::Count;
use crate::cli::args::Via;

/// The size of a request's body, in bytes.
pub(super) const BODY: usize = 1024;
/// Who submits at a time.
const SUBMITTERS: u32 = 64;
/// How long a gateway's answer is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a job may be refused.
const TAKEN_WITHIN: Duration = Duration::from_secs(60);
/// Between two tries of a job that was not taken, and two looks for a free place.
const PAUSE: Duration = Duration::from_millis(50);
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// What jobs look like.
#[derive(Clone, Debug)]
pub(super) struct Jobs {
    sink: String,
    /// `call` or `limited`.
    what: &'static str,
    queues: u32,
    body: String,
}

impl Jobs {
    /// Jobs that call the sink, over so many queues: each is that of an account there.
    pub(super) fn new(sink: &Audience, queues: u32) -> Self {
        Self { sink: sink.url().to_owned(), what: "call", queues, body: "x".repeat(BODY) }
    }

    /// The same for where the sink has a limit.
    pub(super) fn limited(self) -> Self {
        Self { what: "limited", ..self }
    }

    /// As it is submitted.
    fn json(&self, number: u32) -> String {
        let Self { sink, what, queues, body } = self;
        let account = if *queues > 1 { format!(r#""account":"q{}","#, number % queues) } else { String::new() };
        format!(
            r#"{{"url":"{sink}/{what}/{number}","method":"POST",{account}"idempotent_key":"k-{number}","body":"{body}","webhooks":[{{"url":"{sink}/hook/{number}"}}]}}"#
        )
    }
}

/// A way in.
#[derive(Clone)]
pub(super) enum Door {
    /// `POST /v1/jobs`.
    Http(Client, String),
    /// A request to the NATS service.
    Nats(async_nats::Client, String),
    /// A submission that the broker stores.
    Durable(async_nats::Client, String),
}

impl Door {
    /// The way in at this gateway or this NATS.
    pub(super) async fn open(via: Via, gateway: &str, nats: &str, prefix: &str) -> anyhow::Result<Self> {
        Ok(match via {
            Via::Http => Self::Http(
                Client::builder().no_proxy().timeout(PATIENCE).build().context("there is no HTTP client")?,
                format!("{gateway}/v1/jobs"),
            ),
            Via::Nats => Self::Nats(async_nats::connect(nats).await?, format!("{prefix}.api.submit")),
            Via::Durable => Self::Durable(async_nats::connect(nats).await?, format!("{prefix}.submit")),
        })
    }

    /// The same for jobs of this tenant.
    pub(super) fn of_tenant(self, tenant: &str) -> Self {
        match self {
            Self::Http(client, url) => Self::Http(client, format!("{url}?tenant={tenant}")),
            Self::Nats(client, subject) => Self::Nats(client, format!("{subject}.{tenant}")),
            Self::Durable(client, subject) => Self::Durable(client, format!("{subject}.{tenant}")),
        }
    }

    /// Submits a job until it is taken. That is safe: its key names it.
    pub(super) async fn submit(&self, jobs: &Jobs, number: u32) -> anyhow::Result<()> {
        let (json, until) = (Bytes::from(jobs.json(number)), Instant::now() + TAKEN_WITHIN);
        loop {
            match self.try_to_submit(json.clone()).await {
                Ok(()) => return Ok(()),
                Err(Refused::Never(why)) => bail!("job {number} was refused: {why}"),
                Err(Refused::ForNow(why)) if Instant::now() > until => bail!("nobody takes job {number}: {why}"),
                Err(Refused::ForNow(_)) => sleep(PAUSE).await,
            }
        }
    }

    async fn try_to_submit(&self, json: Bytes) -> Result<(), Refused> {
        let for_now = |error: &dyn std::error::Error| Refused::ForNow(error.to_string());
        match self {
            Self::Http(client, url) => {
                let posted = client.post(url).header("content-type", "application/json").body(json).send().await;
                let answer = posted.map_err(|error| for_now(&error))?;
                let (status, text) = (answer.status().as_u16(), answer.text().await.map_err(|error| for_now(&error))?);
                match status {
                    200 | 202 => Ok(()),
                    503 => Err(Refused::ForNow(text)),
                    _ => Err(Refused::Never(text)),
                }
            }
            Self::Nats(client, subject) => {
                let request = Request::new().payload(json).timeout(Some(PATIENCE));
                let answer = client.send_request(subject.clone(), request).await.map_err(|error| for_now(&error))?;
                let Some(code) = answer.headers.as_ref().and_then(|headers| headers.get("Nats-Service-Error-Code"))
                else {
                    return Ok(());
                };
                let text = String::from_utf8_lossy(&answer.payload).into_owned();
                Err(if code.as_str() == "503" { Refused::ForNow(text) } else { Refused::Never(text) })
            }
            Self::Durable(client, subject) => {
                let request = Request::new().payload(json).timeout(Some(PATIENCE));
                let answer = client.send_request(subject.clone(), request).await.map_err(|error| for_now(&error))?;
                let text = String::from_utf8_lossy(&answer.payload);
                if text.contains("\"error\"") { Err(Refused::ForNow(text.into_owned())) } else { Ok(()) }
            }
        }
    }
}

enum Refused {
    ForNow(String),
    Never(String),
}

/// How fast jobs are submitted.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pace {
    /// As fast as they are taken.
    Free,
    /// With so many at most whose webhook has not come.
    Open(u32),
    /// So many each second.
    Rate(f64),
}

struct Run {
    jobs: Jobs,
    door: Door,
    pace: Pace,
    numbers: Range<u32>,
    next: AtomicU32,
    /// Webhooks of these jobs that have come.
    finished: AtomicU32,
    start: Instant,
}

/// Submits the jobs of these numbers, and waits until all have had their webhook, or nothing comes any more. All jobs before
/// them must have had theirs.
pub(super) async fn finish(
    jobs: &Jobs,
    door: &Door,
    audience: &Audience,
    numbers: Range<u32>,
    pace: Pace,
    mut tell: impl FnMut(&Count),
) -> anyhow::Result<Count> {
    let (run, end) = (Run::new(jobs, door, numbers.clone(), pace), numbers.end);
    let watching = audience.until(
        |count| count.hooks >= end,
        |count| {
            run.finished.store(count.hooks.saturating_sub(numbers.start), Ordering::Relaxed);
            tell(count);
        },
    );
    let (count, ()) = tokio::try_join!(watching, run.submit_all())?;
    // What was called and not told of when the watching ended would be missing for ever.
    Ok(count)
}

/// Submits the jobs of these numbers, and waits for nothing else.
pub(super) async fn submit(jobs: &Jobs, door: &Door, numbers: Range<u32>, pace: Pace) -> anyhow::Result<()> {
    Run::new(jobs, door, numbers, pace).submit_all().await
}

/// Submits jobs for as long as it is polled.
pub(super) async fn flood(
    jobs: &Jobs,
    door: &Door,
    audience: &Audience,
    numbers: Range<u32>,
    pace: Pace,
) -> anyhow::Result<()> {
    let (run, before) = (Run::new(jobs, door, numbers, pace), audience.count().await?.hooks);
    let noting =
        audience.until(|_| false, |count| run.finished.store(count.hooks.saturating_sub(before), Ordering::Relaxed));
    let noting = async { noting.await.map(|_| ()) };
    tokio::try_join!(noting, run.submit_all()).map(|_| ())
}

impl Run {
    fn new(jobs: &Jobs, door: &Door, numbers: Range<u32>, pace: Pace) -> Arc<Self> {
        Arc::new(Self {
            jobs: jobs.clone(),
            door: door.clone(),
            pace,
            next: AtomicU32::new(numbers.start),
            numbers,
            finished: AtomicU32::new(0),
            start: Instant::now(),
        })
    }

    async fn submit_all(self: &Arc<Self>) -> anyhow::Result<()> {
        let mut submitters = JoinSet::new();
        for _ in 0..SUBMITTERS.min(self.numbers.end - self.numbers.start) {
            let this = Arc::clone(self);
            submitters.spawn(async move { this.submit_in_turn().await });
        }
        while let Some(ended) = submitters.join_next().await {
            ended??;
        }
        Ok(())
    }

    async fn submit_in_turn(&self) -> anyhow::Result<()> {
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.numbers.end {
                return Ok(());
            }
            self.turn(number - self.numbers.start).await;
            self.door.submit(&self.jobs, number).await?;
        }
    }

    /// Waits until the job of this place may be submitted.
    async fn turn(&self, place: u32) {
        match self.pace {
            Pace::Free => {}
            Pace::Open(most) => {
                while place >= self.finished.load(Ordering::Relaxed).saturating_add(most) {
                    sleep(LOOK_EVERY).await;
                }
            }
            Pace::Rate(rate) => sleep_until(self.start + Duration::from_secs_f64(f64::from(place) / rate)).await,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "what is no JSON fails the test")]

    use serde_json::Value;

    use super::*;

    #[test]
    fn a_job_is_json_that_names_its_number_everywhere_and_its_queue_by_the_account() {
        let jobs = Jobs { sink: "http://127.0.0.1:9".into(), what: "call", queues: 10, body: "x".repeat(BODY) };
        let job: Value = serde_json::from_str(&jobs.json(27)).unwrap();
        assert_eq!((&job["url"], &job["account"]), (&"http://127.0.0.1:9/call/27".into(), &"q7".into()));
        assert_eq!(job["webhooks"][0]["url"], "http://127.0.0.1:9/hook/27");
        assert_eq!((&job["idempotent_key"], job["body"].as_str().unwrap().len()), (&"k-27".into(), BODY));
        let alone: Value = serde_json::from_str(&Jobs { queues: 1, ..jobs }.limited().json(0)).unwrap();
        assert_eq!((&alone["account"], &alone["url"]), (&Value::Null, &"http://127.0.0.1:9/limited/0".into()));
    }
}
