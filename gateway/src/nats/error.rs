//! Why a request over NATS is not answered with what it asked for.

use http::StatusCode;
use sluice_shared::domain::id::InvalidName;
use sluice_shared::effects::CancelError;

use crate::jobs::{GetError, Refusal};
use crate::problem::Problem;

/// What is wrong.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestError {
    /// The subject names no tenant.
    #[error("the subject's last word names no tenant: {0}")]
    NoTenant(#[from] InvalidName),
    /// The request names no job.
    #[error(
        "name the job: its id as plain text, or one of {{\"job_id\": \"…\"}} and {{\"idempotent_key\": \"…\"}}; for \
         `wait` beside it \"timeout\": a number of seconds, or text with a unit such as \"30s\""
    )]
    NoJob,
    /// Too many requests wait here.
    #[error("{0} requests wait here already: ask again in a moment, or use `get`")]
    TooManyWaiting(usize),
    /// NATS does not take the answer.
    #[error("the answer is larger than NATS takes in one message: ask over HTTP")]
    AnswerTooLarge,
    /// The answer could not be written; the log says why.
    #[error("the request could not be handled")]
    Unwritable,
    /// The job was not taken.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The job cannot be shown.
    #[error(transparent)]
    NotShown(#[from] GetError),
    /// The job was not cancelled.
    #[error(transparent)]
    NotCancelled(#[from] CancelError),
}

impl From<&RequestError> for Problem {
    fn from(error: &RequestError) -> Self {
        let problem = |status, code| Self::new(status, code, error.to_string());
        match error {
            RequestError::NoTenant(_) => problem(StatusCode::BAD_REQUEST, "invalid_tenant"),
            RequestError::NoJob => problem(StatusCode::BAD_REQUEST, "invalid_request"),
            RequestError::TooManyWaiting(_) => {
                Self { retry_after: Some(1), ..problem(StatusCode::SERVICE_UNAVAILABLE, "too_many_waiting") }
            }
            RequestError::AnswerTooLarge => problem(StatusCode::PAYLOAD_TOO_LARGE, "answer_too_large"),
            RequestError::Unwritable => Self::internal(),
            RequestError::Refused(refusal) => refusal.into(),
            RequestError::NotShown(error) => error.into(),
            RequestError::NotCancelled(error) => error.into(),
        }
    }
}
