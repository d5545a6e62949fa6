//! Reading one message of a stream, and never one that is behind: from the leader (`STREAM.MSG.GET`), or, where a stream has
//! one copy and no other could answer, by a direct get (ADR-31), which costs the broker half as much.

use std::time::Duration;

use async_nats::{HeaderMap, HeaderName, HeaderValue, Message, Request, RequestErrorKind};
use bytes::Bytes;
use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::publish::ApiError;
use super::{Nats, REQUEST_TIMEOUT};
use crate::clock::Millis;

/// No message matches.
const NOT_FOUND: u64 = 10037;
/// The same as the status of a direct get.
const NONE_THERE: u16 = 404;
/// How often a read that got no answer is repeated: it has no effect, so repeating is harmless.
const TRIES: u32 = 8;

/// Why nothing could be read. The message in hand is not acked; it comes again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The broker did not answer for several seconds.
    #[error("the broker does not answer")]
    NoAnswer,
    /// The broker will not answer this.
    #[error("the broker refused the read: {0}")]
    Refused(String),
}

/// A message as a stream holds it.
#[derive(Debug, Clone)]
pub struct Held {
    /// Its subject.
    pub subject: String,
    /// Its sequence.
    pub sequence: u64,
    /// Its payload.
    pub payload: Bytes,
    /// Its headers.
    headers: HeaderMap,
    /// When it was stored, RFC 3339.
    time: String,
}

impl Held {
    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(HeaderValue::as_str)
    }

    /// When it was stored, by the broker's clock.
    #[must_use]
    pub fn stored(&self) -> Option<Millis> {
        let at = OffsetDateTime::parse(&self.time, &Rfc3339).ok()?;
        u64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok().map(Millis)
    }
}

#[derive(Serialize)]
struct Ask<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    last_by_subj: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_by_subj: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    message: Option<Stored<'a>>,
    error: Option<ApiError>,
}

#[derive(Deserialize)]
struct Stored<'a> {
    subject: String,
    seq: u64,
    #[serde(borrow, default)]
    hdrs: Option<&'a str>,
    #[serde(borrow, default)]
    data: Option<&'a str>,
    time: String,
}

impl Nats {
    /// The newest message on a subject, which may have wildcards.
    ///
    /// # Errors
    /// Where the broker does not answer or refuses.
    pub async fn newest(&self, stream: &str, subject: &str) -> Result<Option<Held>, ReadError> {
        self.read(stream, &Ask { last_by_subj: Some(subject), next_by_subj: None, seq: None }).await
    }

    /// The first message on a subject, which may have wildcards, at or after a sequence.
    ///
    /// # Errors
    /// Where the broker does not answer or refuses.
    pub async fn next_from(&self, stream: &str, subject: &str, sequence: u64) -> Result<Option<Held>, ReadError> {
        self.read(stream, &Ask { last_by_subj: None, next_by_subj: Some(subject), seq: Some(sequence) }).await
    }

    /// The newest message on a subject without wildcards, where that is an entry of a bucket.
    ///
    /// # Errors
    /// Where the broker does not answer or refuses.
    pub async fn entry(&self, stream: &str, subject: &str) -> Result<Option<Held>, ReadError> {
        if self.topology().has_one_copy() {
            let request = format!("$JS.API.DIRECT.GET.{stream}.{subject}");
            return self.get(request, Bytes::new(), read_direct).await;
        }
        self.newest(stream, subject).await
    }

    async fn read(&self, stream: &str, ask: &Ask<'_>) -> Result<Option<Held>, ReadError> {
        let body = serde_json::to_vec(ask).map_err(|e| ReadError::Refused(e.to_string()))?;
        let request = format!("$JS.API.STREAM.MSG.GET.{stream}");
        self.get(request, body.into(), |answer| read_answer(&answer.payload)).await
    }

    async fn get(
        &self,
        subject: String,
        body: Bytes,
        read: impl Fn(Message) -> Result<Option<Held>, ReadError>,
    ) -> Result<Option<Held>, ReadError> {
        for again in 0..TRIES {
            let request = Request::new().payload(body.clone()).timeout(Some(REQUEST_TIMEOUT));
            match self.client().send_request(subject.clone(), request).await {
                Ok(answer) => match read(answer) {
                    Err(ReadError::NoAnswer) => {}
                    read => return read,
                },
                Err(error) if error.kind() == RequestErrorKind::NoResponders => {}
                Err(_) => continue,
            }
            // No leader at the moment: that is answered at once, so wait a little.
            tokio::time::sleep(Duration::from_millis(20 << again.min(6))).await;
        }
        Err(ReadError::NoAnswer)
    }
}

fn read_answer(payload: &[u8]) -> Result<Option<Held>, ReadError> {
    let answer: Answer<'_> = serde_json::from_slice(payload).map_err(|e| ReadError::Refused(e.to_string()))?;
    if let Some(error) = answer.error {
        return match error.err_code {
            NOT_FOUND => Ok(None),
            _ if error.is_for_now() => Err(ReadError::NoAnswer),
            _ => Err(ReadError::Refused(error.description)),
        };
    }
    let Some(message) = answer.message else { return Err(ReadError::Refused("an empty answer".into())) };
    let decode = |text: Option<&str>| {
        BASE64.decode(text.unwrap_or_default().as_bytes()).map_err(|e| ReadError::Refused(e.to_string()))
    };
    Ok(Some(Held {
        payload: decode(message.data)?.into(),
        headers: read_headers(&String::from_utf8_lossy(&decode(message.hdrs)?)),
        subject: message.subject,
        sequence: message.seq,
        time: message.time,
    }))
}

/// Headers as they went over the wire.
fn read_headers(text: &str) -> HeaderMap {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    let read = |(name, value): (&str, &str)| Some((name.parse::<HeaderName>().ok()?, value.trim().parse().ok()?));
    lines.filter_map(read).collect::<HeaderMap>()
}

/// A direct get says in headers what the message is.
fn read_direct(answer: Message) -> Result<Option<Held>, ReadError> {
    if let Some(status) = answer.status {
        let why = answer.description.as_deref().unwrap_or_default();
        return if status.as_u16() == NONE_THERE {
            Ok(None)
        } else {
            Err(ReadError::Refused(format!("{} {why}", status.as_u16())))
        };
    }
    let held = answer.headers.and_then(|headers| {
        let text = |name: &str| headers.get(name).map(|value| value.as_str().to_owned());
        let (subject, sequence) = (text("Nats-Subject")?, text("Nats-Sequence")?.parse().ok()?);
        let time = text("Nats-Time-Stamp")?;
        Some(Held { subject, sequence, payload: answer.payload, headers, time })
    });
    held.map(Some).ok_or_else(|| ReadError::Refused("an answer without its headers".into()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed read fails the test")]

    use super::*;

    #[test]
    fn a_header_is_found_by_its_whole_name() {
        let headers =
            read_headers("NATS/1.0\r\nNats-Schedule-Target: x.y\r\nNats-Schedule: @at 1970-01-01T00:00:01Z\r\n\r\n");
        let held = Held { subject: String::new(), sequence: 1, payload: Bytes::new(), headers, time: String::new() };
        assert_eq!(held.header("Nats-Schedule"), Some("@at 1970-01-01T00:00:01Z"));
        assert_eq!(held.header("Nats"), None);
    }

    #[test]
    fn a_message_an_absence_and_a_refusal_are_told_apart() {
        let held = br#"{"type":"x","message":{"subject":"a.b","seq":3,"data":"aGk=","time":"2026-01-01T00:00:00Z"}}"#;
        let held = read_answer(held).unwrap().unwrap();
        assert_eq!((held.sequence, &held.payload[..]), (3, &b"hi"[..]));
        assert_eq!(held.header("Nats-TTL"), None);
        assert_eq!(held.stored(), Some(Millis(1_767_225_600_000)));
        assert!(
            read_answer(br#"{"error":{"code":404,"err_code":10037,"description":"no message found"}}"#)
                .unwrap()
                .is_none()
        );
        let not_now =
            br#"{"error":{"code":503,"err_code":10008,"description":"JetStream system temporarily unavailable"}}"#;
        assert_eq!(read_answer(not_now).unwrap_err(), ReadError::NoAnswer);
        assert!(read_answer(br#"{"error":{"code":500,"err_code":10059,"description":"stream not found"}}"#).is_err());
    }
}
