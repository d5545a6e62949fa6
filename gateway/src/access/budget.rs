//! What may be submitted in one request: by the quotas of the key that it comes with, of the keys that that was made with, and of
//! the tenant that it is for.
//!
//! A job is counted before it is stored, and no more where it turns out to be there already or is refused.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sluice_shared::domain::access::{Exceeded, Quota, Quotas, Standing};
use sluice_shared::domain::id::{JobId, KeyId};

use super::meters::{Meters, Uncounted};
use super::open_jobs::{NotOpened, OpenJobs};

/// When it is worth trying again where too many jobs are open: nobody knows when the first of them ends.
const OPEN_AGAIN: Duration = Duration::from_secs(1);

/// A quota is used up, or nobody can tell.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OverQuota {
    /// It is.
    #[error(transparent)]
    Exceeded(#[from] Exceeded),
    /// The JSON of the job is too large for this key.
    #[error("the job has more than {0} bytes, the most that may be submitted here")]
    TooLarge(u64),
    /// The broker does not answer.
    #[error("the broker did not answer in time: submit the job again")]
    Unavailable,
}

/// What may be submitted. Shared by all jobs of a request. Cheap to clone.
#[derive(Clone)]
pub struct Budget(Arc<Inner>);

struct Inner {
    /// All that it counts against, and under what name.
    limits: Vec<(KeyId, Quotas)>,
    meters: Meters,
    open_jobs: OpenJobs,
    standing: Mutex<Standing>,
}

/// A job that was counted.
#[must_use = "a job that did not come about is to be given back"]
pub struct Spent {
    budget: Budget,
    job: JobId,
    /// For each of the limits that it was counted against, whether it was not open there before.
    opened: Vec<bool>,
}

impl Budget {
    /// Within all of these limits; nothing where there are none.
    pub(super) fn within(limits: Vec<(KeyId, Quotas)>, meters: &Meters, open_jobs: &OpenJobs) -> Option<Self> {
        let (meters, open_jobs, standing) = (meters.clone(), open_jobs.clone(), Mutex::default());
        (!limits.is_empty()).then(|| Self(Arc::new(Inner { limits, meters, open_jobs, standing })))
    }

    /// How much is left, as of the last job that was counted.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.0.standing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The most bytes of a job, if that is limited.
    #[must_use]
    pub fn body_bytes(&self) -> Option<u64> {
        self.0.limits.iter().filter_map(|(_, quotas)| quotas.body_bytes).min()
    }

    /// Whether JSON of this length is too long.
    ///
    /// # Errors
    /// Where it is.
    pub fn takes_body(&self, bytes: usize) -> Result<(), OverQuota> {
        match self.body_bytes() {
            Some(most) if u64::try_from(bytes).is_ok_and(|bytes| bytes > most) => Err(OverQuota::TooLarge(most)),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether it may be looked whether a job is there already that there is no room for: only so often.
    #[must_use]
    pub fn may_look(&self) -> bool {
        self.0.limits.last().is_some_and(|(id, _)| self.0.meters.may_look(id))
    }

    /// Counts a job that is about to be stored.
    ///
    /// # Errors
    /// Where there is no room for it.
    pub async fn take(&self, job: &JobId) -> Result<Spent, OverQuota> {
        let mut spent = Spent { budget: self.clone(), job: job.clone(), opened: Vec::new() };
        let mut standing = Standing::default();
        for (id, quotas) in self.limits() {
            match self.count(id, quotas, job, &mut standing).await {
                Ok(opened) => spent.opened.push(opened),
                Err(error) => {
                    self.stands(standing);
                    spent.give_back(false).await;
                    return Err(error);
                }
            }
        }
        self.stands(standing);
        Ok(spent)
    }

    /// Counts it against one of the limits; whether it was not open there before.
    async fn count(
        &self,
        id: &KeyId,
        quotas: &Quotas,
        job: &JobId,
        standing: &mut Standing,
    ) -> Result<bool, OverQuota> {
        let Inner { meters, open_jobs, .. } = &*self.0;
        let opened = match quotas.open_jobs {
            Some(most) => open_jobs.open(id, most, job).await?,
            None => false,
        };
        if !quotas.are_counted() {
            return Ok(opened);
        }
        let (error, now) = match meters.take(id, quotas).await {
            Ok(now) => {
                *standing = std::mem::take(standing).and(now);
                return Ok(opened);
            }
            Err(Uncounted::Exceeded(exceeded, now)) => (exceeded.into(), now),
            Err(Uncounted::Unavailable) => (OverQuota::Unavailable, Standing::default()),
        };
        *standing = std::mem::take(standing).and(now);
        if opened {
            open_jobs.close(id, job).await;
        }
        Err(error)
    }

    fn limits(&self) -> impl Iterator<Item = (&KeyId, &Quotas)> {
        self.0.limits.iter().map(|(id, quotas)| (id, quotas))
    }

    fn stands(&self, standing: Standing) {
        if !standing.is_empty() {
            *self.0.standing.lock().unwrap_or_else(PoisonError::into_inner) = standing;
        }
    }
}

impl Spent {
    /// No new job came about. One that is there and has not ended counts as open all the same: whoever was first with it may
    /// be somebody who submitted it at the same moment.
    pub async fn give_back(self, is_open: bool) {
        let Inner { meters, open_jobs, .. } = &*self.budget.0;
        for ((id, quotas), opened) in self.budget.limits().zip(self.opened) {
            if opened && !is_open {
                open_jobs.close(id, &self.job).await;
            }
            if quotas.are_counted() {
                meters.give_back(id, quotas).await;
            }
        }
    }
}

impl From<NotOpened> for OverQuota {
    fn from(error: NotOpened) -> Self {
        match error {
            NotOpened::Full => Self::Exceeded(Exceeded { quota: Quota::Open, again_in: OPEN_AGAIN }),
            NotOpened::Unavailable => Self::Unavailable,
        }
    }
}
