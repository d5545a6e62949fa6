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

use sluice_shared::domain::id::Tenant;

use crate::jobs::Jobs;

pub use body::{Depth, GateBody, LearnedBody, Limit, OperatorBody, QueueBody, QueueList, QueueState};
pub use error::QueueError;
pub(crate) use limits::schema as adjustment_schema;
pub use limits::{NoAdjustment, read as read_adjustment};
pub use purge::{MOST_PURGED, Purged};
pub use read::{MOST_SHOWN, Page};

/// The operations on queues. Cheap to clone.
#[derive(Clone)]
pub struct Queues {
    jobs: Jobs,
    /// Whose queues there are; those of all tenants where absent.
    of: Option<Tenant>,
}

impl Queues {
    /// The operations through what jobs are acted on with.
    #[must_use]
    pub fn new(jobs: Jobs) -> Self {
        Self { jobs, of: None }
    }

    /// The same where there are no queues but those of this tenant, if one is given. What a gate shows of others, how many
    /// calls they have in flight, is left out.
    #[must_use]
    pub fn of(self, tenant: Option<Tenant>) -> Self {
        Self { of: tenant, ..self }
    }
}
