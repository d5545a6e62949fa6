//! A receiver of webhooks: keeps their payloads by job, and answers them as told.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

use super::call::{Call, NotSeen};
use super::destination::Destination;
use super::rule::{Rule, nth};
use super::script::Script;

const PATH: &str = "/webhook";

/// One webhook as it was posted. Shown without its payload.
#[derive(Clone)]
pub struct Post {
    /// The call, with its times and headers.
    pub call: Call,
    /// Its JSON; null where it was none.
    pub payload: Value,
}

impl std::fmt::Debug for Post {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.call.fmt(f)
    }
}

impl Post {
    fn of(call: &Call) -> Self {
        Self { call: call.clone(), payload: call.json().cloned().unwrap_or_default() }
    }
}

/// A server on loopback that takes webhooks. Answers 200 where nothing else is said; stops when it is dropped.
pub struct WebhookReceiver {
    destination: Destination,
}

impl WebhookReceiver {
    /// Starts one on a free port.
    ///
    /// # Errors
    /// Where no port can be had.
    pub async fn start() -> io::Result<Self> {
        Ok(Self { destination: Destination::start().await? })
    }

    /// The URL to give as a webhook's.
    #[must_use]
    pub fn url(&self) -> String {
        self.destination.at(PATH)
    }

    /// A URL with a path of its own, for several webhooks of one job.
    #[must_use]
    pub fn at(&self, path: &str) -> String {
        self.destination.at(path)
    }

    /// What every job's webhooks are answered: the first post of a job the first, and so on; the last one stays.
    pub fn answer(&self, scripts: impl IntoIterator<Item = Script>) -> &Self {
        let scripts: Vec<Script> = scripts.into_iter().collect();
        let posts: Arc<Mutex<HashMap<Option<String>, usize>>> = Arc::default();
        let rule = Rule::choose(move |call, _| {
            let mut posts = posts.lock().unwrap_or_else(PoisonError::into_inner);
            let seen = posts.entry(job_id(call).map(str::to_owned)).or_default();
            let script = nth(&scripts, *seen);
            *seen += 1;
            script
        });
        self.destination.on("*", rule);
        self
    }

    /// The destination beneath, for rules by path and all that it saw.
    #[must_use]
    pub fn destination(&self) -> &Destination {
        &self.destination
    }

    /// What was posted for a job, in the order of arrival.
    #[must_use]
    pub fn posts(&self, job: &str) -> Vec<Post> {
        self.destination.look(|calls| of_job(calls, job).map(Post::of).collect())
    }

    /// Everything that was posted.
    #[must_use]
    pub fn all_posts(&self) -> Vec<Post> {
        self.destination.look(|calls| calls.iter().map(Post::of).collect())
    }

    /// Waits for the first post for a job, answered or not.
    ///
    /// # Errors
    /// Where none comes within this time.
    pub async fn wait_for_job(&self, job: &str, within: Duration) -> Result<Post, NotSeen> {
        self.destination.wait_until(|calls| of_job(calls, job).next().map(Post::of), within).await
    }

    /// Waits until there are so many posts for a job, and gives them.
    ///
    /// # Errors
    /// Where there are fewer after this time.
    pub async fn wait_for_posts(&self, job: &str, posts: usize, within: Duration) -> Result<Vec<Post>, NotSeen> {
        let enough = |calls: &[Call]| {
            let found: Vec<Post> = of_job(calls, job).map(Post::of).collect();
            (found.len() >= posts).then_some(found)
        };
        self.destination.wait_until(enough, within).await
    }
}

fn job_id(call: &Call) -> Option<&str> {
    call.json()?.get("job_id")?.as_str()
}

fn of_job<'a>(calls: &'a [Call], job: &str) -> impl Iterator<Item = &'a Call> {
    calls.iter().filter(move |call| job_id(call) == Some(job))
}
