//! `/v1/jobs` and `/v1/jobs/{id}`: submit, ask, cancel.

use axum::Json;
use axum::extract::{FromRequestParts, Path, RawQuery, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sluice_shared::domain::id::{JobId, Tenant};
use sluice_shared::effects::{Cancelled, Receipt};
use sluice_shared::telemetry::Via;

use super::{Http, body, query};
use crate::jobs::{GetError, JobBody, ReceiptBody, Refusal, ReplayError, counted};
use crate::problem::Problem;

/// The job that a path names.
pub(super) struct Id(pub(super) JobId);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let id = Path::<String>::from_request_parts(parts, state).await.ok();
        let job = id.and_then(|Path(id)| id.parse().ok());
        job.map(Self).ok_or_else(|| Problem::from(GetError::NotFound))
    }
}

pub(super) async fn submit(State(http): State<Http>, request: Request) -> Result<Response, Problem> {
    let (key, traceparent) = (key(request.headers())?, traceparent(request.headers()));
    let limit = http.jobs.effects().nats().max_payload();
    let json = body::read(request, limit).await?;
    let doing = http.clone();
    let receipt = http.to_its_end(async move { doing.take(&json, key.as_deref(), traceparent).await }).await??;
    let location = format!("/v1/jobs/{}", receipt.job);
    Ok((status_of(&receipt), [(header::LOCATION, location)], Json(ReceiptBody::from(&receipt))).into_response())
}

pub(super) async fn get(
    State(http): State<Http>,
    Id(job): Id,
    RawQuery(query): RawQuery,
) -> Result<Json<JobBody>, Problem> {
    let tenant = Tenant::default();
    let Some(wait) = query::only("wait", query.as_deref())? else {
        return Ok(Json(http.jobs.get(&tenant, &job).await?));
    };
    let at_most = query::duration("wait", &wait)?.min(http.settings.max_wait);
    let _waiting = http.metrics.client_waits();
    let waited = http.stop.run_until_cancelled(http.jobs.wait(&tenant, &job, at_most)).await;
    match waited {
        Some(waited) => Ok(Json(waited?)),
        None => Ok(Json(http.jobs.get(&tenant, &job).await?)),
    }
}

pub(super) async fn cancel(State(http): State<Http>, Id(job): Id) -> Result<Response, Problem> {
    let (jobs, named) = (http.jobs.clone(), job.clone());
    let cancelled = http.to_its_end(async move { jobs.cancel(&Tenant::default(), &named).await }).await?;
    let (status, record) = match cancelled.map_err(|error| Problem::from(&error))? {
        Cancelled::Ended(record) => (StatusCode::OK, record),
        Cancelled::Accepted(record) => (StatusCode::ACCEPTED, record),
    };
    Ok((status, Json(http.jobs.describe(&job, &record).await)).into_response())
}

pub(super) async fn retry(State(http): State<Http>, Id(job): Id) -> Result<Response, Problem> {
    let jobs = http.jobs.clone();
    let retried = http.to_its_end(async move { jobs.retry(&Tenant::default(), &job).await }).await?;
    let receipt = retried.map_err(|error| Problem::from(&error))?;
    Ok((StatusCode::ACCEPTED, Json(ReceiptBody::from(&receipt))).into_response())
}

pub(super) async fn replay(
    State(http): State<Http>,
    Path((job, number)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let job: JobId = job.parse().map_err(|_| Problem::from(GetError::NotFound))?;
    let number = number.parse().map_err(|_| Problem::from(&ReplayError::NoSuchWebhook))?;
    let jobs = http.jobs.clone();
    let replayed = http.to_its_end(async move { jobs.replay(&Tenant::default(), &job, number).await }).await?;
    replayed.map_err(|error| Problem::from(&error))?;
    Ok(StatusCode::ACCEPTED)
}

impl Http {
    /// Takes one job in, and counts it.
    pub(super) async fn take(
        &self,
        json: &[u8],
        key: Option<&str>,
        traceparent: Option<String>,
    ) -> Result<Receipt, Refusal> {
        let submitted = self.jobs.submit(&Tenant::default(), json, key, traceparent).await;
        self.metrics.submitted(Via::Http, counted(&submitted));
        submitted
    }
}

/// 202 for a job that was taken in, 200 for one that was there.
pub(super) fn status_of(receipt: &Receipt) -> StatusCode {
    if receipt.duplicate { StatusCode::OK } else { StatusCode::ACCEPTED }
}

/// A `traceparent` that cannot be read counts as none (W3C Trace Context, section 3.2.2).
pub(super) fn traceparent(headers: &HeaderMap) -> Option<String> {
    headers.get("traceparent").and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// The `Idempotency-Key`. One that cannot be read is refused: to pass over it would do the job twice.
fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut given = headers.get_all("idempotency-key").iter();
    let Some(key) = given.next() else { return Ok(None) };
    match (std::str::from_utf8(key.as_bytes()), given.next()) {
        (Ok(key), None) => Ok(Some(key.to_owned())),
        (Ok(_) | Err(_), _) => Err(Refusal::InvalidKey.into()),
    }
}
