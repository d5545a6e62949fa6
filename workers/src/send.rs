//! One HTTP exchange: a request goes out, an answer comes back, whatever happened. Never an error: what goes wrong is an
//! answer too.
//!
//! Owns what goes on the wire. Does not judge answers, nor which targets may be called (`targets`). Invariant: no text that leaves here holds a URL,
//! a header's value or a body.

use std::error::Error;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::{Method, StatusCode};
use reqwest::{Client, ClientBuilder, Url};
use sluice_shared::domain::id::{BranchId, Destination, Tenant};
use sluice_shared::domain::job::Request;
use sluice_shared::domain::outcome::{Content, ErrorKind, Response};
use sluice_shared::domain::targets::{Refused, Targets};
use sluice_shared::seal::NotOpened;

use crate::targets::{Clients, refused};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);
/// Bytes of headers that are kept of an answer.
const MOST_HEADER_BYTES: usize = 32 * 1024;
/// Makes a request safe to repeat for a destination that honours it.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Headers of the connection, not of the answer (RFC 9110, section 7.6.1).
const HOP_BY_HOP: [HeaderName; 8] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-authenticate"),
    HeaderName::from_static("proxy-connection"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Sends requests over connections that are kept open.
pub(crate) struct Sender {
    clients: Clients,
}

/// A request whose target may be called, as far as its URL says.
pub(crate) struct Ready {
    client: Client,
    outgoing: Outgoing,
}

/// The HTTP client could not be made.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client could not be made: {0}")]
pub struct NoClient(String);

/// A request that is ready to go out.
pub(crate) struct Outgoing {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Bytes,
}

/// What a request carries beside what the caller wrote.
pub(crate) struct Marks<'a> {
    /// The job's idempotency key.
    pub(crate) key: &'a str,
    /// Which contender it is.
    pub(crate) branch: BranchId,
    /// The trace it belongs to.
    pub(crate) traceparent: Option<String>,
}

impl Outgoing {
    /// The request with its headers, opened, its body and marks; an answer that says why it can never be sent, else.
    pub(crate) fn new(
        request: &Request,
        given: &[(String, String)],
        body: Bytes,
        marks: Marks<'_>,
    ) -> Result<Self, Content> {
        let method = Method::from_bytes(request.method.as_bytes()).map_err(|_| unsendable("the method is none"))?;
        let url = Url::parse(&request.url).map_err(|_| unsendable("the URL cannot be called"))?;
        let mut headers = HeaderMap::with_capacity(given.len() + 2);
        for (name, value) in given {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unsendable("a header's name is none"))?;
            let mut value = HeaderValue::from_str(value).map_err(|_| unsendable("a header's value cannot be sent"))?;
            value.set_sensitive(true);
            headers.append(name, value);
        }
        marks.put_on(&mut headers);
        Ok(Self { method, url, headers, body })
    }
}

impl Marks<'_> {
    /// The caller's own headers stay. A fallback is another request than the job's own, so its key is another too.
    fn put_on(self, headers: &mut HeaderMap) {
        if !headers.contains_key(IDEMPOTENCY_KEY) {
            let key = if self.branch == BranchId::OWN {
                self.key.to_owned()
            } else {
                format!("{}:{}", self.key, self.branch)
            };
            if let Ok(value) = HeaderValue::from_str(&key) {
                headers.insert(IDEMPOTENCY_KEY, value);
            }
        }
        if let Some(Ok(value)) =
            self.traceparent.filter(|_| !headers.contains_key(TRACEPARENT)).map(HeaderValue::try_from)
        {
            headers.insert(TRACEPARENT, value);
        }
    }
}

impl Sender {
    pub(crate) fn new(targets: Targets) -> Result<Self, NoClient> {
        let set = |builder: ClientBuilder| {
            builder
                .user_agent(concat!("sluice/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(CONNECT)
                .tcp_keepalive(Duration::from_secs(30))
                .http2_adaptive_window(true)
                .http2_keep_alive_interval(Duration::from_secs(20))
        };
        let clients = Clients::new(targets, set);
        clients.map(|clients| Self { clients }).map_err(|error| NoClient(why(&error)))
    }

    /// A request of this tenant that may be sent; an answer that says that its target may not be called, else. What was
    /// allowed when the job was submitted may not be any more.
    pub(crate) fn ready(&self, tenant: &Tenant, outgoing: Outgoing) -> Result<Ready, Content> {
        let client = self.clients.client(tenant, &outgoing.url).map_err(not_called)?.clone();
        Ok(Ready { client, outgoing })
    }
}

impl Ready {
    /// Where it goes, for people.
    pub(crate) fn destination(&self) -> String {
        Destination::of(&self.outgoing.url).map(|destination| destination.to_string()).unwrap_or_default()
    }

    /// Sends the request and takes in its answer, within `timeout` in all; of the body at most `limit` bytes.
    pub(crate) async fn send(self, timeout: Duration, limit: usize) -> Content {
        let Outgoing { method, url, headers, body } = self.outgoing;
        let mut request = self.client.request(method, url).headers(headers);
        if !body.is_empty() {
            request = request.body(body);
        }
        let exchange = async {
            let response = request.send().await?;
            take_in(response, limit).await
        };
        match tokio::time::timeout(timeout, exchange).await {
            Ok(Ok(response)) => Content::Response(response),
            Ok(Err(error)) => failed(error),
            Err(_) => error(ErrorKind::Timeout, format!("no whole answer within {timeout:?}")),
        }
    }
}

async fn take_in(mut response: reqwest::Response, limit: usize) -> reqwest::Result<Response> {
    let (status, headers) = (response.status(), kept(response.headers()));
    let mut body = BytesMut::new();
    let mut truncated = false;
    while let Some(piece) = response.chunk().await? {
        let room = limit - body.len();
        body.extend_from_slice(piece.get(..room).unwrap_or(&piece));
        if piece.len() > room {
            truncated = true;
            break;
        }
    }
    Ok(Response { status: StatusCode::as_u16(&status), headers, body: body.freeze(), truncated })
}

/// Headers of the answer, as far as they are kept: not those of the connection, nor what is above the limit.
fn kept(headers: &HeaderMap) -> Vec<(String, String)> {
    let named = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let nominated: Vec<String> =
        named.flat_map(|value| value.split(',').map(|n| n.trim().to_ascii_lowercase())).collect();
    let mut left = MOST_HEADER_BYTES;
    let of_answer = |name: &HeaderName| !HOP_BY_HOP.contains(name) && !nominated.iter().any(|n| n == name.as_str());
    let all = headers.iter().filter(|(name, _)| of_answer(name));
    let as_text = all.map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
    as_text
        .take_while(|(name, value)| {
            let size = name.len() + value.len();
            let fits = size <= left;
            left = left.saturating_sub(size);
            fits
        })
        .collect()
}

fn failed(failure: reqwest::Error) -> Content {
    if let Some(refused) = refused(&failure) {
        return not_called(refused);
    }
    let failure = failure.without_url();
    let kind = if failure.is_builder() {
        ErrorKind::Unsendable
    } else if failure.is_timeout() {
        ErrorKind::Timeout
    } else if failure.is_connect() {
        ErrorKind::Connect
    } else {
        ErrorKind::Interrupted
    };
    error(kind, why(&failure))
}

/// An answer that says that the target may not be called; the same whatever the reason.
fn not_called(refused: Refused) -> Content {
    error(ErrorKind::TargetRefused, refused.to_string())
}

/// An answer that says why nothing was sent.
pub(crate) fn unsendable(why: &str) -> Content {
    error(ErrorKind::Unsendable, why.to_owned())
}

/// An answer that says why sealed headers stay closed.
pub(crate) fn unopened(why: &NotOpened) -> Content {
    error(ErrorKind::Unopened, format!("the request's sealed headers cannot be opened: {why}"))
}

/// An answer without a response.
pub(crate) fn error(kind: ErrorKind, message: String) -> Content {
    Content::Error { kind, message }
}

/// An error with its causes, in one line.
fn why(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(one) = cause {
        text.push_str(": ");
        text.push_str(&one.to_string());
        cause = one.source();
    }
    text
}

#[cfg(test)]
#[path = "send_tests.rs"]
mod tests;
