//! What these clients get back. Pure.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use sluice_shared::clock::{self, Millis};
use sluice_shared::domain::id::Tenant;
use sluice_shared::effects::Receipt;

use super::super::problem::MEDIA_TYPE;
use crate::jobs::{JobBody, ReceiptBody, Status};
use crate::problem::Problem;
use crate::webhook_secrets::SecretsBody;

/// The answer of a resource, with an envelope round it or without.
#[derive(Debug)]
pub(super) struct Answer {
    status: StatusCode,
    body: Value,
    is_problem: bool,
    retry_after: Option<u32>,
}

/// A job that was taken in, or was there.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "EzThrottleReceipt")]
pub(in crate::http) struct QueuedJob {
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
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "EzThrottleSecrets")]
pub(in crate::http) struct SecretsAnswer {
    /// The tenant.
    customer_id: String,
    primary_secret: String,
    secondary_secret: Option<String>,
    has_secondary: bool,
}

/// What comes back in an envelope.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "EzThrottleForwarded")]
pub(in crate::http) struct Forwarded {
    status: Verdict,
    /// What the resource answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    forwarded_response: Option<ForwardedAnswer>,
    /// Why nothing was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Whether there is such a resource.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "EzThrottleVerdict")]
enum Verdict {
    /// It was asked.
    Allowed,
    /// There is none.
    Denied,
}

/// The answer of a resource.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "EzThrottleForwardedAnswer")]
struct ForwardedAnswer {
    status_code: u16,
    /// Its JSON, as text.
    body: String,
}

/// What was asked for is done.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "EzThrottleDone")]
pub(in crate::http) struct Done {
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

impl SecretsAnswer {
    pub(super) fn new(tenant: &Tenant, secrets: SecretsBody) -> Self {
        let SecretsBody { primary_secret, secondary_secret, has_secondary, .. } = secrets;
        Self { customer_id: tenant.to_string(), primary_secret, secondary_secret, has_secondary }
    }
}

impl Answer {
    pub(super) fn of(status: StatusCode, body: &impl Serialize) -> Self {
        Self { status, body: serde_json::to_value(body).unwrap_or_default(), is_problem: false, retry_after: None }
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
        Self { status: problem.status, body, is_problem: true, retry_after: problem.retry_after }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body)).into_response();
        if self.is_problem {
            response.headers_mut().insert(header::CONTENT_TYPE, MEDIA_TYPE);
        }
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
    let there = ForwardedAnswer { status_code: answer.status.as_u16(), body: answer.body.to_string() };
    Json(Forwarded { status: Verdict::Allowed, forwarded_response: Some(there), error: None }).into_response()
}

/// An envelope that names nothing.
pub(super) fn denied(why: &str) -> Response {
    Json(Forwarded { status: Verdict::Denied, forwarded_response: None, error: Some(why.to_owned()) }).into_response()
}
