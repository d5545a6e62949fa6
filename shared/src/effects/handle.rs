//! Read, decide, swap, publish: how every message of a job is handled, redelivered or not.
//!
//! A swap lost or unanswered: read and decide again. A publish that may not have happened: the message in hand is not
//! acked, it comes again, and the record demands the same of it then. Nothing here remembers what was done before.

use std::time::Duration;

use super::{Effects, NotDone};
use crate::clock::{self, Millis};
use crate::domain::decide::{Incoming, Kind, Known};
use crate::domain::demand::{Decision, Then};
use crate::domain::outcome::Status;
use crate::domain::record::Record;
use crate::nats::bucket::Written;
use crate::nats::publish::PublishError;
use crate::nats::read::ReadError;
use crate::nats::records::Found;
use crate::topology::JobSubject;

/// How often a lost swap is decided again.
const TRIES: u32 = 50;

/// A message of a job: where its chain lives, what it points to, and what the next message of its chain expects.
#[derive(Clone, Debug)]
pub struct JobMessage {
    /// The job, its queue, its incarnation, and the branch or signal.
    pub address: JobSubject,
    /// Whether it is work or came due.
    pub kind: Kind,
    /// The attempt it points to; 0 for a signal.
    pub attempt: u32,
    /// Its sequence; 0 where it is handled without being in hand.
    pub sequence: u64,
    /// When it was stored, by the broker's clock.
    pub published: Millis,
}

impl JobMessage {
    /// What decisions see of it.
    #[must_use]
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming {
            incarnation: &self.address.incarnation,
            token: self.address.token,
            kind: self.kind,
            attempt: self.attempt,
        }
    }
}

/// A record as it was read or written last.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The record.
    pub record: Box<Record>,
    /// What a swap compares.
    pub revision: u64,
}

/// What came of handling a message.
#[derive(Debug)]
pub struct Handled {
    /// What becomes of the message in hand.
    pub then: Then,
    /// The record as it is then, where there is one.
    pub seen: Option<Seen>,
    /// How the job ended, where it was this that ended it.
    pub settled: Option<Status>,
}

/// Why handling stopped on the way. The message in hand is not acked and comes again.
#[derive(Debug, thiserror::Error)]
pub enum Unfinished {
    /// The record could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The record could not be written.
    #[error("the record could not be written: {0}")]
    Swap(#[from] PublishError),
    /// Something demanded may not have been done.
    #[error(transparent)]
    NotDone(#[from] NotDone),
    /// Others changed the record at every try.
    #[error("the record changed at every try")]
    Contended,
}

impl Effects {
    /// Handles a message by one decision function: reads the record (unless `seen` is fresh), decides, swaps until the
    /// swap holds, does what is demanded.
    ///
    /// # Errors
    /// Where the broker gave no answer or no room on the way. Handling the message again goes on from where this stopped.
    pub async fn handle(
        &self,
        message: &JobMessage,
        mut seen: Option<Seen>,
        decide: impl Fn(Known<'_>, Millis) -> Decision,
    ) -> Result<Handled, Unfinished> {
        let job = &message.address.job;
        for again in 0..TRIES {
            let now = clock::now();
            let held = match seen.take() {
                Some(fresh) => fresh,
                None => match self.records.read(job).await? {
                    Found::Record(record, revision) => Seen { record, revision },
                    Found::Absent => return Ok(Handled::without_record(decide(self.absent(message, now), now))),
                    Found::Newer(_) => return Ok(Handled::without_record(decide(Known::Newer, now))),
                    Found::Malformed(_) => return Ok(Handled::without_record(decide(Known::Unreadable, now))),
                },
            };
            let Decision { swap, demands, then } = decide(Known::Record(&held.record), now);
            let (current, settled) = match swap {
                None => (held, None),
                Some(next) => match self.swap(job, &held.record, &next, held.revision, now).await? {
                    Written::At(revision) => {
                        let settled = next.outcome.as_ref().map(|outcome| outcome.status);
                        (Seen { record: next, revision }, settled)
                    }
                    Written::Changed | Written::Unknown => {
                        pause(again).await;
                        continue;
                    }
                },
            };
            self.perform(job, &current.record, &demands, message.sequence).await?;
            return Ok(Handled { then, seen: Some(current), settled });
        }
        Err(Unfinished::Contended)
    }

    /// A record that is not there was forgotten after its job had ended, or lost by the broker.
    fn absent(&self, message: &JobMessage, now: Millis) -> Known<'static> {
        if now.since(message.published) > self.settled_ttl { Known::Forgotten } else { Known::Lost }
    }
}

impl Handled {
    /// Without a record there is nothing to swap and nothing demanded.
    fn without_record(decision: Decision) -> Self {
        Self { then: decision.then, seen: None, settled: None }
    }
}

async fn pause(again: u32) {
    if again > 0 {
        tokio::time::sleep(Duration::from_millis(rand::random_range(1..=(2_u64 << again.min(7))))).await;
    }
}
