//! Cancelling: the signal is the commit point; it is handled on the spot as well, so that the answer can say how it went.
//!
//! All but the result: that is published by the signal's consumer, which may come long after. A result that is published
//! twice is told by its id for a minute only, and would be delivered twice.

use super::Effects;
use super::handle::JobMessage;
use crate::clock;
use crate::domain::decide::{Kind, Known, decide};
use crate::domain::demand::{Demand, When};
use crate::domain::id::{JobId, Tenant, Token};
use crate::domain::record::Record;
use crate::nats::guarded::NotMoved;
use crate::nats::publish::PublishError;
use crate::nats::read::ReadError;
use crate::nats::records::Found;

/// What became of a cancel.
#[derive(Clone, Debug)]
pub enum Cancelled {
    /// The job has ended, by this cancel or before it: see its outcome.
    Ended(Box<Record>),
    /// The cancel is stored and takes effect soon.
    Accepted(Box<Record>),
}

/// Why a job was not cancelled.
#[derive(Debug, thiserror::Error)]
pub enum CancelError {
    /// There is no such job of this tenant.
    #[error("there is no such job")]
    NotFound,
    /// The broker did not answer: cancel it again.
    #[error("the broker did not answer in time: cancel the job again")]
    Unknown,
    /// The broker's storage is full.
    #[error("the broker has no room: try again later")]
    NoRoom,
    /// Its record cannot be read by this program.
    #[error("the job's record cannot be read by this version")]
    Unreadable,
}

impl From<ReadError> for CancelError {
    fn from(_: ReadError) -> Self {
        Self::Unknown
    }
}

impl From<NotMoved> for CancelError {
    fn from(NotMoved(error): NotMoved) -> Self {
        match error {
            PublishError::NoRoom(_) => Self::NoRoom,
            PublishError::Behind
            | PublishError::BeingWritten
            | PublishError::NotTaken
            | PublishError::Unknown
            | PublishError::TooLarge { .. }
            | PublishError::Refused(_) => Self::Unknown,
        }
    }
}

impl Effects {
    /// Cancels a job of this tenant. Repeating it is harmless.
    ///
    /// # Errors
    /// Where there is no such job, or the broker does not answer.
    pub async fn cancel(&self, tenant: &Tenant, job: &JobId) -> Result<Cancelled, CancelError> {
        let record = match self.records.read(job).await? {
            Found::Record(record, _) if record.tenant == *tenant => record,
            Found::Record(..) | Found::Absent => return Err(CancelError::NotFound),
            Found::Newer(_) | Found::Malformed(_) => return Err(CancelError::Unreadable),
        };
        if record.outcome.is_some() {
            return Ok(Cancelled::Ended(record));
        }
        let address = Self::address(job, &record, Token::Cancel).ok_or(CancelError::Unreadable)?;
        self.nats.move_chain(&address, When::Due, 0, 0).await?;
        // What the shard's consumer does with the signal, done here without an ack: that consumer gets to do it too.
        let signal = JobMessage { address, kind: Kind::Due, attempt: 0, sequence: 0, published: clock::now() };
        let decided = |known: Known<'_>, now| {
            let mut decision = decide(known, signal.incoming(), now);
            decision.demands.retain(|demand| !matches!(demand, Demand::Result { .. }));
            decision
        };
        match self.handle(&signal, None, decided).await {
            Ok(handled) => Ok(handled
                .seen
                .filter(|seen| seen.record.outcome.is_some())
                .map_or_else(|| Cancelled::Accepted(record), |seen| Cancelled::Ended(seen.record))),
            Err(unfinished) => {
                tracing::debug!(%unfinished, "the rest of a cancel is left to the signal's consumer");
                Ok(Cancelled::Accepted(record))
            }
        }
    }
}
