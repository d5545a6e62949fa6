//! One publish to a stream and what the broker made of it.

use async_nats::{HeaderMap, Request, RequestErrorKind};
use bytes::Bytes;
use serde::Deserialize;

use super::{Nats, REQUEST_TIMEOUT};

/// The expected sequence of the newest message on a subject.
pub const EXPECTED_LAST: &str = "Nats-Expected-Last-Subject-Sequence";
/// The subject, possibly with wildcards, that the expectation is about.
pub const EXPECTED_SUBJECT: &str = "Nats-Expected-Last-Subject-Sequence-Subject";
/// How long a message lives.
pub const TTL: &str = "Nats-TTL";
/// When a scheduled message fires.
pub const SCHEDULE: &str = "Nats-Schedule";
/// Where it goes then.
pub const SCHEDULE_TARGET: &str = "Nats-Schedule-Target";
/// What duplicates are told by.
pub const MESSAGE_ID: &str = "Nats-Msg-Id";

/// What comes beside a payload within the largest message: headers. Bytes.
pub const HEADROOM: usize = 4096;

/// The expectation does not hold: somebody is further on.
const WRONG_LAST_SEQUENCE: u64 = 10071;
/// A write with the same expectation is on its way through raft.
const BEING_WRITTEN: u64 = 10164;
/// The message is larger than the stream takes.
const TOO_LARGE: u64 = 10054;
/// The broker has no room: insufficient resources, storage limits of the account or the server, a full stream.
const NO_ROOM: [u64; 5] = [10002, 10023, 10028, 10047, 10077];

/// A server of a cluster that has no leader, or is not ready after its start, says so: another time, or another server, can.
const NOT_NOW: [u64; 2] = [10008, 10009];

/// Why a publish has no sequence to show.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The expectation does not hold: somebody is further on. Nothing was stored.
    #[error("somebody else was first")]
    Behind,
    /// The same subject is being written right now: ask again.
    #[error("the subject is being written")]
    BeingWritten,
    /// Nobody took the message: no leader, no stream. Nothing was stored.
    #[error("no stream took the message")]
    NotTaken,
    /// It may have been stored or not.
    #[error("no answer: it may have been stored")]
    Unknown,
    /// The broker's storage is full. Nothing was stored.
    #[error("the broker has no room: {0}")]
    NoRoom(String),
    /// The message is larger than the broker takes.
    #[error("{size} bytes are more than the broker takes ({limit})")]
    TooLarge {
        /// What was to be sent.
        size: usize,
        /// What is taken.
        limit: usize,
    },
    /// The broker will not take this message.
    #[error("refused: {0}")]
    Refused(String),
}

/// A message that a stream holds now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// Its sequence in the stream.
    pub sequence: u64,
    /// Whether the stream held it already, told by its id.
    pub duplicate: bool,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    duplicate: bool,
    error: Option<ApiError>,
}

#[derive(Deserialize)]
pub(super) struct ApiError {
    #[serde(default)]
    pub(super) err_code: u64,
    #[serde(default)]
    pub(super) description: String,
}

impl ApiError {
    /// Whether it says nothing about the request: the broker cannot answer at the moment.
    pub(super) fn is_for_now(&self) -> bool {
        NOT_NOW.contains(&self.err_code)
    }
}

impl Nats {
    /// Publishes once and waits for the stream's answer, for a second at most.
    ///
    /// # Errors
    /// What the broker made of it instead; see the variants for whether it may be stored.
    pub async fn publish(&self, subject: String, headers: HeaderMap, payload: Bytes) -> Result<Stored, PublishError> {
        let (size, limit) = (payload.len(), self.max_payload());
        if size + HEADROOM > limit && limit > 0 {
            return Err(PublishError::TooLarge { size, limit });
        }
        let request = Request::new().headers(headers).payload(payload).timeout(Some(REQUEST_TIMEOUT));
        let answer = self.client().send_request(subject, request).await.map_err(|error| {
            #[allow(clippy::wildcard_enum_match_arm, reason = "what is not known to be harmless is unknown")]
            match error.kind() {
                RequestErrorKind::NoResponders => PublishError::NotTaken,
                RequestErrorKind::MaxPayloadExceeded => PublishError::TooLarge { size, limit },
                RequestErrorKind::InvalidSubject => PublishError::Refused("invalid subject".into()),
                _ => PublishError::Unknown,
            }
        })?;
        read_answer(&answer.payload, size)
    }
}

fn read_answer(payload: &[u8], size: usize) -> Result<Stored, PublishError> {
    // An answer that cannot be read says nothing about what was stored.
    let answer: Answer = serde_json::from_slice(payload).map_err(|_| PublishError::Unknown)?;
    match answer.error {
        None if answer.seq > 0 => Ok(Stored { sequence: answer.seq, duplicate: answer.duplicate }),
        None => Err(PublishError::Unknown),
        Some(error) if error.is_for_now() => Err(PublishError::Unknown),
        Some(error) => Err(match error.err_code {
            WRONG_LAST_SEQUENCE => PublishError::Behind,
            BEING_WRITTEN => PublishError::BeingWritten,
            TOO_LARGE => PublishError::TooLarge { size, limit: size.saturating_sub(1) },
            code if NO_ROOM.contains(&code) => PublishError::NoRoom(error.description),
            code => PublishError::Refused(format!("{} ({code})", error.description)),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_of_the_broker_has_its_own_meaning() {
        let table: [(&[u8], Result<Stored, PublishError>); 8] = [
            (br#"{"stream":"S","seq":7}"#, Ok(Stored { sequence: 7, duplicate: false })),
            (br#"{"stream":"S","seq":7,"duplicate":true}"#, Ok(Stored { sequence: 7, duplicate: true })),
            (
                br#"{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 3"}}"#,
                Err(PublishError::Behind),
            ),
            (
                br#"{"error":{"code":400,"err_code":10164,"description":"wrong last sequence"}}"#,
                Err(PublishError::BeingWritten),
            ),
            (
                br#"{"error":{"code":503,"err_code":10077,"description":"full"}}"#,
                Err(PublishError::NoRoom("full".into())),
            ),
            (
                br#"{"error":{"code":400,"err_code":10054,"description":"message size exceeds maximum allowed"}}"#,
                Err(PublishError::TooLarge { size: 9, limit: 8 }),
            ),
            (
                br#"{"error":{"code":503,"err_code":10008,"description":"JetStream system temporarily unavailable"}}"#,
                Err(PublishError::Unknown),
            ),
            (b"?", Err(PublishError::Unknown)),
        ];
        for (payload, expected) in table {
            assert_eq!(read_answer(payload, 9), expected);
        }
    }
}
