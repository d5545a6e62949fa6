//! Connections: accepted until told to stop, cut off where a client is too slow to say what it wants or to take its answer.

use std::io;
use std::time::Duration;

use axum::Router;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::Patient;

/// How long a client may take to send the head of a request; a connection without one is closed.
const HEAD_WITHIN: Duration = Duration::from_secs(60);
/// How long a client may take nothing of an answer that is there.
const READ_WITHIN: Duration = Duration::from_secs(60);
/// The head of a request at most: its headers, and the bytes of all of it. More is a 431.
const MOST_HEADERS: usize = 100;
const LARGEST_HEAD: usize = 64 * 1024;
/// The same for HTTP/2, which counts bytes alone.
const LARGEST_HEADERS: u32 = 64 * 1024;
/// How often a silent HTTP/2 client is asked whether it is still there, and how long it may take to say so.
const PING_EVERY: Duration = Duration::from_secs(20);
/// The pause after the system had no file left for a connection.
const TROUBLE: Duration = Duration::from_millis(100);

/// How patient it is with clients.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// How long what is in flight at a stop may take to end.
    grace: Duration,
    /// How long the head of a request may take.
    head: Duration,
    /// How long a client may take nothing of an answer.
    read: Duration,
}

impl Limits {
    /// Those of every server, with this grace.
    pub(super) fn new(grace: Duration) -> Self {
        Self { grace, head: HEAD_WITHIN, read: READ_WITHIN }
    }
}

/// Serves until told to stop; then what is in flight may take `grace` to end, and so may what was begun.
pub(super) async fn run(
    listener: TcpListener,
    routes: Router,
    limits: Limits,
    begun: TaskTracker,
    stop: CancellationToken,
) -> io::Result<()> {
    let (grace, connections) = (limits.grace, GracefulShutdown::new());
    let http = builder(limits);
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, _)) => {
                let (http, watcher) = (http.clone(), connections.watcher());
                tokio::spawn(serve(http, stream, routes.clone(), limits, watcher, stop.clone()));
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(TROUBLE).await;
            }
        }
    }
    drop(listener);
    begun.close();
    let until = Instant::now() + grace;
    let ended = timeout_at(until, connections.shutdown()).await.is_ok();
    if !(timeout_at(until, begun.wait()).await.is_ok() && ended) {
        tracing::warn!("requests in flight did not end within {grace:?}");
    }
    Ok(())
}

fn builder(limits: Limits) -> Builder<TokioExecutor> {
    let mut http = Builder::new(TokioExecutor::new());
    let http1 = &mut http.http1();
    http1
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_headers(MOST_HEADERS)
        .max_buf_size(LARGEST_HEAD);
    let http2 = &mut http.http2();
    http2.timer(TokioTimer::new()).max_header_list_size(LARGEST_HEADERS);
    http2.keep_alive_interval(PING_EVERY).keep_alive_timeout(PING_EVERY);
    http
}

async fn serve(
    http: Builder<TokioExecutor>,
    stream: TcpStream,
    routes: Router,
    limits: Limits,
    watcher: Watcher,
    stop: CancellationToken,
) {
    // A connection that is silent when all is to stop has nothing in flight.
    let first = stop.run_until_cancelled(timeout(limits.head, stream.readable())).await;
    if !matches!(first, Some(Ok(Ok(())))) {
        return;
    }
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection was not made quick");
    }
    let asked = CancellationToken::new();
    let told = asked.clone();
    let routes = TowerToHyperService::new(routes);
    let service = service_fn(move |request| {
        told.cancel();
        routes.call(request)
    });
    let stream = TokioIo::new(Patient::new(stream, limits.read));
    let connection = http.serve_connection(stream, service).into_owned();
    // Which version it speaks is read without a limit of time, so that a first request is waited for here.
    let never_asked = async {
        if timeout(limits.head, asked.cancelled()).await.is_ok() {
            std::future::pending().await
        }
    };
    tokio::select! {
        ended = watcher.watch(connection) => if let Err(error) = ended {
            tracing::debug!(error, "a connection broke off");
        },
        () = never_asked => tracing::debug!("a connection without a request was closed"),
    }
}

/// Whether only the client that was to be accepted is concerned.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
