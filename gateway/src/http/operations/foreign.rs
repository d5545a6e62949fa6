//! Of the wire of EZThrottle's clients.

use http::StatusCode;
use serde_json::json;

use crate::http::ezthrottle::{Done, Forwarded, JOB, PROBLEM, QueuedJob, SecretsAnswer};
use crate::openapi::Operation;
use crate::webhook_secrets as signing;

pub(in crate::http) fn foreign_proxy() -> Operation {
    let target = "Names one of the resources under `/api/v1` by its path, whatever its host is, and is never called";
    let envelope = json!({
        "type": "object", "required": ["target_url"],
        "properties": {
            "target_url": {"type": "string", "description": target},
            "method": {"type": "string", "description": "That of the request to the resource; `POST` where absent"},
            "body": {"type": ["string", "null"], "description": "The JSON of that request, as text"},
        },
        "examples": [{"target_url": "https://ezthrottle.example/api/v1/webhook-secrets", "method": "GET", "body": ""}],
    });
    foreign("forwardForeign", "A request to one of the resources under /api/v1, in the envelope of EZThrottle's clients")
        .described(
            "What the resource answers is in an envelope, its problems included; 429 and 5xx are answers of their own. Secrets take \
             the scopes `read` and `operate` besides.",
        )
        .takes(envelope)
        .answers::<Forwarded>(StatusCode::OK, "What that resource answered, or that there is none")
        .counted()
        .fails(&["invalid_envelope", "refused", "storage_full", "unconfirmed", "not_opened", "unreadable"])
}

pub(in crate::http) fn foreign_job() -> Operation {
    foreign("submitForeignJob", "Submits a job as EZThrottle's clients write it")
        .described(
            "Without `idempotent_key` it is named by a hash of its method, URL and body. Several `regions` without an \
             `execution_mode` race.",
        )
        .takes(json!({"$ref": format!("#/components/schemas/{JOB}")}))
        .answers::<QueuedJob>(StatusCode::CREATED, "The job, new or there already")
        .known_by("job_id")
        .counted()
        .fails(&["invalid_job", "target_refused", "conflict", "no_such_job"])
        .fails(&["refused", "storage_full", "unconfirmed", "unreadable"])
}

pub(in crate::http) fn foreign_secrets() -> Operation {
    foreign("getForeignWebhookSecrets", "What the tenant's webhooks are signed with, masked")
        .answers::<SecretsAnswer>(StatusCode::OK, "The secrets, masked")
        .fails(&["no_webhook_secrets", "not_opened", "unreadable", "storage_full"])
}

pub(in crate::http) fn set_foreign_secrets() -> Operation {
    foreign("setForeignWebhookSecrets", "Signs the tenant's webhooks with these, by both schemes")
        .takes(signing::schema())
        .answers::<Done>(StatusCode::CREATED, "They are set")
        .fails(&["invalid_secrets", "not_opened", "unreadable", "storage_full"])
}

pub(in crate::http) fn forget_foreign_secrets() -> Operation {
    foreign("forgetForeignWebhookSecrets", "Posts the tenant's webhooks unsigned from now on")
        .answers::<Done>(StatusCode::OK, "There are none, whether there were or not")
        .fails(&["not_opened", "unreadable", "storage_full"])
}

fn foreign(id: &'static str, summary: &'static str) -> Operation {
    Operation::new(id, summary).problems_as(PROBLEM)
}
