//! What the promises ask of the broker, and nothing else: the record created and swapped, work that expects nothing before it,
//! the record read before the call, the result stored, what came of the webhook remembered, the acks.
//!
//! No gate, no events, no decision, nothing decoded, and one process: what Sluice could do at most.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use async_nats::HeaderMap;
use bytes::Bytes;
use sluice_shared::domain::demand::When;
use sluice_shared::domain::id::{JobId, Tenant};
use sluice_shared::nats::ack::InHand;
use sluice_shared::nats::bucket::{Bucket, Written};
use sluice_shared::nats::publish::MESSAGE_ID;
use sluice_shared::topology::{JobSubject, Laned};

use super::way::{OUTCOME, Way};

/// How long what has ended is kept.
const SETTLED: Duration = Duration::from_secs(24 * 3600);

impl Way {
    /// The record, then the message that points to it.
    pub(super) async fn submit_by_rules(&self, number: u32, address: &JobSubject) -> anyhow::Result<()> {
        let request = Bytes::from(format!("{number} {}", self.body));
        let written = self.records_of(&address.job).create(address.job.as_str(), &request).await?;
        ensure!(matches!(written, Written::At(_)), "the record was there");
        self.nats.move_chain(address, When::Work, 1, 0).await?;
        Ok(())
    }

    /// Read, call, swap, publish, ack.
    pub(super) async fn carry_out_by_rules(self: Arc<Self>, message: InHand) -> anyhow::Result<()> {
        let (_, address) = JobSubject::parse(self.nats.prefix(), message.subject())?;
        let records = self.records_of(&address.job);
        let record = records.get(address.job.as_str()).await?.context("no record")?;
        let number = self.call(&record.value).await?;
        let settled = Bytes::from(vec![b'x'; OUTCOME]);
        let written = records.swap_for(address.job.as_str(), &settled, record.revision, SETTLED).await?;
        ensure!(matches!(written, Written::At(_)), "somebody else settled it");
        let mut headers = HeaderMap::new();
        headers.insert(MESSAGE_ID, address.job.as_str());
        let result = format!("{number} {}", "x".repeat(OUTCOME));
        self.nats
            .publish(self.nats.topology().result(&Tenant::default(), &address.job), headers, result.into())
            .await?;
        message.ack().await;
        Ok(())
    }

    /// What delivery does.
    pub(super) async fn pull_results(self: Arc<Self>) -> anyhow::Result<()> {
        let topology = self.nats.topology();
        let lane = topology.lane(Laned::Results, topology.lane_of(&Tenant::default()));
        self.pull(&lane.stream, &lane.name, Self::deliver_by_rules).await
    }

    /// Post, remember, ack.
    async fn deliver_by_rules(self: Arc<Self>, message: InHand) -> anyhow::Result<()> {
        let (number, _) = std::str::from_utf8(message.payload())?.split_once(' ').context("no number")?;
        let number = number.parse()?;
        self.tell(number).await?;
        let deliveries: Bucket<Bytes> = self.nats.bucket(&self.nats.topology().deliveries_bucket());
        let delivered = Bytes::from_static(b"delivered");
        let written = deliveries.swap_for(&format!("floor-{number}"), &delivered, 0, SETTLED).await?;
        ensure!(matches!(written, Written::At(_)), "it was delivered before");
        ensure!(message.ack_confirmed().await, "the ack of a result was not taken");
        self.is_done();
        Ok(())
    }

    fn records_of(&self, job: &JobId) -> Bucket<Bytes> {
        self.nats.bucket(&self.nats.topology().records_bucket_of(job))
    }
}
