//! Which jobs that this worker is at have ended elsewhere: told by core NATS, without promise.
//!
//! One subscription for the process. A branch is registered before its record is first read, so the end of its job is
//! either read there or told here. After a reconnect everybody is told to look, because something may have been missed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use sluice_shared::domain::id::JobId;
use sluice_shared::nats::Nats;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The pause before subscribing again.
const AGAIN: Duration = Duration::from_millis(100);

/// Who waits for the end of which job. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Settlements {
    jobs: Arc<Mutex<HashMap<JobId, watch::Sender<()>>>>,
}

/// The wish to know when a job ends. Dropping it takes it back.
pub(crate) struct Watched {
    settlements: Settlements,
    job: JobId,
    told: watch::Receiver<()>,
}

impl Settlements {
    /// Registers interest in a job.
    pub(crate) fn watch(&self, job: &JobId) -> Watched {
        let told = self.lock().entry(job.clone()).or_insert_with(|| watch::Sender::new(())).subscribe();
        Watched { settlements: self.clone(), job: job.clone(), told }
    }

    fn tell(&self, job: &str) {
        let jobs = self.lock();
        if let Some(one) = job.parse().ok().and_then(|job: JobId| jobs.get(&job)) {
            one.send_replace(());
        }
    }

    fn tell_all(&self) {
        for one in self.lock().values() {
            one.send_replace(());
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<JobId, watch::Sender<()>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes on what is announced until told to stop.
    pub(crate) async fn follow(self, nats: Nats, stop: CancellationToken) {
        let subject = nats.topology().settled_any();
        let start = subject.trim_end_matches('*').len();
        while !stop.is_cancelled() {
            let mut connections = nats.connections();
            match nats.client().subscribe(subject.clone()).await {
                Ok(mut announced) => loop {
                    tokio::select! {
                        () = stop.cancelled() => return,
                        _ = connections.changed() => self.tell_all(),
                        message = announced.next() => match message {
                            Some(message) => self.tell(message.subject.get(start..).unwrap_or_default()),
                            None => break,
                        },
                    }
                },
                Err(error) => tracing::debug!(%error, "ended jobs are not told of, subscribing again"),
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}

impl Watched {
    /// Resolves when the job may have ended: the record says whether it has.
    pub(crate) async fn told(&mut self) {
        if self.told.changed().await.is_err() {
            std::future::pending::<()>().await; // cannot be: the sender is kept for as long as this is
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let mut jobs = self.settlements.lock();
        // This one still counts.
        if jobs.get(&self.job).is_some_and(|one| one.receiver_count() <= 1) {
            jobs.remove(&self.job);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a name that does not parse fails the test")]

    use super::*;

    #[tokio::test]
    async fn whoever_watches_a_job_is_told_and_nothing_is_kept_of_it_afterwards() {
        let settlements = Settlements::default();
        let (a, b): (JobId, JobId) = ("job_a".parse().unwrap(), "job_b".parse().unwrap());
        let (mut first, mut second, other) = (settlements.watch(&a), settlements.watch(&a), settlements.watch(&b));
        settlements.tell("job_a");
        settlements.tell("job_unknown");
        first.told().await;
        second.told().await;
        assert!(!other.told.has_changed().unwrap());
        drop(first);
        assert_eq!(settlements.lock().len(), 2);
        drop((second, other));
        assert!(settlements.lock().is_empty());
    }
}
