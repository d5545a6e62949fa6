//! The lease that lets one sweep run at a time. It spares the broker; what a sweep publishes is safe without it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sluice_shared::nats::Nats;
use sluice_shared::nats::bucket::{Bucket, BucketError, Written};

const KEY: &str = "lease";
/// How long a holder that died keeps others out.
const TTL: Duration = Duration::from_secs(30);

#[derive(Clone, Serialize, Deserialize)]
struct Holder {
    holder: u64,
}

/// One sweep's claim to be the one that runs.
pub(super) struct Lease {
    bucket: Bucket<Holder>,
    me: u64,
}

impl Lease {
    pub(super) fn new(nats: &Nats) -> Self {
        Self { bucket: nats.bucket(&nats.topology().sweep_bucket()), me: rand::random() }
    }

    /// Takes the lease where it is free, renews it where it is ours; says whether it is ours now.
    pub(super) async fn hold(&self) -> Result<bool, BucketError> {
        self.write(TTL).await
    }

    /// Lets others take it within a second or two.
    pub(super) async fn release(&self) {
        if let Err(error) = self.write(Duration::from_secs(1)).await {
            tracing::debug!(%error, "the sweep's lease runs out by itself");
        }
    }

    async fn write(&self, ttl: Duration) -> Result<bool, BucketError> {
        let revision = match self.bucket.get(KEY).await? {
            Some(there) if there.value.holder != self.me => return Ok(false),
            Some(there) => there.revision,
            None => 0,
        };
        let written = self.bucket.swap_for(KEY, &Holder { holder: self.me }, revision, ttl).await?;
        Ok(matches!(written, Written::At(_)))
    }
}
