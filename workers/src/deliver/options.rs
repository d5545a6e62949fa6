//! How the delivery service goes about it, from the configuration.

use std::time::Duration;

use sluice_shared::config;
use sluice_shared::domain::delivery::Schedule;
use sluice_shared::domain::targets::Targets;

/// How the delivery service goes about it.
#[derive(Clone, Debug)]
pub struct DeliveryOptions {
    /// One post of a webhook over HTTP, from connecting to the end of what is read of the answer.
    pub timeout: Duration,
    /// Posts in flight to one endpoint, in this process.
    pub per_endpoint: usize,
    /// Messages in hand, at most: three quarters for results, a quarter for what came due, at least one for each.
    pub concurrency: usize,
    /// When what failed is tried again.
    pub schedule: Schedule,
    /// How long posts on the wire may take to end at a stop.
    pub grace: Duration,
    /// How long a message may be in hand without a sign of life, as its consumer was made with.
    pub ack_wait: Duration,
    /// What may be posted to, over HTTP.
    pub targets: Targets,
}

impl DeliveryOptions {
    /// As configured. `ack_wait` is what consumers are made with.
    #[must_use]
    pub fn new(config: &config::Delivery, targets: Targets, ack_wait: Duration) -> Self {
        Self {
            targets,
            timeout: config.timeout,
            per_endpoint: config.per_endpoint,
            concurrency: config.concurrency,
            schedule: Schedule { pauses: config.retry.iter().map(|pause| pause.0).collect(), jitter: config.jitter },
            grace: config.grace,
            ack_wait,
        }
    }

    /// What may be in hand of results and of what came due: neither can keep the other from moving.
    pub(super) fn shares(&self) -> (usize, usize) {
        let due = (self.concurrency / 4).max(1);
        (self.concurrency.saturating_sub(due).max(1), due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_have_a_share_and_together_no_more_than_is_allowed() {
        let options = |concurrency| DeliveryOptions {
            timeout: Duration::from_secs(30),
            per_endpoint: 8,
            concurrency,
            schedule: Schedule { pauses: Vec::new(), jitter: 0.0 },
            grace: Duration::ZERO,
            ack_wait: Duration::from_secs(30),
            targets: Targets::default(),
        };
        assert_eq!(options(256).shares(), (192, 64));
        assert_eq!(options(2).shares(), (1, 1));
        assert_eq!(options(1).shares(), (1, 1)); // one of each is the least that moves both
    }
}
