//! What can be done with jobs, whoever asks: HTTP handlers and the NATS service call the same operations.
//!
//! Knows nothing of HTTP. Invariant: nothing about a job is held here; every answer is read from the broker.

pub mod status;

use serde::Serialize;
use sluice_shared::clock;
use sluice_shared::domain::id::{JobId, Tenant};
use sluice_shared::domain::submission::{self, Faults, Limits};
use sluice_shared::effects::{CancelError, Cancelled, Effects, Receipt, Submission, SubmitError};

/// The operations. Cheap to clone.
#[derive(Clone)]
pub struct Jobs {
    effects: Effects,
}

/// What a submitter gets back.
#[derive(Clone, Debug, Serialize)]
pub struct ReceiptBody {
    /// The job.
    pub job_id: String,
    /// Where it is.
    pub status: &'static str,
    /// The key that names it.
    pub idempotent_key: String,
    /// Whether it was there already.
    pub duplicate: bool,
}

/// Why a submission was not taken.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It is no valid job: everything that is wrong with it.
    #[error(transparent)]
    Invalid(#[from] Faults),
    /// The key beside the job is another than the one in it.
    #[error("the key beside the job and its `idempotent_key` differ: give one, or the same twice")]
    TwoKeys,
    /// It could not be stored.
    #[error(transparent)]
    NotTaken(#[from] SubmitError),
}

impl Jobs {
    /// The operations through these effects.
    #[must_use]
    pub fn new(effects: Effects) -> Self {
        Self { effects }
    }

    /// Takes a job in as JSON. `key` is one given beside it; without any, a random one is made.
    ///
    /// # Errors
    /// Where it is no valid job, or was not stored for certain.
    pub async fn submit(
        &self,
        tenant: &Tenant,
        json: &[u8],
        key: Option<&str>,
        traceparent: Option<String>,
    ) -> Result<Receipt, Refusal> {
        let nats = self.effects.nats();
        let max_payload = u64::try_from(nats.max_payload()).unwrap_or(u64::MAX);
        let job = submission::read(json, &Limits::new(max_payload, clock::now(), nats.prefix(), tenant))?;
        let key = match (key, job.idempotent_key.as_deref()) {
            (Some(beside), Some(inside)) if beside != inside => return Err(Refusal::TwoKeys),
            (Some(key), _) | (None, Some(key)) => key.to_owned(),
            (None, None) => random_key(),
        };
        let submission = Submission { tenant: tenant.clone(), key, job, traceparent };
        Ok(Box::pin(self.effects.submit(submission)).await?)
    }

    /// Cancels a job of this tenant.
    ///
    /// # Errors
    /// Where there is no such job, or the broker does not answer.
    pub async fn cancel(&self, tenant: &Tenant, job: &JobId) -> Result<Cancelled, CancelError> {
        self.effects.cancel(tenant, job).await
    }
}

impl From<&Receipt> for ReceiptBody {
    fn from(receipt: &Receipt) -> Self {
        let status = receipt.record.outcome.as_ref().map_or("queued", |outcome| outcome.status.as_str());
        Self {
            job_id: receipt.job.to_string(),
            status,
            idempotent_key: receipt.record.key.clone(),
            duplicate: receipt.duplicate,
        }
    }
}

fn random_key() -> String {
    format!("{:032x}", rand::random::<u128>())
}
