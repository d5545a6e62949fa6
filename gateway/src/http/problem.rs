//! Errors as problem details (RFC 9457), each with a stable `code`.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use sluice_shared::effects::{CancelError, SubmitError};

use crate::jobs::Refusal;

fn answer(status: StatusCode, code: &str, detail: &str, faults: &serde_json::Value) -> Response {
    let title = status.canonical_reason();
    let body = json!({"type": "about:blank", "title": title, "status": status.as_u16(), "code": code,
        "detail": detail, "faults": faults});
    let mut response = (status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
    }
    response
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let faults = match &self {
            Self::Invalid(faults) => json!(faults),
            Self::TwoKeys | Self::NotTaken(_) => json!([]),
        };
        let (status, code) = match &self {
            Self::Invalid(faults) if faults.is_not_json() => (StatusCode::BAD_REQUEST, "not_json"),
            Self::Invalid(faults) if faults.is_too_large() => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            Self::Invalid(_) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid_job"),
            Self::TwoKeys => (StatusCode::UNPROCESSABLE_ENTITY, "two_keys"),
            Self::NotTaken(SubmitError::Conflict { .. }) => (StatusCode::CONFLICT, "conflict"),
            Self::NotTaken(SubmitError::TooLarge | SubmitError::BodyTooLarge { .. }) => {
                (StatusCode::PAYLOAD_TOO_LARGE, "too_large")
            }
            Self::NotTaken(SubmitError::NoRoom) => (StatusCode::SERVICE_UNAVAILABLE, "no_room"),
            Self::NotTaken(SubmitError::Unknown { .. }) => (StatusCode::SERVICE_UNAVAILABLE, "unknown"),
            Self::NotTaken(SubmitError::Refused(_)) => (StatusCode::INTERNAL_SERVER_ERROR, "refused"),
        };
        answer(status, code, &self.to_string(), &faults)
    }
}

pub(super) fn of_cancel(error: &CancelError) -> Response {
    let (status, code) = match error {
        CancelError::NotFound => (StatusCode::NOT_FOUND, "no_such_job"),
        CancelError::NoRoom => (StatusCode::SERVICE_UNAVAILABLE, "no_room"),
        CancelError::Unknown => (StatusCode::SERVICE_UNAVAILABLE, "unknown"),
        CancelError::Unreadable => (StatusCode::INTERNAL_SERVER_ERROR, "unreadable"),
    };
    answer(status, code, &error.to_string(), &json!([]))
}
