//! What can be done with jobs, whoever asks: HTTP handlers and the NATS service call the same operations.
//!
//! Knows nothing of HTTP. Invariant: nothing about a job is held here; every answer is read from the broker.

mod body;
mod read;
mod status;
mod submit;
mod webhooks;

use sluice_shared::domain::id::{JobId, Tenant};
use sluice_shared::effects::{CancelError, Cancelled, Effects};

pub use body::{BranchBody, BranchStatus, JobBody, LastBody, WebhookBody};
pub use read::GetError;
pub use status::Status;
pub use submit::{ReceiptBody, Refusal, counted};
pub use webhooks::WebhookStatus;

/// The operations. Cheap to clone.
#[derive(Clone)]
pub struct Jobs {
    effects: Effects,
}

impl Jobs {
    /// The operations through these effects.
    #[must_use]
    pub fn new(effects: Effects) -> Self {
        Self { effects }
    }

    /// What it takes to act on jobs.
    #[must_use]
    pub fn effects(&self) -> &Effects {
        &self.effects
    }

    /// Cancels a job of this tenant. What it answers with can be shown by `describe`.
    ///
    /// # Errors
    /// Where there is no such job, or the broker does not answer.
    pub async fn cancel(&self, tenant: &Tenant, job: &JobId) -> Result<Cancelled, CancelError> {
        self.effects.cancel(tenant, job).await
    }
}
