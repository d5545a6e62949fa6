//! Read, decide, swap, publish: how every message of a job is handled, redelivered or not.
//!
//! A swap lost or unanswered: read and decide again. A publish that may not have happened: the message in hand is not
//! acked, it comes again, and the record demands the same of it then. Nothing here remembers what was done before.

use std::time::Duration;

use super::carrier::{Carrier, Telling};
use super::{Effects, NotDone, Untold};
use crate::clock::Millis;
use crate::domain::decide::{Incoming, Kind, Known};
use crate::domain::demand::{Decision, Then};
use crate::domain::id::JobId;
use crate::domain::outcome::Status;
use crate::domain::record::Record;
use crate::nats::bucket::Written;
use crate::nats::guarded::NotMoved;
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

    /// A record that is not there was forgotten after its job had ended, or lost by the broker.
    fn absent(&self, settled_ttl: Duration, now: Millis) -> Known<'static> {
        if now.since(self.published) > settled_ttl { Known::Forgotten } else { Known::Lost }
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
    /// The job has ended, and its end may not have been handed on. Going on from this record is as good as reading it again,
    /// for it does not change any more, and better where it is forgotten before there is room for its result.
    #[error("{error}")]
    NotHandedOn {
        /// The settled record.
        seen: Box<Seen>,
        /// What may not have been done.
        error: NotDone,
    },
    /// Others changed the record at every try.
    #[error("the record changed at every try")]
    Contended,
}

impl Unfinished {
    /// Whether trying again, or waiting, can change nothing: the record is more than the broker takes, however little of its
    /// answers is kept, or lacks what it demands.
    #[must_use]
    pub fn is_for_good(&self) -> bool {
        match self {
            Self::NotDone(error) | Self::NotHandedOn { error, .. } => matches!(error, NotDone::Incomplete),
            Self::Swap(error) => matches!(error, PublishError::TooLarge { .. }),
            Self::Read(_) | Self::Contended => false,
        }
    }

    /// Whether the broker may take it later. What it will never take is not worth waiting for.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Read(error) => *error == ReadError::NoAnswer,
            Self::Swap(error) => !is_refused(error),
            Self::Contended => true,
            Self::NotDone(error) | Self::NotHandedOn { error, .. } => match error {
                NotDone::NotMoved(NotMoved(error)) | NotDone::Result(error) => !is_refused(error),
                NotDone::Queue(_) | NotDone::FollowUp(_) => true,
                NotDone::Incomplete => false,
            },
        }
    }
}

fn is_refused(error: &PublishError) -> bool {
    matches!(error, PublishError::TooLarge { .. } | PublishError::Refused(_))
}

impl Effects {
    /// Handles a message by one decision function: see [`handle`].
    ///
    /// # Errors
    /// Where the broker gave no answer or no room on the way. Handling the message again goes on from where this stopped.
    pub async fn handle(
        &self,
        message: &JobMessage,
        seen: Option<Seen>,
        decide: impl Fn(Known<'_>, Millis) -> Decision,
    ) -> Result<Handled, Unfinished> {
        self.handle_telling(message, seen, &Untold::default(), decide).await
    }

    /// The same for whoever has something untold: it is told with what the swap makes happen, and left where nothing is swapped.
    ///
    /// # Errors
    /// As `handle`.
    pub async fn handle_telling(
        &self,
        message: &JobMessage,
        seen: Option<Seen>,
        untold: &Untold,
        decide: impl Fn(Known<'_>, Millis) -> Decision,
    ) -> Result<Handled, Unfinished> {
        handle(&Telling { effects: self, untold }, message, seen, decide).await
    }
}

/// Handles a message by one decision function: reads the record (unless `seen` is fresh), decides, swaps until the swap
/// holds, does what is demanded.
///
/// # Errors
/// Where the broker gave no answer or no room on the way. Handling the message again goes on from where this stopped.
pub async fn handle<C: Carrier>(
    carrier: &C,
    message: &JobMessage,
    mut seen: Option<Seen>,
    decide: impl Fn(Known<'_>, Millis) -> Decision,
) -> Result<Handled, Unfinished> {
    let job = &message.address.job;
    for again in 0..TRIES {
        let now = carrier.now();
        let held = match seen.take() {
            Some(fresh) => fresh,
            None => match carrier.read(job).await? {
                Found::Record(record, revision) => Seen { record, revision },
                Found::Absent => {
                    return Ok(Handled::without_record(decide(message.absent(carrier.settled_ttl(), now), now)));
                }
                Found::Newer(_) => return Ok(Handled::without_record(decide(Known::Newer, now))),
                Found::Malformed(_) => return Ok(Handled::without_record(decide(Known::Unreadable, now))),
            },
        };
        let Decision { swap, demands, then } = decide(Known::Record(&held.record), now);
        let (current, settled) = match swap {
            None => (held, None),
            Some(next) => match swap_what_fits(carrier, job, &held, next, now).await? {
                (record, Written::At(revision)) => {
                    let settled = record.outcome.as_ref().map(|outcome| outcome.status);
                    (Seen { record, revision }, settled)
                }
                (_, Written::Changed | Written::Unknown) => {
                    carrier.pause(again).await;
                    continue;
                }
            },
        };
        return match carrier.perform(job, &current.record, &demands, message.sequence).await {
            Ok(()) => Ok(Handled { then, seen: Some(current), settled }),
            Err(error) if current.record.outcome.is_some() => {
                Err(Unfinished::NotHandedOn { seen: Box::new(current), error })
            }
            Err(error) => Err(error.into()),
        };
    }
    Err(Unfinished::Contended)
}

/// Swaps a record in, with less of its answers where the broker does not take all of it; says what was swapped in. A limit
/// can be lowered under a job that was accepted below it.
async fn swap_what_fits<C: Carrier>(
    carrier: &C,
    job: &JobId,
    held: &Seen,
    mut next: Box<Record>,
    now: Millis,
) -> Result<(Box<Record>, Written), PublishError> {
    loop {
        let refused = match carrier.swap(job, &held.record, &next, held.revision, now).await {
            Ok(written) => return Ok((next, written)),
            Err(error @ PublishError::TooLarge { .. }) => error,
            Err(error) => return Err(error),
        };
        next = next.smaller().ok_or(refused)?;
        tracing::debug!(%job, "of the answers less is kept: the broker does not take all");
    }
}

impl Handled {
    /// Without a record there is nothing to swap and nothing demanded.
    fn without_record(decision: Decision) -> Self {
        Self { then: decision.then, seen: None, settled: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_broker_may_take_later_is_worth_waiting_for_and_what_it_never_takes_is_not() {
        let no_room = || PublishError::NoRoom("full".into());
        let too_large = || PublishError::TooLarge { size: 2, limit: 1 };
        let passing = [
            Unfinished::Read(ReadError::NoAnswer),
            Unfinished::Swap(no_room()),
            Unfinished::NotDone(NotDone::NotMoved(NotMoved(PublishError::Unknown))),
            Unfinished::NotDone(NotDone::Result(no_room())),
            Unfinished::Contended,
        ];
        let lasting = [
            Unfinished::Read(ReadError::Refused("no such stream".into())),
            Unfinished::Swap(too_large()),
            Unfinished::NotDone(NotDone::NotMoved(NotMoved(PublishError::Refused("no".into())))),
            Unfinished::NotDone(NotDone::Result(too_large())),
            Unfinished::NotDone(NotDone::Incomplete),
        ];
        assert!(!passing.iter().any(Unfinished::is_for_good));
        assert_eq!(lasting.iter().filter(|lasting| lasting.is_for_good()).count(), 2);
        assert!(passing.iter().all(Unfinished::may_pass));
        assert!(!lasting.iter().any(Unfinished::may_pass));
    }
}
