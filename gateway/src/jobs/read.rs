//! Reading a job: its record from the leader, and beside it what says where it is right now.
//!
//! Invariant: the record alone says how a job ended; what else cannot be read within a moment is left out.

use std::future::Future;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{join, join_all};
use sluice_shared::clock;
use sluice_shared::domain::event::{self, About, Event};
use sluice_shared::domain::gate::GateState;
use sluice_shared::domain::id::{BranchId, Destination, GateName, JobId, Tenant};
use sluice_shared::domain::record::{Branch, BranchState, Record};
use sluice_shared::nats::read::ReadError;
use sluice_shared::nats::records::Found;
use tokio::time::{Instant, sleep, timeout};
use url::Url;

use super::Jobs;
use super::body::JobBody;
use super::status::{Known, Status};
use super::waiting::{Before, Held, Waiting};

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
        JobBody::new(job, record, &known, &webhooks, clock::now())
    }

    /// Whose job it is, for those who reach the jobs of all tenants.
    ///
    /// # Errors
    /// As `get`.
    pub async fn tenant_of(&self, job: &JobId) -> Result<Tenant, GetError> {
        match self.effects().records().read(job).await? {
            Found::Record(record, _) => Ok(record.tenant),
            Found::Absent => Err(GetError::NotFound),
            Found::Newer(_) | Found::Malformed(_) => Err(GetError::Unreadable),
        }
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
        let (BranchState::Live { attempt, due_at }, None) = (branch.state, &record.outcome) else {
            return Known::default();
        };
        if due_at > clock::now() {
            let by_retry_at = attempt == 1 && due_at == record.starts_at && record.starts_at > record.accepted_at;
            let waiting = Some(Waiting::until(&branch.queue, due_at, by_retry_at));
            return Known { waiting, ..Known::default() };
        }
        let (newest, gates) =
            join(self.newest_event(job, record, About::Branch(number)), self.gate_states(branch)).await;
        let states = gates.iter().map(|(_, state)| state.clone()).collect();
        let known = Known { newest: newest.map(|event| event.what), gates: states, waiting: None };
        if Status::of_attempt(attempt, due_at, &known, clock::now()) == Status::Running {
            return known;
        }
        let waiting = self.waiting(job, record, number, branch, &gates).await;
        Known { waiting: Some(waiting), ..known }
    }

    /// Why a branch is still in its queue.
    async fn waiting(
        &self,
        job: &JobId,
        record: &Record,
        number: BranchId,
        branch: &Branch,
        gates: &[(GateName, GateState)],
    ) -> Waiting {
        let position = self.position(job, record, number, branch, gates, clock::nanos()).await;
        let entry = self.effects().queues().get(&branch.queue);
        let paused = entry.is_some_and(|entry| entry.value.paused_since.is_some());
        let deserted = branch.placed.place.is_deserted(&self.effects().queues().regions().live());
        let before = |(name, state): &(GateName, GateState)| {
            let configured = self.gates().limits_of(name, &state.destination);
            Before { configured, state: state.clone() }
        };
        let mut gates: Vec<Before> = gates.iter().map(before).collect();
        if let (true, Some(to)) = (gates.is_empty(), destination(branch)) {
            // Nothing has gone through it yet.
            let configured = self.gates().limits(&to);
            gates.push(Before { configured, state: GateState::new(to, branch.contender.account.clone()) });
        }
        Waiting::in_queue(&branch.queue, Held { paused, deserted }, &gates, position, clock::now())
    }

    /// The newest event about a branch or a webhook; none where it is lost.
    pub(crate) async fn newest_event(&self, job: &JobId, record: &Record, about: About) -> Option<Event> {
        let nats = self.effects().nats();
        let subject = nats.topology().events_about(&record.tenant, job, &record.incarnation, about);
        let held = within(nats.newest(&nats.topology().events_stream(), &subject)).await??;
        event::read(&held.payload).pop()
    }

    async fn gate_states(&self, branch: &Branch) -> Vec<(GateName, GateState)> {
        let nats = self.effects().nats();
        let bucket = nats.bucket::<GateState>(&nats.topology().gates_bucket());
        let names = self.gate_names(branch);
        let states = join_all(names.iter().map(|name| within(bucket.get(name.as_str())))).await;
        let known = names.into_iter().zip(states);
        known.filter_map(|(name, state)| Some((name, state??.value))).collect()
    }

    /// As the queue's entry says; where there is none, the gate that a new entry would name. With the one that is shared.
    fn gate_names(&self, branch: &Branch) -> Vec<GateName> {
        let Some(to) = destination(branch) else { return Vec::new() };
        let own = match self.effects().queues().get(&branch.queue) {
            Some(entry) => entry.value.gates,
            None => vec![GateName::of(&to, branch.contender.account.as_deref())],
        };
        self.gates().gates_of(&own, &to)
    }
}

/// Where the branch's calls go.
fn destination(branch: &Branch) -> Option<Destination> {
    Destination::of(&Url::parse(&branch.contender.request.url).ok()?)
}

/// What can be read within a moment.
pub(super) async fn within<T, E>(reading: impl Future<Output = Result<T, E>>) -> Option<T> {
    timeout(MOMENT, reading).await.ok()?.ok()
}
