//! `/v1/jobs`: submit and cancel.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use sluice_shared::domain::id::{JobId, Tenant};
use sluice_shared::effects::{CancelError, Cancelled};

use super::problem;
use crate::jobs::{Jobs, ReceiptBody, Refusal};

pub(super) async fn submit(State(jobs): State<Jobs>, headers: HeaderMap, body: Bytes) -> Result<Response, Refusal> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let traceparent = text("traceparent").map(str::to_owned);
    let receipt = jobs.submit(&Tenant::default(), &body, text("idempotency-key"), traceparent).await?;
    let status = if receipt.duplicate { StatusCode::OK } else { StatusCode::ACCEPTED };
    let location = format!("/v1/jobs/{}", receipt.job);
    Ok((status, [(header::LOCATION, location)], Json(ReceiptBody::from(&receipt))).into_response())
}

pub(super) async fn cancel(State(jobs): State<Jobs>, Path(id): Path<String>) -> Response {
    let Ok(job) = id.parse::<JobId>() else { return problem::of_cancel(&CancelError::NotFound) };
    match jobs.cancel(&Tenant::default(), &job).await {
        Ok(Cancelled::Ended(_)) => StatusCode::OK.into_response(),
        Ok(Cancelled::Accepted(_)) => StatusCode::ACCEPTED.into_response(),
        Err(error) => problem::of_cancel(&error),
    }
}
