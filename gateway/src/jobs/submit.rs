//! Taking a job in: from JSON to a receipt, whichever way it came.

use schemars::JsonSchema;
use serde::Serialize;
use sluice_shared::clock;
use sluice_shared::domain::id::{JobId, Tenant};
use sluice_shared::domain::submission::{self, Faults, Limits};
use sluice_shared::effects::{Receipt, Submission, SubmitError};
use sluice_shared::telemetry::Submitted;
use sluice_shared::telemetry::traceparent::Traceparent;

use super::Jobs;
use super::status::Status;
use crate::access::{Budget, OverQuota, Spent};

/// Longest key, in characters.
const LONGEST_KEY: usize = 512;

/// What a submitter gets back.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Receipt")]
pub struct ReceiptBody {
    /// The job.
    pub job_id: String,
    /// Where it is: its outcome, or `queued` or `backing_off`.
    pub status: Status,
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
    /// The key beside the job cannot be one.
    #[error("the key beside the job must have 1 to {LONGEST_KEY} printable characters, with no space before or after")]
    InvalidKey,
    /// The key beside the job is another than the one in it.
    #[error("the key beside the job and its `idempotent_key` differ: give one, or the same twice")]
    TwoKeys,
    /// The broker's storage is above the watermark.
    #[error("the broker's storage is nearly full, and kept for the jobs that were accepted: try again later")]
    StorageFull,
    /// The caller's quotas are used up.
    #[error(transparent)]
    OverQuota(#[from] OverQuota),
    /// It could not be stored.
    #[error(transparent)]
    NotTaken(#[from] SubmitError),
}

impl Jobs {
    /// Takes a job in as JSON. `key` is one given beside it; without any, a random one is made. Without a valid
    /// `traceparent` a new trace begins, so that every job belongs to one.
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
        self.submit_within(None, tenant, json, key, traceparent).await
    }

    /// The same for a caller who may submit only so much: a job that is there already does not count.
    ///
    /// # Errors
    /// As `submit`, and where the caller's quotas are used up.
    pub async fn submit_within(
        &self,
        budget: Option<&Budget>,
        tenant: &Tenant,
        json: &[u8],
        key: Option<&str>,
        traceparent: Option<String>,
    ) -> Result<Receipt, Refusal> {
        budget.map_or(Ok(()), |budget| budget.takes_body(json.len()))?;
        let nats = self.effects().nats();
        let max_payload = u64::try_from(nats.max_payload()).unwrap_or(u64::MAX);
        let limits = Limits::new(max_payload, clock::now(), nats.prefix(), tenant).calling(&self.targets);
        let job = submission::read(json, &limits)?;
        let given = key.is_some() || job.idempotent_key.is_some();
        let key = choose_key(key, job.idempotent_key.as_deref())?;
        if self.storage.is_full() && !self.is_known(tenant, &key).await {
            return Err(Refusal::StorageFull);
        }
        let spent = match budget {
            Some(budget) => self.spend(budget, tenant, &key, given).await?,
            None => None,
        };
        let traceparent = Some(trace(traceparent.as_deref()).to_string());
        let submission = Submission { tenant: tenant.clone(), key, job, traceparent };
        self.storage.takes(json.len());
        let submitted = Box::pin(self.effects().submit(submission)).await;
        if matches!(submitted, Err(SubmitError::NoRoom)) {
            self.storage.found_no_room();
        }
        if let Some(spent) = spent {
            settle(spent, &submitted).await;
        }
        Ok(submitted?)
    }

    /// Counts a job against its caller's quotas, unless it is there already, which only one whose key was given can be.
    async fn spend(
        &self,
        budget: &Budget,
        tenant: &Tenant,
        key: &str,
        given: bool,
    ) -> Result<Option<Spent>, OverQuota> {
        match budget.take(&JobId::derive(tenant, key)).await {
            Ok(spent) => Ok(Some(spent)),
            Err(_) if given && budget.may_look() && self.is_known(tenant, key).await => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether the key names a job: its repeat takes no room.
    async fn is_known(&self, tenant: &Tenant, key: &str) -> bool {
        self.record(tenant, &JobId::derive(tenant, key)).await.is_ok()
    }
}

impl From<&Receipt> for ReceiptBody {
    fn from(receipt: &Receipt) -> Self {
        Self {
            job_id: receipt.job.to_string(),
            status: Status::of_job(&receipt.record, &[], clock::now()),
            idempotent_key: receipt.record.key.clone(),
            duplicate: receipt.duplicate,
        }
    }
}

/// A job that was counted and is not new, or not stored, is not counted after all. One that may be stored is.
async fn settle(spent: Spent, submitted: &Result<Receipt, SubmitError>) {
    match submitted {
        Ok(receipt) if receipt.duplicate => spent.give_back(receipt.record.outcome.is_none()).await,
        Ok(_) | Err(SubmitError::Unknown { .. }) => {}
        Err(
            SubmitError::Conflict { .. }
            | SubmitError::TooLarge
            | SubmitError::BodyTooLarge { .. }
            | SubmitError::NoRoom
            | SubmitError::Refused(_),
        ) => spent.give_back(false).await,
    }
}

/// What became of a submission, for the counts.
#[must_use]
pub fn counted(submitted: &Result<Receipt, Refusal>) -> Submitted {
    match submitted {
        Ok(receipt) if receipt.duplicate => Submitted::Duplicate,
        Ok(_) => Submitted::Accepted,
        Err(Refusal::NotTaken(SubmitError::Conflict { .. })) => Submitted::Conflict,
        Err(Refusal::OverQuota(OverQuota::Exceeded(_))) => Submitted::OverQuota,
        Err(
            Refusal::StorageFull
            | Refusal::OverQuota(OverQuota::Unavailable)
            | Refusal::NotTaken(SubmitError::NoRoom | SubmitError::Unknown { .. } | SubmitError::Refused(_)),
        ) => Submitted::Unavailable,
        Err(
            Refusal::Invalid(_)
            | Refusal::InvalidKey
            | Refusal::TwoKeys
            | Refusal::OverQuota(OverQuota::TooLarge(_))
            | Refusal::NotTaken(SubmitError::TooLarge | SubmitError::BodyTooLarge { .. }),
        ) => Submitted::Refused,
    }
}

fn choose_key(beside: Option<&str>, inside: Option<&str>) -> Result<String, Refusal> {
    match (beside, inside) {
        (Some(beside), _) if !is_key(beside) => Err(Refusal::InvalidKey),
        (Some(beside), Some(inside)) if beside != inside => Err(Refusal::TwoKeys),
        (Some(key), _) | (None, Some(key)) => Ok(key.to_owned()),
        (None, None) => Ok(format!("{:032x}", rand::random::<u128>())),
    }
}

/// The same that is asked of an `idempotent_key` in a job.
fn is_key(key: &str) -> bool {
    let length = key.chars().take(LONGEST_KEY + 1).count();
    (1..=LONGEST_KEY).contains(&length) && !key.chars().any(char::is_control) && key.trim() == key
}

fn trace(given: Option<&str>) -> Traceparent {
    given.and_then(Traceparent::parse).unwrap_or_else(|| Traceparent::start(rand::random(), rand::random()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a key that is refused fails the test")]

    use super::*;

    #[test]
    fn a_key_is_taken_from_either_place_or_made() {
        assert_eq!(choose_key(Some("a"), None).unwrap(), "a");
        assert_eq!(choose_key(None, Some("a")).unwrap(), "a");
        assert_eq!(choose_key(Some("a"), Some("a")).unwrap(), "a");
        assert_eq!(choose_key(None, None).unwrap().len(), 32);
    }

    #[test]
    fn two_keys_and_what_is_no_key_are_refused() {
        assert!(matches!(choose_key(Some("a"), Some("b")), Err(Refusal::TwoKeys)));
        for key in ["", " a", "a\n", &"a".repeat(513)] {
            assert!(matches!(choose_key(Some(key), None), Err(Refusal::InvalidKey)), "{key:?}");
        }
    }

    #[test]
    fn a_trace_goes_on_where_there_is_one_and_begins_where_there_is_none() {
        let given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(trace(Some(given)).to_string(), given);
        for given in [None, Some("nonsense")] {
            assert!(Traceparent::parse(&trace(given).to_string()).is_some());
        }
    }
}
