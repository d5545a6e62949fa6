//! Why something could not be done with a queue, and the problem that says so.

use http::StatusCode;
use sluice_shared::nats::bucket::BucketError;
use sluice_shared::nats::publish::PublishError;
use sluice_shared::nats::read::ReadError;

use crate::problem::Problem;

/// Seconds after which it is worth asking again.
const AGAIN_SOON: u32 = 1;
/// The same where the broker's storage is full.
const AGAIN_LATER: u32 = 10;

/// Why something could not be done with a queue.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// There is no such queue, or nothing came for it for so long that it was removed.
    #[error("there is no such queue; one without jobs is forgotten after a day")]
    NotFound,
    /// The broker does not answer: what was asked for may be done or not, and can be repeated without harm.
    #[error("the broker did not answer in time: repeat the request, which is harmless")]
    Unavailable,
    /// The broker's storage is full: nothing was done.
    #[error("the broker has no room: try again later")]
    NoRoom,
    /// The gate is written by so many workers that the change found no gap.
    #[error("the gate changes too fast at the moment: repeat the request, which is harmless")]
    Contended,
    /// What is kept cannot be read by this program, or the broker will not take it.
    #[error("what is kept of the queue cannot be read or written by this version")]
    Refused,
}

impl From<ReadError> for QueueError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::NoAnswer => Self::Unavailable,
            ReadError::Refused(why) => {
                tracing::warn!(why, "the broker refused a question about a queue");
                Self::Refused
            }
        }
    }
}

impl From<BucketError> for QueueError {
    fn from(error: BucketError) -> Self {
        match error {
            BucketError::Read(error) => error.into(),
            BucketError::Refused(PublishError::NoRoom(_)) => Self::NoRoom,
            BucketError::Refused(_) | BucketError::Unreadable { .. } => {
                tracing::warn!(%error, "an entry of a queue or a gate could not be read or written");
                Self::Refused
            }
        }
    }
}

impl From<QueueError> for Problem {
    fn from(error: QueueError) -> Self {
        let problem = |status, code| Self::new(status, code, error.to_string());
        let again =
            |code, seconds| Self { retry_after: Some(seconds), ..problem(StatusCode::SERVICE_UNAVAILABLE, code) };
        match error {
            QueueError::NotFound => problem(StatusCode::NOT_FOUND, "no_such_queue"),
            QueueError::Unavailable | QueueError::Contended => again("unavailable", AGAIN_SOON),
            QueueError::NoRoom => again("storage_full", AGAIN_LATER),
            QueueError::Refused => problem(StatusCode::INTERNAL_SERVER_ERROR, "unreadable"),
        }
    }
}
