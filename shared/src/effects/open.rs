//! Follow-ups among the open jobs of their tenant, where it may have only so many: they count, and are never refused.

use super::Effects;
use crate::clock;
use crate::domain::access::{OpenJob, OpenName};
use crate::domain::id::{JobId, KeyId, Tenant};
use crate::nats::bucket::Bucket;

impl Effects {
    /// Notes a job that is about to be stored. Gateways look after it from then on, whether it is stored or not; one that cannot
    /// be noted does not count.
    pub(super) async fn count_as_open(&self, tenant: &Tenant, job: &JobId) {
        if self.quotas.of(tenant).open_jobs.is_none() {
            return;
        }
        let name = OpenName { key: KeyId::of_tenant(tenant), job: job.clone() };
        let bucket: Bucket<OpenJob> = self.nats.bucket(&self.nats.topology().open_bucket());
        if let Err(error) = bucket.create(&name.to_string(), &OpenJob { at: clock::now() }).await {
            tracing::warn!(%error, %job, "a follow-up does not count among the open jobs of its tenant");
        }
    }
}
