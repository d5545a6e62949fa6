//! What this process has on the wire, of all endpoints together: of what a lane may have in hand, no tenant may have so much that
//! nothing is left for others, whatever its webhooks do. What is above is put off, as at an endpoint that is busy.

use std::sync::Arc;

use sluice_shared::domain::shares::alone;

use super::DeliveryOptions;
use super::hand::Kind;
use super::hands::most_bytes;
use super::seats::Seats;

/// One for each kind of work, as large as what one lane of it may have in hand: were it larger, a tenant alone could fill its lane,
/// and what comes after would not even be put off.
pub(super) struct Halls {
    results: Arc<Seats>,
    due: Arc<Seats>,
    most: (usize, usize),
    most_bytes: usize,
}

impl Halls {
    pub(super) fn new(options: &DeliveryOptions, max_payload: usize) -> Self {
        let (results, due) = options.shares();
        let most = (alone(results), alone(due));
        let [results, due] = [most.0, most.1].map(|most| Arc::new(Seats::new(most)));
        Self { results, due, most, most_bytes: alone(most_bytes(options.per_endpoint, max_payload)) }
    }

    pub(super) fn of(&self, kind: Kind) -> &Arc<Seats> {
        match kind {
            Kind::Result => &self.results,
            Kind::Due => &self.due,
        }
    }

    /// How many seats a message of this size takes: one, or its share of all that a lane may have in hand by size.
    pub(super) fn weight(&self, kind: Kind, bytes: usize) -> usize {
        let most = match kind {
            Kind::Result => self.most.0,
            Kind::Due => self.most.1,
        };
        bytes.saturating_mul(most).div_ceil(self.most_bytes.max(1)).clamp(1, most)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sluice_shared::domain::delivery::Schedule;
    use sluice_shared::domain::targets::Targets;

    use super::*;

    #[test]
    fn what_is_large_takes_the_seats_of_many_that_are_small() {
        let options = DeliveryOptions {
            timeout: Duration::from_secs(30),
            per_endpoint: 8,
            concurrency: 256,
            schedule: Schedule { pauses: Vec::new(), jitter: 0.0 },
            grace: Duration::ZERO,
            ack_wait: Duration::from_secs(30),
            targets: Targets::default(),
        };
        let halls = Halls::new(&options, 8 << 20);
        let weigh = |bytes| [Kind::Result, Kind::Due].map(|kind| halls.weight(kind, bytes));
        assert_eq!(weigh(0), [1, 1]);
        assert_eq!(weigh(64 << 10), [1, 1]);
        assert_eq!(weigh(1 << 20), [2, 1]);
        assert_eq!(weigh(8 << 20), [12, 4]);
        assert_eq!(weigh(usize::MAX), [168, 56]);
    }
}
