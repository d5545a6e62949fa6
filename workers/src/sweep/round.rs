//! One round: queues, then records. Looks slowly, publishes only by the guarded way, stops at any request.

use std::collections::HashSet;
use std::time::Duration;

use sluice_shared::clock::{self, Millis};
use sluice_shared::domain::demand::{Demand, When};
use sluice_shared::domain::id::{JobId, QueueName, Token};
use sluice_shared::domain::record::Record;
use sluice_shared::effects::{Effects, NotDone};
use sluice_shared::nats::bucket::{BucketError, Written};
use sluice_shared::nats::guarded::{Moved, NotMoved, Pointer};
use sluice_shared::nats::read::{Held, ReadError};
use sluice_shared::nats::records::{Found, STATE};
use sluice_shared::queues::{QueueEntry, QueueSpec};
use sluice_shared::telemetry::{Healed, Metrics};
use sluice_shared::topology::{JobSubject, Stage, Topology};
use sluice_shared::wire;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::SweepOptions;
use super::lease::Lease;
use super::needs::{missing, watched};

/// Why a round stopped. The next one looks at everything again.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stopped {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Bucket(#[from] BucketError),
    #[error(transparent)]
    NotMoved(#[from] NotMoved),
    #[error(transparent)]
    NotDone(#[from] NotDone),
    #[error("the broker refused: {0}")]
    Refused(String),
    #[error("another sweep holds the lease")]
    NotOurs,
}

pub(super) struct Round<'a> {
    pub(super) effects: &'a Effects,
    pub(super) options: &'a SweepOptions,
    pub(super) metrics: &'a Metrics,
    pub(super) lease: &'a Lease,
    pub(super) renewed: tokio::time::Instant,
}

impl Round<'_> {
    pub(super) async fn run(&mut self) -> Result<(), Stopped> {
        for (name, entry) in self.effects.queues().all() {
            let looked = self.timers(&name, &entry.value).await;
            go_on(looked)?;
            let looked = self.life(&name, &entry.value).await;
            go_on(looked)?;
        }
        let topology = self.effects.nats().topology();
        for number in 0..topology.settings().record_buckets {
            self.records(&topology.records_bucket(number)).await?;
        }
        Ok(())
    }

    /// Spreads requests over time, and keeps the lease alive.
    async fn pace(&mut self) -> Result<(), Stopped> {
        tokio::time::sleep(self.options.pause).await;
        if self.renewed.elapsed() > Duration::from_secs(10) {
            if !self.lease.hold().await? {
                return Err(Stopped::NotOurs);
            }
            self.renewed = tokio::time::Instant::now();
        }
        Ok(())
    }

    async fn timers(&mut self, name: &QueueName, entry: &QueueEntry) -> Result<(), Stopped> {
        let nats = self.effects.nats();
        let (stream, filter) =
            (nats.topology().jobs_stream(entry.shard), nats.topology().later_filter(entry.shard, name));
        let (mut from, mut overdue) = (1, Vec::new());
        while let Some(held) = nats.next_from(&stream, &filter, from).await? {
            from = held.sequence + 1;
            if self.is_overdue(&held) {
                overdue.push(held);
            }
            self.pace().await?;
        }
        let is_chain = |held: &Held| {
            JobSubject::parse(nats.prefix(), &held.subject).is_ok_and(|(_, at)| matches!(at.token, Token::Branch(_)))
        };
        overdue.sort_by_key(is_chain);
        for held in overdue {
            self.publish_again(&held).await?;
        }
        Ok(())
    }

    fn is_overdue(&self, held: &Held) -> bool {
        let at = header(&held.headers, "Nats-Schedule").and_then(|text| text.strip_prefix("@at ")).and_then(moment);
        at.is_some_and(|at| clock::now().since(at) > self.options.overdue_after)
    }

    /// A copy that expects the sequence of what it replaces: whoever moved the chain meanwhile is further on.
    async fn publish_again(&self, held: &Held) -> Result<(), Stopped> {
        let nats = self.effects.nats();
        let Ok((Stage::Later, address)) = JobSubject::parse(nats.prefix(), &held.subject) else { return Ok(()) };
        let Ok(pointer) = wire::decode::<Pointer>(&held.payload) else { return Ok(()) };
        let soon = When::Later(clock::now().after(Duration::from_secs(1)));
        if nats.move_chain(&address, soon, pointer.attempt, held.sequence).await? == Moved::Stored {
            self.metrics.healed(Healed::Timer);
        }
        Ok(())
    }

    /// Expired and empty: marked, and removed after a wait. Expired with work: kept.
    async fn life(&mut self, name: &QueueName, seen: &QueueEntry) -> Result<(), Stopped> {
        let now = clock::now();
        if seen.keep_until > now {
            return Ok(());
        }
        let bucket = self.effects.queues().bucket();
        let Some(there) = bucket.get(name.as_str()).await?.filter(|there| there.value.keep_until <= now) else {
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
                let stream =
                    nats.jetstream().get_stream_no_info(&stream).await.map_err(|e| Stopped::Refused(e.to_string()))?;
                // It may be gone already; a consumer that stays removes itself when nobody pulls it.
                if let Err(error) = stream.delete_consumer(name.as_str()).await {
                    tracing::debug!(%error, queue = %name, "the consumer of an idle queue was not removed");
                }
                if let Written::At(_) = bucket.remove(name.as_str(), there.revision).await? {
                    tracing::info!(queue = %name, "an idle queue was removed");
                }
            }
            Some(_) => {}
        }
        self.pace().await
    }

    async fn records(&mut self, bucket: &str) -> Result<(), Stopped> {
        let nats = self.effects.nats();
        let (stream, filter) = (Topology::stream_of(bucket), Topology::key(bucket, ">"));
        let mut from = 1;
        while let Some(held) = nats.next_from(&stream, &filter, from).await? {
            from = held.sequence + 1;
            let old = moment(&held.time).is_some_and(|at| clock::now().since(at) > self.options.pending_after);
            if !old {
                return Ok(()); // sequences grow with time: all that follows is younger
            }
            if header(&held.headers, STATE) == Some("pending")
                && let Some(job) = held.subject.strip_prefix(&Topology::key(bucket, ""))
                && let Ok(job) = job.parse::<JobId>()
                && let Ok(record) = wire::decode::<Record>(&held.payload)
            {
                let healed = self.heal(&job, &record).await;
                go_on(healed)?;
            }
            self.pace().await?;
        }
        Ok(())
    }

    /// Looks at the chains first, then at the record as it is now: only what was empty before is filled from it.
    async fn heal(&mut self, job: &JobId, seen: &Record) -> Result<(), Stopped> {
        let nats = self.effects.nats();
        let mut without = HashSet::new();
        for token in watched(seen, clock::now()) {
            let Some(address) = Effects::address(job, seen, token) else { continue };
            let stream = nats.topology().jobs_stream(address.shard);
            match nats.newest(&stream, &address.any_stage(nats.prefix())).await? {
                None => {
                    without.insert(token);
                }
                Some(held) if self.is_overdue(&held) => self.publish_again(&held).await?,
                Some(held) => self.keep_queue_of_work(seen, token, &held).await?,
            }
            self.pace().await?;
        }
        if without.is_empty() {
            return Ok(());
        }
        let Found::Record(record, _) = self.effects.records().read(job).await? else { return Ok(()) };
        if record.incarnation != seen.incarnation {
            return Ok(());
        }
        let demands = missing(&record, &without, clock::now());
        self.effects.perform(job, &record, &demands, 0).await?;
        for demand in demands {
            if let Demand::Message { token, .. } = demand {
                tracing::info!(%job, %token, "a message that was missing is there again");
                self.metrics.healed(if matches!(token, Token::Branch(_)) { Healed::Chain } else { Healed::Signal });
            }
        }
        Ok(())
    }

    /// Work that slipped in while its queue was being removed gets the entry back.
    async fn keep_queue_of_work(&self, record: &Record, token: Token, held: &Held) -> Result<(), Stopped> {
        let work = matches!(JobSubject::parse(self.effects.nats().prefix(), &held.subject), Ok((Stage::Work, _)));
        let (true, Token::Branch(number)) = (work, token) else { return Ok(()) };
        let Some(branch) = record.branch(number) else { return Ok(()) };
        if self.effects.queues().get(&branch.queue).is_none()
            && let Some(spec) = QueueSpec::of_branch(record, branch)
        {
            self.effects.queues().keep(&spec, clock::now()).await?;
            self.metrics.healed(Healed::Queue);
        }
        Ok(())
    }
}

/// What one queue or record refuses must not keep the others from being looked at.
fn go_on(done: Result<(), Stopped>) -> Result<(), Stopped> {
    match done {
        Err(Stopped::NotOurs) => Err(Stopped::NotOurs),
        Err(error) => {
            tracing::warn!(%error, "the sweep passes something over until its next round");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

fn spec_of(entry: &QueueEntry) -> QueueSpec {
    QueueSpec {
        tenant: entry.tenant.clone(),
        destination: entry.destination.clone(),
        account: entry.account.clone(),
        shard: Some(entry.shard),
    }
}

fn header<'a>(headers: &'a str, name: &str) -> Option<&'a str> {
    headers.lines().filter_map(|line| line.split_once(':')).find(|(key, _)| *key == name).map(|(_, value)| value.trim())
}

fn moment(text: &str) -> Option<Millis> {
    let nanos = OffsetDateTime::parse(text, &Rfc3339).ok()?.unix_timestamp_nanos();
    u64::try_from(nanos / 1_000_000).ok().map(Millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_found_by_its_whole_name() {
        let headers = "NATS/1.0\r\nNats-Schedule-Target: x.y\r\nNats-Schedule: @at 1970-01-01T00:00:01Z\r\n\r\n";
        let found = header(headers, "Nats-Schedule").and_then(|text| text.strip_prefix("@at ")).and_then(moment);
        assert_eq!(found, Some(Millis(1_000)));
        assert_eq!(header(headers, "Nats"), None);
    }
}
