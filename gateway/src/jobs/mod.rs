//! What can be done with jobs, whoever asks: HTTP handlers and the NATS service call the same operations.
//!
//! Knows nothing of HTTP. Invariant: nothing about a job is held here; every answer is read from the broker.

mod body;
mod follow;
mod keep_events;
mod place;
mod position;
mod read;
mod replay;
mod room;
mod status;
mod storage;
mod submit;
mod timeline;
mod waiting;
mod webhooks;

use std::sync::Arc;

use sluice_shared::domain::id::{JobId, Tenant};
use sluice_shared::domain::targets::Targets;
use sluice_shared::effects::{CancelError, Cancelled, Effects, Receipt, RetryError};
use sluice_shared::gate_settings::GateSettings;
use tokio_util::sync::CancellationToken;

use crate::access::{Budget, OverQuota};
pub use body::{BranchBody, BranchStatus, JobBody, LastBody, WebhookBody};
pub use follow::{Follower, Next};
pub use place::{NoPlace, Place};
pub use read::GetError;
pub use replay::ReplayError;
pub use room::{Free, Room};
pub use status::Status;
pub use storage::{LOOK_EVERY, Storage};
pub use submit::{ReceiptBody, Refusal, counted};
pub use timeline::Told;
pub use waiting::{Reason, Waiting};
pub use webhooks::WebhookStatus;

/// Why a job does not run again.
#[derive(Debug, thiserror::Error)]
pub enum NotRetried {
    /// The caller's quotas are used up.
    #[error(transparent)]
    OverQuota(#[from] OverQuota),
    /// It cannot.
    #[error(transparent)]
    Retry(#[from] RetryError),
}

/// The operations. Cheap to clone.
#[derive(Clone)]
pub struct Jobs {
    effects: Effects,
    storage: Storage,
    gates: Arc<GateSettings>,
    targets: Arc<Targets>,
}

impl Jobs {
    /// The operations through these effects; jobs are taken as long as the broker has room, and may call the public internet.
    #[must_use]
    pub fn new(effects: Effects) -> Self {
        Self { effects, storage: Storage::default(), gates: Arc::default(), targets: Arc::default() }
    }

    /// The same, and until told to stop what they rely on is looked after: new jobs are refused where the broker has no room
    /// to spare, and the stream of events is made again where it is lost.
    #[must_use]
    pub fn start(effects: Effects, room: Room, stop: &CancellationToken) -> Self {
        keep_events::keep_events(effects.nats(), stop.clone());
        let storage = Storage::watch(effects.nats(), room, LOOK_EVERY, stop.clone());
        Self { storage, ..Self::new(effects) }
    }

    /// The same operations, refusing new jobs where this storage is full.
    #[must_use]
    pub fn within(self, storage: Storage) -> Self {
        Self { storage, ..self }
    }

    /// The same operations, with these limits configured for gates: those that the workers are configured with.
    #[must_use]
    pub fn gated_by(self, gates: GateSettings) -> Self {
        Self { gates: Arc::new(gates), ..self }
    }

    /// The same operations, taking jobs that call these targets: those that workers and deliveries are configured with.
    #[must_use]
    pub fn calling(self, targets: Targets) -> Self {
        Self { targets: Arc::new(targets), ..self }
    }

    /// What jobs may call.
    #[must_use]
    pub fn targets(&self) -> &Targets {
        &self.targets
    }

    /// The limits that are configured for gates.
    #[must_use]
    pub fn gates(&self) -> &GateSettings {
        &self.gates
    }

    /// What it takes to act on jobs.
    #[must_use]
    pub fn effects(&self) -> &Effects {
        &self.effects
    }

    /// Runs a failed job of this tenant again, under its key, for a caller who may submit only so much: it counts as a new one.
    ///
    /// # Errors
    /// Where it has not failed, the caller's quotas are used up, or the broker does not answer.
    pub async fn retry_within(
        &self,
        budget: Option<&Budget>,
        tenant: &Tenant,
        job: &JobId,
    ) -> Result<Receipt, NotRetried> {
        let spent = match budget {
            Some(budget) => Some(budget.take(job).await?),
            None => None,
        };
        let retried = self.retry(tenant, job).await;
        if let (Some(spent), Err(error)) = (spent, &retried)
            && !matches!(error, RetryError::Unknown)
        {
            spent.give_back(false).await;
        }
        Ok(retried?)
    }

    /// Runs a failed job of this tenant again, under its key.
    ///
    /// # Errors
    /// Where it has not failed, or the broker does not answer.
    pub async fn retry(&self, tenant: &Tenant, job: &JobId) -> Result<Receipt, RetryError> {
        if self.storage.is_full() {
            return Err(RetryError::NoRoom);
        }
        self.effects.retry(tenant, job).await
    }

    /// Cancels a job of this tenant. What it answers with can be shown by `describe`.
    ///
    /// # Errors
    /// Where there is no such job, or the broker does not answer.
    pub async fn cancel(&self, tenant: &Tenant, job: &JobId) -> Result<Cancelled, CancelError> {
        self.effects.cancel(tenant, job).await
    }
}
