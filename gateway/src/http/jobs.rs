//! `/v1/jobs`: submit, ask, cancel.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use sluice_shared::domain::id::{JobId, Tenant};
use sluice_shared::effects::Cancelled;

use crate::jobs::{GetError, Jobs, ReceiptBody};
use crate::problem::Problem;

pub(super) async fn submit(State(jobs): State<Jobs>, headers: HeaderMap, body: Bytes) -> Result<Response, Problem> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let traceparent = text("traceparent").map(str::to_owned);
    let receipt = jobs.submit(&Tenant::default(), &body, text("idempotency-key"), traceparent).await?;
    let status = if receipt.duplicate { StatusCode::OK } else { StatusCode::ACCEPTED };
    let location = format!("/v1/jobs/{}", receipt.job);
    Ok((status, [(header::LOCATION, location)], Json(ReceiptBody::from(&receipt))).into_response())
}

pub(super) async fn get(State(jobs): State<Jobs>, Path(id): Path<String>) -> Result<Response, Problem> {
    Ok(Json(jobs.get(&Tenant::default(), &parse(&id)?).await?).into_response())
}

pub(super) async fn cancel(State(jobs): State<Jobs>, Path(id): Path<String>) -> Result<Response, Problem> {
    let job = parse(&id)?;
    let (status, record) = match jobs.cancel(&Tenant::default(), &job).await.map_err(|error| Problem::from(&error))? {
        Cancelled::Ended(record) => (StatusCode::OK, record),
        Cancelled::Accepted(record) => (StatusCode::ACCEPTED, record),
    };
    Ok((status, Json(jobs.describe(&job, &record).await)).into_response())
}

fn parse(id: &str) -> Result<JobId, GetError> {
    id.parse().map_err(|_| GetError::NotFound)
}
