//! Which regions have workers: an entry for each, kept up by its workers, and a watched copy of them.
//!
//! An entry says until when its region counts as alive, by the broker's clock. Whoever of its workers finds less than two
//! thirds of that time left writes it anew, so that many workers write hardly more than one. Nobody removes an entry: it runs out,
//! and the broker forgets it. After the broker was silent for longer, all regions seem to be without workers until they
//! have written again: what prefers them is taken by others for that moment, what is only for them waits.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::clock::{self, Millis};
use crate::domain::id::Region;
use crate::nats::Nats;
use crate::nats::bucket::{Bucket, BucketError, Written};
use crate::nats::watched::Watched;

/// How long the broker keeps an entry beyond its time.
const FORGET_AFTER: Duration = Duration::from_secs(60);

/// A region that has workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionEntry {
    /// Until when it counts as alive.
    pub until: Millis,
}

/// What is known of regions. Cheap to clone.
#[derive(Clone)]
pub struct Regions {
    bucket: Bucket<RegionEntry>,
    live: watch::Receiver<Option<Arc<BTreeSet<Region>>>>,
}

impl Regions {
    /// Starts watching.
    #[must_use]
    pub fn start(nats: &Nats) -> Self {
        let bucket = nats.bucket::<RegionEntry>(&nats.topology().regions_bucket());
        let (tell, live) = watch::channel(None);
        tokio::spawn(follow(bucket.clone(), tell));
        Self { bucket, live }
    }

    /// Resolves when it is known which regions have workers.
    pub async fn known(&self) {
        // Whoever tells it lives as long as this does.
        let _ = self.live.clone().wait_for(Option::is_some).await;
    }

    /// Those that have workers.
    #[must_use]
    pub fn live(&self) -> Arc<BTreeSet<Region>> {
        self.live.borrow().clone().unwrap_or_default()
    }

    /// Tells when that changes.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Option<Arc<BTreeSet<Region>>>> {
        self.live.clone()
    }

    /// Sees to it that a region counts as alive for two thirds of this time at least.
    ///
    /// # Errors
    /// Where its entry can be neither seen nor written.
    pub async fn keep(&self, region: &Region, alive: Duration) -> Result<(), BucketError> {
        loop {
            let (there, now) = (self.bucket.get(region.as_str()).await?, clock::now());
            if there.as_ref().is_some_and(|there| there.value.until.since(now) > alive * 2 / 3) {
                return Ok(());
            }
            let (entry, revision) = (RegionEntry { until: now.after(alive) }, there.map_or(0, |there| there.revision));
            // One that the broker has just forgotten, or that another worker has just written, is looked at again.
            match self.bucket.swap_for(region.as_str(), &entry, revision, alive + FORGET_AFTER).await? {
                Written::At(_) => return Ok(()),
                Written::Changed | Written::Unknown => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }
}

/// Tells the set whenever it changes: by an entry, or because the time of one is over.
async fn follow(bucket: Bucket<RegionEntry>, tell: watch::Sender<Option<Arc<BTreeSet<Region>>>>) {
    let (mut changes, mut known, mut whole) = (bucket.watch(), Watched::<Region, RegionEntry>::default(), false);
    loop {
        let now = clock::now();
        let next_end = known.values().map(|entry| entry.value.until).filter(|until| *until > now).min();
        let ends = async {
            match next_end {
                Some(until) => tokio::time::sleep(until.since(now) + Duration::from_millis(1)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            change = changes.recv() => match change {
                Some(change) => whole = known.take(change),
                None => return,
            },
            () = ends => {}
            () = tell.closed() => return,
        }
        if whole {
            let live = alive(&known, clock::now());
            tell.send_if_modified(|told| {
                let changed = told.as_deref() != Some(&live);
                if changed {
                    *told = Some(Arc::new(live));
                }
                changed
            });
        }
    }
}

fn alive(known: &Watched<Region, RegionEntry>, now: Millis) -> BTreeSet<Region> {
    known.iter().filter(|(_, entry)| entry.value.until > now).map(|(region, _)| region.clone()).collect()
}
