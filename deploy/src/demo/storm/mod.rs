//! The storm: many jobs at once for a destination with a limit, through Sluice; and beside it, at the same time, as many
//! plain clients that retry by themselves, at its twin.

mod checks;
mod plain;
mod seen;
mod table;

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::{interval, sleep};

pub(super) use checks::check;
use plain::Ended;
pub(super) use plain::TRIES;
pub(super) use seen::StormSeen;
use seen::{Calls, jobs, last};
pub(super) use table::{ideal, table};

use super::cast::{ALLOWED, Cast};
use super::client::Api;
use crate::scripted::{Call, Post};
use crate::show::Show;

/// How many jobs, and how many plain clients.
const JOBS: usize = 200;
/// How long the jobs may take at most.
const WITHIN: Duration = Duration::from_secs(20);
/// How long after the last webhook a second one for a job would still be seen.
const WATCH_ON: Duration = Duration::from_millis(300);
/// Where the outcomes of these jobs go.
const WEBHOOK: &str = "/storm";

/// What the jobs through Sluice came to.
struct Through {
    took: Duration,
    posts: Vec<Post>,
}

/// Runs both sides at the same time.
pub(super) async fn run(api: &Api, cast: &Cast, show: &Show) -> anyhow::Result<StormSeen> {
    let keys: Vec<String> = (1..=JOBS).map(|number| format!("storm-{number:03}")).collect();
    let ended = Ended::default();
    let (url, zero) = (cast.twin.at("/v1/chat/completions"), Instant::now());
    let both = async { tokio::join!(through(api, cast, &keys), plain::run(JOBS, &url, &ended)) };
    let (through, clients) = tokio::select! {
        (through, clients) = both => (through?, clients),
        never = tell(cast, &ended, show, zero) => never,
    };
    show.progress("");
    Ok(StormSeen {
        jobs: cast.limited.look(|calls| jobs(&keys, calls, &through.posts)),
        sluice: cast.limited.look(Calls::of),
        sluice_took: through.took,
        plain: cast.twin.look(Calls::of),
        clients,
    })
}

async fn through(api: &Api, cast: &Cast, keys: &[String]) -> anyhow::Result<Through> {
    let jobs: Vec<Value> = keys.iter().map(|key| job(cast, key)).collect();
    let zero = Instant::now();
    api.submit_all(&jobs).await?;
    // What has not come in time is missing from what is seen.
    let _ = cast.receiver.destination().wait_until(|calls| (told(calls) >= JOBS).then_some(()), WITHIN).await;
    sleep(WATCH_ON).await;
    let posts: Vec<Post> = cast.receiver.all_posts().into_iter().filter(|post| post.call.path == WEBHOOK).collect();
    Ok(Through { took: last(&posts, zero), posts })
}

fn job(cast: &Cast, key: &str) -> Value {
    json!({
        "url": cast.limited.at("/v1/chat/completions"), "method": "POST", "body": "hello", "idempotent_key": key,
        "webhooks": [{ "url": cast.receiver.at(WEBHOOK) }],
    })
}

fn told(calls: &[Call]) -> usize {
    calls.iter().filter(|call| call.path == WEBHOOK && call.status.is_some()).count()
}

/// Says how far both sides are, for as long as they run.
async fn tell(cast: &Cast, ended: &Ended, show: &Show, zero: Instant) -> ! {
    let mut ticks = interval(Duration::from_millis(100));
    loop {
        ticks.tick().await;
        let (sluice, plain) = (cast.limited.look(Calls::of), cast.twin.look(Calls::of));
        let (succeeded, gave_up) = ended.so_far();
        show.progress(&format!(
            "   {:>4.1} s   Sluice: {} of {JOBS}, {} x 429   plain clients: {succeeded} of {JOBS}, {} x 429, {gave_up} gave up",
            zero.elapsed().as_secs_f64(), sluice.succeeded, sluice.answered_429, plain.answered_429,
        ));
    }
}

/// What is about to happen, in words.
pub(super) fn announcement() -> String {
    format!(
        "2. A 429 storm\n\n   {JOBS} requests at once for a destination that allows {ALLOWED} a second and answers 429 above that: as\n   \
         jobs of Sluice; and, at its twin, from {JOBS} plain clients that retry by themselves, {TRIES} tries each.\n"
    )
}
