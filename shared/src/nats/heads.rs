//! Heads of a stream's messages: subject, sequence, time and headers without payloads, many in one request.
//!
//! For those who look through a bucket slowly, such as the sweep; into a work queue no second consumer may look. Reads whatever replica leads the consumer, so it may be
//! behind: what it shows is a place to look, never the truth.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use futures_util::StreamExt;

use super::read::ReadError;
use super::{Nats, broker_error};
use crate::clock::Millis;

/// How long a consumer lives that was made to look once.
const LOOK: Duration = Duration::from_secs(30);

/// A message without its payload.
#[derive(Clone, Debug)]
pub struct Head {
    /// Its subject.
    pub subject: String,
    /// Its sequence in the stream.
    pub sequence: u64,
    /// When it was stored, by the broker's clock.
    pub stored: Millis,
    headers: HeaderMap,
}

impl Head {
    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(async_nats::HeaderValue::as_str)
    }
}

impl Nats {
    /// The heads of at most `most` messages on a subject, which may have wildcards, at or after a sequence. Fewer mean that
    /// there are no more.
    ///
    /// # Errors
    /// Where the broker does not answer or refuses.
    pub async fn heads(&self, stream: &str, subject: &str, from: u64, most: usize) -> Result<Vec<Head>, ReadError> {
        let config = pull::Config {
            filter_subject: subject.to_owned(),
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: from.max(1) },
            ack_policy: AckPolicy::None,
            headers_only: true,
            memory_storage: true,
            num_replicas: 1,
            inactive_threshold: LOOK,
            ..pull::Config::default()
        };
        let refused = |error: &dyn std::error::Error| ReadError::Refused(broker_error(error));
        let consumer =
            self.jetstream().create_consumer_on_stream(config, stream).await.map_err(|error| refused(&error))?;
        let fetch = consumer.fetch().max_messages(most).messages().await;
        let mut messages = fetch.map_err(|error| refused(&error))?;
        let mut heads = Vec::new();
        while let Some(message) = messages.next().await {
            let message = message.map_err(|error| ReadError::Refused(error.to_string()))?;
            let info = message.info().map_err(|error| ReadError::Refused(error.to_string()))?;
            let stored = u64::try_from(info.published.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
            heads.push(Head {
                subject: message.subject.to_string(),
                sequence: info.stream_sequence,
                stored: Millis(stored),
                headers: message.headers.clone().unwrap_or_default(),
            });
        }
        let name = consumer.cached_info().name.clone();
        if let Err(error) = self.jetstream().delete_consumer_from_stream(name, stream).await {
            tracing::debug!(%error, "a consumer that was made to look goes by itself");
        }
        Ok(heads)
    }
}
