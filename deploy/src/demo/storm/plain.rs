//! Plain clients: each sends one request and retries by itself, as HTTP client libraries do.
//!
//! They back off as the Python clients of OpenAI and Anthropic do by default: half a second, doubled with each failure up
//! to 8 s, less a random share of up to a quarter. Where those give up after two retries, ours have four.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reqwest::Client;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::seen::Clients;

/// How often each of them sends its request at most.
pub(crate) const TRIES: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
const JITTER: f64 = 0.25;

/// How many have ended, for a view while they run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ended {
    succeeded: Arc<AtomicUsize>,
    gave_up: Arc<AtomicUsize>,
}

impl Ended {
    /// Those that succeeded, and those that gave up.
    pub(crate) fn so_far(&self) -> (usize, usize) {
        (self.succeeded.load(Ordering::Relaxed), self.gave_up.load(Ordering::Relaxed))
    }
}

/// Starts so many at once, and waits until all of them have ended.
pub(crate) async fn run(clients: usize, url: &str, ended: &Ended) -> Clients {
    let (zero, http) = (Instant::now(), Client::new());
    let mut running = JoinSet::new();
    for _ in 0..clients {
        let (http, url, ended) = (http.clone(), url.to_owned(), ended.clone());
        running.spawn(async move {
            let count = if client(&http, &url).await { &ended.succeeded } else { &ended.gave_up };
            count.fetch_add(1, Ordering::Relaxed);
        });
    }
    running.join_all().await;
    let (succeeded, gave_up) = ended.so_far();
    Clients { succeeded, gave_up, took: zero.elapsed() }
}

/// Whether it got its answer.
async fn client(http: &Client, url: &str) -> bool {
    for failures in 0..TRIES {
        if let Some(failed) = failures.checked_sub(1) {
            sleep(pause(failed, rand::random())).await;
        }
        let answer = http.post(url).body("hello").send().await;
        if answer.is_ok_and(|answer| answer.status().is_success()) {
            return true;
        }
    }
    false
}

/// How long it waits after so many failures before the last one; `share` is random from 0 to 1.
fn pause(before: u32, share: f64) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(before)).min(LONGEST_PAUSE);
    doubled.mul_f64(1.0 - JITTER * share.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_eight_seconds_less_a_quarter_at_most() {
        let of = |share: f64| (0..6).map(|before| pause(before, share).as_millis()).collect::<Vec<_>>();
        assert_eq!(of(0.0), [500, 1000, 2000, 4000, 8000, 8000]);
        assert_eq!(of(1.0), [375, 750, 1500, 3000, 6000, 6000]);
    }
}
