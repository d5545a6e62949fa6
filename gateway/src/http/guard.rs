//! What must not harm others: a panic ends one request, and a client that leaves ends nothing that was begun.

use std::panic::AssertUnwindSafe;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;

use super::Http;
use crate::problem::Problem;

/// Answers for a handler that panics; the panic itself is on standard error.
pub(super) async fn catch_panics(request: Request, next: Next) -> Response {
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    answer.unwrap_or_else(|_| Problem::internal().into_response())
}

impl Http {
    /// Runs to its end although the client may leave: a submission that stops half-way would wait for the sweep.
    pub(super) async fn to_its_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Problem> {
        self.begun.spawn(work).await.map_err(|_| Problem::internal())
    }
}
