//! The pass over webhooks that wait for another try: timers that did not fire.

use std::time::Duration;

use sluice_shared::clock;
use sluice_shared::domain::delivery::Delivery;
use sluice_shared::nats::guarded::Moved;
use sluice_shared::nats::publish::SCHEDULE;
use sluice_shared::nats::read::Held;
use sluice_shared::telemetry::Healed;
use sluice_shared::wire;

use super::queues::MOST_TIMERS;
use super::round::{Round, Stopped, go_on};

impl Round<'_> {
    /// Publishes timers of webhooks again that a full disk swallowed.
    pub(super) async fn deliveries(&mut self) -> Result<(), Stopped> {
        let nats = self.effects.nats();
        let stream = nats.topology().deliveries_stream();
        let filter = nats.topology().deliveries_later_filter();
        let heads = nats.heads_of_work_queue(&stream, &filter, MOST_TIMERS).await?;
        let overdue: Vec<_> = heads.iter().filter(|head| self.is_overdue(head.header(SCHEDULE))).collect();
        for head in overdue {
            if let Some(held) = nats.newest(&stream, &head.subject).await? {
                let published = self.publish_delivery_again(&held).await;
                go_on(published)?;
            }
            self.pace().await?;
        }
        Ok(())
    }

    /// As for a job's timer: a copy that expects the sequence of what it replaces.
    async fn publish_delivery_again(&self, held: &Held) -> Result<(), Stopped> {
        let Ok(delivery) = wire::decode::<Delivery>(&held.payload) else { return Ok(()) };
        let soon = clock::now().after(Duration::from_secs(1));
        if self.effects.nats().deliver_later(&delivery, soon, held.sequence).await? == Moved::Stored {
            self.metrics.healed(Healed::Timer);
        }
        Ok(())
    }
}
