//! The body of a request: JSON by its own word or without any, of a limited size, in a limited time.

use std::time::Duration;

use axum::body::{BodyDataStream, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::time::timeout;

use crate::problem::Problem;

/// How long a client may be silent in the middle of a body.
const SILENCE: Duration = Duration::from_secs(30);
/// How long a whole body may take, however steadily it comes: at least 70 KiB a second of one of 8 MiB.
const WHOLE: Duration = Duration::from_secs(120);
/// How long a body that is too large is read on: a client that is still sending would not see the answer.
const LINGER: Duration = Duration::from_secs(2);

/// Reads the whole body, at most `limit` bytes.
pub(super) async fn read(request: Request, limit: usize) -> Result<Bytes, Problem> {
    declares_json(request.headers())?;
    timeout(WHOLE, whole(request, limit)).await.unwrap_or_else(|_| Err(too_slow(WHOLE)))
}

async fn whole(request: Request, limit: usize) -> Result<Bytes, Problem> {
    let asks_first = request.headers().contains_key(header::EXPECT);
    let announced = request.body().size_hint().lower();
    let mut body = request.into_body().into_data_stream();
    if announced > limit as u64 {
        if !asks_first {
            drain(body).await;
        }
        return Err(too_large(limit));
    }
    let mut bytes = BytesMut::new();
    while let Some(chunk) = next(&mut body).await? {
        if bytes.len() + chunk.len() > limit {
            drain(body).await;
            return Err(too_large(limit));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

async fn next(body: &mut BodyDataStream) -> Result<Option<Bytes>, Problem> {
    match timeout(SILENCE, body.next()).await {
        Ok(None) => Ok(None),
        Ok(Some(Ok(chunk))) => Ok(Some(chunk)),
        Ok(Some(Err(_))) => {
            let detail = "the body broke off before its end: send the request again";
            Err(Problem::new(StatusCode::BAD_REQUEST, "incomplete", detail))
        }
        Err(_) => Err(too_slow(SILENCE)),
    }
}

/// Reads on what nobody wants, for a while: a client that is still sending would not see the answer.
pub(super) async fn pass_over(request: Request) {
    if !request.headers().contains_key(header::EXPECT) {
        drain(request.into_body().into_data_stream()).await;
    }
}

async fn drain(mut body: BodyDataStream) {
    // What is left after that time is cut off, so how this ends makes no difference.
    let _ = timeout(LINGER, async { while let Some(Ok(_)) = body.next().await {} }).await;
}

fn too_slow(within: Duration) -> Problem {
    let detail = format!("the body, or more of it, did not come within {within:?}: send the request again");
    Problem::new(StatusCode::REQUEST_TIMEOUT, "too_slow", detail)
}

fn too_large(limit: usize) -> Problem {
    let detail = format!("the body has more than {limit} bytes, the most that is taken here");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail)
}

/// `application/json`, any `…+json`, or no word of it.
fn declares_json(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(declared) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let declared = declared.to_str().unwrap_or_default().to_ascii_lowercase();
    let essence = declared.split(';').next().unwrap_or_default().trim();
    let json = essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"));
    if json {
        return Ok(());
    }
    let detail = "the body must be JSON: send `content-type: application/json` (with curl: --json)";
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json_type", detail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn declared(media_type: &'static str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        declares_json(&headers).is_ok()
    }

    #[test]
    fn json_in_all_its_names_is_taken_and_nothing_else() {
        assert!(declares_json(&HeaderMap::new()).is_ok());
        assert!(declared("application/json") && declared("Application/JSON; charset=utf-8"));
        assert!(declared("application/vnd.api+json"));
        assert!(!declared("text/plain") && !declared("application/x-www-form-urlencoded") && !declared(""));
    }
}
