//! What clients that are slow, or say too much, come to: over real sockets, with short times.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use bytes::Bytes;
use futures_util::stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::{Limits, MOST_HEADERS, run};

/// How patient the server of a test is.
const SHORT: Duration = Duration::from_millis(300);
/// Far longer than that.
const DEADLINE: Duration = Duration::from_secs(20);

/// Serves these routes until the guard is dropped.
async fn serve(routes: Router) -> (SocketAddr, DropGuard) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
    let limits = Limits { grace: DEADLINE, head: SHORT, read: SHORT };
    tokio::spawn(run(listener, routes, limits, TaskTracker::new(), stop.clone()));
    (address, stop.drop_guard())
}

/// All that is answered to these bytes until the connection is closed.
async fn answered(to: SocketAddr, bytes: &[u8]) -> String {
    let mut connection = TcpStream::connect(to).await.unwrap();
    // One that is refused while it is still sending has its answer all the same.
    let _ = connection.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = timeout(DEADLINE, connection.read_to_end(&mut answer)).await.expect("the connection stayed open");
    String::from_utf8_lossy(&answer).into_owned()
}

fn well() -> Router {
    Router::new().route("/", get(async || "well"))
}

#[tokio::test]
async fn whoever_says_nothing_or_half_a_head_is_cut_off_in_either_version() {
    let (address, _serving) = serve(well()).await;
    for half in
        ["", "P", "PRI * HTTP/2.0\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET / HT", "GET / HTTP/1.1\r\nhost: a\r\n"]
    {
        let answer = answered(address, half.as_bytes()).await;
        assert!(!answer.contains("200 OK"), "{half:?}: {answer}");
    }
}

#[tokio::test]
async fn a_connection_goes_on_after_its_first_request_for_as_long_as_there_are_more() {
    let (address, _serving) = serve(well()).await;
    let mut connection = TcpStream::connect(address).await.unwrap();
    for _ in 0..4 {
        connection.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let mut answer = [0; 15];
        connection.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
        // What is left of it is read with the next.
        let mut rest = Vec::new();
        while !rest.ends_with(b"well") {
            rest.push(connection.read_u8().await.unwrap());
        }
        tokio::time::sleep(SHORT / 2).await;
    }
}

#[tokio::test]
async fn a_head_with_too_many_headers_or_too_many_bytes_is_refused() {
    let (address, _serving) = serve(well()).await;
    let head = |headers: &str| format!("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{headers}\r\n");
    let many = |count: usize| head(&"a: b\r\n".repeat(count));
    let long = |bytes: usize| head(&format!("a: {}\r\n", "b".repeat(bytes)));
    for (request, status) in [
        (many(MOST_HEADERS - 2), "HTTP/1.1 200"),
        (many(MOST_HEADERS - 1), "HTTP/1.1 431"),
        (long(30 * 1024), "HTTP/1.1 200"),
        (long(100 * 1024), "HTTP/1.1 431"),
    ] {
        let answer = answered(address, request.as_bytes()).await;
        assert!(answer.starts_with(status), "{status}: {}", answer.lines().next().unwrap_or_default());
    }
}

/// An answer without end; it is heard when the server lets go of it.
fn endless() -> (Router, mpsc::Receiver<()>) {
    let (held, dropped) = mpsc::channel::<()>(1);
    let body = move || {
        let held = held.clone();
        async move {
            let more = stream::unfold(held, async |held| {
                Some((Ok::<_, std::convert::Infallible>(Bytes::from_static(&[b'x'; 65536])), held))
            });
            Body::from_stream(more)
        }
    };
    (Router::new().route("/", get(body)), dropped)
}

#[tokio::test]
async fn whoever_does_not_read_an_answer_is_cut_off() {
    let (routes, mut dropped) = endless();
    let (address, _serving) = serve(routes).await;
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut begin = [0; 15];
    connection.read_exact(&mut begin).await.unwrap();
    // The routes hold one end themselves, and go with the last connection of a server that is told to stop.
    drop(_serving);
    assert_eq!(timeout(DEADLINE, dropped.recv()).await.expect("the answer went on"), None);
}

#[tokio::test]
async fn whoever_reads_slowly_but_steadily_is_not() {
    let (routes, _dropped) = endless();
    let (address, _serving) = serve(routes).await;
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let (mut some, mut read) = (vec![0; 4 << 20], 0);
    for _ in 0..12 {
        let part = timeout(DEADLINE, connection.read(&mut some)).await.unwrap().unwrap();
        assert!(part > 0, "it was cut off after {read} bytes");
        read += part;
        tokio::time::sleep(SHORT / 4).await;
    }
}
