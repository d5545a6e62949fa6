//! Keeps count of the jobs that are open for keys which may have only so many.
//!
//! Each such job has an entry in a bucket that all gateways watch, made before the job is stored. An entry goes when its job has
//! ended, or there is none: the gateway that made it hears of the end, and all gateways look at each entry's record in turn, so
//! that whatever was missed, by whomever, is found. The record decides, so the count cannot leak. The order of the entries decides
//! who is over a quota, so it is exact over any number of gateways; at the edge somebody may be refused for another who is
//! refused too, and a job that comes to two gateways in the same moment may be let in by one and not counted by the other.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use sluice_shared::clock::{self, Millis};
use sluice_shared::domain::access::{Open, OpenJob, OpenName, Place};
use sluice_shared::domain::id::{JobId, KeyId};
use sluice_shared::nats::Nats;
use sluice_shared::nats::bucket::{Bucket, Change, Written};
use sluice_shared::nats::records::{Found, Records};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// How long after a look at some entries the next are looked at; sooner where a key has no room.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The same where a key has no room.
const LOOK_SOON: Duration = Duration::from_millis(250);
/// How many jobs are looked at, at a time.
const A_LOOK: usize = 256;
/// How long a removal is told: those who watch hear of it at once, those who come later do not need it.
const TOLD: Duration = Duration::from_secs(10);
/// How long the watch may take to tell of an entry that was just made.
const HEARD_WITHIN: Duration = Duration::from_secs(1);
/// How often the creation of an entry is looked into.
const TRIES: u32 = 5;

/// Why a job may not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotOpened {
    /// The key has as many as it may.
    Full,
    /// The broker does not answer.
    Unavailable,
}

/// The count. Cheap to clone.
#[derive(Clone)]
pub(super) struct OpenJobs {
    bucket: Bucket<OpenJob>,
    records: Records,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    open: Mutex<Open>,
    loaded: AtomicBool,
    full: Notify,
    /// The newest entry that the watch has told of.
    told: watch::Sender<u64>,
}

impl OpenJobs {
    /// Watches the entries, and looks after them, until told to stop.
    pub(super) fn watch(nats: &Nats, stop: CancellationToken) -> Self {
        let bucket = nats.bucket(&nats.topology().open_bucket());
        let this = Self { bucket, records: nats.records(), seen: Arc::default() };
        let (following, hearing, looking) = (this.clone(), this.clone(), this.clone());
        let nats = nats.clone();
        tokio::spawn(stop.run_until_cancelled_owned(async move {
            tokio::join!(following.follow(), hearing.hear(&nats), looking.look_after());
        }));
        this
    }

    /// Counts a job for a key that may have `most` open; whether it did not count before.
    pub(super) async fn open(&self, key: &KeyId, most: u32, job: &JobId) -> Result<bool, NotOpened> {
        if !self.seen.loaded.load(Ordering::Relaxed) {
            return Err(NotOpened::Unavailable);
        }
        let (name, at) = (OpenName { key: key.clone(), job: job.clone() }, clock::now());
        if let Some(revision) = self.written(&name).await? {
            return if self.seen().is_within(key, most, revision) { Ok(false) } else { Err(NotOpened::Full) };
        }
        if !self.seen().begin(&name, most, at) {
            self.seen.full.notify_one();
            return Err(NotOpened::Full);
        }
        match self.write(&name, at).await {
            Some(revision) => self.admit(&name, most, revision).await,
            None => {
                // What may have been stored all the same is left behind, and found as such.
                self.seen().remove(&name);
                Err(NotOpened::Unavailable)
            }
        }
    }

    /// The revision of an entry, where there is one; one that is being written for the same job is waited for.
    async fn written(&self, name: &OpenName) -> Result<Option<u64>, NotOpened> {
        let until = Instant::now() + HEARD_WITHIN;
        while Instant::now() < until {
            match self.seen().get(name).map(|place| place.revision) {
                None => return Ok(None),
                Some(0) => {}
                Some(revision) => return Ok(Some(revision)),
            }
            sleep(Duration::from_millis(2)).await;
        }
        Err(NotOpened::Unavailable)
    }

    /// Makes an entry; its revision, unless the broker does not answer.
    async fn write(&self, name: &OpenName, at: Millis) -> Option<u64> {
        for again in 0..TRIES {
            match self.bucket.create(&name.to_string(), &OpenJob { at }).await {
                Ok(Written::At(revision)) => {
                    self.seen().put(name.clone(), Place { revision, at, ours: true });
                    return Some(revision);
                }
                // An earlier try has made it, or somebody who submits the same job at the same moment.
                Ok(Written::Changed) => {
                    if let Ok(Some(there)) = self.bucket.get(&name.to_string()).await {
                        return Some(there.revision);
                    }
                }
                Ok(Written::Unknown) => sleep(Duration::from_millis(20 << again)).await,
                Err(error) => {
                    tracing::warn!(%error, "an open job cannot be counted at the moment");
                    return None;
                }
            }
        }
        None
    }

    /// Whether an entry that was just made is among the first `most` of its key. The bucket puts the entries of all gateways in
    /// one order, so they all agree who is over, once each has heard of all up to its own. Whoever is takes the entry back.
    async fn admit(&self, name: &OpenName, most: u32, revision: u64) -> Result<bool, NotOpened> {
        let mut told = self.seen.told.subscribe();
        let heard = timeout(HEARD_WITHIN, told.wait_for(|told| *told >= revision)).await.is_ok();
        let within = heard && self.seen().is_within(&name.key, most, revision);
        if within {
            return Ok(true);
        }
        self.close(&name.key, &name.job).await;
        Err(if heard { NotOpened::Full } else { NotOpened::Unavailable })
    }

    /// A job does not count for a key any more. Where the broker does not answer, it is found when it is looked at.
    pub(super) async fn close(&self, key: &KeyId, job: &JobId) {
        let name = OpenName { key: key.clone(), job: job.clone() };
        let Some(place) = self.seen().get(&name) else { return };
        match self.bucket.remove_told_for(&name.to_string(), place.revision, TOLD).await {
            Ok(Written::At(_)) => self.seen().remove(&name),
            // Somebody else has closed it or opened it again, which a watch that was interrupted may not have told.
            Ok(Written::Changed) => self.learn(name, place).await,
            Ok(Written::Unknown) | Err(_) => {}
        }
    }

    /// Corrects what is known of an entry; what is there still is looked at again.
    async fn learn(&self, name: OpenName, known: Place) {
        match self.bucket.get(&name.to_string()).await {
            Ok(Some(there)) => {
                let place = Place { revision: there.revision, at: there.value.at, ..known };
                self.seen().put(name, place);
            }
            Ok(None) => self.seen().remove(&name),
            Err(error) => tracing::debug!(%error, "an open job is looked at again"),
        }
    }

    /// Takes in what the bucket tells.
    async fn follow(&self) {
        let (mut changes, mut fresh, mut newest) = (self.bucket.watch(), None::<Open>, 0);
        while let Some(change) = changes.recv().await {
            let mut open = self.seen();
            match change {
                Change::Anew => fresh = Some(Open::default()),
                Change::Put { key, entry, .. } => {
                    let place = Place { revision: entry.revision, at: entry.value.at, ours: false };
                    if let Ok(name) = key.parse() {
                        fresh.as_mut().unwrap_or(&mut open).put(name, place);
                    }
                    newest = newest.max(entry.revision);
                }
                Change::Removed { key } => {
                    if let Ok(name) = key.parse() {
                        fresh.as_mut().unwrap_or(&mut open).remove(&name);
                    }
                }
                // What somebody newer wrote is looked after by them.
                Change::Unreadable { .. } => {}
                Change::Current => {
                    open.replace(fresh.take().unwrap_or_default());
                    self.seen.loaded.store(true, Ordering::Relaxed);
                }
            }
            drop(open);
            if fresh.is_none() {
                self.seen.told.send_if_modified(|told| std::mem::replace(told, newest) != newest);
            }
        }
    }

    /// Looks at jobs whose end is announced, where this process has counted them.
    async fn hear(&self, nats: &Nats) {
        let topology = nats.topology();
        let ends = loop {
            match nats.client().subscribe(topology.settled_any()).await {
                Ok(ends) => break ends,
                Err(_) => sleep(LOOK_EVERY).await,
            }
        };
        let jobs = ends.filter_map(|message| {
            let job = message.subject.rsplit('.').next().and_then(|job| job.parse::<JobId>().ok());
            let ours = job.filter(|job| self.seen().of(job).any(|(_, place)| place.ours));
            std::future::ready(ours)
        });
        jobs.for_each_concurrent(A_LOOK, async |job| self.look_at(&job).await).await;
    }

    /// Looks at all jobs in turn.
    async fn look_after(&self) {
        let mut after = None::<JobId>;
        loop {
            tokio::select! {
                () = sleep(LOOK_EVERY.mul_f64(rand::random_range(0.5..1.5))) => {}
                () = self.seen.full.notified() => sleep(LOOK_SOON).await,
            }
            let mut jobs: Vec<JobId> = self.seen().jobs().filter(|job| after.as_ref() < Some(*job)).cloned().collect();
            let some = A_LOOK.min(jobs.len());
            if some < jobs.len() {
                jobs.select_nth_unstable(some);
                jobs.truncate(some);
            }
            after = jobs.iter().max().filter(|_| some == A_LOOK).cloned();
            futures_util::stream::iter(jobs).for_each_concurrent(16, async |job| self.look_at(&job).await).await;
        }
    }

    /// Closes a job that has ended, or never was.
    async fn look_at(&self, job: &JobId) {
        let record = self.records.read(job).await;
        let places: Vec<(KeyId, Place)> = self.seen().of(job).map(|(key, place)| (key.clone(), *place)).collect();
        for (key, place) in places {
            let over = match &record {
                // One that ended before it was counted may be about to run again.
                Ok(Found::Record(record, _)) => {
                    record.outcome.is_some() && (record.accepted_at >= place.at || place.is_left_behind(clock::now()))
                }
                Ok(Found::Absent) => place.is_left_behind(clock::now()),
                Ok(Found::Newer(_) | Found::Malformed(_)) | Err(_) => false,
            };
            if over {
                self.close(&key, job).await;
            }
        }
    }

    fn seen(&self) -> MutexGuard<'_, Open> {
        self.seen.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
