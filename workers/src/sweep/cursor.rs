//! Where the sweep is in a long stream, kept in the broker: whoever sweeps next goes on from there.

use serde::{Deserialize, Serialize};
use sluice_shared::nats::Nats;
use sluice_shared::nats::bucket::{Bucket, BucketError, Written};
use sluice_shared::nats::heads::Head;
use sluice_shared::nats::read::ReadError;

/// Messages that are looked at in one round.
pub(super) const MOST: usize = 20_000;
/// Messages after which the place is kept: whoever dies on the way has so many looked at twice.
pub(super) const PAGE: usize = 1_000;

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

    /// The next heads from here: fewer than there may be in a round where they are the last.
    pub(super) async fn heads(&self, nats: &Nats, stream: &str, subject: &str) -> Result<Vec<Head>, ReadError> {
        nats.heads(stream, subject, self.from, MOST).await
    }

    /// All before this sequence were looked at.
    pub(super) async fn keep(&mut self, from: u64) -> Result<(), BucketError> {
        if from == self.from {
            return Ok(());
        }
        // Where somebody else wrote meanwhile, the place is theirs: some heads are looked at twice.
        if let Written::At(revision) = self.bucket.swap(&self.key, &Place { from }, self.revision).await? {
            (self.from, self.revision) = (from, revision);
        }
        Ok(())
    }

    /// The end was reached: the next round begins anew.
    pub(super) async fn begin_anew(&mut self) -> Result<(), BucketError> {
        self.keep(1).await
    }
}
