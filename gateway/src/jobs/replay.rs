//! A webhook is posted once more because somebody asks for it, whether it was taken, given up, or is about to be tried.

use sluice_shared::domain::id::{JobId, Tenant};
use sluice_shared::domain::result::JobResult;
use sluice_shared::effects::NotPostedAnew;

use super::Jobs;
use super::read::GetError;

/// Why a webhook is not posted again.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The job cannot be read.
    #[error(transparent)]
    Job(#[from] GetError),
    /// It has not ended.
    #[error("the job has not ended: its webhooks are posted when it has")]
    NotEnded,
    /// It has no such webhook.
    #[error("the job has no webhook of this number; they count from 0")]
    NoSuchWebhook,
    /// It may be posted or not.
    #[error("the broker did not answer in time: repeat the request")]
    Unknown,
}

impl Jobs {
    /// Has a webhook of an ended job posted again, under its id, from its first try.
    ///
    /// # Errors
    /// Where there is none, the job has not ended, or the broker does not answer.
    pub async fn replay(&self, tenant: &Tenant, job: &JobId, webhook: usize) -> Result<(), ReplayError> {
        let record = self.record(tenant, job).await?;
        if webhook >= record.webhooks.len() {
            return Err(ReplayError::NoSuchWebhook);
        }
        let result = JobResult::of(job, &record).ok_or(ReplayError::NotEnded)?;
        self.effects().post_anew(&result, webhook).await.map_err(|error| match error {
            NotPostedAnew::NoSuchWebhook => ReplayError::NoSuchWebhook,
            NotPostedAnew::Bucket(_)
            | NotPostedAnew::Read(_)
            | NotPostedAnew::NotMoved(_)
            | NotPostedAnew::Contended => ReplayError::Unknown,
        })
    }
}
