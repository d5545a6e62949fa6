//! What is remembered of a job's webhooks: read where there may be something, written by compare-and-swap.
//!
//! Most outcomes are delivered at the first try and leave nothing here. Invariant: what a try made of a webhook is
//! written before its message is let go of, whoever else writes about the job's other webhooks meanwhile.

use std::time::Duration;

use sluice_shared::clock::{self, Millis};
use sluice_shared::domain::delivery::{Deliveries, Schedule};
use sluice_shared::domain::result::JobResult;
use sluice_shared::nats::Nats;
use sluice_shared::nats::bucket::{Bucket, BucketError, Written};

use super::hand::Made;

/// How often a write that was lost or not answered is tried again.
const TRIES: u32 = 12;
/// A result this young, in the hands of its first holder, has not been handled before.
const FRESH: Duration = Duration::from_secs(5);

/// The state of a job's webhooks, and the revision that a swap compares (0: there is no entry).
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) state: Deliveries,
    revision: u64,
}

/// Nobody knows whether it is remembered: the message comes again, and with it what must be remembered.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotRemembered {
    #[error(transparent)]
    Bucket(#[from] BucketError),
    #[error("the state of the webhooks is written by others all the time, or nobody answers")]
    Contended,
}

/// The bucket of deliveries, and how its entries change.
pub(super) struct Memory {
    bucket: Bucket<Deliveries>,
    schedule: Schedule,
    settled_ttl: Duration,
}

/// Whether a result may have been handled before, so that what is remembered must be read.
///
/// Reading costs about as much as the ack, so it is left out where it cannot find anything: the first time that a message
/// is handed out, soon after it was published, and that soon after the settlement. A result that is published again (its
/// worker died before the ack) comes later than that, as does one whose consumer was lost. Clocks that differ, or a
/// death and a return within these seconds, cost what a lost ack may cost at any time: a second post under the same id.
/// The state is safe even then: a swap that expects no entry where there is one is refused, and what is there is read.
pub(super) fn may_be_known(delivered: u64, published: Millis, settled: Millis, now: Millis) -> bool {
    delivered > 1 || published.since(settled) > FRESH || now.since(published) > FRESH
}

impl Known {
    /// Nothing is remembered.
    pub(super) fn nothing(result: &JobResult) -> Self {
        Self { state: Deliveries::untried(result), revision: 0 }
    }

    /// The state after these tries, and whether it must be written: an entry that is there must stay true, and one that
    /// is not there is made only where it is worth it.
    fn after(&self, made: &[Made], result: &JobResult, schedule: &Schedule) -> (Deliveries, bool) {
        let next = self.state.after(made.iter().map(|made| (made.webhook, &made.one)), result, schedule);
        let write = if self.revision == 0 { next.worth_remembering() } else { next != self.state };
        (next, write)
    }
}

impl Memory {
    pub(super) fn new(nats: &Nats, schedule: Schedule, settled_ttl: Duration) -> Self {
        Self { bucket: nats.bucket(&nats.topology().deliveries_bucket()), schedule, settled_ttl }
    }

    /// What is remembered, read from the leader.
    pub(super) async fn read(&self, result: &JobResult) -> Result<Known, NotRemembered> {
        let entry = self.bucket.get(&Deliveries::key(&result.job, &result.incarnation)).await?;
        Ok(match entry {
            Some(entry) => Known { state: entry.value, revision: entry.revision },
            None => Known::nothing(result),
        })
    }

    /// Remembers what the tries made of the webhooks, and says what their state is now.
    pub(super) async fn remember(
        &self,
        result: &JobResult,
        mut known: Known,
        made: &[Made],
    ) -> Result<Deliveries, NotRemembered> {
        let key = Deliveries::key(&result.job, &result.incarnation);
        for again in 0..TRIES {
            let (next, write) = known.after(made, result, &self.schedule);
            if !write {
                return Ok(next);
            }
            let ttl = next.kept_for(clock::now(), self.settled_ttl);
            match self.bucket.swap_for(&key, &next, known.revision, ttl).await? {
                Written::At(_) => return Ok(next),
                Written::Changed | Written::Unknown => pause(again).await,
            }
            // Lost or unanswered: the same tries again on what is there now. Applied twice they are the same as once.
            known = self.read(result).await?;
        }
        Err(NotRemembered::Contended)
    }
}

/// Several of a job's webhooks may be due at once.
async fn pause(again: u32) {
    tokio::time::sleep(Duration::from_millis(rand::random_range(1..=4 << again.min(7)))).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_fresh_result_in_the_hands_of_its_first_holder_is_not_looked_up() {
        let at = |seconds: u64| Millis(1_000_000 + seconds * 1_000);
        assert!(!may_be_known(1, at(0), at(0), at(0)));
        assert!(!may_be_known(1, at(5), at(0), at(10)));
        assert!(may_be_known(2, at(0), at(0), at(0)), "handed out again");
        assert!(may_be_known(1, at(6), at(0), at(6)), "published again by a later handler");
        assert!(may_be_known(1, at(0), at(0), at(6)), "its consumer may have been lost meanwhile");
    }
}
