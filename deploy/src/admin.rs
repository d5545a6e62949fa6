//! `/metrics`, `/healthz` and `/readyz` of a role that serves nothing else.
//!
//! Alive means that the process answers. Ready means that NATS answers and what the topology names is there.

use std::io;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sluice_shared::nats::Nats;
use sluice_shared::telemetry::Metrics;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// The media type of what Prometheus reads.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// How long NATS may take to show that it is there.
const READY_WITHIN: Duration = Duration::from_secs(2);

/// What the answers are made from.
#[derive(Clone)]
struct Admin {
    nats: Nats,
    metrics: Metrics,
}

/// Answers until told to stop.
pub(crate) async fn serve(
    listener: TcpListener,
    nats: Nats,
    metrics: Metrics,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let routes = Router::new()
        .route("/metrics", get(show_metrics))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readiness))
        .with_state(Admin { nats, metrics });
    axum::serve(listener, routes).with_graceful_shutdown(shutdown.cancelled_owned()).await
}

async fn show_metrics(State(admin): State<Admin>) -> Response {
    ([(header::CONTENT_TYPE, OPENMETRICS)], admin.metrics.encode()).into_response()
}

async fn readiness(State(admin): State<Admin>) -> (StatusCode, String) {
    let stream = admin.nats.topology().results_stream();
    match timeout(READY_WITHIN, admin.nats.jetstream().get_stream(&stream)).await {
        Ok(Ok(_)) => (StatusCode::OK, "ready\n".to_owned()),
        Ok(Err(error)) => (StatusCode::SERVICE_UNAVAILABLE, format!("stream {stream}: {error}\n")),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, format!("NATS did not answer within {READY_WITHIN:?}\n")),
    }
}
