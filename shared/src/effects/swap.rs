//! Swapping a record in, and what follows from it: the events, the life of a settled record, its bodies.

use std::time::Duration;

use super::Effects;
use super::tell::Untold;
use crate::clock::Millis;
use crate::domain::id::{BranchId, JobId};
use crate::domain::job::Body;
use crate::domain::outcome::Status;
use crate::domain::record::Record;
use crate::nats::bucket::Written;
use crate::nats::publish::PublishError;

impl Effects {
    /// Swaps `next` in for `old`, and tells what that made happen, together with what had happened before and is `untold`: taken
    /// if it is told. A settled record outlives the job's last timer by the time that settled records are kept.
    ///
    /// # Errors
    /// Where the broker has no room or will not take it.
    pub async fn swap(
        &self,
        job: &JobId,
        old: &Record,
        next: &Record,
        revision: u64,
        now: Millis,
        untold: &Untold,
    ) -> Result<Written, PublishError> {
        let ttl = old.last_timer().since(now) + self.settled_ttl;
        let written = self.records.swap(job, next, revision, ttl).await?;
        if let Written::At(_) = written {
            self.tell_between(job, old, next, now, untold.take()).await;
            if next.outcome.is_some() {
                self.let_go_of_bodies(job, old, next, ttl).await;
            }
        }
        Ok(written)
    }

    /// A success needs its requests no more; a failed job keeps them for a retry, as long as its record. Whoever dies
    /// here leaves bodies to the sweep.
    async fn let_go_of_bodies(&self, job: &JobId, old: &Record, next: &Record, ttl: Duration) {
        let success = next.outcome.as_ref().is_some_and(|outcome| outcome.status == Status::Success);
        for (branch, one) in old.numbered() {
            if !matches!(one.contender.request.body, Body::Stored { .. }) || old.body_of(branch) != branch {
                continue;
            }
            if success {
                self.records.forget_body(job, &old.incarnation, branch).await;
            } else {
                self.keep_body_for(job, old, branch, ttl).await;
            }
        }
    }

    async fn keep_body_for(&self, job: &JobId, record: &Record, branch: BranchId, ttl: Duration) {
        if let Ok(Some(body)) = self.records.body(job, &record.incarnation, branch).await
            && let Err(error) = self.records.put_body(job, &record.incarnation, branch, body, Some(ttl)).await
        {
            tracing::debug!(%error, "a body stays for the sweep");
        }
    }
}
