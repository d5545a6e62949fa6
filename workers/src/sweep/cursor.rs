//! Where the sweep is in a long stream, kept in the broker: whoever sweeps next goes on from there.

use serde::{Deserialize, Serialize};
use sluice_shared::nats::Nats;
use sluice_shared::nats::bucket::{Bucket, BucketError};
use sluice_shared::nats::heads::Head;

use super::round::Stopped;

/// Messages that are looked at in one round.
const MOST: usize = 20_000;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Place {
    from: u64,
}

/// A place in one stream.
pub(super) struct Cursor {
    bucket: Bucket<Place>,
    key: String,
    revision: u64,
    from: u64,
}

impl Cursor {
    /// Where the last round ended.
    pub(super) async fn read(nats: &Nats, stream: &str) -> Result<Self, BucketError> {
        let bucket: Bucket<Place> = nats.bucket(&nats.topology().sweep_bucket());
        let key = format!("cursor-{stream}");
        let there = bucket.get(&key).await?;
        let (from, revision) = there.map_or((1, 0), |entry| (entry.value.from, entry.revision));
        Ok(Self { bucket, key, revision, from })
    }

    /// The next heads from here, and the place behind them: the beginning where there are no more.
    pub(super) async fn advance(&mut self, nats: &Nats, stream: &str, subject: &str) -> Result<Vec<Head>, Stopped> {
        let heads = nats.heads(stream, subject, self.from, MOST).await?;
        let behind = heads.last().filter(|_| heads.len() == MOST).map_or(1, |last| last.sequence + 1);
        if behind != self.from {
            // Where somebody else wrote meanwhile, the place is theirs: some heads are looked at twice.
            self.bucket.swap(&self.key, &Place { from: behind }, self.revision).await?;
        }
        Ok(heads)
    }
}
