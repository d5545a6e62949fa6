//! Whom the jobs of the load call and where their outcomes go: scripted, on loopback, each answer with a body of its own,
//! so that two outcomes of a job differ.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::scripted::{Call, Destination, Rule, Script, WebhookReceiver};

/// Of so many jobs the first webhook is refused once.
const REFUSED: usize = 25;
/// Of so many calls to the destination with a limit one is answered 429.
const LIMITED: usize = 20;

/// Everybody but Sluice.
pub struct Cast {
    /// The destination of most jobs.
    pub main: Destination,
    /// That of fallbacks.
    pub other: Destination,
    /// One that answers 429 now and then, with Retry-After: its gate closes each time.
    pub limited: Destination,
    /// Where outcomes go.
    pub receiver: WebhookReceiver,
    told: Told,
}

/// When the first webhook of each job was taken, by its key.
type Told = Arc<Mutex<HashMap<String, Instant>>>;

impl Cast {
    /// Starts all of them.
    ///
    /// # Errors
    /// Where there is no free port.
    pub async fn start() -> io::Result<Self> {
        let (main, other, limited) =
            (Destination::start().await?, Destination::start().await?, Destination::start().await?);
        main.on("/fast", answers(Duration::ZERO, 0)).on("/slow", answers(Duration::from_millis(700), 0));
        main.on("/flaky", answers(Duration::from_millis(20), 4)).on("/race", answers(Duration::from_millis(300), 2));
        other.on("*", answers(Duration::from_millis(50), 0));
        limited.on("*", limit());
        let (receiver, told) = (WebhookReceiver::start().await?, Told::default());
        receiver.destination().on("*", hear(Arc::clone(&told)));
        Ok(Self { main, other, limited, receiver, told })
    }

    /// The job of this number: quick ones, slow ones, some whose first attempts
    /// fail, some that have a fallback, and some for the destination with a limit.
    #[must_use]
    pub fn job(&self, number: usize) -> Value {
        let url = match number % 20 {
            0..=9 => self.main.at("/fast"),
            10..=12 => self.main.at("/slow"),
            13..=15 => self.main.at("/flaky"),
            16..=18 => self.main.at("/race"),
            _ => self.limited.at("/limited"),
        };
        let webhooks = json!([{"url": self.receiver.url()}]);
        let mut job = json!({"url": url, "method": "POST", "idempotent_key": key(number), "webhooks": webhooks});
        let trigger = match number % 20 {
            16 => Some(json!({"type": "on_error", "codes": [429, 500]})),
            17 | 18 => Some(json!({"type": "on_timeout", "timeout_ms": 150})),
            _ => None,
        };
        if let Some(trigger) = trigger {
            job["fallback_job"] = json!({"url": self.other.at("/race"), "method": "POST", "trigger": trigger});
        }
        job
    }

    /// Every call of every destination.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        [&self.main, &self.other, &self.limited].into_iter().flat_map(Destination::all_calls).collect()
    }

    /// When the first webhook of each job was taken, by its key.
    #[must_use]
    pub fn told(&self) -> HashMap<String, Instant> {
        lock(&self.told).clone()
    }

    /// How many jobs have had their webhook taken.
    #[must_use]
    pub fn told_count(&self) -> usize {
        lock(&self.told).len()
    }
}

/// The key of the job of this number.
#[must_use]
pub fn key(number: usize) -> String {
    format!("key-{number}")
}

/// After `delay`: every `bad`th time 500, else 200.
fn answers(delay: Duration, bad: usize) -> Rule {
    Rule::choose(move |_, seen| {
        let refuses = bad > 0 && seen % bad == bad - 1;
        Script::answer(if refuses { 500 } else { 200 }).after(delay).body(format!("answer {seen}"))
    })
}

/// Now and then 429, to wait for a second.
fn limit() -> Rule {
    Rule::choose(|_, seen| {
        if seen % LIMITED == LIMITED - 1 {
            return Script::answer(429).header("retry-after", 1);
        }
        Script::answer(200).body(format!("answer {seen}"))
    })
}

/// Takes webhooks, but for the first post of some jobs.
fn hear(told: Told) -> Rule {
    let refused = Mutex::new(HashSet::new());
    Rule::choose(move |call, _| {
        let key = call.json().and_then(|payload| payload["idempotent_key"].as_str()).unwrap_or_default().to_owned();
        let number: Option<usize> = key.strip_prefix("key-").and_then(|number| number.parse().ok());
        if number.is_some_and(|number| number % REFUSED == 0 && lock(&refused).insert(number)) {
            return Script::answer(500);
        }
        lock(&told).entry(key).or_insert_with(Instant::now);
        Script::answer(200)
    })
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
