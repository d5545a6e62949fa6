//! What can be done with queues and their gates: look at them, change a gate's limits, pause, resume, purge.
//!
//! Knows nothing of HTTP. The set of queues is read from the watched copy; the broker is asked only about those that are
//! shown, a few small questions for each. Invariant: nothing about a queue is held here.

mod body;
mod change;
mod error;
mod limits;
mod purge;
mod read;

use crate::jobs::Jobs;

pub use body::{Depth, GateBody, LearnedBody, Limit, OperatorBody, QueueBody, QueueList, QueueState};
pub use error::QueueError;
pub use limits::{NoAdjustment, read as read_adjustment};
pub use purge::{MOST_PURGED, Purged};
pub use read::{MOST_SHOWN, Page};

/// The operations on queues. Cheap to clone.
#[derive(Clone)]
pub struct Queues {
    jobs: Jobs,
}

impl Queues {
    /// The operations through what jobs are acted on with.
    #[must_use]
    pub fn new(jobs: Jobs) -> Self {
        Self { jobs }
    }
}
