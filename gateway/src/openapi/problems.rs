//! Every problem that there is over HTTP: its code, its status, and what it means.
//!
//! Pure. A test holds it against the sources and against `gateway/HTTP.md`.

use http::StatusCode;

/// A problem that an answer may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownProblem {
    /// Which one; stable.
    pub code: &'static str,
    /// Its status, always the same.
    pub status: StatusCode,
    /// What it means.
    pub meaning: &'static str,
}

const fn problem(status: StatusCode, code: &'static str, meaning: &'static str) -> KnownProblem {
    KnownProblem { code, status, meaning }
}

/// All there are, by status.
pub const PROBLEMS: &[KnownProblem] = &[
    problem(StatusCode::BAD_REQUEST, "bad_query", "a query parameter is unknown, repeated or none that can be read"),
    problem(StatusCode::BAD_REQUEST, "incomplete", "the body broke off before its end"),
    problem(StatusCode::BAD_REQUEST, "not_json", "the body is not JSON"),
    problem(StatusCode::UNAUTHORIZED, "expired_api_key", "the key's time is over"),
    problem(StatusCode::UNAUTHORIZED, "no_api_key", "there is no `Authorization: Bearer`, or more than one"),
    problem(StatusCode::UNAUTHORIZED, "unknown_api_key", "the key is none, or was revoked"),
    problem(StatusCode::FORBIDDEN, "missing_scope", "the key does not have the scope that this takes"),
    problem(StatusCode::FORBIDDEN, "not_local", "an open gateway was called by another name than that of its machine"),
    problem(StatusCode::FORBIDDEN, "operators_only", "this takes a key of the operator"),
    problem(StatusCode::FORBIDDEN, "other_tenant", "the key reaches its own tenant only"),
    problem(StatusCode::FORBIDDEN, "too_deep", "keys with quotas made keys too often in turn"),
    problem(StatusCode::NOT_FOUND, "no_such_job", "there is no such job, or it is forgotten"),
    problem(StatusCode::NOT_FOUND, "no_such_key", "there is no such key"),
    problem(StatusCode::NOT_FOUND, "no_such_letter", "there is no such dead letter"),
    problem(StatusCode::NOT_FOUND, "no_such_queue", "there is no such queue, or it is forgotten"),
    problem(StatusCode::NOT_FOUND, "no_such_route", "there is nothing under this path"),
    problem(StatusCode::NOT_FOUND, "no_such_webhook", "the job has no such webhook"),
    problem(StatusCode::NOT_FOUND, "no_webhook_secrets", "the tenant has no webhook secrets"),
    problem(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "the path does not take this method; `Allow` says which",
    ),
    problem(StatusCode::REQUEST_TIMEOUT, "too_slow", "the body did not come in time"),
    problem(StatusCode::CONFLICT, "body_gone", "the body of the request is forgotten"),
    problem(StatusCode::CONFLICT, "conflict", "the key belongs to another request"),
    problem(StatusCode::CONFLICT, "no_keys_here", "an open gateway makes no keys"),
    problem(StatusCode::CONFLICT, "no_way_back", "the letter cannot be tried again"),
    problem(StatusCode::CONFLICT, "not_ended", "the job has not ended"),
    problem(StatusCode::CONFLICT, "not_failed", "the job has not failed"),
    problem(StatusCode::CONFLICT, "nothing_sealed", "there is no key to seal secrets with"),
    problem(StatusCode::CONFLICT, "too_many_secrets", "the tenant has as many secrets as it may have"),
    problem(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "the body, or a part of it, is too large"),
    problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json_type", "the body is not declared as JSON"),
    problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid_api_key", "there can be no such key"),
    problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid_batch", "the body is no list"),
    problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid_envelope", "the body is no envelope of EZThrottle's clients"),
    problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid_job", "the job is none: `faults` says why"),
    problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid_key", "the `Idempotency-Key` cannot be one"),
    problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid_limits", "there can be no such limits"),
    problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid_name", "the name in the path is none"),
    problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid_secret", "the value cannot be a secret"),
    problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid_secrets", "webhooks cannot be signed with these"),
    problem(StatusCode::UNPROCESSABLE_ENTITY, "target_refused", "a URL may not be called from here"),
    problem(StatusCode::UNPROCESSABLE_ENTITY, "too_many_jobs", "the batch has too many jobs"),
    problem(StatusCode::UNPROCESSABLE_ENTITY, "two_keys", "the key beside the job and the one in it differ"),
    problem(StatusCode::TOO_MANY_REQUESTS, "over_quota", "a quota of the key is used up"),
    problem(StatusCode::INTERNAL_SERVER_ERROR, "internal", "a defect, which the gateway's log tells"),
    problem(StatusCode::INTERNAL_SERVER_ERROR, "not_opened", "what is kept was sealed with another key"),
    problem(StatusCode::INTERNAL_SERVER_ERROR, "refused", "the broker does not take the job"),
    problem(StatusCode::INTERNAL_SERVER_ERROR, "unreadable", "what is kept cannot be read by this version"),
    problem(StatusCode::SERVICE_UNAVAILABLE, "storage_full", "the broker has no room"),
    problem(
        StatusCode::SERVICE_UNAVAILABLE,
        "unavailable",
        "the broker did not answer in time, or the gateway has just started",
    ),
    problem(StatusCode::SERVICE_UNAVAILABLE, "unconfirmed", "it may have been done or not: repeating is harmless"),
];

/// The problem of this code.
pub(super) fn known(code: &str) -> Option<&'static KnownProblem> {
    PROBLEMS.iter().find(|problem| problem.code == code)
}
