//! The pass over what is done and lies in its stream still.
//!
//! A work queue's message goes when it is acked. A nats-server that is killed can have written down the ack and not the
//! removal, and one that runs alone does not look for that when it starts again (a cluster does, at each new leader). Such a
//! message is handed out to nobody; it takes room, and a queue that has one would never end.

use sluice_shared::domain::id::QueueName;
use sluice_shared::queues::QueueEntry;
use sluice_shared::telemetry::Healed;
use sluice_shared::topology::LaneConsumer;

use super::round::{Round, Stopped};

/// Messages that are looked at in one request.
const PAGE: usize = 256;

impl Round<'_> {
    /// What is left of a queue's work.
    pub(super) async fn acked_work(&mut self, name: &QueueName, entry: &QueueEntry) -> Result<(), Stopped> {
        let topology = self.effects.nats().topology();
        let (stream, filter) = (topology.jobs_stream(entry.shard), topology.queue_filter(entry.shard, name));
        self.acked(&stream, name.as_str(), &filter).await
    }

    /// What is left of everything that has a consumer for each shard or lane.
    pub(super) async fn acked_by_the_fixed(&mut self) -> Result<(), Stopped> {
        let topology = self.effects.nats().topology();
        for shard in 0..topology.settings().shards {
            self.acked(&topology.jobs_stream(shard), topology.due_consumer(), &topology.due_filter(shard)).await?;
        }
        for LaneConsumer { stream, name, filter, .. } in topology.lane_consumers() {
            self.acked(&stream, &name, &filter).await?;
        }
        Ok(())
    }

    /// Removes what a consumer has seen acked. Nothing is asked about it where the stream has no such message.
    async fn acked(&mut self, stream: &str, consumer: &str, filter: &str) -> Result<(), Stopped> {
        let nats = self.effects.nats();
        self.pace().await?;
        let Some(first) = nats.shown(stream, filter, 1, 1).await?.pop() else { return Ok(()) };
        let (done_to, mut from) = (nats.acked_to(stream, consumer).await?, first.sequence);
        while from <= done_to {
            let page = nats.shown(stream, filter, from, PAGE).await?;
            let Some(last) = page.last() else { break };
            from = last.sequence + 1;
            for message in page.iter().filter(|message| message.sequence <= done_to) {
                nats.drop_message(stream, message.sequence).await?;
                self.metrics.healed(Healed::Acked);
            }
            self.pace().await?;
        }
        Ok(())
    }
}
