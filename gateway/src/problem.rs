//! Errors as problem details (RFC 9457), as values: HTTP and the NATS service answer with the same ones.
//!
//! Pure. Invariant: each `code` is stable, and each detail says what to do. No detail repeats what a caller sent, except
//! the idempotency key.

use http::StatusCode;
use schemars::JsonSchema;
use serde::{Serialize, Serializer};
use sluice_shared::domain::submission::Fault;
use sluice_shared::effects::{CancelError, RetryError, SubmitError};

use crate::access::OverQuota;
use crate::jobs::{GetError, NotRetried, Refusal, ReplayError};
use crate::letters::LetterError;
use crate::webhook_secrets::SecretsError;

/// Seconds after which a submission that was not taken is worth repeating.
const AGAIN_SOON: u32 = 1;
/// The same where the broker's storage is full.
const AGAIN_LATER: u32 = 10;

/// What went wrong, for programs and for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Problem {
    /// The HTTP status; beside it `type` and `title`, which say the same.
    #[serde(flatten, serialize_with = "in_words")]
    #[schemars(with = "Words")]
    pub status: StatusCode,
    /// Which problem it is; stable.
    pub code: &'static str,
    /// What is wrong and what to do.
    pub detail: String,
    /// Everything that is wrong with a submission, each fault with its path.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
    /// The key to repeat a submission with that may have been taken, or the key that belongs to another request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotent_key: Option<Box<str>>,
    /// The job that the key names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_id: Option<Box<str>>,
    /// Seconds after which the same is worth repeating.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u32>,
}

impl Problem {
    /// A problem of this status and code.
    #[must_use]
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            faults: Vec::new(),
            idempotent_key: None,
            job_id: None,
            retry_after: None,
        }
    }

    /// Something is wrong in this program, which its log says; those who asked are not told what.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the request could not be handled")
    }

    fn again_after(self, seconds: u32) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    fn with_key(self, key: &str) -> Self {
        Self { idempotent_key: Some(key.into()), ..self }
    }
}

impl From<&Refusal> for Problem {
    fn from(refusal: &Refusal) -> Self {
        let problem = |status, code| Self::new(status, code, refusal.to_string());
        match refusal {
            Refusal::Invalid(faults) => {
                let problem = if faults.is_not_json() {
                    problem(StatusCode::BAD_REQUEST, "not_json")
                } else if faults.is_too_large() {
                    problem(StatusCode::PAYLOAD_TOO_LARGE, "too_large")
                } else if faults.is_target_refused() {
                    problem(StatusCode::UNPROCESSABLE_ENTITY, "target_refused")
                } else {
                    problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid_job")
                };
                Self { faults: faults.as_slice().to_vec(), ..problem }
            }
            Refusal::InvalidKey => problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid_key"),
            Refusal::TwoKeys => problem(StatusCode::UNPROCESSABLE_ENTITY, "two_keys"),
            Refusal::StorageFull => problem(StatusCode::SERVICE_UNAVAILABLE, "storage_full").again_after(AGAIN_LATER),
            Refusal::OverQuota(error) => error.into(),
            Refusal::NotTaken(error) => error.into(),
        }
    }
}

impl From<&OverQuota> for Problem {
    fn from(error: &OverQuota) -> Self {
        let problem = |status, code| Self::new(status, code, error.to_string());
        match error {
            OverQuota::Exceeded(exceeded) => {
                let seconds = u32::try_from(exceeded.retry_after()).unwrap_or(u32::MAX);
                problem(StatusCode::TOO_MANY_REQUESTS, "over_quota").again_after(seconds)
            }
            OverQuota::TooLarge(_) => problem(StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            OverQuota::Unavailable => problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable").again_after(AGAIN_SOON),
        }
    }
}

impl From<&SubmitError> for Problem {
    fn from(error: &SubmitError) -> Self {
        let problem = |status, code| Self::new(status, code, error.to_string());
        match error {
            SubmitError::Conflict { key, job } => {
                let conflict = problem(StatusCode::CONFLICT, "conflict").with_key(key);
                Self { job_id: Some(job.as_str().into()), ..conflict }
            }
            SubmitError::TooLarge | SubmitError::BodyTooLarge { .. } => {
                problem(StatusCode::PAYLOAD_TOO_LARGE, "too_large")
            }
            SubmitError::NoRoom => problem(StatusCode::SERVICE_UNAVAILABLE, "storage_full").again_after(AGAIN_LATER),
            SubmitError::Unknown { key } => {
                problem(StatusCode::SERVICE_UNAVAILABLE, "unconfirmed").with_key(key).again_after(AGAIN_SOON)
            }
            SubmitError::Refused(_) => problem(StatusCode::INTERNAL_SERVER_ERROR, "refused"),
        }
    }
}

impl From<&GetError> for Problem {
    fn from(error: &GetError) -> Self {
        let problem = |status, code| Self::new(status, code, error.to_string());
        match error {
            GetError::NotFound => problem(StatusCode::NOT_FOUND, "no_such_job"),
            GetError::Unavailable(_) => problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable").again_after(AGAIN_SOON),
            GetError::Unreadable => problem(StatusCode::INTERNAL_SERVER_ERROR, "unreadable"),
        }
    }
}

impl From<&CancelError> for Problem {
    fn from(error: &CancelError) -> Self {
        let problem = |status, code| Self::new(status, code, error.to_string());
        match error {
            CancelError::NotFound => problem(StatusCode::NOT_FOUND, "no_such_job"),
            CancelError::NoRoom => problem(StatusCode::SERVICE_UNAVAILABLE, "storage_full").again_after(AGAIN_LATER),
            CancelError::Unknown => problem(StatusCode::SERVICE_UNAVAILABLE, "unconfirmed").again_after(AGAIN_SOON),
            CancelError::Unreadable => problem(StatusCode::INTERNAL_SERVER_ERROR, "unreadable"),
        }
    }
}

impl From<&RetryError> for Problem {
    fn from(error: &RetryError) -> Self {
        let problem = |status, code| Self::new(status, code, error.to_string());
        match error {
            RetryError::NotFound => problem(StatusCode::NOT_FOUND, "no_such_job"),
            RetryError::NotFailed(_) => problem(StatusCode::CONFLICT, "not_failed"),
            RetryError::BodyGone(_) => problem(StatusCode::CONFLICT, "body_gone"),
            RetryError::NoRoom => problem(StatusCode::SERVICE_UNAVAILABLE, "storage_full").again_after(AGAIN_LATER),
            RetryError::Unknown => problem(StatusCode::SERVICE_UNAVAILABLE, "unconfirmed").again_after(AGAIN_SOON),
            RetryError::Unreadable => problem(StatusCode::INTERNAL_SERVER_ERROR, "unreadable"),
        }
    }
}

impl From<&NotRetried> for Problem {
    fn from(error: &NotRetried) -> Self {
        match error {
            NotRetried::OverQuota(error) => error.into(),
            NotRetried::Retry(error) => error.into(),
        }
    }
}

impl From<&ReplayError> for Problem {
    fn from(error: &ReplayError) -> Self {
        let problem = |status, code| Self::new(status, code, error.to_string());
        match error {
            ReplayError::Job(error) => error.into(),
            ReplayError::NotEnded => problem(StatusCode::CONFLICT, "not_ended"),
            ReplayError::NoSuchWebhook => problem(StatusCode::NOT_FOUND, "no_such_webhook"),
            ReplayError::Unknown => problem(StatusCode::SERVICE_UNAVAILABLE, "unconfirmed").again_after(AGAIN_SOON),
        }
    }
}

impl From<&LetterError> for Problem {
    fn from(error: &LetterError) -> Self {
        let problem = |status, code| Self::new(status, code, error.to_string());
        match error {
            LetterError::NotFound => problem(StatusCode::NOT_FOUND, "no_such_letter"),
            LetterError::NoWayBack(_) => problem(StatusCode::CONFLICT, "no_way_back"),
            LetterError::Unavailable => problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable").again_after(AGAIN_SOON),
        }
    }
}

impl From<&SecretsError> for Problem {
    fn from(error: &SecretsError) -> Self {
        let problem = |status, code| Self::new(status, code, error.to_string());
        match error {
            SecretsError::NotFound => problem(StatusCode::NOT_FOUND, "no_webhook_secrets"),
            SecretsError::Unavailable => {
                problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable").again_after(AGAIN_SOON)
            }
            SecretsError::NoRoom => problem(StatusCode::SERVICE_UNAVAILABLE, "storage_full").again_after(AGAIN_LATER),
            SecretsError::NotOpened => problem(StatusCode::INTERNAL_SERVER_ERROR, "not_opened"),
            SecretsError::Refused => problem(StatusCode::INTERNAL_SERVER_ERROR, "unreadable"),
        }
    }
}

/// The status as RFC 9457 has it: where the type is `about:blank`, the title is the status in words.
#[derive(Serialize, JsonSchema)]
struct Words {
    #[serde(rename = "type")]
    #[schemars(extend("const" = "about:blank"))]
    kind: &'static str,
    title: &'static str,
    status: u16,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the form that serde's `serialize_with` asks for")]
fn in_words<S: Serializer>(status: &StatusCode, to: S) -> Result<S::Ok, S::Error> {
    let title = status.canonical_reason().unwrap_or_default();
    Words { kind: "about:blank", title, status: status.as_u16() }.serialize(to)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "what cannot be serialised fails the test")]

    use super::*;

    #[test]
    fn a_problem_has_the_members_of_the_standard_and_those_of_its_own_that_say_something() {
        let problem = Problem::from(&SubmitError::Unknown { key: "k".into() });
        let json = serde_json::to_value(&problem).unwrap();
        let expected = serde_json::json!({
            "type": "about:blank", "title": "Service Unavailable", "status": 503, "code": "unconfirmed",
            "detail": problem.detail, "idempotent_key": "k", "retry_after": 1,
        });
        assert_eq!(json, expected);
        assert!(problem.detail.contains("`k`"), "{problem:?}");
    }
}
