//! `/v1/jobs` and `/v1/jobs/{id}`: submit, ask, cancel.

use axum::Json;
use axum::extract::{FromRequestParts, Path, RawQuery, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sluice_shared::domain::id::{JobId, Tenant};
use sluice_shared::effects::{CancelError, Cancelled, Receipt};
use sluice_shared::keys::NotTaken;
use sluice_shared::telemetry::Via;

use super::{Http, body, query, quota};
use crate::access::{Budget, Caller, Denied};
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

pub(super) async fn submit(
    State(http): State<Http>,
    caller: Caller,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, Problem> {
    let tenant = tenant_for(&caller, query.as_deref())?;
    let (key, traceparent) = (key(request.headers())?, traceparent(request.headers()));
    let budget = http.access.budget(&caller, &tenant);
    let of_key = budget.as_ref().and_then(Budget::body_bytes).and_then(|bytes| usize::try_from(bytes).ok());
    let limit = http.jobs.effects().nats().max_payload().min(of_key.unwrap_or(usize::MAX));
    let json = body::read(request, limit).await?;
    let (doing, within) = (http.clone(), budget.clone());
    let taking = async move { doing.take(within.as_ref(), &tenant, &json, key.as_deref(), traceparent).await };
    let answer = match http.to_its_end(taking).await? {
        Ok(receipt) => {
            let location = format!("/v1/jobs/{}", receipt.job);
            (status_of(&receipt), [(header::LOCATION, location)], Json(ReceiptBody::from(&receipt))).into_response()
        }
        Err(refusal) => Problem::from(refusal).into_response(),
    };
    Ok(quota::told(budget.as_ref(), answer))
}

pub(super) async fn get(
    State(http): State<Http>,
    caller: Caller,
    Id(job): Id,
    RawQuery(query): RawQuery,
) -> Result<Json<JobBody>, Problem> {
    let wait = query::only("wait", query.as_deref())?.map(|wait| query::duration("wait", &wait)).transpose()?;
    let tenant = http.tenant_of(&caller, &job).await?;
    let Some(wait) = wait else {
        return Ok(Json(http.jobs.get(&tenant, &job).await?));
    };
    let at_most = wait.min(http.settings.max_wait);
    let _waiting = http.metrics.client_waits();
    let waiting = http.jobs.wait(&tenant, &job, at_most);
    let waited = tokio::select! {
        waited = http.stop.run_until_cancelled(waiting) => waited,
        // Its key was revoked meanwhile: the next request is told so.
        () = caller.ended() => return Err(Denied::NotTaken(NotTaken::Unknown).into()),
    };
    match waited {
        Some(waited) => Ok(Json(waited?)),
        None => Ok(Json(http.jobs.get(&tenant, &job).await?)),
    }
}

pub(super) async fn cancel(State(http): State<Http>, caller: Caller, Id(job): Id) -> Result<Response, Problem> {
    let tenant = http.tenant_of(&caller, &job).await.map_err(unconfirmed)?;
    let (jobs, named) = (http.jobs.clone(), job.clone());
    let cancelled = http.to_its_end(async move { jobs.cancel(&tenant, &named).await }).await?;
    let (status, record) = match cancelled.map_err(|error| Problem::from(&error))? {
        Cancelled::Ended(record) => (StatusCode::OK, record),
        Cancelled::Accepted(record) => (StatusCode::ACCEPTED, record),
    };
    Ok((status, Json(http.jobs.describe(&job, &record).await)).into_response())
}

pub(super) async fn retry(State(http): State<Http>, caller: Caller, Id(job): Id) -> Result<Response, Problem> {
    let tenant = http.tenant_of(&caller, &job).await.map_err(unconfirmed)?;
    let (jobs, budget) = (http.jobs.clone(), http.access.budget(&caller, &tenant));
    let within = budget.clone();
    let retried = http.to_its_end(async move { jobs.retry_within(within.as_ref(), &tenant, &job).await }).await?;
    let answer = match retried {
        Ok(receipt) => (StatusCode::ACCEPTED, Json(ReceiptBody::from(&receipt))).into_response(),
        Err(error) => Problem::from(&error).into_response(),
    };
    Ok(quota::told(budget.as_ref(), answer))
}

pub(super) async fn replay(
    State(http): State<Http>,
    caller: Caller,
    Path((job, number)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let job: JobId = job.parse().map_err(|_| Problem::from(GetError::NotFound))?;
    let number = number.parse().map_err(|_| Problem::from(&ReplayError::NoSuchWebhook))?;
    let tenant = http.tenant_of(&caller, &job).await.map_err(unconfirmed)?;
    let jobs = http.jobs.clone();
    let replayed = http.to_its_end(async move { jobs.replay(&tenant, &job, number).await }).await?;
    replayed.map_err(|error| Problem::from(&error))?;
    Ok(StatusCode::ACCEPTED)
}

impl Http {
    /// Takes one job in, and counts it.
    pub(super) async fn take(
        &self,
        budget: Option<&Budget>,
        tenant: &Tenant,
        json: &[u8],
        key: Option<&str>,
        traceparent: Option<String>,
    ) -> Result<Receipt, Refusal> {
        let submitted = self.jobs.submit_within(budget, tenant, json, key, traceparent).await;
        self.metrics.submitted(Via::Http, counted(&submitted));
        submitted
    }

    /// The tenant whose job it has to be for this caller: their own, or that of the job for whoever reaches all.
    pub(super) async fn tenant_of(&self, caller: &Caller, job: &JobId) -> Result<Tenant, GetError> {
        match caller.tenant() {
            Some(own) => Ok(own.clone()),
            None => self.jobs.tenant_of(job).await,
        }
    }
}

/// What changes a job is to be repeated where the broker does not answer, whether it came to the change or not.
fn unconfirmed(error: GetError) -> Problem {
    match error {
        GetError::Unavailable(_) => Problem::from(&CancelError::Unknown),
        GetError::NotFound | GetError::Unreadable => error.into(),
    }
}

/// The tenant that a caller submits for: their own; the one that is asked for, or the default one, for whoever reaches all.
pub(super) fn tenant_for(caller: &Caller, query: Option<&str>) -> Result<Tenant, Problem> {
    let asked = query::only("tenant", query)?;
    Ok(caller.reach(query::parsed("tenant", asked.as_deref())?)?.unwrap_or_default())
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
