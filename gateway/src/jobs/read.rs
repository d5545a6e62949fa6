//! Reading a job: its record from the leader, and beside it what says where it is right now.
//!
//! Invariant: the record alone says how a job ended; what else cannot be read within a moment is left out.

use std::future::Future;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{join, join_all};
use sluice_shared::clock;
use sluice_shared::domain::event::{About, Event};
use sluice_shared::domain::gate::GateState;
use sluice_shared::domain::id::{BranchId, Destination, GateName, JobId, Tenant};
use sluice_shared::domain::record::{Branch, BranchState, Record};
use sluice_shared::nats::read::ReadError;
use sluice_shared::nats::records::Found;
use tokio::time::{Instant, sleep, timeout};
use url::Url;

use super::Jobs;
use super::body::JobBody;
use super::status::Known;

/// How long what is not the record may take to be read.
const MOMENT: Duration = Duration::from_millis(500);
/// How often who waits reads again, in case the word of a job's end was lost.
pub(super) const READ_AGAIN: Duration = Duration::from_secs(5);

/// Why a job cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum GetError {
    /// There is no such job of this tenant, or it ended so long ago that it is forgotten.
    #[error("there is no such job; jobs that have ended are kept for a limited time")]
    NotFound,
    /// The broker does not answer: ask again.
    #[error("the broker did not answer in time: ask again")]
    Unavailable(#[from] ReadError),
    /// Its record cannot be read by this program.
    #[error("the job's record cannot be read by this version")]
    Unreadable,
}

impl Jobs {
    /// A job of this tenant as it is now.
    ///
    /// # Errors
    /// Where there is no such job, or the broker does not answer.
    pub async fn get(&self, tenant: &Tenant, job: &JobId) -> Result<JobBody, GetError> {
        let record = self.record(tenant, job).await?;
        Ok(self.describe(job, &record).await)
    }

    /// The same, but not before the job has ended or this time is over. Dropping it frees all it holds.
    ///
    /// # Errors
    /// As `get`.
    pub async fn wait(&self, tenant: &Tenant, job: &JobId, at_most: Duration) -> Result<JobBody, GetError> {
        let until = Instant::now() + at_most;
        // Before the first read, so that no end is missed between the two.
        let subject = self.effects().nats().topology().settled_event(tenant, job);
        let settled = self.effects().nats().client().subscribe(subject).await;
        let mut settled = settled.map_err(|_| GetError::Unavailable(ReadError::NoAnswer))?;
        loop {
            let record = self.record(tenant, job).await?;
            let left = until.saturating_duration_since(Instant::now());
            if record.outcome.is_some() || left.is_zero() {
                return Ok(self.describe(job, &record).await);
            }
            tokio::select! {
                Some(_) = settled.next() => {}
                () = sleep(left.min(READ_AGAIN)) => {}
            }
        }
    }

    /// The job of a record that was just read.
    pub async fn describe(&self, job: &JobId, record: &Record) -> JobBody {
        let known = join_all(record.numbered().map(|(number, branch)| self.known(job, record, number, branch)));
        let (known, webhooks) = join(known, self.webhooks(job, record)).await;
        JobBody::new(job, record, &known, webhooks, clock::now())
    }

    /// The record of a job of this tenant; a foreign one is not found.
    pub(super) async fn record(&self, tenant: &Tenant, job: &JobId) -> Result<Box<Record>, GetError> {
        match self.effects().records().read(job).await? {
            Found::Record(record, _) if record.tenant == *tenant => Ok(record),
            Found::Record(..) | Found::Absent => Err(GetError::NotFound),
            Found::Newer(_) | Found::Malformed(_) => Err(GetError::Unreadable),
        }
    }

    /// What is known of a branch; looked up only where its status depends on it.
    async fn known(&self, job: &JobId, record: &Record, number: BranchId, branch: &Branch) -> Known {
        let waits = matches!(branch.state, BranchState::Live { due_at, .. } if due_at <= clock::now());
        if record.outcome.is_some() || !waits {
            return Known::default();
        }
        let (newest, gates) = join(self.newest_event(job, record, About::Branch(number)), self.gates(branch)).await;
        Known { newest: newest.map(|event| event.what), gates }
    }

    /// The newest event about a branch or a webhook; none where it is lost.
    pub(super) async fn newest_event(&self, job: &JobId, record: &Record, about: About) -> Option<Event> {
        let nats = self.effects().nats();
        let subject = nats.topology().events_about(&record.tenant, job, &record.incarnation, about);
        let held = within(nats.newest(&nats.topology().events_stream(), &subject)).await??;
        serde_json::from_slice(&held.payload).ok()
    }

    async fn gates(&self, branch: &Branch) -> Vec<GateState> {
        let nats = self.effects().nats();
        let bucket = nats.bucket::<GateState>(&nats.topology().gates_bucket());
        let names = self.gate_names(branch);
        let states = join_all(names.iter().map(|name| within(bucket.get(name.as_str())))).await;
        states.into_iter().flatten().flatten().map(|entry| entry.value).collect()
    }

    /// As the queue's entry says; where there is none, the gate that a new entry would name.
    fn gate_names(&self, branch: &Branch) -> Vec<GateName> {
        if let Some(entry) = self.effects().queues().get(&branch.queue) {
            return entry.value.gates;
        }
        let url = Url::parse(&branch.contender.request.url).ok();
        let destination = url.as_ref().and_then(Destination::of);
        let name = |to: Destination| GateName::of(&to, branch.contender.account.as_deref());
        destination.map(name).into_iter().collect()
    }
}

/// What can be read within a moment.
pub(super) async fn within<T, E>(reading: impl Future<Output = Result<T, E>>) -> Option<T> {
    timeout(MOMENT, reading).await.ok()?.ok()
}
