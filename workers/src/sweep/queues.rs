//! The pass over queues: timers that did not fire, and queues that ended.

use std::time::Duration;

use sluice_shared::clock::{self, Millis};
use sluice_shared::domain::demand::When;
use sluice_shared::domain::id::{QueueName, Token};
use sluice_shared::nats::batch::Shown;
use sluice_shared::nats::bucket::Written;
use sluice_shared::nats::guarded::{Moved, Pointer};
use sluice_shared::nats::publish::SCHEDULE;
use sluice_shared::queues::{QueueEntry, QueueSpec};
use sluice_shared::telemetry::Healed;
use sluice_shared::topology::{JobSubject, Stage};
use sluice_shared::wire;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::round::{Round, Stopped};

/// Timers that are looked at in one request.
const PAGE: usize = 1_000;

impl Round<'_> {
    /// Publishes timers again that a full disk swallowed; signals before chains.
    pub(super) async fn timers(&mut self, name: &QueueName, entry: &QueueEntry) -> Result<(), Stopped> {
        let topology = self.effects.nats().topology();
        let (stream, filter) = (topology.jobs_stream(entry.shard), topology.later_filter(entry.shard, name));
        let mut overdue = self.overdue(&stream, &filter).await?;
        overdue.sort_by_key(|timer| is_chain(self.effects.nats().prefix(), &timer.subject));
        for timer in overdue {
            self.publish_again(&timer.subject, &timer.payload, timer.sequence).await?;
            self.pace().await?;
        }
        Ok(())
    }

    /// The timers that should have fired long ago. Reads pages, for no second consumer may look into a work queue.
    pub(super) async fn overdue(&mut self, stream: &str, filter: &str) -> Result<Vec<Shown>, Stopped> {
        let (mut from, mut overdue) = (1, Vec::new());
        loop {
            let page = self.effects.nats().shown(stream, filter, from, PAGE).await?;
            let Some(last) = page.last() else { return Ok(overdue) };
            from = last.sequence + 1;
            overdue.extend(page.into_iter().filter(|timer| self.is_overdue(timer.header(SCHEDULE))));
            self.pace().await?;
        }
    }

    /// Whether this schedule should have fired long ago.
    pub(super) fn is_overdue(&self, schedule: Option<&str>) -> bool {
        let at = schedule.and_then(|text| text.strip_prefix("@at ")).and_then(moment);
        at.is_some_and(|at| clock::now().since(at) > self.options.overdue_after)
    }

    /// A copy that expects the sequence of what it replaces: whoever moved the chain meanwhile is further on.
    pub(super) async fn publish_again(&self, subject: &str, payload: &[u8], sequence: u64) -> Result<(), Stopped> {
        let nats = self.effects.nats();
        let Ok((Stage::Later, address)) = JobSubject::parse(nats.prefix(), subject) else { return Ok(()) };
        let Ok(pointer) = wire::decode::<Pointer>(payload) else { return Ok(()) };
        let soon = When::Later(clock::now().after(Duration::from_secs(1)));
        if nats.move_chain(&address, soon, pointer.attempt, sequence).await? == Moved::Stored {
            self.metrics.healed(Healed::Timer);
        }
        Ok(())
    }

    /// Expired and empty: marked, and removed after a wait. Expired with work: kept. Paused: left alone, for what comes later
    /// must find it paused.
    pub(super) async fn life(&mut self, name: &QueueName, seen: &QueueEntry) -> Result<(), Stopped> {
        let now = clock::now();
        let is_over = |entry: &QueueEntry| entry.keep_until <= now && entry.paused_since.is_none();
        if !is_over(seen) {
            return Ok(());
        }
        let bucket = self.effects.queues().bucket();
        let Some(there) = bucket.get(name.as_str()).await?.filter(|there| is_over(&there.value)) else {
            return Ok(());
        };
        let nats = self.effects.nats();
        let stream = nats.topology().jobs_stream(there.value.shard);
        let filter = nats.topology().queue_filter(there.value.shard, name);
        if nats.next_from(&stream, &filter, 1).await?.is_some() {
            self.effects.queues().keep(&spec_of(&there.value), now).await?;
            return self.pace().await;
        }
        match there.value.closing_since {
            None => {
                let closing = QueueEntry { closing_since: Some(now), ..there.value };
                bucket.swap(name.as_str(), &closing, there.revision).await?;
            }
            Some(since) if now.since(since) >= self.options.closing_wait => {
                self.remove(name, &stream, there.revision).await?;
            }
            Some(_) => {}
        }
        self.pace().await
    }

    async fn remove(&self, name: &QueueName, stream: &str, revision: u64) -> Result<(), Stopped> {
        let nats = self.effects.nats();
        let stream = nats.jetstream().get_stream_no_info(stream).await.map_err(|e| Stopped::Refused(e.to_string()))?;
        // It may be gone already; a consumer that stays removes itself when nobody pulls it.
        if let Err(error) = stream.delete_consumer(name.as_str()).await {
            tracing::debug!(%error, queue = %name, "the consumer of an idle queue was not removed");
        }
        if let Written::At(_) = self.effects.queues().bucket().remove(name.as_str(), revision).await? {
            tracing::info!(queue = %name, "an idle queue was removed");
        }
        Ok(())
    }
}

fn is_chain(prefix: &str, subject: &str) -> bool {
    JobSubject::parse(prefix, subject).is_ok_and(|(_, at)| matches!(at.token, Token::Branch(_)))
}

fn spec_of(entry: &QueueEntry) -> QueueSpec {
    QueueSpec {
        tenant: entry.tenant.clone(),
        destination: entry.destination.clone(),
        account: entry.account.clone(),
        place: entry.place.clone(),
        priority: entry.priority,
        shard: Some(entry.shard),
    }
}

fn moment(text: &str) -> Option<Millis> {
    let nanos = OffsetDateTime::parse(text, &Rfc3339).ok()?.unix_timestamp_nanos();
    u64::try_from(nanos / 1_000_000).ok().map(Millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_is_read_as_the_moment_it_names() {
        assert_eq!(moment("1970-01-01T00:00:01Z"), Some(Millis(1_000)));
        assert_eq!(moment("soon"), None);
    }
}
