//! The pass over webhooks that wait for another try: timers that did not fire.

use std::time::Duration;

use sluice_shared::clock;
use sluice_shared::domain::delivery::Delivery;
use sluice_shared::nats::batch::Shown;
use sluice_shared::nats::guarded::Moved;
use sluice_shared::telemetry::Healed;
use sluice_shared::wire;

use super::round::{Round, Stopped, go_on};

impl Round<'_> {
    /// Publishes timers of webhooks again that a full disk swallowed.
    pub(super) async fn deliveries(&mut self) -> Result<(), Stopped> {
        let topology = self.effects.nats().topology();
        let (stream, filter) = (topology.deliveries_stream(), topology.deliveries_later_filter());
        for timer in self.overdue(&stream, &filter).await? {
            let published = self.publish_delivery_again(&timer).await;
            go_on(published)?;
            self.pace().await?;
        }
        Ok(())
    }

    /// As for a job's timer: a copy that expects the sequence of what it replaces.
    async fn publish_delivery_again(&self, timer: &Shown) -> Result<(), Stopped> {
        let Ok(delivery) = wire::decode::<Delivery>(&timer.payload) else { return Ok(()) };
        let soon = clock::now().after(Duration::from_secs(1));
        if self.effects.nats().deliver_later(&delivery, soon, timer.sequence).await? == Moved::Stored {
            self.metrics.healed(Healed::Timer);
        }
        Ok(())
    }
}
