//! `/metrics`, `/healthz` and `/readyz`, of every role.
//!
//! Alive means that the process answers. Ready means that NATS answers, what the topology names is there, and those who come
//! with an API key can be told apart.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use sluice_shared::nats::{Nats, broker_error};
use sluice_shared::telemetry::Metrics;
use tokio::time::timeout;

use super::operations as of;
use super::routes::Open;
use crate::access::Access;

/// The media type of what Prometheus reads.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// How long NATS may take to show that it is there.
const READY_WITHIN: Duration = Duration::from_secs(2);
/// How long an answer that is being sent may take to end at a stop.
pub(super) const GRACE: Duration = Duration::from_secs(1);

/// What the answers are made from.
#[derive(Clone)]
pub(super) struct Admin {
    nats: Nats,
    metrics: Metrics,
    access: Access,
}

/// A role that lets nobody in behind a door has none that would have to be ready.
pub(super) fn routes(nats: Nats, metrics: Metrics, access: Access) -> Router {
    open().router(Admin { nats, metrics, access })
}

/// What there is for anybody.
pub(super) fn open() -> Open<Admin> {
    let alive = Open::new().at("/healthz", async || "ok\n", of::health());
    alive.at("/readyz", readiness, of::readiness()).at("/metrics", show_metrics, of::metrics())
}

async fn show_metrics(State(admin): State<Admin>) -> Response {
    ([(header::CONTENT_TYPE, OPENMETRICS)], admin.metrics.encode()).into_response()
}

async fn readiness(State(admin): State<Admin>) -> (StatusCode, String) {
    let not_ready = |why: String| (StatusCode::SERVICE_UNAVAILABLE, why);
    if !admin.access.is_ready() {
        return not_ready("the API keys are not known yet\n".to_owned());
    }
    match timeout(READY_WITHIN, admin.nats.topology().missing(&admin.nats)).await {
        Ok(Ok(missing)) if missing.is_empty() => (StatusCode::OK, "ready\n".to_owned()),
        Ok(Ok(missing)) => not_ready(format!("NATS does not have {}\n", missing.join(", "))),
        Ok(Err(error)) => not_ready(format!("NATS does not list its streams: {}\n", broker_error(&error))),
        Err(_) => not_ready(format!("NATS did not answer within {READY_WITHIN:?}\n")),
    }
}
