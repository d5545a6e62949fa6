//! Whom the jobs of the performance benchmarks call, and where their outcomes go: a server in a process of its own that does
//! as little as it can, so that it is not the limit, and remembers when what came.
//!
//! Requests name their job by its number: `/call/7`, `/limited/7` (under the limit), `/hook/7` (its webhook). What was seen
//! is asked for: `/count`, `/arrivals`, `/wait/7`. Invariant: an answer goes out after what it answers was noted.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::monotonic::micros;
use super::windows::SECOND;
use crate::cli::args::SinkArgs;
use crate::cli::{Failure, say, stop};

/// The hidden subcommand that runs it.
pub(crate) const SUBCOMMAND: &str = "bench-sink";
/// One that nobody has asked anything for so long was left behind.
const LEFT_BEHIND: Duration = Duration::from_secs(300);

/// What came so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Count {
    /// Jobs that were called.
    pub(super) calls: u32,
    /// Calls beyond the first of a job.
    pub(super) doubled_calls: u32,
    /// Jobs whose webhook came.
    pub(super) hooks: u32,
    /// Webhooks beyond the first of a job.
    pub(super) doubled_hooks: u32,
    /// Calls that were answered 429.
    pub(super) limited: u32,
    /// When the last webhook came.
    pub(super) last_hook_us: u64,
}

/// When a job was called, and its webhook came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Times {
    /// The first call.
    pub(super) call_us: u64,
    /// The first webhook.
    pub(super) hook_us: u64,
}

#[derive(Default)]
struct Seen {
    /// By job: when it came first, 0 where it has not.
    calls: Vec<u64>,
    hooks: Vec<u64>,
    count: Count,
    /// When each call that was taken came, in order.
    arrivals: Vec<u64>,
    /// The second that is counted for the limit, and how many it had.
    second: (u64, u32),
    last_request: u64,
}

struct Sink {
    seen: Mutex<Seen>,
    hooked: Notify,
    /// Calls in each second of the clock.
    limit: Option<u32>,
}

/// Serves until it is told to stop.
pub(crate) async fn serve(args: SinkArgs) -> Result<(), Failure> {
    let stop = stop::on_signal().context("signals cannot be listened to")?;
    let listener = TcpListener::bind("127.0.0.1:0").await.context("there is no free port")?;
    let address = listener.local_addr().context("the listener has no address")?;
    let sink = Arc::new(Sink { seen: Mutex::default(), hooked: Notify::new(), limit: args.limit });
    sink.lock().last_request = micros();
    say(&json!({ "http": format!("http://{address}"), "pid": std::process::id() }).to_string());
    let accepting = accept(listener, Arc::clone(&sink));
    tokio::select! {
        () = stop.cancelled() => {}
        () = sink.left_behind() => {}
        () = accepting => {}
    }
    Ok(())
}

async fn accept(listener: TcpListener, sink: Arc<Sink>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(connection(stream, Arc::clone(&sink)))),
            // Out of file descriptors, most likely: some connection must end first.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn connection(stream: TcpStream, sink: Arc<Sink>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| answer(Arc::clone(&sink), request));
    // It ends with an error where a client leaves, which is its right.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

type Answer = Response<Full<Bytes>>;

async fn answer(sink: Arc<Sink>, request: Request<Incoming>) -> Result<Answer, hyper::Error> {
    let at = micros();
    let (head, mut body) = request.into_parts();
    while let Some(frame) = body.frame().await {
        frame?;
    }
    let mut path = head.uri.path().trim_start_matches('/').splitn(2, '/');
    let (what, number) = (path.next().unwrap_or_default(), path.next().and_then(|number| number.parse().ok()));
    Ok(match (what, number) {
        ("call", Some(number)) => sink.call(number, at),
        ("limited", Some(number)) => sink.call_under_limit(number, at),
        ("hook", Some(number)) => sink.hook(number, at),
        ("wait", Some(number)) => sink.wait(number).await,
        ("count", None) => json_answer(&json!(sink.lock().count)),
        ("arrivals", None) => sink.arrivals(),
        _ => status(StatusCode::NOT_FOUND),
    })
}

impl Sink {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn call(&self, number: u32, at: u64) -> Answer {
        self.lock().call(number, at);
        Response::new(Full::new(Bytes::from_static(b"{\"taken\":true}")))
    }

    fn call_under_limit(&self, number: u32, at: u64) -> Answer {
        if self.limit.is_some_and(|limit| !self.lock().fits(limit, at)) {
            let mut refused = status(StatusCode::TOO_MANY_REQUESTS);
            refused.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
            return refused;
        }
        self.call(number, at)
    }

    fn hook(&self, number: u32, at: u64) -> Answer {
        self.lock().hook(number, at);
        self.hooked.notify_waiters();
        Response::new(Full::default())
    }

    /// Answers once the job's webhook is there.
    async fn wait(&self, number: u32) -> Answer {
        loop {
            let hooked = self.hooked.notified();
            tokio::pin!(hooked);
            hooked.as_mut().enable();
            if let Some(times) = self.lock().times(number) {
                return json_answer(&json!(times));
            }
            hooked.await;
        }
    }

    /// Eight bytes for each call, the lowest first.
    fn arrivals(&self) -> Answer {
        let bytes: Vec<u8> = self.lock().arrivals.iter().flat_map(|at| at.to_le_bytes()).collect();
        Response::new(Full::new(bytes.into()))
    }

    /// Resolves when nobody has asked anything for long.
    async fn left_behind(&self) {
        loop {
            tokio::time::sleep(LEFT_BEHIND / 4).await;
            let idle = micros().saturating_sub(self.lock().last_request);
            if Duration::from_micros(idle) > LEFT_BEHIND {
                return;
            }
        }
    }
}

impl Seen {
    fn call(&mut self, number: u32, at: u64) {
        self.last_request = at;
        self.arrivals.push(at);
        match again(&mut self.calls, number, at) {
            false => self.count.calls += 1,
            true => self.count.doubled_calls += 1,
        }
    }

    fn hook(&mut self, number: u32, at: u64) {
        self.last_request = at;
        self.count.last_hook_us = self.count.last_hook_us.max(at);
        match again(&mut self.hooks, number, at) {
            false => self.count.hooks += 1,
            true => self.count.doubled_hooks += 1,
        }
    }

    /// When the job was called and told of, once it was told of.
    fn times(&self, number: u32) -> Option<Times> {
        let at = |all: &[u64]| all.get(number as usize).copied().filter(|at| *at > 0);
        at(&self.hooks).map(|hook_us| Times { call_us: at(&self.calls).unwrap_or_default(), hook_us })
    }

    /// Whether a call fits under the limit of this second; counts it.
    fn fits(&mut self, limit: u32, at: u64) -> bool {
        let second = at / SECOND;
        if self.second.0 != second {
            self.second = (second, 0);
        }
        self.second.1 += 1;
        let fits = self.second.1 <= limit;
        self.count.limited += u32::from(!fits);
        fits
    }
}

/// Notes when a number came; says whether it had come before.
fn again(first: &mut Vec<u64>, number: u32, at: u64) -> bool {
    let index = number as usize;
    if first.len() <= index {
        first.resize(index + 1, 0);
    }
    let again = first[index] > 0;
    if !again {
        first[index] = at;
    }
    again
}

fn status(status: StatusCode) -> Answer {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

fn json_answer(value: &serde_json::Value) -> Answer {
    let mut response = Response::new(Full::new(value.to_string().into()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_again_is_doubled_and_not_counted_twice() {
        let mut seen = Seen::default();
        for (number, at) in [(3, 10), (0, 11), (3, 12)] {
            seen.call(number, at);
            seen.hook(number, at + 100);
        }
        let expected = Count { calls: 2, doubled_calls: 1, hooks: 2, doubled_hooks: 1, limited: 0, last_hook_us: 112 };
        assert_eq!((seen.count, &seen.arrivals[..]), (expected, &[10, 11, 12][..]));
        assert_eq!(seen.times(3), Some(Times { call_us: 10, hook_us: 110 }));
        assert_eq!((seen.times(1), seen.times(9)), (None, None));
    }

    #[test]
    fn a_limit_is_that_of_each_second() {
        let mut seen = Seen::default();
        let fits: Vec<bool> = [0, 1, 2, SECOND, SECOND + 1].iter().map(|at| seen.fits(2, *at)).collect();
        assert_eq!((fits, seen.count.limited), (vec![true, true, false, true, true], 1));
    }
}
