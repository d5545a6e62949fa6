//! Connections: accepted until told to stop, cut off where a client is too slow to say what it wants.

use std::io;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a client may take to send the head of a request; a connection without one is closed.
const HEAD_WITHIN: Duration = Duration::from_secs(60);
/// How often a silent HTTP/2 client is asked whether it is still there, and how long it may take to say so.
const PING_EVERY: Duration = Duration::from_secs(20);
/// The pause after the system had no file left for a connection.
const TROUBLE: Duration = Duration::from_millis(100);

/// Serves until told to stop; then what is in flight may take `grace` to end, and so may what was begun.
pub(super) async fn run(
    listener: TcpListener,
    routes: Router,
    grace: Duration,
    begun: TaskTracker,
    stop: CancellationToken,
) -> io::Result<()> {
    let (http, connections) = (builder(), GracefulShutdown::new());
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, _)) => {
                let service = TowerToHyperService::new(routes.clone());
                tokio::spawn(serve(http.clone(), stream, service, connections.watcher(), stop.clone()));
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

fn builder() -> Builder<TokioExecutor> {
    let mut http = Builder::new(TokioExecutor::new());
    http.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN);
    http.http2().timer(TokioTimer::new()).keep_alive_interval(PING_EVERY).keep_alive_timeout(PING_EVERY);
    http
}

async fn serve(
    http: Builder<TokioExecutor>,
    stream: TcpStream,
    service: TowerToHyperService<Router>,
    watcher: Watcher,
    stop: CancellationToken,
) {
    // Which version it speaks is read without a limit of time, so silence is cut off before.
    let first = stop.run_until_cancelled(timeout(HEAD_WITHIN, stream.readable())).await;
    if !matches!(first, Some(Ok(Ok(())))) {
        return;
    }
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection was not made quick");
    }
    let connection = http.serve_connection(TokioIo::new(stream), service).into_owned();
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(error, "a connection broke off");
    }
}

/// Whether only the client that was to be accepted is concerned.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
