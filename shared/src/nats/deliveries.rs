//! The one way a webhook's timer gets into the deliveries: with an expectation on the newest message of its chain.
//!
//! A chain is `timer → due → timer …` under one name, the id of the webhook's event; a result is not part of it and
//! expects nothing. Refused means that somebody is further on, which is as good as stored.

use async_nats::HeaderMap;

use super::Nats;
use super::guarded::{Moved, NotMoved, rfc3339};
use super::publish::{EXPECTED_LAST, EXPECTED_SUBJECT, SCHEDULE, SCHEDULE_TARGET};
use crate::clock::Millis;
use crate::domain::delivery::Delivery;
use crate::wire;

impl Delivery {
    /// The name of its chain, the last tokens of its subjects, after its tenant: `<job>.<incarnation>.<n>`.
    #[must_use]
    pub fn chain(&self) -> String {
        self.result.event_id(usize::from(self.webhook))
    }
}

impl Nats {
    /// Publishes the timer of a webhook's next try if `newest` is the sequence of the newest message of its chain (0:
    /// there is none), until it is certain.
    ///
    /// # Errors
    /// Where the broker gave no answer for several seconds, has no room, or will not take it.
    pub async fn deliver_later(&self, delivery: &Delivery, at: Millis, newest: u64) -> Result<Moved, NotMoved> {
        let (tenant, chain, topology) = (&delivery.result.tenant, delivery.chain(), self.topology());
        let mut headers = HeaderMap::new();
        headers.insert(EXPECTED_LAST, newest.to_string());
        headers.insert(EXPECTED_SUBJECT, topology.delivery_any(tenant, &chain));
        headers.insert(SCHEDULE, format!("@at {}", rfc3339(at)));
        headers.insert(SCHEDULE_TARGET, topology.delivery_due(tenant, &chain));
        self.publish_until_certain(&topology.delivery_later(tenant, &chain), &headers, &wire::encode(delivery)).await
    }
}
