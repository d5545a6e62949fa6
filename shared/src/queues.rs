//! The queues that exist: a watched copy of their entries, and the one way to make or extend one.
//!
//! A queue's entry exists if and only if workers pull it. Whoever publishes work first sees an entry with an hour left,
//! else makes it or extends it; timers keep nothing alive. Only the sweep removes an entry.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::clock::Millis;
use crate::domain::id::{Destination, GateName, QueueName, Tenant};
use crate::domain::job::Priority;
use crate::domain::record::{Branch, Record};
use crate::domain::region::Place;
use crate::nats::Nats;
use crate::nats::bucket::{Bucket, BucketError, Entry, Written};
use crate::nats::watched::Watched;
use crate::regions::Regions;

/// How long a queue is kept after work was last published.
const KEEP: Duration = Duration::from_secs(25 * 3600);
/// Work is published only into a queue that is kept at least this long.
const LEAST: Duration = Duration::from_secs(3600);
/// For so long what a destination said of its limits stands, whatever it says.
const STEADY: Duration = Duration::from_secs(1);
/// What a queue may have in flight; what its destination may have is the gate's business.
const MAX_ACK_PENDING: i64 = 4096;

/// What is known about a queue, in its bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueEntry {
    /// Whose branches wait in it.
    pub tenant: Tenant,
    /// Where they go.
    pub destination: Destination,
    /// The account there, if it has a queue of its own.
    pub account: Option<String>,
    /// The stream that holds it. Chosen when the entry is made, never recomputed.
    pub shard: u16,
    /// The gates that a send takes permits from.
    pub gates: Vec<GateName>,
    /// What its consumer may have in flight.
    pub max_ack_pending: i64,
    /// Until when it is kept.
    pub keep_until: Millis,
    /// Since when it is being removed, if it is.
    pub closing_since: Option<Millis>,
    /// Since when nothing of it is sent, if an operator paused it. It is kept until it is resumed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_since: Option<Millis>,
    /// Which workers pull it.
    #[serde(default, skip_serializing_if = "Place::is_anywhere")]
    pub place: Place,
    /// Which of those that draw from the same gates go before it.
    #[serde(default, skip_serializing_if = "Priority::is_normal")]
    pub priority: Priority,
    /// Whether the destination has limits for each account, told by the credential, where it said anything: kept in the tenant's
    /// queue there that is without account, of normal priority and for any worker, for all its jobs there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<Said>,
}

/// What a destination said of its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// Whether they are those of each account.
    pub by_account: bool,
    /// When it said so first.
    pub at: Millis,
}

/// What a queue stands for: all that its entry is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueSpec {
    /// Whose branches wait in it.
    pub tenant: Tenant,
    /// Where they go.
    pub destination: Destination,
    /// The account there.
    pub account: Option<String>,
    /// Which workers pull it.
    pub place: Place,
    /// How far to the front it goes.
    pub priority: Priority,
    /// Its shard, where a record has stored one already.
    pub shard: Option<u16>,
}

impl QueueSpec {
    /// The queue of a tenant at a destination that is without account, of normal priority and for any worker.
    #[must_use]
    pub fn plain(tenant: &Tenant, destination: Destination) -> Self {
        let (tenant, place, priority) = (tenant.clone(), Place::default(), Priority::Normal);
        Self { tenant, destination, account: None, place, priority, shard: None }
    }

    /// The queue of a branch of a record; `None` where its URL has no host, which no accepted job has.
    #[must_use]
    pub fn of_branch(record: &Record, branch: &Branch) -> Option<Self> {
        let url = url::Url::parse(&branch.contender.request.url).ok()?;
        Some(Self {
            tenant: record.tenant.clone(),
            destination: Destination::of(&url)?,
            account: branch.contender.account.clone(),
            place: branch.placed.place.clone(),
            priority: branch.contender.priority,
            shard: Some(branch.shard),
        })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> QueueName {
        QueueName::placed(&self.tenant, &self.destination, self.account.as_deref(), &self.place, self.priority)
    }
}

/// A revision-carrying copy of every entry. Cheap to clone.
#[derive(Clone)]
pub struct Queues {
    nats: Nats,
    bucket: Bucket<QueueEntry>,
    known: Arc<RwLock<Watched<QueueName, QueueEntry>>>,
    version: watch::Receiver<u64>,
    regions: Arc<Regions>,
}

impl Queues {
    /// Starts watching, and waits until all entries are there, and which regions have workers is known.
    pub async fn start(nats: &Nats) -> Self {
        let bucket = nats.bucket::<QueueEntry>(&nats.topology().queues_bucket());
        let (known, mut version) = Watched::follow(&bucket);
        let regions = Arc::new(Regions::start(nats));
        // A broker that never answers is seen by whoever uses it next; waiting for ever here would hide it.
        let told = async { tokio::join!(version.changed(), regions.known()) };
        let _ = tokio::time::timeout(Duration::from_secs(10), told).await;
        Self { nats: nats.clone(), bucket, known, version, regions }
    }

    /// Counts changes, for those who follow the set of queues.
    #[must_use]
    pub fn version(&self) -> watch::Receiver<u64> {
        self.version.clone()
    }

    /// The entry of a queue, as the watched copy has it.
    #[must_use]
    pub fn get(&self, name: &QueueName) -> Option<Entry<QueueEntry>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Shows all queues, as the watched copy has them, which stands still meanwhile.
    pub fn look<R>(&self, look: impl FnOnce(&HashMap<QueueName, Entry<QueueEntry>>) -> R) -> R {
        look(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The shard of a queue that is kept for an hour at least, as the watched copy has it.
    #[must_use]
    pub fn kept(&self, name: &QueueName, now: Millis) -> Option<u16> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(name).filter(|entry| kept(&entry.value, now)).map(|entry| entry.value.shard)
    }

    /// All queues, as the watched copy has them.
    #[must_use]
    pub fn all(&self) -> Vec<(QueueName, Entry<QueueEntry>)> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.iter().map(|(name, entry)| (name.clone(), entry.clone())).collect()
    }

    /// The first queues by name, at most so many, among those that are wanted; as the watched copy has them.
    #[must_use]
    pub fn first(
        &self,
        most: usize,
        wanted: impl Fn(&QueueName, &QueueEntry) -> bool,
    ) -> Vec<(QueueName, Entry<QueueEntry>)> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let mut found: Vec<_> = known.iter().filter(|(name, entry)| wanted(name, &entry.value)).collect();
        found.sort_unstable_by_key(|(name, _)| *name);
        found.into_iter().take(most).map(|(name, entry)| (name.clone(), entry.clone())).collect()
    }

    /// Which regions have workers.
    #[must_use]
    pub fn regions(&self) -> &Regions {
        &self.regions
    }

    /// The bucket, for those who remove entries.
    #[must_use]
    pub fn bucket(&self) -> &Bucket<QueueEntry> {
        &self.bucket
    }

    /// Sees to it that workers pull this queue for an hour at least, and says which shard holds it.
    ///
    /// # Errors
    /// Where the entry can be neither seen nor written.
    pub async fn keep(&self, spec: &QueueSpec, now: Millis) -> Result<u16, BucketError> {
        self.keep_named(&spec.name(), spec, now).await
    }

    /// The same of which the name is known.
    ///
    /// # Errors
    /// As `keep`.
    pub async fn keep_named(&self, name: &QueueName, spec: &QueueSpec, now: Millis) -> Result<u16, BucketError> {
        if let Some(shard) = self.kept(name, now) {
            return Ok(shard);
        }
        loop {
            let there = self.bucket.get(name.as_str()).await?;
            let entry = match &there {
                Some(there) if kept(&there.value, now) => return Ok(there.value.shard),
                Some(there) => QueueEntry { keep_until: now.after(KEEP), closing_since: None, ..there.value.clone() },
                None => self.fresh(name, spec, now),
            };
            let written = match there {
                Some(there) => self.bucket.swap(name.as_str(), &entry, there.revision).await?,
                None => self.bucket.create(name.as_str(), &entry).await?,
            };
            match written {
                Written::At(_) => return Ok(entry.shard),
                // Somebody else was here, or nobody knows: look again.
                Written::Changed | Written::Unknown => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// Pauses a queue, or resumes it: sets `paused_since` in its entry, which all workers watch. One that was being removed
    /// is kept. Says what its entry is then; `None` where there is no such queue. Repeating is harmless.
    ///
    /// # Errors
    /// Where the entry can be neither seen nor written.
    pub async fn pause(&self, name: &QueueName, paused: bool, now: Millis) -> Result<Option<QueueEntry>, BucketError> {
        loop {
            let Some(there) = self.bucket.get(name.as_str()).await? else { return Ok(None) };
            if there.value.paused_since.is_some() == paused {
                return Ok(Some(there.value));
            }
            let entry = QueueEntry {
                paused_since: paused.then_some(now),
                closing_since: None,
                keep_until: there.value.keep_until.max(now.after(KEEP)),
                ..there.value
            };
            match self.bucket.swap(name.as_str(), &entry, there.revision).await? {
                Written::At(_) => return Ok(Some(entry)),
                // Somebody else was here, or nobody knows: look again.
                Written::Changed | Written::Unknown => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// Whether a destination told this tenant that its limits are those of each account. Costs no request.
    #[must_use]
    pub fn is_by_account(&self, tenant: &Tenant, destination: &Destination) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(&QueueName::of(tenant, destination, None)).is_some_and(|entry| entry.value.by_account())
    }

    /// Writes down what a destination told a tenant of that, where it is not known so: a swap on the entry of the tenant's queue
    /// there, which is made or kept for it, and which all who submit watch. Repeating is harmless.
    ///
    /// # Errors
    /// Where the entry can be neither seen nor written.
    pub async fn told_by_account(&self, spec: &QueueSpec, by_account: bool, now: Millis) -> Result<(), BucketError> {
        let name = spec.name();
        let is_so = |entry: &QueueEntry| match entry.by_account() == by_account {
            true => !by_account || kept(entry, now),
            // One that says now this, now that, costs a write a second and no more.
            false => entry.said.is_some_and(|said| now < said.at.after(STEADY)),
        };
        let said = Some(Said { by_account, at: now });
        let known = self.get(&name);
        if known.as_ref().map_or(!by_account, |entry| is_so(&entry.value)) {
            return Ok(());
        }
        loop {
            let there = self.bucket.get(name.as_str()).await?;
            let written = match there {
                Some(there) if is_so(&there.value) => return Ok(()),
                Some(there) => {
                    let keep_until = if by_account { now.after(KEEP) } else { there.value.keep_until };
                    let closing_since = there.value.closing_since.filter(|_| !by_account);
                    let entry = QueueEntry { said, keep_until, closing_since, ..there.value };
                    self.bucket.swap(name.as_str(), &entry, there.revision).await?
                }
                None if !by_account => return Ok(()),
                None => {
                    let entry = QueueEntry { said, ..self.fresh(&name, spec, now) };
                    self.bucket.create(name.as_str(), &entry).await?
                }
            };
            match written {
                Written::At(_) => return Ok(()),
                // Somebody else was here, or nobody knows: look again.
                Written::Changed | Written::Unknown => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    fn fresh(&self, name: &QueueName, spec: &QueueSpec, now: Millis) -> QueueEntry {
        QueueEntry {
            tenant: spec.tenant.clone(),
            destination: spec.destination.clone(),
            account: spec.account.clone(),
            shard: spec.shard.unwrap_or_else(|| self.nats.topology().shard_for_new(name)),
            gates: vec![GateName::of(&spec.destination, spec.account.as_deref())],
            max_ack_pending: MAX_ACK_PENDING,
            keep_until: now.after(KEEP),
            closing_since: None,
            paused_since: None,
            place: spec.place.clone(),
            priority: spec.priority,
            said: None,
        }
    }
}

impl QueueEntry {
    /// Whether its destination said that its limits are those of each account.
    #[must_use]
    pub fn by_account(&self) -> bool {
        self.said.is_some_and(|said| said.by_account)
    }
}

fn kept(entry: &QueueEntry, now: Millis) -> bool {
    entry.closing_since.is_none() && entry.keep_until >= now.after(LEAST)
}
