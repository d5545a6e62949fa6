//! The envelope that every request of a client comes in. Pure.
//!
//! `{"scope", "metric_name", "target_url", "method", "headers", "body"}`: of the URL only the path counts, and it names one of
//! our own resources whatever host it has.

use axum::http::Method;
use serde::Deserialize;
use serde_json::error::Category;
use url::Url;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resource {
    /// A job is submitted.
    Submit,
    /// The webhook secrets, masked.
    Secrets,
    /// They are set.
    SetSecrets,
    /// They are forgotten.
    ForgetSecrets,
}

/// A request to one of our resources.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Envelope {
    pub(super) resource: Resource,
    pub(super) body: Vec<u8>,
}

/// Why it is none, in words for its sender.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoEnvelope {
    /// It is no JSON.
    NotJson(&'static str),
    /// It lacks what an envelope has.
    Unreadable(&'static str),
    /// It names nothing that there is.
    NamesNothing(&'static str),
}

const SHAPE: &str =
    "the body must be an object with `target_url`, `method` and a `body` that is the request's JSON as a string";

#[derive(Deserialize)]
struct Wire {
    target_url: String,
    #[serde(default = "post")]
    method: String,
    #[serde(default)]
    body: Option<String>,
}

fn post() -> String {
    "POST".to_owned()
}

impl Envelope {
    /// Reads one.
    pub(super) fn read(json: &[u8]) -> Result<Self, NoEnvelope> {
        // What the parser would say repeats what was sent.
        let wire: Wire = serde_json::from_slice(json).map_err(|error| match error.classify() {
            Category::Data => NoEnvelope::Unreadable(SHAPE),
            Category::Syntax | Category::Eof | Category::Io => NoEnvelope::NotJson("the envelope is not valid JSON"),
        })?;
        // A list would be read as the fields in their order.
        if !json.trim_ascii_start().starts_with(b"{") {
            return Err(NoEnvelope::Unreadable(SHAPE));
        }
        let path = Url::parse(&wire.target_url).map(|url| url.path().trim_end_matches('/').to_owned());
        let path = path.map_err(|_| NoEnvelope::NamesNothing("`target_url` is no URL"))?;
        let resource = of(&wire.method.to_ascii_uppercase(), &path).ok_or(NoEnvelope::NamesNothing(
            "`target_url` and `method` name nothing here: there are POST /api/v1/jobs, and GET, POST and DELETE \
             /api/v1/webhook-secrets",
        ))?;
        Ok(Self { resource, body: wire.body.unwrap_or_default().into_bytes() })
    }
}

fn of(method: &str, path: &str) -> Option<Resource> {
    let (jobs, secrets) = (path.ends_with("/api/v1/jobs"), path.ends_with("/api/v1/webhook-secrets"));
    match Method::from_bytes(method.as_bytes()).ok()? {
        Method::POST if jobs => Some(Resource::Submit),
        Method::GET if secrets => Some(Resource::Secrets),
        Method::POST if secrets => Some(Resource::SetSecrets),
        Method::DELETE if secrets => Some(Resource::ForgetSecrets),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "an envelope that is refused fails the test")]

    use super::*;

    fn read(target: &str, method: &str) -> Result<Resource, NoEnvelope> {
        let json = serde_json::json!({
            "scope": "customer", "metric_name": "", "target_url": target, "method": method, "headers": {}, "body": "{}",
        });
        Envelope::read(json.to_string().as_bytes()).map(|envelope| envelope.resource)
    }

    #[test]
    fn the_path_names_the_resource_whatever_the_host_is() {
        for base in ["https://ezthrottle.fly.dev", "http://169.254.169.254", "http://127.0.0.1:8080/base"] {
            assert_eq!(read(&format!("{base}/api/v1/jobs"), "POST"), Ok(Resource::Submit));
            assert_eq!(read(&format!("{base}/api/v1/webhook-secrets/"), "get"), Ok(Resource::Secrets));
            assert_eq!(read(&format!("{base}/api/v1/webhook-secrets"), "DELETE"), Ok(Resource::ForgetSecrets));
        }
    }

    #[test]
    fn what_names_nothing_is_refused_and_not_repeated() {
        for (target, method) in [
            ("https://a.example/api/v1/jobs", "GET"),
            ("https://a.example/secret-path", "POST"),
            ("https://a.example/?/api/v1/jobs", "POST"),
            ("secret", "POST"),
            ("https://a.example/api/v1/jobs", "secret method"),
        ] {
            let why = read(target, method).unwrap_err();
            assert!(matches!(why, NoEnvelope::NamesNothing(_)), "{target}: {why:?}");
        }
        assert!(matches!(Envelope::read(b"{"), Err(NoEnvelope::NotJson(_))));
        for other in [r#"{"target_url": 7}"#, r#"["https://a.example/api/v1/jobs", "POST", "{}"]"#] {
            assert!(matches!(Envelope::read(other.as_bytes()), Err(NoEnvelope::Unreadable(_))), "{other}");
        }
    }
}
