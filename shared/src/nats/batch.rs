//! Many messages of a stream in one request, from any replica (direct get in batches, ADR-31): also of a work queue, where no
//! second consumer may look.
//!
//! For those who look through a stream slowly, such as the sweep. What it shows may be behind: a place to look, never the
//! truth.

use std::time::Duration;

use async_nats::{HeaderMap, Message};
use bytes::Bytes;
use futures_util::StreamExt;
use serde::Serialize;

use super::read::ReadError;
use super::{Nats, REQUEST_TIMEOUT};

/// Bytes of one answer, so that messages with large payloads come a few at a time.
const MAX_BYTES: usize = 4 << 20;
/// How long the next message of an answer may take.
const SILENCE: Duration = Duration::from_secs(5);
/// The end of an answer.
const END: u16 = 204;
const NOT_FOUND: u16 = 404;
const NO_RESPONDERS: u16 = 503;

/// A message as a replica holds it.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Its subject.
    pub subject: String,
    /// Its sequence in the stream.
    pub sequence: u64,
    /// Its payload.
    pub payload: Bytes,
    headers: HeaderMap,
}

impl Shown {
    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(async_nats::HeaderValue::as_str)
    }

    fn of(message: Message) -> Option<Self> {
        let headers = message.headers?;
        let text = |name: &str| headers.get(name).map(async_nats::HeaderValue::as_str);
        let (subject, sequence) = (text("Nats-Subject")?.to_owned(), text("Nats-Sequence")?.parse().ok()?);
        Some(Self { subject, sequence, payload: message.payload, headers })
    }
}

#[derive(Serialize)]
struct Ask<'a> {
    seq: u64,
    next_by_subj: &'a str,
    batch: usize,
    max_bytes: usize,
}

impl Nats {
    /// At most `most` messages on a subject, which may have wildcards, at or after a sequence. None mean that there are no
    /// more; fewer, that the answer was large enough.
    ///
    /// # Errors
    /// Where the broker does not answer or refuses.
    pub async fn shown(&self, stream: &str, subject: &str, from: u64, most: usize) -> Result<Vec<Shown>, ReadError> {
        let refused = |error: &dyn std::error::Error| ReadError::Refused(error.to_string());
        let inbox = self.client().new_inbox();
        let mut answer = self.client().subscribe(inbox.clone()).await.map_err(|error| refused(&error))?;
        let ask = Ask { seq: from.max(1), next_by_subj: subject, batch: most, max_bytes: MAX_BYTES };
        let ask = serde_json::to_vec(&ask).map_err(|error| refused(&error))?;
        let request = format!("$JS.API.DIRECT.GET.{stream}");
        self.client().publish_with_reply(request, inbox, ask.into()).await.map_err(|error| refused(&error))?;
        let (mut shown, mut patience) = (Vec::new(), REQUEST_TIMEOUT);
        loop {
            let next = tokio::time::timeout(patience, answer.next()).await;
            let message = next.ok().flatten().ok_or(ReadError::NoAnswer)?;
            match message.status.map(|status| status.as_u16()) {
                Some(END | NOT_FOUND) => return Ok(shown),
                Some(NO_RESPONDERS) => return Err(ReadError::NoAnswer),
                Some(status) => {
                    let why = message.description.as_deref().unwrap_or_default();
                    return Err(ReadError::Refused(format!("{status} {why}")));
                }
                None => shown.extend(Shown::of(message)),
            }
            patience = SILENCE;
        }
    }
}
