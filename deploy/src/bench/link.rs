//! The way between a process and a nats-server, as something that can be stalled, made deaf, and cut.
//!
//! Invariant: what passes is not changed. Where bytes had to be dropped the connection is closed before anything passes
//! again.

use std::net::SocketAddr;

use anyhow::Context as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

/// What a link does with what comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Everything passes.
    Whole,
    /// Nothing passes, either way, and connections stay open: what was sent arrives once it is whole again.
    Stalled,
    /// What the process says passes; what it is told is dropped, as when answers are lost. Connections are closed after.
    Deaf,
    /// Connections are closed, and no new ones are taken.
    Cut,
}

/// The ways of one process to all servers. Dropped, they are closed.
pub struct Link {
    state: watch::Sender<State>,
    addresses: Vec<SocketAddr>,
    listening: Vec<AbortHandle>,
}

impl Link {
    /// One to each of these `nats://` URLs.
    ///
    /// # Errors
    /// Where there is no free port, or a URL has no address.
    pub async fn to(urls: impl Iterator<Item = &str>) -> anyhow::Result<Self> {
        let (state, _) = watch::channel(State::Whole);
        let (mut addresses, mut listening) = (Vec::new(), Vec::new());
        for url in urls {
            let server: SocketAddr =
                url.trim_start_matches("nats://").parse().with_context(|| format!("{url} has no address"))?;
            let listener = TcpListener::bind("127.0.0.1:0").await.context("there is no free port")?;
            addresses.push(listener.local_addr()?);
            listening.push(tokio::spawn(take(listener, server, state.subscribe())).abort_handle());
        }
        Ok(Self { state, addresses, listening })
    }

    /// Where the process connects: separated by commas.
    #[must_use]
    pub fn url(&self) -> String {
        self.addresses.iter().map(|address| format!("nats://{address}")).collect::<Vec<_>>().join(",")
    }

    /// From now on.
    pub fn is_now(&self, state: State) {
        self.state.send_replace(state);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.listening.iter().for_each(AbortHandle::abort);
    }
}

/// Takes connections until it is aborted; then those that it has are closed too.
async fn take(listener: TcpListener, server: SocketAddr, state: watch::Receiver<State>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            taken = listener.accept() => match taken {
                Ok((client, _)) if *state.borrow() != State::Cut => {
                    connections.spawn(connection(client, server, state.clone()));
                }
                Ok(_) | Err(_) => {}
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Passes both ways on until one end closes, or the link is cut, or hears again.
async fn connection(client: TcpStream, server: SocketAddr, state: watch::Receiver<State>) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = pass(from_client, to_server, state.clone(), false) => {}
        () = pass(from_server, to_client, state.clone(), true) => {}
        () = closed(state) => {}
    }
}

async fn closed(mut state: watch::Receiver<State>) {
    if state.wait_for(|state| matches!(state, State::Deaf | State::Cut)).await.is_ok_and(|now| *now == State::Cut) {
        return;
    }
    let _ = state.wait_for(|state| *state != State::Deaf).await;
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut state: watch::Receiver<State>,
    is_answer: bool,
) {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let Ok(read) = from.read(&mut bytes).await else { return };
        let Ok(now) = state.wait_for(|state| *state != State::Stalled).await.map(|now| *now) else { return };
        if read == 0 {
            return;
        }
        if !(is_answer && now == State::Deaf) && to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_secs(10);
    const A_WHILE: Duration = Duration::from_millis(200);

    /// Something that answers each byte with itself, a link to it, and a connection over the link.
    async fn echo() -> (Link, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("nats://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        let link = Link::to([url.as_str()].into_iter()).await.unwrap();
        let stream = connect(&link).await;
        (link, stream)
    }

    async fn connect(link: &Link) -> TcpStream {
        TcpStream::connect(link.addresses[0]).await.unwrap()
    }

    async fn says(stream: &mut TcpStream, byte: u8) {
        stream.write_all(&[byte]).await.unwrap();
    }

    /// What is heard next; nothing, where the connection is closed.
    async fn hears(stream: &mut TcpStream) -> Option<u8> {
        let mut byte = [0];
        let read = timeout(SOON, stream.read(&mut byte)).await.unwrap();
        read.ok().filter(|read| *read > 0).map(|_| byte[0])
    }

    async fn hears_nothing(stream: &mut TcpStream) -> bool {
        timeout(A_WHILE, stream.read(&mut [0])).await.is_err()
    }

    #[tokio::test]
    async fn what_was_said_while_a_link_was_stalled_arrives_once_it_is_whole() {
        let (link, mut stream) = echo().await;
        says(&mut stream, 1).await;
        assert_eq!(hears(&mut stream).await, Some(1));
        link.is_now(State::Stalled);
        says(&mut stream, 2).await;
        assert!(hears_nothing(&mut stream).await);
        link.is_now(State::Whole);
        assert_eq!(hears(&mut stream).await, Some(2));
    }

    #[tokio::test]
    async fn what_a_deaf_one_was_told_is_lost_and_its_connection_is_closed() {
        let (link, mut stream) = echo().await;
        link.is_now(State::Deaf);
        says(&mut stream, 1).await;
        assert!(hears_nothing(&mut stream).await);
        link.is_now(State::Whole);
        assert_eq!(hears(&mut stream).await, None);
        let mut stream = connect(&link).await;
        says(&mut stream, 2).await;
        assert_eq!(hears(&mut stream).await, Some(2));
    }

    #[tokio::test]
    async fn a_link_that_is_cut_closes_its_connections_and_takes_no_new_ones() {
        let (link, mut stream) = echo().await;
        link.is_now(State::Cut);
        assert_eq!(hears(&mut stream).await, None);
        assert_eq!(hears(&mut connect(&link).await).await, None);
        link.is_now(State::Whole);
        let mut stream = connect(&link).await;
        says(&mut stream, 3).await;
        assert_eq!(hears(&mut stream).await, Some(3));
    }
}
