//! Cancelling: the signal is the commit point; it is handled on the spot as well, so that the answer can say how it went.

use std::time::Duration;

use super::{Effects, NotDone};
use crate::clock;
use crate::domain::decide::{Incoming, Kind, Known, decide};
use crate::domain::demand::When;
use crate::domain::id::{JobId, Tenant, Token};
use crate::domain::record::Record;
use crate::nats::bucket::Written;
use crate::nats::read::ReadError;
use crate::nats::records::Found;

/// How often a lost swap is decided again before the signal is left to its consumer.
const TRIES: u32 = 20;

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
    /// Its record cannot be read by this program.
    #[error("the job's record cannot be read by this version")]
    Unreadable,
}

impl From<ReadError> for CancelError {
    fn from(_: ReadError) -> Self {
        Self::Unknown
    }
}

impl Effects {
    /// Cancels a job of this tenant. Repeating it is harmless.
    ///
    /// # Errors
    /// Where there is no such job, or the broker does not answer.
    pub async fn cancel(&self, tenant: &Tenant, job: &JobId) -> Result<Cancelled, CancelError> {
        let (record, _) = self.of_tenant(tenant, job).await?;
        if record.outcome.is_some() {
            return Ok(Cancelled::Ended(record));
        }
        let address = Self::address(job, &record, Token::Cancel).ok_or(CancelError::Unreadable)?;
        self.nats.move_chain(&address, When::Due, 0, 0).await.map_err(|_| CancelError::Unknown)?;
        self.handle_cancel(tenant, job, record).await
    }

    /// What the shard's consumer does with the signal, done here without an ack: that consumer gets to do it too.
    async fn handle_cancel(&self, tenant: &Tenant, job: &JobId, first: Box<Record>) -> Result<Cancelled, CancelError> {
        let incarnation = first.incarnation.clone();
        for again in 0..TRIES {
            let (record, revision) = self.of_tenant(tenant, job).await?;
            let message = Incoming { incarnation: &incarnation, token: Token::Cancel, kind: Kind::Due, attempt: 0 };
            let now = clock::now();
            let decision = decide(Known::Record(&record), message, now);
            let settled = match decision.swap {
                None => record,
                Some(next) => match self.swap(job, &record, &next, revision, now).await {
                    Ok(Written::At(_)) => next,
                    Ok(Written::Changed | Written::Unknown) => {
                        tokio::time::sleep(Duration::from_millis(5 << again.min(6))).await;
                        continue;
                    }
                    Err(_) => return Ok(Cancelled::Accepted(record)),
                },
            };
            if let Err(error) = self.perform(job, &settled, &decision.demands, 0).await {
                log_left_to_consumer(&error);
            }
            return Ok(Cancelled::Ended(settled));
        }
        Ok(Cancelled::Accepted(first))
    }

    /// A job of this tenant; a foreign one is not found.
    async fn of_tenant(&self, tenant: &Tenant, job: &JobId) -> Result<(Box<Record>, u64), CancelError> {
        match self.records.read(job).await? {
            Found::Record(record, revision) if record.tenant == *tenant => Ok((record, revision)),
            Found::Record(..) | Found::Absent => Err(CancelError::NotFound),
            Found::Newer(_) | Found::Malformed(_) => Err(CancelError::Unreadable),
        }
    }
}

fn log_left_to_consumer(error: &NotDone) {
    tracing::debug!(%error, "the rest of a cancel is left to the signal's consumer");
}
