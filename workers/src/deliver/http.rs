//! A webhook over HTTP: one POST, no redirect, and what the answer means.
//!
//! The status is the answer; of the body only a little is read, so that the connection can be used again. Invariant: what
//! is said of a failure names no URL: a query may be a secret.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, ClientBuilder, Response, StatusCode};
use sluice_shared::clock::{self, Millis};
use sluice_shared::domain::delivery::Came;
use sluice_shared::domain::pace::Pace;
use sluice_shared::domain::targets::{Refused, Targets};
use sluice_shared::nats::broker_error;
use url::Url;

use super::DeliveryError;
use super::post::{ID, JSON, Post, TIMESTAMP, TRACE};
use crate::targets::{Clients, refused};

const USER_AGENT: &str = concat!("sluice/", env!("CARGO_PKG_VERSION"));
/// What is read of an answer's body, in bytes, and for how long.
const READ: usize = 64 * 1024;
const READ_FOR: Duration = Duration::from_millis(500);
/// A connection unused for so long is not used again: servers close theirs, and a post may fall between.
const IDLE: Duration = Duration::from_secs(15);
/// How soon an endpoint's machine that is gone is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// What is kept of an error, in characters.
const LONGEST_ERROR: usize = 300;

/// The clients of this process, for what may be posted to.
pub(super) fn clients(targets: Targets, per_endpoint: usize) -> Result<Clients, DeliveryError> {
    let set = |builder: ClientBuilder| {
        builder
            .user_agent(USER_AGENT)
            .tcp_keepalive(KEEP_ALIVE)
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(per_endpoint)
    };
    Clients::new(targets, set).map_err(|error| DeliveryError::Client(broker_error(&error)))
}

/// Posts, and says what came of it.
pub(super) async fn post(client: &Client, url: Url, post: Post, timeout: Duration) -> Came {
    let mut request = client
        .post(url)
        .timeout(timeout)
        .header(CONTENT_TYPE, JSON)
        .header(ID, post.id)
        .header(TIMESTAMP, post.timestamp)
        .body(post.body);
    if let Some(trace) = post.traceparent {
        request = request.header(TRACE, trace);
    }
    for (name, signature) in post.signatures {
        request = request.header(name, signature);
    }
    match request.send().await {
        Ok(response) => {
            let came = came(response.status(), response.headers(), clock::now());
            let _ = tokio::time::timeout(READ_FOR, read_a_little(response)).await;
            came
        }
        Err(error) => match refused(&error) {
            Some(refused) => not_posted(refused),
            None => Came::Failed { error: said(error, timeout), retry_after: None },
        },
    }
}

/// What may not be posted to is given up at once: another try would be another look at a network that is none of the
/// sender's business.
pub(super) fn not_posted(refused: Refused) -> Came {
    Came::Refused { reason: format!("target_refused: it {refused}") }
}

/// What an answer means: taken, never to be taken, or worth another try.
fn came(status: StatusCode, headers: &HeaderMap, now: Millis) -> Came {
    let answered = format!("answered {}", status.as_u16());
    match status {
        _ if status.is_success() => Came::Delivered,
        StatusCode::GONE => Came::Refused { reason: answered },
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            Came::Failed { error: answered, retry_after: retry_after(headers, now) }
        }
        _ if status.is_redirection() => {
            Came::Failed { error: format!("{answered}: redirects are not followed"), retry_after: None }
        }
        _ => Came::Failed { error: answered, retry_after: None },
    }
}

/// How long the endpoint wants to be left alone, where it says so outright.
fn retry_after(headers: &HeaderMap, now: Millis) -> Option<Duration> {
    let read = |(name, value): (&HeaderName, &HeaderValue)| Some((name.to_string(), value.to_str().ok()?.to_owned()));
    let headers: Vec<_> = headers.iter().filter_map(read).collect();
    Pace::read(&headers, now).retry_after.map(|at| at.since(now))
}

/// A body that was read to its end leaves a connection that can be used again; one that is too long costs it.
async fn read_a_little(mut response: Response) {
    let mut read = 0;
    while let Ok(Some(chunk)) = response.chunk().await {
        read += chunk.len();
        if read > READ {
            return;
        }
    }
}

fn said(error: reqwest::Error, timeout: Duration) -> String {
    if error.is_timeout() {
        return format!("no answer within {timeout:?}");
    }
    broker_error(&error.without_url()).chars().take(LONGEST_ERROR).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a status that is none fails the test")]

    use super::*;

    const NOW: Millis = Millis(1_700_000_000_000);

    fn answer(status: u16, retry_after: Option<&'static str>) -> Came {
        let headers = retry_after.map(|asked| (reqwest::header::RETRY_AFTER, HeaderValue::from_static(asked)));
        came(StatusCode::from_u16(status).unwrap(), &headers.into_iter().collect(), NOW)
    }

    fn failed(error: &str, retry_after: Option<u64>) -> Came {
        Came::Failed { error: error.into(), retry_after: retry_after.map(Duration::from_secs) }
    }

    #[test]
    fn any_2xx_is_delivered_410_is_never_and_all_else_is_tried_again() {
        for status in [200, 202, 204, 299] {
            assert_eq!(answer(status, None), Came::Delivered);
        }
        assert_eq!(answer(410, None), Came::Refused { reason: "answered 410".into() });
        for status in [400, 401, 404, 408, 500, 502] {
            assert_eq!(answer(status, Some("7")), failed(&format!("answered {status}"), None));
        }
        assert_eq!(answer(302, None), failed("answered 302: redirects are not followed", None));
    }

    #[test]
    fn a_retry_after_counts_where_an_endpoint_may_ask_to_be_left_alone() {
        for status in [429, 503] {
            let said = format!("answered {status}");
            assert_eq!(answer(status, None), failed(&said, None));
            assert_eq!(answer(status, Some("7")), failed(&said, Some(7)));
            assert_eq!(answer(status, Some("Tue, 14 Nov 2023 22:15:20 GMT")), failed(&said, Some(120)));
            assert_eq!(answer(status, Some("soon")), failed(&said, None));
        }
    }
}
