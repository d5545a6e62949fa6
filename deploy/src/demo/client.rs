//! The client of the demo: submits jobs to the gateway over HTTP and follows their events, as any client would.

use anyhow::{Context as _, bail, ensure};
use futures_util::{Stream, StreamExt as _, stream};
use reqwest::{Client, Response};
use serde_json::Value;
use sluice_shared::domain::event::Event;

use super::sse::Sse;

/// A client of one gateway.
#[derive(Clone)]
pub(super) struct Api {
    http: Client,
    base: String,
}

impl Api {
    /// Of the gateway at this base URL.
    pub(super) fn new(base: String) -> Self {
        Self { http: Client::new(), base }
    }

    /// Submits a job; gives its id.
    pub(super) async fn submit(&self, job: &Value) -> anyhow::Result<String> {
        let receipt = self.post("/v1/jobs", job).await.context("the job was not taken")?;
        id_of(&receipt)
    }

    /// Submits jobs at once, all of which must be taken.
    pub(super) async fn submit_all(&self, jobs: &[Value]) -> anyhow::Result<()> {
        let answer = self.post("/v1/jobs/batch", jobs).await.context("the batch was not taken")?;
        let items = answer["items"].as_array().context("the answer to a batch has no items")?;
        ensure!(items.len() == jobs.len(), "{} jobs were answered by {} items", jobs.len(), items.len());
        for item in items {
            id_of(&item["job"]).with_context(|| format!("a job of the batch was not taken: {item}"))?;
        }
        Ok(())
    }

    /// What happens to a job, from its beginning to its end.
    pub(super) async fn events(&self, job: &str) -> anyhow::Result<impl Stream<Item = anyhow::Result<Event>> + use<>> {
        let answer = self.http.get(format!("{}/v1/jobs/{job}/events", self.base)).send().await;
        let answer =
            good(answer.context("the gateway does not answer")?).await.context("the job cannot be followed")?;
        let pieces = answer.bytes_stream();
        let mut sse = Sse::default();
        let messages = pieces.flat_map(move |piece| {
            let messages: Vec<anyhow::Result<String>> = match piece {
                Ok(piece) => sse.push(&piece).into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error).context("the job's events broke off")],
            };
            stream::iter(messages)
        });
        // The stream ends with the outcome, which is no event.
        Ok(messages.filter_map(async |message| message.map(|message| serde_json::from_str(&message).ok()).transpose()))
    }

    async fn post<T: serde::Serialize + ?Sized>(&self, path: &str, body: &T) -> anyhow::Result<Value> {
        let answer = self.http.post(format!("{}{path}", self.base)).json(body).send().await;
        Ok(good(answer.context("the gateway does not answer")?).await?.json().await?)
    }
}

/// The answer, if it is a good one; else what is wrong, as the gateway says it.
async fn good(answer: Response) -> anyhow::Result<Response> {
    if answer.status().is_success() {
        return Ok(answer);
    }
    bail!("the gateway answered {}: {}", answer.status(), answer.text().await.unwrap_or_default())
}

fn id_of(receipt: &Value) -> anyhow::Result<String> {
    Ok(receipt["job_id"].as_str().context("there is no job_id in the receipt")?.to_owned())
}
