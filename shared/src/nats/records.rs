//! The records of all jobs: created once, then changed only by compare-and-swap; what is read is never behind.
//!
//! A pending record has no TTL; settlement writes it. Every revision says in its headers whether the job is pending or
//! settled, so that a sweep can tell without the payload. The request bodies that are too large for a record are here too.

use std::time::Duration;

use async_nats::HeaderMap;
use bytes::Bytes;

use super::Nats;
use super::bucket::Written;
use super::publish::{EXPECTED_LAST, PublishError, TTL};
use super::read::ReadError;
use crate::domain::id::{BranchId, Incarnation, JobId};
use crate::domain::record::Record;
use crate::topology::Topology;
use crate::wire::{self, Unreadable};

/// The header that tells a sweep whether a record is pending or settled.
pub const STATE: &str = "Sluice-State";

/// What stands under a job's name.
#[derive(Clone, Debug)]
pub enum Found {
    /// Nothing: never there, or settled and forgotten.
    Absent,
    /// A record, and the revision that a swap compares.
    Record(Box<Record>, u64),
    /// A record of a newer version of this program: leave it to someone newer.
    Newer(u8),
    /// Bytes that no version wrote.
    Malformed(String),
}

/// The records of all jobs. Cheap to clone.
#[derive(Clone)]
pub struct Records {
    nats: Nats,
}

impl Records {
    pub(super) fn new(nats: Nats) -> Self {
        Self { nats }
    }

    /// The record of a job, never one that is behind.
    ///
    /// # Errors
    /// Where the broker does not answer.
    pub async fn read(&self, job: &JobId) -> Result<Found, ReadError> {
        let bucket = self.nats.topology().records_bucket_of(job);
        let key = Topology::key(&bucket, job.as_str());
        let Some(held) = self.nats.entry(&Topology::stream_of(&bucket), &key).await? else {
            return Ok(Found::Absent);
        };
        Ok(match wire::decode::<Record>(&held.payload) {
            Ok(record) => Found::Record(Box::new(record), held.sequence),
            Err(Unreadable::Newer(version)) => Found::Newer(version),
            Err(Unreadable::Malformed(why)) => Found::Malformed(why),
        })
    }

    /// Writes the record of a job that has none.
    ///
    /// # Errors
    /// Where the broker has no room or will not take it.
    pub async fn create(&self, job: &JobId, record: &Record) -> Result<Written, PublishError> {
        self.write(job, record, 0, None).await
    }

    /// Writes the record of a job that is at this revision. A settled record is given the time it is kept for.
    ///
    /// # Errors
    /// Where the broker has no room or will not take it.
    pub async fn swap(
        &self,
        job: &JobId,
        record: &Record,
        revision: u64,
        settled_ttl: Duration,
    ) -> Result<Written, PublishError> {
        self.write(job, record, revision, record.outcome.is_some().then_some(settled_ttl)).await
    }

    async fn write(
        &self,
        job: &JobId,
        record: &Record,
        revision: u64,
        ttl: Option<Duration>,
    ) -> Result<Written, PublishError> {
        let bucket = self.nats.topology().records_bucket_of(job);
        let mut headers = HeaderMap::new();
        headers.insert(EXPECTED_LAST, revision.to_string());
        headers.insert(STATE, if record.outcome.is_some() { "settled" } else { "pending" });
        if let Some(ttl) = ttl {
            headers.insert(TTL, format!("{}s", ttl.as_secs().max(1)));
        }
        match self.nats.publish(Topology::key(&bucket, job.as_str()), headers, wire::encode(record)).await {
            Ok(stored) => Ok(Written::At(stored.sequence)),
            Err(PublishError::Behind) => Ok(Written::Changed),
            Err(PublishError::BeingWritten | PublishError::NotTaken | PublishError::Unknown) => Ok(Written::Unknown),
            Err(error @ (PublishError::NoRoom(_) | PublishError::TooLarge { .. } | PublishError::Refused(_))) => {
                Err(error)
            }
        }
    }

    /// Stores a request body that is too large for the record. Repeating it is harmless.
    ///
    /// # Errors
    /// Where it may not have been stored.
    pub async fn put_body(
        &self,
        job: &JobId,
        incarnation: &Incarnation,
        branch: BranchId,
        body: Bytes,
        ttl: Option<Duration>,
    ) -> Result<(), PublishError> {
        let mut headers = HeaderMap::new();
        if let Some(ttl) = ttl {
            headers.insert(TTL, format!("{}s", ttl.as_secs().max(1)));
        }
        self.nats.publish(self.body_key(job, incarnation, branch), headers, body).await.map(|_| ())
    }

    /// A request body from any replica, from the leader where that one does not have it yet; `None` where it is gone.
    ///
    /// # Errors
    /// Where the broker does not answer.
    pub async fn body(
        &self,
        job: &JobId,
        incarnation: &Incarnation,
        branch: BranchId,
    ) -> Result<Option<Bytes>, ReadError> {
        let stream = Topology::stream_of(&self.nats.topology().bodies_bucket());
        let key = self.body_key(job, incarnation, branch);
        if !self.nats.topology().has_one_copy()
            && let Ok(near) = self.nats.jetstream().get_stream_no_info(&stream).await
            && let Ok(message) = near.direct_get_last_for_subject(key.clone()).await
        {
            return Ok(Some(message.payload));
        }
        Ok(self.nats.entry(&stream, &key).await?.map(|held| held.payload))
    }

    /// Forgets a request body. What cannot be removed now is left to the sweep.
    pub async fn forget_body(&self, job: &JobId, incarnation: &Incarnation, branch: BranchId) {
        let stream = Topology::stream_of(&self.nats.topology().bodies_bucket());
        let held = match self.nats.entry(&stream, &self.body_key(job, incarnation, branch)).await {
            Ok(Some(held)) => held,
            Ok(None) => return,
            Err(error) => return tracing::debug!(%error, "a body stays for the sweep"),
        };
        let Ok(stream) = self.nats.jetstream().get_stream_no_info(&stream).await else { return };
        if let Err(error) = stream.delete_message(held.sequence).await {
            tracing::debug!(%error, "a body stays for the sweep");
        }
    }

    fn body_key(&self, job: &JobId, incarnation: &Incarnation, branch: BranchId) -> String {
        Topology::key(&self.nats.topology().bodies_bucket(), &format!("{job}.{incarnation}.{branch}"))
    }
}
