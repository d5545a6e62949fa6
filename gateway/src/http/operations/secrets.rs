//! Of secrets: those that jobs name, and those that webhooks are signed with.

use http::StatusCode;
use serde_json::json;

use crate::openapi::{Operation, Parameter};
use crate::secrets::{self, SecretBody, SecretList};
use crate::webhook_secrets::{self as signing, SecretsBody};

pub(in crate::http) fn secrets() -> Operation {
    Operation::new("listSecrets", "The names of a tenant's secrets, never their values")
        .with(tenant())
        .answers::<SecretList>(StatusCode::OK, "The secrets, by name")
        .fails(&["not_opened", "unreadable", "storage_full"])
}

pub(in crate::http) fn set_secret() -> Operation {
    Operation::new("setSecret", "Sets a secret that jobs may name as {{secret:name}}, for all workers within a second")
        .with(name())
        .with(tenant())
        .takes(secrets::schema())
        .answers::<SecretBody>(StatusCode::OK, "It is set")
        .fails(&["invalid_name", "invalid_secret", "nothing_sealed", "too_many_secrets"])
        .fails(&["not_opened", "unreadable", "storage_full"])
}

pub(in crate::http) fn forget_secret() -> Operation {
    Operation::new("forgetSecret", "Forgets a secret: jobs that name it fail")
        .with(name())
        .with(tenant())
        .answers_nothing(StatusCode::NO_CONTENT, "It is not there, whether it was or not")
        .fails(&["invalid_name", "not_opened", "unreadable", "storage_full"])
}

pub(in crate::http) fn webhook_secrets() -> Operation {
    Operation::new("getWebhookSecrets", "What the tenant's webhooks are signed with, masked")
        .with(tenant())
        .answers::<SecretsBody>(StatusCode::OK, "The secrets, masked")
        .fails(&["no_webhook_secrets", "not_opened", "unreadable", "storage_full"])
}

pub(in crate::http) fn set_webhook_secrets() -> Operation {
    Operation::new("setWebhookSecrets", "Signs the tenant's webhooks with these, in place of those that there were")
        .with(tenant())
        .takes(signing::schema())
        .answers::<SecretsBody>(StatusCode::OK, "The secrets, masked")
        .fails(&["invalid_secrets", "not_opened", "unreadable", "storage_full"])
}

pub(in crate::http) fn forget_webhook_secrets() -> Operation {
    Operation::new("forgetWebhookSecrets", "Posts the tenant's webhooks unsigned from now on")
        .with(tenant())
        .answers_nothing(StatusCode::NO_CONTENT, "There are none, whether there were or not")
        .fails(&["not_opened", "unreadable", "storage_full"])
}

fn tenant() -> Parameter {
    Parameter::tenant("Whose, with a key of the operator: `default` where absent")
}

fn name() -> Parameter {
    let schema = json!({"type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[A-Za-z0-9_-]+$"});
    Parameter::path("name", "What jobs call it", schema)
}
