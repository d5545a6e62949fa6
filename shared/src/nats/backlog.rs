//! How much waits in a queue, and what is ahead of a message: from the queue's consumer, which knows without looking.
//!
//! A stream is never asked for all its subjects. One queue's prefix is counted only where its consumer is missing: before a
//! worker has made it, or after the queue was paused for longer than a consumer lives without a request.

use std::time::Duration;

use async_nats::{Request, RequestErrorKind};
use bytes::Bytes;
use serde::Deserialize;

use super::publish::ApiError;
use super::read::ReadError;
use super::{Nats, REQUEST_TIMEOUT};
use crate::domain::id::QueueName;

/// The consumer is not there.
const NO_CONSUMER: u64 = 10014;
/// The message is not there any more.
const NO_MESSAGE: [u64; 2] = [10037, 10057];
/// How often a question without an answer is repeated: none of them changes what a repeat would see.
const TRIES: u32 = 3;
/// Beyond the last page of subjects: only their number is wanted.
const NO_PAGE: usize = 1 << 40;

/// What a queue's consumer says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Messages that no worker was given yet.
    pub waiting: u64,
    /// Messages that workers have in hand, or gave back for later.
    pub in_hand: u64,
    /// All of the queue's messages up to this sequence are done.
    pub done_to: u64,
}

#[derive(Deserialize)]
struct ConsumerInfo {
    #[serde(default)]
    num_pending: u64,
    #[serde(default)]
    num_ack_pending: u64,
    #[serde(default)]
    ack_floor: Place,
    error: Option<ApiError>,
}

#[derive(Default, Deserialize)]
struct Place {
    #[serde(default)]
    stream_seq: u64,
}

#[derive(Deserialize)]
struct StreamInfo {
    #[serde(default)]
    total: u64,
    error: Option<ApiError>,
}

#[derive(Deserialize)]
struct Deleted {
    error: Option<ApiError>,
}

impl Nats {
    /// What waits in a queue, as its consumer's leader knows it.
    ///
    /// # Errors
    /// Where the broker does not answer or refuses.
    pub async fn backlog(&self, shard: u16, queue: &QueueName) -> Result<Backlog, ReadError> {
        let stream = self.topology().jobs_stream(shard);
        let info: ConsumerInfo = self.ask(&format!("CONSUMER.INFO.{stream}.{queue}"), Bytes::new()).await?;
        match info.error {
            None => Ok(Backlog {
                waiting: info.num_pending,
                in_hand: info.num_ack_pending,
                done_to: info.ack_floor.stream_seq,
            }),
            Some(error) if error.err_code == NO_CONSUMER => {
                let waiting = self.count(&stream, &self.topology().queue_filter(shard, queue)).await?;
                Ok(Backlog { waiting, ..Backlog::default() })
            }
            Some(error) => Err(refused(error)),
        }
    }

    /// Up to which sequence all messages that a consumer wants are acked, as its leader knows it; 0 where it is not there.
    ///
    /// # Errors
    /// Where the broker does not answer or refuses.
    pub async fn acked_to(&self, stream: &str, consumer: &str) -> Result<u64, ReadError> {
        let info: ConsumerInfo = self.ask(&format!("CONSUMER.INFO.{stream}.{consumer}"), Bytes::new()).await?;
        match info.error {
            None => Ok(info.ack_floor.stream_seq),
            Some(error) if error.err_code == NO_CONSUMER => Ok(0),
            Some(error) => Err(refused(error)),
        }
    }

    /// How many subjects of a stream match; each has one message at most.
    async fn count(&self, stream: &str, filter: &str) -> Result<u64, ReadError> {
        let ask = serde_json::json!({"subjects_filter": filter, "offset": NO_PAGE});
        let info: StreamInfo = self.ask(&format!("STREAM.INFO.{stream}"), ask.to_string().into()).await?;
        info.error.map_or(Ok(info.total), |error| Err(refused(error)))
    }

    /// Removes a message from a stream: as if it had been acked. Without effect where it is gone already.
    ///
    /// # Errors
    /// Where the broker does not answer or refuses: it may be gone or not.
    pub async fn drop_message(&self, stream: &str, sequence: u64) -> Result<(), ReadError> {
        let ask = serde_json::json!({"seq": sequence, "no_erase": true});
        let deleted: Deleted = self.ask(&format!("STREAM.MSG.DELETE.{stream}"), ask.to_string().into()).await?;
        match deleted.error {
            Some(error) if !NO_MESSAGE.contains(&error.err_code) => Err(refused(error)),
            Some(_) | None => Ok(()),
        }
    }

    async fn ask<T: for<'de> Deserialize<'de>>(&self, what: &str, body: Bytes) -> Result<T, ReadError> {
        for again in 0..TRIES {
            let request = Request::new().payload(body.clone()).timeout(Some(REQUEST_TIMEOUT));
            match self.client().send_request(format!("$JS.API.{what}"), request).await {
                Ok(answer) => {
                    return serde_json::from_slice(&answer.payload).map_err(|e| ReadError::Refused(e.to_string()));
                }
                // No leader at the moment: that is answered at once, so wait a little.
                Err(error) if error.kind() == RequestErrorKind::NoResponders => {
                    tokio::time::sleep(Duration::from_millis(20 << again)).await;
                }
                Err(_) => {}
            }
        }
        Err(ReadError::NoAnswer)
    }
}

fn refused(error: ApiError) -> ReadError {
    if error.is_for_now() { ReadError::NoAnswer } else { ReadError::Refused(error.description) }
}
