//! The HTTP interface: what there is under which path. Handlers are one resource a file.
//!
//! Invariant: every answer that is an error is problem details, no state about jobs is held here, and nothing but health and
//! metrics is reached by whoever was not let in.

mod admin;
mod batch;
mod body;
mod connection;
mod description;
mod events;
mod ezthrottle;
mod guard;
mod jobs;
mod keys;
mod letters;
mod operations;
mod problem;
mod query;
mod queues;
mod quota;
mod routes;
mod secrets;
mod server;
mod webhook_secrets;

use std::io;
use std::ops::Deref;
use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::from_fn;
use sluice_shared::config;
use sluice_shared::domain::access::Scope::{Admin, Operate, Read, Submit};
use sluice_shared::domain::id::Tenant;
use sluice_shared::nats::Nats;
use sluice_shared::telemetry::Metrics;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::{Access, Need};
use crate::jobs::Jobs;
use crate::letters::Letters;
use crate::openapi;
use crate::problem::Problem;
use operations as of;
pub use routes::Route;
use routes::{Table, delete, get, post, put};
use server::Limits;

/// What the document says of the wire of EZThrottle's clients.
pub(crate) use ezthrottle::schemas as foreign_schemas;

/// What every handler has at hand. Cheap to clone.
#[derive(Clone)]
struct Http(Arc<AtHand>);

struct AtHand {
    jobs: Jobs,
    access: Access,
    settings: config::Gateway,
    metrics: Metrics,
    /// Ends what waits.
    stop: CancellationToken,
    /// What goes on although its client may have left.
    begun: TaskTracker,
}

impl Deref for Http {
    type Target = AtHand;

    fn deref(&self) -> &AtHand {
        &self.0
    }
}

impl Http {
    /// Those of this tenant, or of all.
    fn letters(&self, of: Option<Tenant>) -> Letters {
        Letters::new(self.jobs.effects().clone()).of(of)
    }
}

/// Answers on this listener, to those whom `access` lets in, until told to stop. Then long polls and event streams end at once, and what else is in
/// flight within `gateway.grace`.
///
/// # Errors
/// Where the listener fails.
pub async fn serve(
    listener: TcpListener,
    jobs: Jobs,
    access: Access,
    settings: &config::Gateway,
    metrics: Metrics,
    stop: CancellationToken,
) -> io::Result<()> {
    let (grace, begun) = (settings.grace, TaskTracker::new());
    let admin = admin::routes(jobs.effects().nats().clone(), metrics.clone(), access.clone());
    let settings = settings.clone();
    let http = AtHand { jobs, access, settings, metrics, stop: stop.clone(), begun: begun.clone() };
    let http = Http(Arc::new(http));
    let open = admin.merge(description::open().router(()));
    let limits = Limits::new(grace);
    server::run(listener, complete(table().guarded(&http).merge(open)), limits, begun, stop).await
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
    let admin = admin::routes(nats, metrics, Access::open());
    server::run(listener, complete(admin), Limits::new(admin::GRACE), TaskTracker::new(), stop).await
}

/// All routes that ask for a key, each with what it takes.
#[must_use]
pub fn routes() -> Vec<Route> {
    table().routes()
}

/// The OpenAPI document of all routes.
#[must_use]
pub fn document() -> serde_json::Value {
    let open = [admin::open().routes(), description::open().routes()].concat();
    openapi::document(&[routes(), open].concat())
}

fn table() -> Table {
    let gates = Need::operators(Operate); // tenants share them
    let signing = get(Read, webhook_secrets::get, of::webhook_secrets());
    let signing = signing.put(Operate, webhook_secrets::set, of::set_webhook_secrets());
    let signing = signing.delete(Operate, webhook_secrets::forget, of::forget_webhook_secrets());
    let job = get(Read, jobs::get, of::job()).delete(Submit, jobs::cancel, of::cancel());
    let queue = get(Read, queues::get, of::queue()).patch(gates, queues::adjust, of::adjust());
    let letter = get(Read, letters::get, of::letter()).delete(Operate, letters::forget, of::forget_letter());
    let api_keys = get(Admin, keys::list, of::keys()).post(Admin, keys::create, of::create_key());
    let secret = put(Operate, secrets::set, of::set_secret()).delete(Operate, secrets::forget, of::forget_secret());
    let foreign = get(Read, ezthrottle::secrets, of::foreign_secrets());
    let foreign = foreign.post(Operate, ezthrottle::set_secrets, of::set_foreign_secrets());
    let foreign = foreign.delete(Operate, ezthrottle::forget_secrets, of::forget_foreign_secrets());
    Table::default()
        .at("/v1/jobs", post(Submit, jobs::submit, of::submit()))
        .at("/v1/jobs/batch", post(Submit, batch::submit, of::submit_batch()))
        .at("/v1/jobs/{id}", job)
        .at("/v1/jobs/{id}/events", get(Read, events::follow, of::events()))
        .at("/v1/jobs/{id}/retry", post(Submit, jobs::retry, of::retry()))
        .at("/v1/jobs/{id}/webhooks/{number}/replay", post(Submit, jobs::replay, of::replay()))
        .at("/v1/queues", get(Read, queues::list, of::queues()))
        .at("/v1/queues/{queue}", queue)
        .at("/v1/queues/{queue}/pause", post(Operate, queues::pause, of::pause()))
        .at("/v1/queues/{queue}/resume", post(Operate, queues::resume, of::resume()))
        .at("/v1/queues/{queue}/purge", post(Operate, queues::purge, of::purge()))
        .at("/v1/dead-letters", get(Read, letters::list, of::letters()))
        .at("/v1/dead-letters/redrive", post(Operate, letters::redrive_all, of::redrive_all()))
        .at("/v1/dead-letters/purge", post(Operate, letters::forget_all, of::forget_all()))
        .at("/v1/dead-letters/{id}", letter)
        .at("/v1/dead-letters/{id}/redrive", post(Operate, letters::redrive, of::redrive()))
        .at("/v1/keys", api_keys)
        .at("/v1/keys/{id}", delete(Admin, keys::revoke, of::revoke_key()))
        .at("/v1/secrets", get(Read, secrets::list, of::secrets()))
        .at("/v1/secrets/{name}", secret)
        .at("/v1/webhook-secrets", signing)
        .at("/api/v1/proxy", post(Submit, ezthrottle::proxy, of::foreign_proxy()))
        .at("/api/v1/jobs", post(Submit, ezthrottle::submit, of::foreign_job()))
        .at("/api/v1/webhook-secrets", foreign)
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

    use super::*;
    use axum::routing::get;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    async fn break_off() -> StatusCode {
        panic!("what nobody should see")
    }

    async fn ask(listener: &str, path: &str) -> String {
        let mut connection = TcpStream::connect(listener).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn a_panic_ends_one_request_and_tells_nobody_why() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap().to_string(), CancellationToken::new());
        let routes = complete(Router::new().route("/break", get(break_off)).route("/", get(async || "well")));
        let limits = Limits::new(Duration::from_secs(5));
        let serving = tokio::spawn(server::run(listener, routes, limits, TaskTracker::new(), stop.clone()));
        let answer = ask(&address, "/break").await;
        assert!(answer.starts_with("HTTP/1.1 500") && answer.contains(r#""code":"internal""#), "{answer}");
        assert!(!answer.contains("nobody"), "{answer}");
        assert!(ask(&address, "/").await.ends_with("well"));
        stop.cancel();
        serving.await.unwrap().unwrap();
    }
}
