//! Whether what the names name is there.

use async_nats::jetstream::context::StreamsError;
use futures_util::TryStreamExt;

use super::Topology;
use crate::nats::Nats;

impl Topology {
    /// The streams, those behind buckets included, that jobs need and the broker does not have. The stream of events is
    /// none of them: it may be lost.
    ///
    /// # Errors
    /// Where the broker does not answer or will not list its streams.
    pub async fn missing(&self, nats: &Nats) -> Result<Vec<String>, StreamsError> {
        let there: Vec<String> = nats.jetstream().stream_names().try_collect().await?;
        let mut needed = self.needed();
        needed.retain(|name| !there.contains(name));
        Ok(needed)
    }

    fn needed(&self) -> Vec<String> {
        let records = (0..self.settings().record_buckets).map(|number| self.records_bucket(number));
        let buckets =
            records.chain([self.queues_bucket()]).chain(self.other_buckets()).map(|bucket| Self::stream_of(&bucket));
        let jobs = (0..self.settings().shards).map(|shard| self.jobs_stream(shard));
        let streams = [self.results_stream(), self.deliveries_stream(), self.dead_stream(), self.submit_stream()];
        buckets.chain(jobs).chain(streams).collect()
    }
}
