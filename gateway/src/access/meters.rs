//! Counts what is submitted with keys that have quotas, over all gateways: a swap on the key's entry for all jobs that wait to
//! be counted at that moment.
//!
//! So quotas are exact over any number of gateways. A process that dies between the swap and the job has counted one that
//! there is not; a swap that was not answered counts too, be it stored or not. Neither ever lets more through.

use std::collections::HashMap;
use std::sync::{Arc, Mutex as Held, PoisonError};
use std::time::Duration;

use sluice_shared::clock;
use sluice_shared::domain::access::{self, Exceeded, Meter, Quotas, Standing};
use sluice_shared::domain::gate::Nanos;
use sluice_shared::domain::id::KeyId;
use sluice_shared::nats::Nats;
use sluice_shared::nats::bucket::{Bucket, BucketError, Written};
use tokio::sync::{Mutex, oneshot};
use tokio::time::{Instant, sleep};

/// How long an entry is kept after its last change: longer than the day that it counts.
const KEPT: Duration = Duration::from_secs(48 * 3600);
/// What was read this short a time ago is good enough to refuse by.
const FRESH: Duration = Duration::from_millis(100);
/// How long the broker may take to count.
const WITHIN: Duration = Duration::from_secs(5);

/// How many jobs of a key that is over its quota are looked for a second, in case they are there already: a flood of them must
/// not keep the broker from others.
const LOOKS: Quotas = Quotas { jobs_per_second: Some(100), jobs_per_day: None, open_jobs: None, body_bytes: None };

/// A job that was counted or not.
pub(super) type Counted = Result<Standing, Uncounted>;

/// Why a job was not counted.
#[derive(Clone, Debug)]
pub(super) enum Uncounted {
    /// There is no room.
    Exceeded(Exceeded, Standing),
    /// The broker does not answer.
    Unavailable,
}

/// What waits for the next swap.
enum Waiting {
    Job(oneshot::Sender<Counted>),
    GivenBack,
}

/// The counters of all keys. Cheap to clone.
#[derive(Clone)]
pub(super) struct Meters {
    bucket: Bucket<Meter>,
    counters: Arc<Held<HashMap<KeyId, Arc<Counter>>>>,
}

/// That of one key.
#[derive(Default)]
struct Counter {
    waiting: Held<Vec<Waiting>>,
    seen: Mutex<Seen>,
    looks: Held<Meter>,
}

/// The entry as it was last seen.
#[derive(Clone, Copy, Default)]
struct Seen {
    meter: Meter,
    revision: u64,
    at: Option<Instant>,
}

impl Meters {
    pub(super) fn new(nats: &Nats) -> Self {
        Self { bucket: nats.bucket(&nats.topology().meters_bucket()), counters: Arc::default() }
    }

    /// Counts one job against the quotas of a key.
    pub(super) async fn take(&self, key: &KeyId, quotas: &Quotas) -> Counted {
        let (tell, told) = oneshot::channel();
        self.count(key, quotas, Waiting::Job(tell)).await;
        told.await.unwrap_or(Err(Uncounted::Unavailable))
    }

    /// A job that was counted did not come about. Where the broker does not answer it stays counted.
    pub(super) async fn give_back(&self, key: &KeyId, quotas: &Quotas) {
        self.count(key, quotas, Waiting::GivenBack).await;
    }

    /// Whether it may be looked whether a job is there that there is no room for; this gateway's own count.
    pub(super) fn may_look(&self, key: &KeyId) -> bool {
        let counter = self.counter(key);
        let mut looks = lock(&counter.looks);
        let taken = access::take(*looks, &LOOKS, 1, clock::nanos());
        *looks = taken.meter;
        taken.granted == 1
    }

    fn counter(&self, key: &KeyId) -> Arc<Counter> {
        Arc::clone(lock(&self.counters).entry(key.clone()).or_default())
    }

    /// Whoever gets hold of the entry counts for all that wait.
    async fn count(&self, key: &KeyId, quotas: &Quotas, what: Waiting) {
        let counter = self.counter(key);
        lock(&counter.waiting).push(what);
        let mut seen = counter.seen.lock().await;
        let waiting = std::mem::take(&mut *lock(&counter.waiting));
        if waiting.is_empty() {
            return;
        }
        let (mut jobs, mut back) = (Vec::new(), 0);
        for one in waiting {
            match one {
                Waiting::Job(tell) => jobs.push(tell),
                Waiting::GivenBack => back += 1,
            }
        }
        let want = u32::try_from(jobs.len()).unwrap_or(u32::MAX);
        let mut counted = self.swap(key, quotas, &mut seen, want, back).await.into_iter();
        for tell in jobs {
            // Whoever has left is counted all the same.
            let _ = tell.send(counted.next().unwrap_or(Err(Uncounted::Unavailable)));
        }
    }

    /// What becomes of each of `want` jobs; `back` are taken off before.
    async fn swap(&self, key: &KeyId, quotas: &Quotas, seen: &mut Seen, want: u32, back: u32) -> Vec<Counted> {
        let until = Instant::now() + WITHIN;
        while Instant::now() < until {
            let now = clock::nanos();
            let before = if back > 0 { access::give_back(seen.meter, quotas, back, now) } else { seen.meter };
            let taken = access::take(before, quotas, want, now);
            let changes = back > 0 || taken.granted > 0;
            let fresh = seen.at.is_some_and(|at| at.elapsed() < FRESH);
            if !changes && fresh {
                return verdicts(&taken, want, quotas, now);
            }
            if changes && seen.at.is_some() {
                match self.bucket.swap_for(key.as_str(), &taken.meter, seen.revision, KEPT).await {
                    Ok(Written::At(revision)) => {
                        *seen = Seen { meter: taken.meter, revision, at: Some(Instant::now()) };
                        return verdicts(&taken, want, quotas, now);
                    }
                    Ok(Written::Changed) => {}
                    Ok(Written::Unknown) => sleep(Duration::from_millis(rand::random_range(5..50))).await,
                    Err(error) => return unavailable(&error),
                }
            }
            match self.bucket.get(key.as_str()).await {
                Ok(there) => {
                    let (meter, revision) = there.map(|there| (there.value, there.revision)).unwrap_or_default();
                    *seen = Seen { meter, revision, at: Some(Instant::now()) };
                }
                Err(error) => return unavailable(&error),
            }
        }
        Vec::new()
    }
}

fn verdicts(taken: &access::Taken, want: u32, quotas: &Quotas, now: Nanos) -> Vec<Counted> {
    let standing = Standing::of(&taken.meter, quotas, now);
    let each = (0..want).map(|number| match taken.exceeded {
        Some(exceeded) if number >= taken.granted => Err(Uncounted::Exceeded(exceeded, standing.clone())),
        Some(_) | None => Ok(standing.clone()),
    });
    each.collect()
}

fn unavailable(error: &BucketError) -> Vec<Counted> {
    tracing::warn!(%error, "what is submitted with a key cannot be counted at the moment");
    Vec::new()
}

fn lock<T>(held: &Held<T>) -> std::sync::MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}
