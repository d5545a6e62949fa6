//! The HTTP interface: routes, and serving them on a listener. Handlers are one resource a file.

mod jobs;
mod problem;

use std::io;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::jobs::Jobs;

/// Answers on this listener until told to stop, then lets what is in flight end. `max_body` is in bytes.
///
/// # Errors
/// Where the listener fails.
pub async fn serve(listener: TcpListener, jobs: Jobs, max_body: usize, stop: CancellationToken) -> io::Result<()> {
    let routes = Router::new()
        .route("/v1/jobs", post(jobs::submit))
        .route("/v1/jobs/{id}", get(jobs::get).delete(jobs::cancel))
        .route("/healthz", get(async || "ok\n"))
        .layer(DefaultBodyLimit::max(max_body))
        .with_state(jobs);
    axum::serve(listener, routes).with_graceful_shutdown(stop.cancelled_owned()).await
}
