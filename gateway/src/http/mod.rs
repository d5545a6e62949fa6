//! The HTTP interface: what there is under which path. Handlers are one resource a file.
//!
//! Invariant: every answer that is an error is problem details, and no state about jobs is held here.

mod admin;
mod batch;
mod body;
mod events;
mod guard;
mod jobs;
mod problem;
mod query;
mod server;

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::from_fn;
use axum::routing::{get, post};
use sluice_shared::config;
use sluice_shared::nats::Nats;
use sluice_shared::telemetry::Metrics;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::jobs::Jobs;
use crate::problem::Problem;

/// What every handler has at hand.
#[derive(Clone)]
struct Http {
    jobs: Jobs,
    settings: Arc<config::Gateway>,
    metrics: Metrics,
    /// Ends what waits.
    stop: CancellationToken,
    /// What goes on although its client may have left.
    begun: TaskTracker,
}

/// Answers on this listener until told to stop. Then long polls and event streams end at once, and what else is in
/// flight within `gateway.grace`.
///
/// # Errors
/// Where the listener fails.
pub async fn serve(
    listener: TcpListener,
    jobs: Jobs,
    settings: &config::Gateway,
    metrics: Metrics,
    stop: CancellationToken,
) -> io::Result<()> {
    let (grace, begun) = (settings.grace, TaskTracker::new());
    let nats = jobs.effects().nats().clone();
    let settings = Arc::new(settings.clone());
    let http = Http { jobs, settings, metrics: metrics.clone(), stop: stop.child_token(), begun: begun.clone() };
    server::run(listener, complete(api(http).merge(admin::routes(nats, metrics))), grace, begun, stop).await
}

/// `/metrics`, `/healthz` and `/readyz` alone, for a role that serves nothing else.
///
/// # Errors
/// Where the listener fails.
pub async fn serve_admin(
    listener: TcpListener,
    nats: Nats,
    metrics: Metrics,
    stop: CancellationToken,
) -> io::Result<()> {
    server::run(listener, complete(admin::routes(nats, metrics)), admin::GRACE, TaskTracker::new(), stop).await
}

fn api(http: Http) -> Router {
    Router::new()
        .route("/v1/jobs", post(jobs::submit))
        .route("/v1/jobs/batch", post(batch::submit))
        .route("/v1/jobs/{id}", get(jobs::get).delete(jobs::cancel))
        .route("/v1/jobs/{id}/events", get(events::follow))
        .with_state(http)
}

/// With answers for what is not there and what goes wrong.
fn complete(routes: Router) -> Router {
    let no_route = async || Problem::new(StatusCode::NOT_FOUND, "no_such_route", "there is nothing under this path");
    let no_method = async || {
        let detail = "this path does not take this method; those it takes are in the `allow` header";
        Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
    };
    routes.fallback(no_route).method_not_allowed_fallback(no_method).layer(from_fn(guard::catch_panics))
}
