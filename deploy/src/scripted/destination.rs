//! The HTTP/1.1 server of a scripted destination: takes connections, records calls, does what the scripts say.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Method, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

use super::call::{Call, Log, NotSeen, Parsed, Watch};
use super::content::{Closed, pieces};
use super::rule::Rule;
use super::script::{Act, Answer, Script};

/// A server on loopback that answers as it is told and remembers every call. Stops when it is dropped.
pub struct Destination {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: AbortHandle,
}

struct Shared {
    log: Arc<Log>,
    rules: Mutex<HashMap<String, Rule>>,
}

impl Destination {
    /// Starts one on a free port. Without rules it answers 200 to everything.
    ///
    /// # Errors
    /// Where no port can be had.
    pub async fn start() -> io::Result<Self> {
        Self::start_on(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await
    }

    /// Starts one on this address, for example that of another which has stopped.
    ///
    /// # Errors
    /// Where the address cannot be had.
    pub async fn start_on(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { log: Arc::new(Log::new()), rules: Mutex::default() });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared))).abort_handle();
        Ok(Self { address, shared, accepting })
    }

    /// Its base URL, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The URL of a path, which begins with a slash.
    #[must_use]
    pub fn at(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Where it listens; as text it is also the name of the destination (`host:port`).
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// When it started: what `at_ms` of its calls counts from.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.shared.log.started()
    }

    /// What is done with calls to `path` from now on. A `*` at the end stands for any rest; the longest match counts.
    pub fn on(&self, path: &str, rule: impl Into<Rule>) -> &Self {
        let mut rules = self.shared.rules.lock().unwrap_or_else(PoisonError::into_inner);
        rules.insert(path.to_owned(), rule.into());
        self
    }

    /// The calls to a path, in the order of their arrival. A `*` at the end stands for any rest.
    #[must_use]
    pub fn calls(&self, path: &str) -> Vec<Call> {
        self.shared.log.select(|call| matches(path, &call.path))
    }

    /// All calls.
    #[must_use]
    pub fn all_calls(&self) -> Vec<Call> {
        self.shared.log.select(|_| true)
    }

    /// How many calls there were.
    #[must_use]
    pub fn count(&self) -> usize {
        self.shared.log.read(<[Call]>::len)
    }

    /// Looks at all calls in place, without copying them.
    pub fn look<T>(&self, look: impl FnOnce(&[Call]) -> T) -> T {
        self.shared.log.read(look)
    }

    /// Waits until the calls are as wanted, and gives them. Asked after every change of any call.
    ///
    /// # Errors
    /// Where they are not within this time; the error shows them.
    pub async fn wait_for(
        &self,
        mut wanted: impl FnMut(&[Call]) -> bool,
        within: Duration,
    ) -> Result<Vec<Call>, NotSeen> {
        self.shared.log.wait_until(|calls| wanted(calls).then(|| calls.to_vec()), within).await
    }

    /// Waits until there is what is looked for, and gives it. Asked after every change of any call.
    ///
    /// # Errors
    /// Where there is nothing within this time; the error shows the calls.
    pub async fn wait_until<T>(&self, look: impl FnMut(&[Call]) -> Option<T>, within: Duration) -> Result<T, NotSeen> {
        self.shared.log.wait_until(look, within).await
    }

    /// Stops: its port is closed and its connections are cut. What it saw stays readable.
    pub fn stop(&self) {
        self.shared.log.stop();
        self.accepting.abort();
    }
}

impl Drop for Destination {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn script(&self, call: &Call) -> Script {
        let rule = {
            let rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
            let of_path = rules.get(&call.path).cloned();
            of_path.or_else(|| {
                let fitting = rules.iter().filter(|(pattern, _)| matches(pattern, &call.path));
                fitting.max_by_key(|(pattern, _)| pattern.len()).map(|(_, rule)| rule.clone())
            })
        };
        rule.map_or_else(|| Script::answer(200), |rule| rule.script(call))
    }
}

fn matches(pattern: &str, path: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == path, |start| path.starts_with(start))
}

/// Dropped with its task, and with it every connection.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => { connections.spawn(serve(stream, Arc::clone(&shared))); }
                // Out of file descriptors, most likely: some connection must end first.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    // Without it small answers wait for the client's delayed acknowledgement.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| handle(Arc::clone(&shared), request));
    // It ends with an error where a client leaves or a script closes: both are recorded where they happen.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

type Answered = Response<UnsyncBoxBody<Bytes, io::Error>>;

async fn handle(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Answered, Closed> {
    let at = Instant::now();
    let (head, body) = request.into_parts();
    // A client that leaves while it sends has made no call.
    let body = body.collect().await.map_err(|_| Closed)?.to_bytes();
    let call = shared.log.add(Call {
        number: 0,
        at,
        at_ms: 0,
        method: head.method,
        path: head.uri.path().to_owned(),
        query: head.uri.query().map(str::to_owned),
        headers: head.headers,
        body,
        status: None,
        answered_at: None,
        completed_at: None,
        dropped_at: None,
        closed_at: None,
        parsed: Parsed::default(),
    });
    let mut watch = Watch::new(Arc::clone(&shared.log), call.number);
    let script = shared.script(&call);
    if !script.delay.is_zero() {
        tokio::time::sleep(script.delay).await;
    }
    match script.act {
        Act::Answer(answer) => Ok(respond(&answer, &call, watch)),
        Act::Hang => std::future::pending().await,
        Act::Close => {
            watch.closed();
            Err(Closed)
        }
    }
}

fn respond(answer: &Answer, call: &Call, mut watch: Watch) -> Answered {
    watch.answering(answer.status.as_u16());
    let length = answer.content.length();
    // Hyper does not ask for a body that is not to be sent.
    if length == 0 || call.method == Method::HEAD {
        watch.completed();
    }
    let body = StreamBody::new(pieces(answer, watch).map(|piece| piece.map(Frame::data)));
    let mut response = Response::new(body.boxed_unsync());
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers.clone();
    let may_have_length = !answer.status.is_informational() && answer.status != http::StatusCode::NO_CONTENT;
    if answer.pace.is_none() && may_have_length && !answer.headers.contains_key(CONTENT_LENGTH) {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    response
}
