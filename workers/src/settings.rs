//! What a branch's way through a worker depends on, from the configuration.

use std::time::Duration;

use sluice_shared::config::{self, StatusRange};
use sluice_shared::domain::id::Region;
use sluice_shared::domain::retry::RetryDefaults;

/// What a branch's way through a worker depends on.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// How long one attempt may take where the job does not say.
    pub(crate) attempt_timeout: Duration,
    /// How long a message may be in hand without a sign of life.
    pub(crate) ack_wait: Duration,
    /// How old a job may be when its turn comes.
    pub(crate) max_age: Duration,
    /// How often and when attempts are repeated, where the job does not say.
    pub(crate) retry: RetryDefaults,
    /// Statuses worth another attempt, where the job does not say.
    pub(crate) retry_codes: Vec<StatusRange>,
    /// The region that this worker runs in.
    pub(crate) region: Option<Region>,
}

impl Settings {
    pub(crate) fn of(worker: &config::Worker, retry: &config::Retry) -> Self {
        Self {
            attempt_timeout: worker.attempt_timeout,
            ack_wait: worker.ack_wait,
            max_age: worker.max_age,
            retry: RetryDefaults { max_retries: retry.max_retries, base: retry.base, cap: retry.cap },
            retry_codes: retry.codes.clone(),
            region: worker.region.clone(),
        }
    }
}
