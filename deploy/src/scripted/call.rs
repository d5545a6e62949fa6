//! What a destination saw: every call with its times, and waiting until they are as somebody wants them.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::Value;
use tokio::sync::watch;

/// One call, as far as it has come.
#[derive(Clone)]
pub struct Call {
    /// Its place among all calls of the destination, from 0.
    pub number: usize,
    /// When its head arrived.
    pub at: Instant,
    /// The same, in milliseconds since the destination started.
    pub at_ms: u64,
    /// Its method.
    pub method: Method,
    /// Its path, without the query.
    pub path: String,
    /// Its query, without the question mark.
    pub query: Option<String>,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its whole body.
    pub body: Bytes,
    /// The status it was answered with, once the answer has begun.
    pub status: Option<u16>,
    /// When the answer began.
    pub answered_at: Option<Instant>,
    /// When the last of the answer was handed to the connection.
    pub completed_at: Option<Instant>,
    /// When the client was found gone before that.
    pub dropped_at: Option<Instant>,
    /// When the connection was closed as the script says, without a (whole) answer.
    pub closed_at: Option<Instant>,
    pub(super) parsed: Parsed,
}

/// The body as JSON, read when it is first asked for.
pub(super) type Parsed = Arc<OnceLock<Option<Value>>>;

impl Call {
    /// The body as JSON; `None` where it is none.
    #[must_use]
    pub fn json(&self) -> Option<&Value> {
        self.parsed.get_or_init(|| serde_json::from_slice(&self.body).ok()).as_ref()
    }

    /// A header's value; `None` where it is absent or no text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Whether nothing has ended it yet: no whole answer, no client gone, no close.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.completed_at.is_none() && self.dropped_at.is_none() && self.closed_at.is_none()
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = match (self.completed_at, self.dropped_at, self.closed_at) {
            (Some(_), _, _) => "complete",
            (None, Some(_), _) => "dropped",
            (None, None, Some(_)) => "closed",
            (None, None, None) => "open",
        };
        write!(f, "#{} {} ms {} {} ", self.number, self.at_ms, self.method, self.path)?;
        write!(f, "({} bytes) -> {:?} {end}", self.body.len(), self.status)
    }
}

/// What was waited for did not come in time. Shows what came, without headers and bodies.
#[derive(Debug, thiserror::Error)]
#[error("not seen within {within:?}; {} calls: {calls:#?}", calls.len())]
pub struct NotSeen {
    /// How long was waited.
    pub within: Duration,
    /// What came.
    pub calls: Vec<Call>,
}

/// All calls of one destination.
pub(super) struct Log {
    started: Instant,
    calls: Mutex<Vec<Call>>,
    changed: watch::Sender<u64>,
    /// The destination itself is going: clients that lose their connection by it have not left.
    stopping: AtomicBool,
}

impl Log {
    pub(super) fn new() -> Self {
        Self {
            started: Instant::now(),
            calls: Mutex::default(),
            changed: watch::Sender::new(0),
            stopping: AtomicBool::new(false),
        }
    }

    pub(super) fn started(&self) -> Instant {
        self.started
    }

    /// Adds a call whose number and milliseconds are filled in here.
    pub(super) fn add(&self, mut call: Call) -> Call {
        let mut calls = self.lock();
        call.number = calls.len();
        call.at_ms = u64::try_from(call.at.saturating_duration_since(self.started).as_millis()).unwrap_or(u64::MAX);
        calls.push(call.clone());
        drop(calls);
        self.tell();
        call
    }

    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    pub(super) fn select(&self, wanted: impl Fn(&Call) -> bool) -> Vec<Call> {
        self.lock().iter().filter(|call| wanted(call)).cloned().collect()
    }

    pub(super) fn read<T>(&self, look: impl FnOnce(&[Call]) -> T) -> T {
        look(&self.lock())
    }

    /// Asks again after every change until there is something, or the time is over.
    pub(super) async fn wait_until<T>(
        &self,
        mut look: impl FnMut(&[Call]) -> Option<T>,
        within: Duration,
    ) -> Result<T, NotSeen> {
        let mut changes = self.changed.subscribe();
        let search = async {
            loop {
                changes.mark_unchanged();
                if let Some(found) = self.read(&mut look) {
                    return found;
                }
                if changes.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        match tokio::time::timeout(within, search).await {
            Ok(found) => Ok(found),
            Err(_) => Err(NotSeen { within, calls: self.select(|_| true) }),
        }
    }

    fn update(&self, number: usize, change: impl FnOnce(&mut Call)) {
        if let Some(call) = self.lock().get_mut(number) {
            change(call);
        }
        self.tell();
    }

    fn tell(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Call>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Follows one call to its end. Dropped before, the client is gone: hyper drops what it serves when a connection closes.
pub(super) struct Watch {
    log: Arc<Log>,
    number: usize,
    open: bool,
}

impl Watch {
    pub(super) fn new(log: Arc<Log>, number: usize) -> Self {
        Self { log, number, open: true }
    }

    pub(super) fn answering(&self, status: u16) {
        self.log.update(self.number, |call| {
            call.status = Some(status);
            call.answered_at = Some(Instant::now());
        });
    }

    pub(super) fn completed(&mut self) {
        self.open = false;
        self.log.update(self.number, |call| call.completed_at = Some(Instant::now()));
    }

    pub(super) fn closed(&mut self) {
        self.open = false;
        self.log.update(self.number, |call| call.closed_at = Some(Instant::now()));
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if self.open && !self.log.stopping.load(Ordering::SeqCst) {
            self.log.update(self.number, |call| call.dropped_at = Some(Instant::now()));
        }
    }
}
