//! `/v1/jobs/batch`: many jobs in one request, each answered for itself.
//!
//! `200 {"items":[{"status":202,"job":{…receipt}},{"status":422,"problem":{…}}]}`, in the order of the jobs: an item's
//! status and body are what `POST /v1/jobs` would have answered to it.

use std::fmt;

use axum::Json;
use axum::extract::{RawQuery, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use schemars::JsonSchema;
use serde::de::{DeserializeSeed, SeqAccess, Visitor};
use serde::{Deserializer, Serialize};
use serde_json::error::Category;
use serde_json::value::RawValue;
use sluice_shared::domain::id::Tenant;

use super::jobs::{status_of, tenant_for, traceparent};
use super::{Http, body, quota};
use crate::access::{Budget, Caller};
use crate::jobs::ReceiptBody;
use crate::problem::Problem;

/// Jobs of a batch that are taken in at the same time.
const AT_ONCE: usize = 32;
/// A batch may be so many times as large as one job.
const TIMES_A_JOB: usize = 4;

/// The answers to a batch.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "BatchAnswers")]
pub(super) struct BatchBody {
    items: Vec<ItemBody>,
}

/// What `POST /v1/jobs` would have answered to one job.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "BatchAnswer")]
struct ItemBody {
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<ReceiptBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Problem>,
}

pub(super) async fn submit(
    State(http): State<Http>,
    caller: Caller,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, Problem> {
    let tenant = tenant_for(&caller, query.as_deref())?;
    if request.headers().contains_key("idempotency-key") {
        let detail = "one key cannot name the jobs of a batch: give each job its `idempotent_key`";
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_key", detail));
    }
    let traceparent = traceparent(request.headers());
    let limit = http.jobs.effects().nats().max_payload().saturating_mul(TIMES_A_JOB);
    let jobs = read(&body::read(request, limit).await?, http.settings.max_batch)?;
    let budget = http.access.budget(&caller, &tenant);
    let (doing, within) = (http.clone(), budget.clone());
    let taking = async move { doing.take_all(within.as_ref(), &tenant, jobs, traceparent).await };
    let items = http.to_its_end(taking).await?;
    Ok(quota::told(budget.as_ref(), Json(BatchBody { items }).into_response()))
}

impl Http {
    async fn take_all(
        &self,
        budget: Option<&Budget>,
        tenant: &Tenant,
        jobs: Vec<Bytes>,
        traceparent: Option<String>,
    ) -> Vec<ItemBody> {
        let take = |json: Bytes| {
            let traceparent = traceparent.clone();
            async move {
                match self.take(budget, tenant, &json, None, traceparent).await {
                    Ok(receipt) => ItemBody {
                        status: status_of(&receipt).as_u16(),
                        job: Some(ReceiptBody::from(&receipt)),
                        problem: None,
                    },
                    Err(refusal) => Problem::from(refusal).into(),
                }
            }
        };
        stream::iter(jobs).map(take).buffered(AT_ONCE).collect().await
    }
}

impl From<Problem> for ItemBody {
    fn from(problem: Problem) -> Self {
        Self { status: problem.status.as_u16(), job: None, problem: Some(problem) }
    }
}

/// The jobs of a list, each as the text it was written in.
fn read(json: &Bytes, most: usize) -> Result<Vec<Bytes>, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let read = AtMost { most, whole: json }.deserialize(&mut reader).and_then(|jobs| reader.end().map(|()| jobs));
    let error = match read {
        Ok(Some(jobs)) => return Ok(jobs),
        Ok(None) => {
            let detail = format!("a batch has at most {most} jobs: send more of them in further batches");
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "too_many_jobs", detail));
        }
        Err(error) => error,
    };
    match error.classify() {
        // What was there instead is not repeated.
        Category::Data => {
            let detail = "a batch must be a JSON list of jobs";
            Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_batch", detail))
        }
        Category::Syntax | Category::Eof | Category::Io => {
            let detail = format!("the batch is not valid JSON: {error}");
            Err(Problem::new(StatusCode::BAD_REQUEST, "not_json", detail))
        }
    }
}

/// Reads a list of at most so many items; nothing where there are more, so that a list of tiny items takes no memory.
struct AtMost<'a> {
    most: usize,
    whole: &'a Bytes,
}

impl<'de> DeserializeSeed<'de> for AtMost<'_> {
    type Value = Option<Vec<Bytes>>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for AtMost<'_> {
    type Value = Option<Vec<Bytes>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of jobs")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let (mut items, mut too_many) = (Vec::new(), false);
        while let Some(item) = list.next_element::<&RawValue>()? {
            too_many |= items.len() == self.most;
            if !too_many {
                items.push(self.whole.slice_ref(item.get().as_bytes()));
            }
        }
        Ok((!too_many).then_some(items))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a batch that is refused fails the test")]

    use super::*;

    fn refused(json: &'static str) -> &'static str {
        read(&json.into(), 2).unwrap_err().code
    }

    #[test]
    fn each_job_is_the_text_it_was_written_in() {
        let jobs = read(&Bytes::from_static(br#" [ {"a": 1.0} , 7 ] "#), 2).unwrap();
        assert_eq!(jobs, [Bytes::from_static(br#"{"a": 1.0}"#), Bytes::from_static(b"7")]);
        assert!(read(&Bytes::from_static(b"[]"), 2).unwrap().is_empty());
    }

    #[test]
    fn what_is_no_list_of_jobs_is_refused_for_what_it_is() {
        assert_eq!(refused("[1,2,3]"), "too_many_jobs");
        assert_eq!(refused(r#"{"url":"x"}"#), "invalid_batch");
        assert_eq!(refused(r#""secret""#), "invalid_batch");
        for broken in ["", "[1,", "[1] 2", "[1,2,3,", "\u{7f}"] {
            assert_eq!(refused(broken), "not_json", "{broken}");
        }
        assert!(!read(&Bytes::from_static(br#""secret""#), 2).unwrap_err().detail.contains("secret"));
    }
}
