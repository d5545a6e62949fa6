//! What these clients get back. Pure.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};
use sluice_shared::clock::{self, Millis};
use sluice_shared::domain::id::Tenant;
use sluice_shared::effects::Receipt;

use crate::jobs::{JobBody, ReceiptBody, Status};
use crate::problem::Problem;
use crate::webhook_secrets::SecretsBody;

/// The answer of a resource, with an envelope round it or without.
#[derive(Debug)]
pub(super) struct Answer {
    status: StatusCode,
    body: Value,
    retry_after: Option<u32>,
}

/// A job that was taken in, or was there.
#[derive(Serialize)]
pub(super) struct QueuedJob {
    job_id: String,
    status: Status,
    idempotent_key: String,
    /// Milliseconds since the epoch.
    queued_at: Millis,
    /// Nobody knows it when a job is taken in; asking for the job tells when its turn is expected.
    estimated_processing_time: Option<String>,
    duplicate: bool,
}

/// A tenant's webhook secrets, masked.
#[derive(Serialize)]
pub(super) struct SecretsAnswer<'a> {
    customer_id: &'a str,
    primary_secret: &'a str,
    secondary_secret: Option<&'a str>,
    has_secondary: bool,
}

/// What was asked for is done.
#[derive(Serialize)]
pub(super) struct Done {
    status: &'static str,
    message: &'static str,
}

impl Done {
    pub(super) fn saying(message: &'static str) -> Self {
        Self { status: "ok", message }
    }
}

impl From<&Receipt> for QueuedJob {
    fn from(receipt: &Receipt) -> Self {
        let ReceiptBody { job_id, status, idempotent_key, duplicate } = receipt.into();
        Self {
            job_id,
            status,
            idempotent_key,
            queued_at: receipt.record.accepted_at,
            estimated_processing_time: None,
            duplicate,
        }
    }
}

impl From<&JobBody> for QueuedJob {
    fn from(there: &JobBody) -> Self {
        Self {
            job_id: there.job_id.clone(),
            status: there.status,
            idempotent_key: there.idempotent_key.clone(),
            queued_at: there.accepted_at,
            estimated_processing_time: None,
            duplicate: true,
        }
    }
}

impl<'a> SecretsAnswer<'a> {
    pub(super) fn new(tenant: &'a Tenant, secrets: &'a SecretsBody) -> Self {
        Self {
            customer_id: tenant.as_str(),
            primary_secret: &secrets.primary_secret,
            secondary_secret: secrets.secondary_secret.as_deref(),
            has_secondary: secrets.has_secondary,
        }
    }
}

impl Answer {
    pub(super) fn of(status: StatusCode, body: &impl Serialize) -> Self {
        Self { status, body: serde_json::to_value(body).unwrap_or_default(), retry_after: None }
    }
}

/// A problem with what these clients look for besides: `error`, and `retry_at` in milliseconds since the epoch.
impl From<Problem> for Answer {
    fn from(problem: Problem) -> Self {
        let mut body = serde_json::to_value(&problem).unwrap_or_default();
        body["error"] = json!(problem.detail);
        if let Some(seconds) = problem.retry_after {
            body["retry_at"] = json!(clock::now().after(Duration::from_secs(u64::from(seconds))));
        }
        Self { status: problem.status, body, retry_after: problem.retry_after }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body)).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// An answer in the envelope of the request; one that asks to come again later is none of the resource's.
pub(super) fn forwarded(answer: Answer) -> Response {
    if answer.status == StatusCode::TOO_MANY_REQUESTS || answer.status.is_server_error() {
        return answer.into_response();
    }
    let forwarded = json!({"status_code": answer.status.as_u16(), "body": answer.body.to_string()});
    Json(json!({"status": "allowed", "forwarded_response": forwarded})).into_response()
}

/// An envelope that names nothing.
pub(super) fn denied(why: &str) -> Response {
    Json(json!({"status": "denied", "error": why})).into_response()
}
