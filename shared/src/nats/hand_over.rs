//! Handing a message to whoever listens on a subject, by request: a reply, or a stream's ack, means that it was taken.

use std::time::Duration;

use async_nats::{HeaderMap, Message, Request, RequestErrorKind};
use bytes::Bytes;
use serde::Deserialize;

use super::Nats;
use super::publish::HEADROOM;

/// The header by which a NATS service says that it failed (ADR-32).
const SERVICE_ERROR: &str = "Nats-Service-Error";
/// What is kept of what somebody says, in characters.
const LONGEST_WORD: usize = 200;

/// Why a message was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// Nobody listens.
    #[error("nobody listens on the subject")]
    Nobody,
    /// Somebody may have it, but did not say so.
    #[error("no reply within {0:?}")]
    Silence(Duration),
    /// A stream or a service answered that it did not take it.
    #[error("declined: {0}")]
    Declined(String),
    /// The broker does not let this user publish there.
    #[error("NATS does not let the delivery publish there: a tenant's own subjects are under `outcomes`")]
    NotAllowed,
    /// The connection broke meanwhile; somebody may have it.
    #[error("the connection to NATS broke")]
    Broken,
    /// The message is larger than the broker takes.
    #[error("{size} bytes are more than the broker takes ({limit})")]
    TooLarge {
        /// What was to be sent.
        size: usize,
        /// What is taken.
        limit: usize,
    },
    /// There can be no such subject.
    #[error("not a subject that can be published to")]
    NoSubject,
}

impl Nats {
    /// Publishes to a subject that is not ours and waits until somebody has taken it.
    ///
    /// # Errors
    /// Where nobody has, as far as is known; see the variants for whether another try makes sense.
    pub async fn hand_over(
        &self,
        subject: String,
        headers: HeaderMap,
        payload: Bytes,
        within: Duration,
    ) -> Result<(), NotTaken> {
        let (size, limit) = (payload.len(), self.max_payload());
        // The library does not count headers, and a server that does breaks the connection.
        if size + HEADROOM > limit && limit > 0 {
            return Err(NotTaken::TooLarge { size, limit });
        }
        let request = Request::new().headers(headers).payload(payload).timeout(Some(within));
        let to = subject.clone();
        let reply = self.client().send_request(subject, request).await.map_err(|error| {
            #[allow(clippy::wildcard_enum_match_arm, reason = "the library's list of kinds grows")]
            match error.kind() {
                RequestErrorKind::NoResponders => NotTaken::Nobody,
                RequestErrorKind::TimedOut if self.is_denied(&to) => NotTaken::NotAllowed,
                RequestErrorKind::TimedOut => NotTaken::Silence(within),
                RequestErrorKind::MaxPayloadExceeded => NotTaken::TooLarge { size, limit },
                RequestErrorKind::InvalidSubject => NotTaken::NoSubject,
                _ => NotTaken::Broken,
            }
        })?;
        declined(&reply).map_or(Ok(()), |why| Err(NotTaken::Declined(why.chars().take(LONGEST_WORD).collect())))
    }
}

/// A stream's ack that is an error. Whatever else somebody replies is theirs, also where it looks like one.
#[derive(Deserialize)]
struct Refusal {
    error: StreamError,
}

#[derive(Deserialize)]
struct StreamError {
    #[serde(rename = "code")]
    _code: u16,
    err_code: u64,
    #[serde(default)]
    description: String,
}

fn declined(reply: &Message) -> Option<String> {
    if let Some(said) = reply.headers.as_ref().and_then(|headers| headers.get(SERVICE_ERROR)) {
        return Some(said.as_str().to_owned());
    }
    let Refusal { error } = serde_json::from_slice(&reply.payload).ok()?;
    Some(format!("{} ({})", error.description, error.err_code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(payload: &'static str, headers: Option<HeaderMap>) -> Message {
        Message {
            subject: "_INBOX.x".into(),
            reply: None,
            payload: payload.into(),
            headers,
            status: None,
            description: None,
            length: 0,
        }
    }

    #[test]
    fn a_reply_or_a_stream_ack_is_taken_a_stream_error_or_a_service_error_is_not() {
        for taken in
            ["", "thanks", "+OK", r#"{"stream":"S","seq":7}"#, r#"{"error":"none"}"#, r#"{"error":{"code":1}}"#]
        {
            assert_eq!(declined(&reply(taken, None)), None, "{taken}");
        }
        let full =
            r#"{"error":{"code":503,"err_code":10077,"description":"maximum messages exceeded"},"stream":"S","seq":0}"#;
        assert_eq!(declined(&reply(full, None)).as_deref(), Some("maximum messages exceeded (10077)"));
        let mut headers = HeaderMap::new();
        headers.insert(SERVICE_ERROR, "no disk");
        assert_eq!(declined(&reply("", Some(headers))).as_deref(), Some("no disk"));
    }
}
