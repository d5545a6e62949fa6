//! What an operator changes: the limits of a queue's gate, and whether the queue is paused. Both are compare-and-swaps on what
//! every worker watches, so they count everywhere at once, and repeating one is harmless.

use std::time::Duration;

use sluice_shared::clock;
use sluice_shared::domain::gate::{Adjustment, adjust};
use sluice_shared::domain::id::QueueName;
use sluice_shared::nats::bucket::Written;
use tokio::time::{Instant, sleep};

use super::Queues;
use super::body::QueueBody;
use super::error::QueueError;
use super::read::fresh;

/// For how long a gap is looked for between the swaps of the workers.
const PATIENCE: Duration = Duration::from_secs(5);

impl Queues {
    /// Changes the limits of the queue's own gate, for all queues that draw from it.
    ///
    /// # Errors
    /// Where there is no such queue, or the broker does not answer.
    pub async fn adjust(&self, name: &QueueName, by: Adjustment) -> Result<QueueBody, QueueError> {
        let entry = self.entry(name).await?;
        let gate = entry.gates.first().ok_or(QueueError::Refused)?;
        let (gates, configured) = (self.gates(), self.jobs.gates().limits(&entry.destination));
        let until = Instant::now() + PATIENCE;
        loop {
            let there = gates.get(gate.as_str()).await?;
            let (state, revision) = match there {
                Some(there) => (there.value, there.revision),
                None => (fresh(gate, &entry), 0),
            };
            let Some(wanted) = adjust(&state, by, configured, clock::nanos()) else { break };
            let written = match revision {
                0 => gates.create(gate.as_str(), &wanted).await?,
                revision => gates.swap(gate.as_str(), &wanted, revision).await?,
            };
            match written {
                Written::At(_) => break,
                Written::Changed | Written::Unknown if Instant::now() >= until => return Err(QueueError::Contended),
                // A worker was first, or nobody knows: whether it is so shows when it is read again.
                Written::Changed | Written::Unknown => {
                    sleep(Duration::from_micros(rand::random_range(100..2_000))).await;
                }
            }
        }
        tracing::info!(queue = %name, %gate, "an operator changed the limits of a gate");
        self.describe(name, &entry).await
    }

    /// Pauses a queue, or resumes it.
    ///
    /// # Errors
    /// Where there is no such queue, or the broker does not answer.
    pub async fn pause(&self, name: &QueueName, paused: bool) -> Result<QueueBody, QueueError> {
        self.entry(name).await?;
        let written = self.jobs.effects().queues().pause(name, paused, clock::now()).await?;
        let entry = written.ok_or(QueueError::NotFound)?;
        tracing::info!(queue = %name, paused, "an operator paused or resumed a queue");
        self.describe(name, &entry).await
    }
}
