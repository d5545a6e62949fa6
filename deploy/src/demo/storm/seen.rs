//! What was seen of the storm: by the two destinations, by the webhook receiver, and by the plain clients themselves.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::scripted::{Call, Post};

/// All of it.
#[derive(Clone, Debug)]
pub(crate) struct StormSeen {
    /// The jobs, by their keys.
    pub(crate) jobs: BTreeMap<String, JobSeen>,
    /// What the destination that Sluice calls saw.
    pub(crate) sluice: Calls,
    /// From the submission to the last webhook.
    pub(crate) sluice_took: Duration,
    /// What the other one saw.
    pub(crate) plain: Calls,
    /// How the plain clients ended.
    pub(crate) clients: Clients,
}

/// How one job was seen to end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct JobSeen {
    /// Its calls that the destination answered with success.
    pub(crate) successes: usize,
    /// Its webhooks, whatever they say.
    pub(crate) webhooks: usize,
    /// Those that say that it succeeded.
    pub(crate) told_success: usize,
}

/// The calls that a destination saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Calls {
    /// All of them.
    pub(crate) all: usize,
    /// Those that were above its limit.
    pub(crate) answered_429: usize,
    /// Those that were answered with success.
    pub(crate) succeeded: usize,
}

/// How the plain clients ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Clients {
    /// They have their answer.
    pub(crate) succeeded: usize,
    /// They have no try left; what they had done is lost.
    pub(crate) gave_up: usize,
    /// Until the last of them had ended.
    pub(crate) took: Duration,
}

impl Calls {
    /// Counted from what a destination recorded.
    pub(crate) fn of(calls: &[Call]) -> Self {
        let with = |wanted: u16| calls.iter().filter(|call| call.status == Some(wanted)).count();
        Self { all: calls.len(), answered_429: with(429), succeeded: with(200) }
    }
}

impl StormSeen {
    /// Jobs that were executed with success exactly once.
    pub(crate) fn succeeded_once(&self) -> usize {
        self.jobs.values().filter(|job| job.successes == 1).count()
    }

    /// Jobs that were not executed with success.
    pub(crate) fn lost(&self) -> usize {
        self.jobs.values().filter(|job| job.successes == 0).count()
    }

    /// All webhooks.
    pub(crate) fn webhooks(&self) -> usize {
        self.jobs.values().map(|job| job.webhooks).sum()
    }

    /// Jobs whose one webhook says that they succeeded.
    pub(crate) fn told_once(&self) -> usize {
        self.jobs.values().filter(|job| job.webhooks == 1 && job.told_success == 1).count()
    }
}

/// What became of each job, by its key, from what destination and receiver recorded.
pub(crate) fn jobs(keys: &[String], calls: &[Call], posts: &[Post]) -> BTreeMap<String, JobSeen> {
    let mut jobs: BTreeMap<String, JobSeen> = keys.iter().map(|key| (key.clone(), JobSeen::default())).collect();
    for call in calls.iter().filter(|call| call.status == Some(200)) {
        if let Some(job) = call.header("idempotency-key").and_then(|key| jobs.get_mut(key)) {
            job.successes += 1;
        }
    }
    for post in posts {
        if let Some(job) = post.payload["idempotent_key"].as_str().and_then(|key| jobs.get_mut(key)) {
            job.webhooks += 1;
            job.told_success += usize::from(post.payload["status"] == "success");
        }
    }
    jobs
}

/// When the last of these posts came.
pub(crate) fn last(posts: &[Post], zero: Instant) -> Duration {
    posts.iter().map(|post| post.call.at.saturating_duration_since(zero)).max().unwrap_or_default()
}
