//! Emptying a queue: the jobs whose own branch waits there are cancelled, the way any job is, so each ends with an outcome and
//! its webhooks.
//!
//! Walks the queue's messages in their order, so many in one request; where it stopped is the cursor of the next. Left alone
//! is what goes on elsewhere: a call that is on the wire, a race in which another branch contends, a fallback of a job whose
//! own branch is not here. What a fallback's timeout starts between the look and the cancel is cancelled with its job.
//! Invariant: a message is removed only where its row of the decision table would ack it without doing anything.

use std::time::Duration;

use futures_util::future::join_all;
use schemars::JsonSchema;
use serde::Serialize;
use sluice_shared::domain::event::{About, What};
use sluice_shared::domain::id::{BranchId, QueueName, Tenant, Token};
use sluice_shared::domain::outcome::Status;
use sluice_shared::domain::record::{Branch, BranchState, Record};
use sluice_shared::effects::{CancelError, Cancelled};
use sluice_shared::nats::batch::Shown;
use sluice_shared::nats::records::Found;
use sluice_shared::topology::{JobSubject, Stage};
use tokio::time::Instant;

use super::Queues;
use super::error::QueueError;

/// Messages that one request looks at, at most.
pub const MOST_PURGED: usize = 1000;
/// Of these, at a time.
const AT_ONCE: usize = 32;
/// After how long a request answers with what it has done.
const WITHIN: Duration = Duration::from_secs(10);

/// What a purge has done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Purged {
    /// Jobs that were cancelled.
    pub cancelled: u64,
    /// Branches that were left alone.
    pub kept: u64,
    /// Whether there is more in the queue behind what was looked at.
    pub more: bool,
    /// Where to go on, if there is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Its job is to be cancelled, or was.
    Cancelled,
    /// It is left alone.
    Kept,
    /// Its job needs it no more: it would be acked when it comes up.
    Needless,
    /// Whoever gets it sees to it.
    NotOurs,
}

/// Where a purge is.
struct Walk<'a> {
    queue: &'a QueueName,
    tenant: &'a Tenant,
    stream: String,
}

impl Queues {
    /// Cancels the jobs whose own branch waits in a queue, looking at `limit` messages behind `after` at most. Repeating it is
    /// harmless.
    ///
    /// # Errors
    /// Where there is no such queue, or the broker did not answer before anything was done.
    pub async fn purge(&self, queue: &QueueName, after: u64, limit: usize) -> Result<Purged, QueueError> {
        let entry = self.entry(queue).await?;
        let topology = self.nats().topology();
        let (stream, filter) = (topology.jobs_stream(entry.shard), topology.queue_filter(entry.shard, queue));
        let walk = Walk { queue, tenant: &entry.tenant, stream };
        let (mut purged, mut looked, mut after) = (Purged::default(), 0, after);
        let (limit, until) = (limit.clamp(1, MOST_PURGED), Instant::now() + WITHIN);
        loop {
            let most = AT_ONCE.min(limit - looked);
            // One is looked for beyond the limit, to know whether there is more.
            let page = match self.nats().shown(&walk.stream, &filter, after.saturating_add(1), most.max(1)).await {
                Ok(page) => page,
                Err(error) if looked == 0 => return Err(error.into()),
                Err(_) => return Ok(purged.up_to(after)),
            };
            let Some(last) = page.last() else { return Ok(purged) };
            if most == 0 || Instant::now() >= until {
                return Ok(purged.up_to(after));
            }
            let done = join_all(page.iter().map(|message| self.purge_one(&walk, message))).await;
            let failed = purged.count(done);
            match failed {
                None => (after, looked) = (last.sequence, looked + page.len()),
                Some(error) if looked == 0 && purged.cancelled == 0 => return Err(error),
                // Those that were done are passed over when it is repeated.
                Some(_) => return Ok(purged.up_to(after)),
            }
        }
    }

    async fn purge_one(&self, walk: &Walk<'_>, message: &Shown) -> Result<Fate, QueueError> {
        let prefix = self.nats().prefix();
        let Ok((Stage::Work, address)) = JobSubject::parse(prefix, &message.subject) else { return Ok(Fate::NotOurs) };
        let effects = self.jobs.effects();
        let record = match effects.records().read(&address.job).await? {
            Found::Record(record, _) => record,
            Found::Absent | Found::Newer(_) | Found::Malformed(_) => return Ok(Fate::NotOurs),
        };
        let mut fate = fate_of(&record, &address, walk.tenant, walk.queue);
        if fate == Fate::Cancelled && self.is_on_the_wire(&address, &record).await {
            fate = Fate::Kept;
        }
        let mut needless = fate == Fate::Needless;
        if fate == Fate::Cancelled {
            match effects.cancel(walk.tenant, &address.job).await {
                Ok(Cancelled::Ended(ended)) => {
                    let by_cancel = ended.outcome.as_ref().is_some_and(|outcome| outcome.status == Status::Cancelled);
                    (needless, fate) = (by_cancel, if by_cancel { fate } else { Fate::NotOurs });
                }
                Ok(Cancelled::Accepted(_)) => {}
                Err(CancelError::NotFound | CancelError::Unreadable) => fate = Fate::NotOurs,
                Err(CancelError::Unknown) => return Err(QueueError::Unavailable),
                Err(CancelError::NoRoom) => return Err(QueueError::NoRoom),
            }
        }
        if needless && let Err(error) = self.nats().drop_message(&walk.stream, message.sequence).await {
            tracing::debug!(%error, "what a cancelled job leaves behind is dropped when it comes up");
        }
        Ok(fate)
    }

    async fn is_on_the_wire(&self, address: &JobSubject, record: &Record) -> bool {
        let own = record.branch(BranchId::OWN).map(|own| own.state);
        let Some(BranchState::Live { attempt: now, .. }) = own else { return false };
        let newest = self.jobs.newest_event(&address.job, record, About::Branch(BranchId::OWN)).await;
        matches!(newest.map(|event| event.what), Some(What::Sent { attempt, .. }) if attempt == now)
    }
}

/// What becomes of a message of this address, by its job's record.
fn fate_of(record: &Record, address: &JobSubject, tenant: &Tenant, queue: &QueueName) -> Fate {
    if record.incarnation != address.incarnation {
        return Fate::Needless;
    }
    if let Some(outcome) = &record.outcome {
        // A winner's message brings the result.
        return if outcome.winner == address.token { Fate::NotOurs } else { Fate::Needless };
    }
    if address.token != Token::Branch(BranchId::OWN) {
        return Fate::Kept;
    }
    let waits_here = record.branch(BranchId::OWN).is_some_and(|own| own.is_live() && own.queue == *queue);
    if record.tenant != *tenant || !waits_here {
        return Fate::NotOurs;
    }
    let goes_on_elsewhere = record.branches.iter().skip(1).any(Branch::is_live);
    if goes_on_elsewhere { Fate::Kept } else { Fate::Cancelled }
}

impl Purged {
    /// There is more behind this sequence.
    fn up_to(self, after: u64) -> Self {
        Self { more: true, cursor: Some(after.to_string()), ..self }
    }

    /// Takes in what became of some messages; the first error, if there is one.
    fn count(&mut self, done: Vec<Result<Fate, QueueError>>) -> Option<QueueError> {
        let mut first = None;
        for fate in done {
            match fate {
                Ok(Fate::Cancelled) => self.cancelled += 1,
                Ok(Fate::Kept) => self.kept += 1,
                Ok(Fate::Needless | Fate::NotOurs) => {}
                Err(error) => first = first.or(Some(error)),
            }
        }
        first
    }
}
