//! The one way a webhook's timer gets into the deliveries: with an expectation on the newest message of its chain.
//!
//! A chain is `timer → due → timer …` under one name, the id of the webhook's event; a result is not part of it and
//! expects nothing. Refused means that somebody is further on, which is as good as stored.

use std::time::Duration;

use async_nats::HeaderMap;
use bytes::Bytes;

use super::Nats;
use super::guarded::{Moved, NotMoved, rfc3339};
use super::publish::{EXPECTED_LAST, EXPECTED_SUBJECT, PublishError, SCHEDULE, SCHEDULE_TARGET};
use crate::clock::Millis;
use crate::domain::delivery::Delivery;
use crate::wire;

/// How often a publish without an answer is repeated before the message in hand is left to be delivered again.
const TRIES: u32 = 10;

impl Delivery {
    /// The name of its chain, the last tokens of its subjects: `<tenant>.<job>.<incarnation>.<n>`.
    #[must_use]
    pub fn chain(&self) -> String {
        format!("{}.{}", self.result.tenant, self.result.event_id(usize::from(self.webhook)))
    }
}

impl Nats {
    /// Publishes the timer of a webhook's next try if `newest` is the sequence of the newest message of its chain (0:
    /// there is none), until it is certain.
    ///
    /// # Errors
    /// Where the broker gave no answer for several seconds, has no room, or will not take it.
    pub async fn deliver_later(&self, delivery: &Delivery, at: Millis, newest: u64) -> Result<Moved, NotMoved> {
        let (chain, topology) = (delivery.chain(), self.topology());
        let mut headers = HeaderMap::new();
        headers.insert(EXPECTED_LAST, newest.to_string());
        headers.insert(EXPECTED_SUBJECT, topology.delivery_any(&chain));
        headers.insert(SCHEDULE, format!("@at {}", rfc3339(at)));
        headers.insert(SCHEDULE_TARGET, topology.delivery_due(&chain));
        self.publish_until_certain(&topology.delivery_later(&chain), &headers, &wire::encode(delivery)).await
    }

    /// Keeps a dead letter, once for each subject, until it is certain.
    ///
    /// # Errors
    /// Where the broker gave no answer for several seconds, has no room, or will not take it.
    pub async fn keep_dead_letter(
        &self,
        subject: &str,
        mut headers: HeaderMap,
        payload: &Bytes,
    ) -> Result<Moved, NotMoved> {
        headers.insert(EXPECTED_LAST, "0");
        self.publish_until_certain(subject, &headers, payload).await
    }

    /// Repeating is harmless: what was stored meanwhile makes the expectation fail.
    async fn publish_until_certain(
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
}
