//! What comes beside a job in the headers of its message: the key that names it, and the trace it belongs to.
//!
//! Pure. Header names are compared without regard to case, as in HTTP, although NATS keeps them apart.

use async_nats::{HeaderMap, HeaderName};
use serde::Deserialize;
use sluice_shared::nats::publish::MESSAGE_ID;

/// The first value of a header.
fn header<'a>(headers: Option<&'a HeaderMap>, name: &str) -> Option<&'a str> {
    let same = |given: &HeaderName| AsRef::<str>::as_ref(given).eq_ignore_ascii_case(name);
    let (_, values) = headers?.iter().find(|(given, _)| same(given))?;
    values.first().map(|value| value.as_str())
}

/// The trace that the message belongs to.
pub(super) fn traceparent(headers: Option<&HeaderMap>) -> Option<String> {
    header(headers, "traceparent").map(str::to_owned)
}

/// The key beside the job: its `Idempotency-Key`; where the job has no key of its own, else its `Nats-Msg-Id`, else
/// `otherwise`.
pub(super) fn key<'a>(headers: Option<&'a HeaderMap>, json: &[u8], otherwise: Option<&'a str>) -> Option<&'a str> {
    let made = || header(headers, MESSAGE_ID).or(otherwise).filter(|_| !names_itself(json));
    header(headers, "Idempotency-Key").or_else(made)
}

/// Whether the job has a key of its own. What is no job has none, and is refused whatever its key is.
fn names_itself(json: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Named {
        idempotent_key: Option<serde::de::IgnoredAny>,
    }
    serde_json::from_slice(json).is_ok_and(|job: Named| job.idempotent_key.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMED: &[u8] = br#"{"url":"http://a.example/","idempotent_key":"inside","body":{"idempotent_key":1}}"#;
    const NAMELESS: &[u8] = br#"{"url":"http://a.example/","idempotent_key":null,"body":{"idempotent_key":"deep"}}"#;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, *value);
        }
        headers
    }

    #[test]
    fn a_job_without_a_key_gets_one_from_its_message() {
        let both = headers(&[("Nats-Msg-Id", "id"), ("Idempotency-Key", "header")]);
        let id = headers(&[("Nats-Msg-Id", "id")]);
        assert_eq!(key(Some(&both), NAMELESS, Some("made")), Some("header"));
        assert_eq!(key(Some(&id), NAMELESS, Some("made")), Some("id"));
        assert_eq!(key(None, NAMELESS, Some("made")), Some("made"));
        assert_eq!(key(None, NAMELESS, None), None);
    }

    #[test]
    fn a_job_with_a_key_keeps_it_whatever_its_message_is_called() {
        let id = headers(&[("Nats-Msg-Id", "id")]);
        assert_eq!(key(Some(&id), NAMED, Some("made")), None);
    }

    #[test]
    fn a_key_that_the_sender_put_beside_the_job_is_held_against_the_one_in_it() {
        assert_eq!(key(Some(&headers(&[("idempotency-key", "other")])), NAMED, None), Some("other"));
    }

    #[test]
    fn the_case_of_a_header_does_not_count() {
        let given = headers(&[("Traceparent", "00-a")]);
        assert_eq!(traceparent(Some(&given)).as_deref(), Some("00-a"));
        assert_eq!(traceparent(None), None);
    }
}
