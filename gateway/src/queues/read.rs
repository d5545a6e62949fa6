//! Reading queues: which there are from the watched copy, what is in those that are shown from the broker.

use std::time::Duration;

use futures_util::future::{join, join_all};
use futures_util::{StreamExt, stream};
use sluice_shared::clock;
use sluice_shared::domain::gate::GateState;
use sluice_shared::domain::id::{GateName, QueueName, Tenant};
use sluice_shared::nats::Nats;
use sluice_shared::nats::bucket::{Bucket, BucketError};
use sluice_shared::nats::read::ReadError;
use sluice_shared::queues::QueueEntry;
use tokio::time::timeout;

use super::Queues;
use super::body::{Depth, GateBody, QueueBody, QueueList};
use super::error::QueueError;

/// Queues of one page, at most.
pub const MOST_SHOWN: usize = 1000;
/// Queues of a page that are looked at in the broker at a time.
const AT_ONCE: usize = 16;
/// How long what a page shows of one queue may take to be read; then it is left out.
const MOMENT: Duration = Duration::from_millis(500);

/// Which queues are to be shown.
#[derive(Clone, Debug)]
pub struct Page {
    /// So many at most.
    pub limit: usize,
    /// Those behind this one.
    pub after: Option<QueueName>,
    /// Those of this tenant.
    pub tenant: Option<Tenant>,
    /// Those to this destination, `host[:port]`.
    pub destination: Option<String>,
}

impl Page {
    fn has(&self, name: &QueueName, entry: &QueueEntry) -> bool {
        self.after.as_ref().is_none_or(|after| name > after)
            && self.tenant.as_ref().is_none_or(|tenant| *tenant == entry.tenant)
            && self.destination.as_deref().is_none_or(|to| entry.destination.as_str().eq_ignore_ascii_case(to))
    }
}

impl Queues {
    /// A page of queues, by name.
    pub async fn list(&self, page: &Page) -> QueueList {
        let limit = page.limit.clamp(1, MOST_SHOWN);
        let mut found =
            self.jobs.effects().queues().first(limit + 1, |name, entry| self.has(entry) && page.has(name, entry));
        let more = found.len() > limit;
        found.truncate(limit);
        let cursor = found.last().filter(|_| more).map(|(name, _)| name.to_string());
        let shown = found.into_iter().map(|(name, entry)| async move { self.show(&name, &entry.value).await });
        QueueList { queues: stream::iter(shown).buffered(AT_ONCE).collect().await, cursor }
    }

    /// A queue as it is now, read from the leader.
    ///
    /// # Errors
    /// Where there is no such queue, or the broker does not answer.
    pub async fn get(&self, name: &QueueName) -> Result<QueueBody, QueueError> {
        let entry = self.entry(name).await?;
        self.describe(name, &entry).await
    }

    /// The same of an entry that was just read or written.
    pub(super) async fn describe(&self, name: &QueueName, entry: &QueueEntry) -> Result<QueueBody, QueueError> {
        let gates = join_all(entry.gates.iter().map(|gate| self.gate(gate, entry)));
        let (depth, gates) = join(self.depth(name, entry), gates).await;
        let gates = gates.into_iter().collect::<Result<Vec<_>, _>>()?;
        Ok(QueueBody::new(name, entry, Some(depth?), gates))
    }

    pub(super) async fn entry(&self, name: &QueueName) -> Result<QueueEntry, QueueError> {
        match self.jobs.effects().queues().bucket().get(name.as_str()).await {
            Ok(entry) => entry.map(|entry| entry.value).filter(|entry| self.has(entry)).ok_or(QueueError::NotFound),
            // An entry of another kind is no queue, as for those who watch.
            Err(BucketError::Unreadable { .. }) => Err(QueueError::NotFound),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether it is one of those that there are.
    fn has(&self, entry: &QueueEntry) -> bool {
        self.of.as_ref().is_none_or(|tenant| *tenant == entry.tenant)
    }

    pub(super) fn nats(&self) -> &Nats {
        self.jobs.effects().nats()
    }

    pub(super) fn gates(&self) -> Bucket<GateState> {
        self.nats().bucket(&self.nats().topology().gates_bucket())
    }

    /// With what can be read in a moment.
    async fn show(&self, name: &QueueName, entry: &QueueEntry) -> QueueBody {
        let gates = self.jobs.gates().gates_of(&entry.gates, &entry.destination);
        let gates = join_all(gates.iter().map(|gate| timeout(MOMENT, self.gate(gate, entry))));
        let (depth, gates) = join(timeout(MOMENT, self.depth(name, entry)), gates).await;
        let gates = gates.into_iter().filter_map(|read| read.ok()?.ok()).collect();
        QueueBody::new(name, entry, depth.ok().and_then(Result::ok), gates)
    }

    async fn depth(&self, name: &QueueName, entry: &QueueEntry) -> Result<Depth, ReadError> {
        let backlog = self.nats().backlog(entry.shard, name).await?;
        let oldest = match backlog.waiting + backlog.in_hand {
            0 => None,
            _ => {
                let topology = self.nats().topology();
                let (stream, filter) = (topology.jobs_stream(entry.shard), topology.queue_filter(entry.shard, name));
                self.nats().next_from(&stream, &filter, backlog.done_to + 1).await?
            }
        };
        let age = |at| u64::try_from(clock::now().since(at).as_millis()).unwrap_or(u64::MAX);
        let oldest_age_ms = oldest.and_then(|held| held.stored()).map(age);
        Ok(Depth { depth: backlog.waiting, in_flight: backlog.in_hand, oldest_age_ms })
    }

    async fn gate(&self, name: &GateName, entry: &QueueEntry) -> Result<GateBody, BucketError> {
        let state = self.gates().get(name.as_str()).await?.map(|there| there.value);
        let state = state.unwrap_or_else(|| fresh(name, entry));
        let shown = GateBody::new(name, self.jobs.gates().limits_of(name, &entry.destination), &state, clock::nanos());
        Ok(if self.of.is_some() { shown.without_others() } else { shown })
    }
}

/// The state of a gate of this queue that nothing has gone through yet.
pub(super) fn fresh(name: &GateName, entry: &QueueEntry) -> GateState {
    let own = |account: &&str| GateName::of(&entry.destination, Some(account)) == *name;
    let account = entry.account.as_deref().filter(own).map(str::to_owned);
    GateState::new(entry.destination.clone(), account)
}
