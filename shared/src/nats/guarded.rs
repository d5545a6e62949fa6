//! The one way a message gets into `jobs`, `later` or `due`: with an expectation on the newest message of its chain.
//!
//! A chain moves by its newest message: the first of a chain and a signal expect nothing, every other message expects
//! the one in hand. Refused means that somebody is further on, which is as good as stored. An answer that was lost is
//! repeated with the same expectation, so nothing is ever stored twice.

use std::time::Duration;

use async_nats::HeaderMap;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Nats;
use super::publish::{EXPECTED_LAST, EXPECTED_SUBJECT, PublishError, SCHEDULE, SCHEDULE_TARGET};
use crate::clock::Millis;
use crate::domain::demand::When;
use crate::topology::{JobSubject, Stage};
use crate::wire;

/// How often a publish without an answer is repeated before the message in hand is left to be delivered again.
const TRIES: u32 = 10;

/// What a job's message carries besides its subject: never the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pointer {
    /// The attempt of the branch; 0 for a signal.
    pub attempt: u32,
}

/// What is true after a guarded publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// The message is stored.
    Stored,
    /// The chain is further on already.
    FurtherOn,
}

/// The message may not be stored: do not ack what is in hand.
#[derive(Debug, Clone, thiserror::Error)]
#[error("a message may not have been stored: {0}")]
pub struct NotMoved(#[from] pub PublishError);

impl Nats {
    /// Publishes a job's message if `newest` is the sequence of the newest message of its chain (0: there is none), until
    /// it is certain.
    ///
    /// # Errors
    /// Where the broker gave no answer for several seconds, has no room, or will not take it.
    pub async fn move_chain(
        &self,
        address: &JobSubject,
        when: When,
        attempt: u32,
        newest: u64,
    ) -> Result<Moved, NotMoved> {
        let (stage, headers) = self.headers(address, when, newest);
        let subject = address.at(self.prefix(), stage);
        let payload: Bytes = wire::encode(&Pointer { attempt });
        self.publish_until_certain(&subject, &headers, &payload).await
    }

    /// Publishes with the expectation that the headers carry, again while nobody knows. Repeating is harmless: what was
    /// stored meanwhile makes the expectation fail.
    pub(super) async fn publish_until_certain(
        &self,
        subject: &str,
        headers: &HeaderMap,
        payload: &Bytes,
    ) -> Result<Moved, NotMoved> {
        let mut last = PublishError::Unknown;
        for again in 0..TRIES {
            match self.publish(subject.to_owned(), headers.clone(), payload.clone()).await {
                Ok(_) => return Ok(Moved::Stored),
                Err(PublishError::Behind) => return Ok(Moved::FurtherOn),
                Err(error @ (PublishError::BeingWritten | PublishError::NotTaken | PublishError::Unknown)) => {
                    last = error;
                    tokio::time::sleep(Duration::from_millis(20 << again.min(5))).await;
                }
                Err(error @ (PublishError::NoRoom(_) | PublishError::TooLarge { .. } | PublishError::Refused(_))) => {
                    return Err(NotMoved(error));
                }
            }
        }
        Err(NotMoved(last))
    }

    fn headers(&self, address: &JobSubject, when: When, newest: u64) -> (Stage, HeaderMap) {
        let mut headers = HeaderMap::new();
        headers.insert(EXPECTED_LAST, newest.to_string());
        headers.insert(EXPECTED_SUBJECT, address.any_stage(self.prefix()));
        let stage = match when {
            When::Work => Stage::Work,
            When::Due => Stage::Due,
            When::Later(at) => {
                headers.insert(SCHEDULE, format!("@at {}", rfc3339(at)));
                headers.insert(SCHEDULE_TARGET, address.at(self.prefix(), Stage::Due));
                Stage::Later
            }
        };
        (stage, headers)
    }
}

/// A moment as the broker's schedules want it.
#[must_use]
pub fn rfc3339(at: Millis) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(at.0) * 1_000_000)
        .ok()
        .and_then(|at| at.format(&Rfc3339).ok())
        .unwrap_or_else(|| "1970-01-01T00:00:00Z".to_owned())
}
