//! What anybody may ask for: health, counts, and what there is.

use http::StatusCode;
use serde_json::{Map, Value};

use crate::openapi::Operation;

pub(in crate::http) fn health() -> Operation {
    let operation = Operation::new("isAlive", "Whether the process answers");
    operation.answers_as::<String>("text/plain", StatusCode::OK, "It does")
}

pub(in crate::http) fn readiness() -> Operation {
    Operation::new("isReady", "Whether NATS answers, what jobs need is there, and the keys are known")
        .answers_as::<String>("text/plain", StatusCode::OK, "It is ready")
        .answers_as::<String>("text/plain", StatusCode::SERVICE_UNAVAILABLE, "It is not: what is missing")
}

pub(in crate::http) fn metrics() -> Operation {
    Operation::new("metrics", "Counts for Prometheus, as OpenMetrics")
        .described("Of all tenants: let nobody outside get here.")
        .answers_as::<String>("application/openmetrics-text", StatusCode::OK, "The counts")
}

pub(in crate::http) fn document() -> Operation {
    Operation::new("openapi", "This document").answers::<Map<String, Value>>(StatusCode::OK, "OpenAPI 3.1")
}

pub(in crate::http) fn page() -> Operation {
    let operation = Operation::new("docs", "This document as a page to read");
    operation.answers_as::<String>("text/html", StatusCode::OK, "The page")
}
