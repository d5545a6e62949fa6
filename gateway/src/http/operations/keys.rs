//! Of API keys.

use http::StatusCode;
use serde_json::json;

use crate::keys::{CreatedBody, KeyList, wish_schema};
use crate::openapi::{Operation, Parameter};

pub(in crate::http) fn keys() -> Operation {
    Operation::new("listKeys", "All keys, without their secrets")
        .with(Parameter::tenant("Only those of this tenant, with a key of the operator"))
        .answers::<KeyList>(StatusCode::OK, "The keys, the oldest first")
        .leads_to("revokeKey", "id", "keys/0/id")
        .fails(&["no_keys_here"])
}

pub(in crate::http) fn create_key() -> Operation {
    Operation::new("createKey", "Makes a key, which is shown this once")
        .described(
            "A 503 may have made one without anybody who has its secret: look and revoke it. A tenant's key makes keys of its tenant \
             that expire no later than it does, and what is submitted with these counts against its own quotas too.",
        )
        .takes(wish_schema())
        .answers::<CreatedBody>(StatusCode::CREATED, "The key")
        .says("Cache-Control", "`no-store`")
        .leads_to("revokeKey", "id", "id")
        .fails(&["invalid_api_key", "other_tenant", "too_deep", "no_keys_here", "storage_full"])
}

pub(in crate::http) fn revoke_key() -> Operation {
    Operation::new("revokeKey", "Revokes a key, at all gateways within a second")
        .with(Parameter::path("id", "The key, by its `id`", json!({"type": "string", "minLength": 1})))
        .answers_nothing(StatusCode::NO_CONTENT, "It is taken no more")
        .fails(&["no_such_key", "no_keys_here", "storage_full"])
}
