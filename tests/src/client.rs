//! A client of the HTTP interface: what is not as expected fails the test with the whole answer.

use std::time::Duration;

use http::{HeaderMap, Method, header};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::DEADLINE;
use crate::events::Events;

/// One request may take as long as the longest poll, and a little.
const TIMEOUT: Duration = Duration::from_secs(90);
/// Between two tries of a submission that was not taken.
const PAUSE: Duration = Duration::from_millis(100);

/// Talks to one gateway. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: String,
}

/// An answer, whatever it is.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its JSON; a string where it is none.
    pub body: Value,
}

impl Answer {
    /// The text of a header; empty where it is absent.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// What a submitter gets back.
#[derive(Clone, Debug, serde::Deserialize)]
pub struct Receipt {
    /// The job.
    pub job_id: String,
    /// Where it is.
    pub status: String,
    /// The key that names it.
    pub idempotent_key: String,
    /// Whether it was there already.
    pub duplicate: bool,
}

impl Client {
    /// A client of the gateway at this base URL.
    ///
    /// # Panics
    /// Where there can be no HTTP client.
    #[must_use]
    pub fn new(base: &str) -> Self {
        // Another test may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self { http: reqwest::Client::builder().no_proxy().build().unwrap(), base: base.to_owned() }
    }

    /// A client of the gateway at this base URL that sends this API key with every request.
    ///
    /// # Panics
    /// Where there can be no HTTP client.
    #[must_use]
    pub fn with_key(base: &str, key: &str) -> Self {
        let without = Self::new(base);
        let bearer = HeaderMap::from_iter([(header::AUTHORIZATION, format!("Bearer {key}").parse().unwrap())]);
        let http = reqwest::Client::builder().no_proxy().default_headers(bearer);
        Self { http: http.build().unwrap(), ..without }
    }

    /// Sends a request with a JSON body, if there is one.
    ///
    /// # Errors
    /// Where there is no whole answer.
    pub async fn try_send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> reqwest::Result<Answer> {
        let mut request = self.http.request(method, format!("{}{path}", self.base)).timeout(TIMEOUT);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await?;
        Ok(Answer { status, headers, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) })
    }

    /// The same, where an answer must come.
    ///
    /// # Panics
    /// Where none comes.
    pub async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Option<Vec<u8>>) -> Answer {
        self.try_send(method, path, headers, body).await.unwrap()
    }

    /// Submits a job, whatever the answer.
    ///
    /// # Panics
    /// Where none comes.
    pub async fn post(&self, job: &Value) -> Answer {
        self.send(Method::POST, "/v1/jobs", &[], Some(job.to_string().into())).await
    }

    /// Submits a job that must be taken as a new one.
    ///
    /// # Panics
    /// Where it is not.
    pub async fn submit(&self, job: &Value) -> Receipt {
        let answer = self.post(job).await;
        assert_eq!(answer.status, 202, "{answer:#?}");
        receipt(answer)
    }

    /// Submits a job again and again until some gateway takes it, over lost connections and 503.
    ///
    /// # Panics
    /// Where none does within the deadline, or it is refused for good.
    pub async fn insist(&self, job: &Value) -> Receipt {
        let until = Instant::now() + DEADLINE;
        loop {
            let tried = self.try_send(Method::POST, "/v1/jobs", &[], Some(job.to_string().into())).await;
            match tried {
                Ok(answer) if answer.status == 200 || answer.status == 202 => return receipt(answer),
                Ok(answer) => assert!(answer.status == 503 && Instant::now() < until, "{answer:#?}"),
                Err(error) => assert!(Instant::now() < until, "{error}"),
            }
            sleep(PAUSE).await;
        }
    }

    /// Submits jobs at once; the `items` of the answer, in the order of the jobs.
    ///
    /// # Panics
    /// Where there is not one answer for each.
    pub async fn batch(&self, jobs: &[Value]) -> Vec<Value> {
        let answer = self.send(Method::POST, "/v1/jobs/batch", &[], Some(json!(jobs).to_string().into())).await;
        let items = answer.body["items"].as_array().filter(|items| items.len() == jobs.len());
        items.unwrap_or_else(|| panic!("{answer:#?}")).clone()
    }

    /// Where a job is.
    ///
    /// # Panics
    /// Where there is no such job.
    pub async fn get(&self, job: &str) -> Value {
        let answer = self.look(job, "").await;
        assert_eq!(answer.status, 200, "{answer:#?}");
        answer.body
    }

    /// Asks about a job with a query, whatever the answer.
    ///
    /// # Panics
    /// Where none comes.
    pub async fn look(&self, job: &str, query: &str) -> Answer {
        self.send(Method::GET, &format!("/v1/jobs/{job}{query}"), &[], None).await
    }

    /// Waits until a job has ended, and gives it as it is then.
    ///
    /// # Panics
    /// Where it does not end within the deadline.
    pub async fn wait(&self, job: &str) -> Value {
        let until = Instant::now() + DEADLINE;
        loop {
            let answer = self.look(job, "?wait=30s").await;
            assert_eq!(answer.status, 200, "{answer:#?}");
            if has_ended(&answer.body) {
                return answer.body;
            }
            assert!(Instant::now() < until, "not ended within {DEADLINE:?}: {answer:#?}");
        }
    }

    /// Cancels a job, whatever the answer.
    ///
    /// # Panics
    /// Where none comes.
    pub async fn cancel(&self, job: &str) -> Answer {
        self.send(Method::DELETE, &format!("/v1/jobs/{job}"), &[], None).await
    }

    /// What happens to a job: all of it, or what comes after the event with this id.
    ///
    /// # Panics
    /// Where there is no such stream.
    pub async fn events(&self, job: &str, after: Option<&str>) -> Events {
        let mut request = self.http.get(format!("{}/v1/jobs/{job}/events", self.base));
        if let Some(id) = after {
            request = request.header("last-event-id", id);
        }
        let response = request.send().await.unwrap();
        let kind = response.headers().get("content-type").cloned();
        let is_stream = kind.as_ref().is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        assert!(response.status() == 200 && is_stream, "{response:#?}");
        Events::of(response)
    }
}

/// Whether a job that was asked about has ended.
#[must_use]
pub fn has_ended(job: &Value) -> bool {
    matches!(job["status"].as_str(), Some("success" | "failed" | "cancelled"))
}

fn receipt(answer: Answer) -> Receipt {
    let shown = format!("{answer:#?}");
    serde_json::from_value(answer.body).unwrap_or_else(|error| panic!("{error}: {shown}"))
}
