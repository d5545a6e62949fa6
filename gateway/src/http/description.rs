//! `/openapi.json` and `/docs`: what there is, for programs and for people. For anybody: it tells nothing of what is kept here.
//!
//! The page is one file of our own that shows the document, and loads nothing from elsewhere.

use std::sync::LazyLock;

use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;

use super::operations as of;
use super::routes::Open;

/// The page, which asks for the document beside it.
const PAGE: &str = include_str!("description.html");
/// The page may run its own script and ask this gateway, and nothing else.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'",
);
const NOSNIFF: (HeaderName, HeaderValue) = (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));

/// The same for as long as the process lives.
static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| super::document().to_string().into());

/// What there is for anybody.
pub(super) fn open() -> Open<()> {
    Open::new().at("/openapi.json", document, of::document()).at("/docs", page, of::page())
}

async fn document() -> Response {
    let json = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, json), NOSNIFF], DOCUMENT.clone()).into_response()
}

async fn page() -> Response {
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    ([(header::CONTENT_TYPE, html), (header::CONTENT_SECURITY_POLICY, POLICY), NOSNIFF], PAGE).into_response()
}
