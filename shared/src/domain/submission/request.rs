//! The request of one contender: method, URL, headers, body.

use bytes::Bytes;
use data_encoding::BASE64;

use super::fault::Code;
use super::fields::{Fields, Reading, Value};
use super::{headers, url};
use crate::domain::job::{Body, Request};

/// The request, with something in the place of what is missing or wrong.
pub(super) fn read(fields: &mut Fields<'_>, rd: &mut Reading<'_>) -> Request {
    let url = fields
        .require("url", "the absolute URL to call", rd)
        .and_then(|value| url::read(&value, "put credentials into a header", rd));
    let method = fields.take("method").and_then(|value| method(&value, rd));
    let mut headers = headers::read(fields, rd);
    let (body, is_json) = body(fields, rd);
    if is_json && !headers.iter().any(|(name, _)| name == "content-type") {
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
    }
    Request {
        method: method.unwrap_or_else(|| "GET".to_owned()),
        url: url.unwrap_or_default(),
        headers,
        body,
        sealed: None,
    }
}

/// The method in upper case. One that opens a tunnel or echoes the headers back is no call that can be queued.
fn method(value: &Value<'_>, rd: &mut Reading<'_>) -> Option<String> {
    let method = value.text(rd)?.to_ascii_uppercase();
    let fault = match method.as_str() {
        "CONNECT" | "TRACE" => "must not be CONNECT or TRACE",
        word if word.len() > 32 || http::Method::from_bytes(word.as_bytes()).is_err() => {
            "must be an HTTP method such as GET, POST, PUT, PATCH or DELETE"
        }
        _ => return Some(method),
    };
    rd.fault(&value.path, Code::InvalidValue, fault);
    None
}

/// The body, and whether it was given as a JSON value instead of a string.
fn body(fields: &mut Fields<'_>, rd: &mut Reading<'_>) -> (Body, bool) {
    let encoded = fields.take("body_encoding").is_some_and(|value| is_base64(&value, rd));
    let Some(value) = fields.take("body") else { return (Body::Empty, false) };
    let is_json = !value.is_text();
    let bytes = match (is_json, encoded) {
        (true, true) => {
            rd.fault(&value.path, Code::WrongType, "must be a string of base64 where `body_encoding` is `base64`");
            None
        }
        (true, false) => Some(Bytes::copy_from_slice(value.raw().as_bytes())),
        (false, true) => decoded(&value, rd),
        (false, false) => value.text(rd).map(Bytes::from),
    };
    let bytes = bytes.unwrap_or_default();
    check_size(&value, bytes.len() as u64, rd);
    let body = if bytes.is_empty() { Body::Empty } else { Body::Inline(bytes) };
    (body, is_json)
}

fn is_base64(value: &Value<'_>, rd: &mut Reading<'_>) -> bool {
    let encoding = value.text(rd);
    let is_base64 = encoding.as_deref() == Some("base64");
    if encoding.is_some() && !is_base64 {
        rd.fault(&value.path, Code::InvalidValue, "must be `base64`, or left out where the body is text");
    }
    is_base64
}

fn decoded(value: &Value<'_>, rd: &mut Reading<'_>) -> Option<Bytes> {
    let bytes = BASE64.decode(value.text(rd)?.as_bytes());
    if bytes.is_err() {
        rd.fault(&value.path, Code::InvalidValue, "must be base64 (RFC 4648, with padding), as `body_encoding` says");
    }
    bytes.ok().map(Bytes::from)
}

/// One body above the limit is its own fault; the sum is judged when all are read.
fn check_size(value: &Value<'_>, bytes: u64, rd: &mut Reading<'_>) {
    let most = rd.limits.max_body;
    if bytes > most {
        rd.fault(&value.path, Code::TooLarge, format!("must have at most {most} bytes"));
    } else {
        rd.body_bytes = rd.body_bytes.saturating_add(bytes);
    }
}
