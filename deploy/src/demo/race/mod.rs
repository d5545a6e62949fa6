//! The race: one job with a chain of fallbacks, submitted to the gateway, followed from all sides until it is over and
//! for as long as a loser might still be called.

mod checks;
mod seen;
mod timeline;

#[cfg(test)]
mod tests;

use std::future::pending;
use std::pin::pin;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use sluice_shared::domain::event::Event;
use tokio::time::timeout;

pub(crate) use seen::RaceSeen;
use seen::{Exchange, Webhook};
pub(crate) use timeline::{cancelled, timeline};

use super::cast::{Cast, PROVIDERS, RETRY_AFTER};
use super::client::Api;
use super::expect::Expectations;
use crate::show::{Show, millis};

/// How long openai may be silent before anthropic contends.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long the race may take at most.
const WITHIN: Duration = Duration::from_secs(8);
/// How long after the time at which openrouter would be tried again everybody is watched.
const WATCH_ON: Duration = Duration::from_millis(300);
/// How often everybody is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Runs the race and shows its timeline as it grows.
pub(super) async fn run(api: &Api, cast: &Cast, show: &Show) -> anyhow::Result<RaceSeen> {
    let zero = Instant::now();
    let job = api.submit(&job(cast)).await?;
    let receipt = zero.elapsed();
    let mut events = pin!(api.events(&job).await?.fuse());
    let mut told: Vec<Event> = Vec::new();
    let mut shown = 0;
    loop {
        let news = async {
            while let Some(event) = events.next().await {
                told.push(event?);
            }
            // After the last event there is still something to look at.
            pending().await
        };
        if let Ok(broken) = timeout(LOOK_EVERY, news).await {
            return broken;
        }
        let now = zero.elapsed();
        let mut seen = look(cast, &job, zero, receipt, told.clone());
        seen.watched = is_over(&seen, now).then_some(now);
        shown = show_new(show, &seen, shown, now);
        if seen.watched.is_some() {
            return Ok(seen);
        }
    }
}

/// Holds what was seen against what should have happened.
pub(super) fn check(seen: &RaceSeen, expected: &mut Expectations) {
    checks::check(seen, PATIENCE, expected);
}

/// The article's job: a chain of fallbacks, one for 429 and 500, one for silence.
fn job(cast: &Cast) -> Value {
    let [openrouter, openai, anthropic] = &cast.providers;
    let body = json!({ "model": "anthropic/claude-3.5-sonnet", "messages": [{ "role": "user", "content": "hello" }] });
    json!({
        "url": openrouter.at("/api/v1/chat/completions"), "method": "POST", "body": body,
        "metadata": { "workflow_id": "demo", "step": 7 },
        "webhooks": [{ "url": cast.receiver.at("/langgraph-resume") }],
        "fallback_job": {
            "url": openai.at("/v1/chat/completions"), "method": "POST", "body": body,
            "trigger": { "type": "on_error", "codes": [429, 500] },
            "fallback_job": {
                "url": anthropic.at("/v1/messages"), "method": "POST", "body": body,
                "trigger": { "type": "on_timeout", "timeout_ms": millis(PATIENCE) },
            },
        },
    })
}

fn look(cast: &Cast, job: &str, zero: Instant, receipt: Duration, events: Vec<Event>) -> RaceSeen {
    RaceSeen {
        receipt,
        providers: cast
            .providers
            .each_ref()
            .map(|provider| provider.look(|calls| calls.iter().map(|call| Exchange::of(call, zero)).collect())),
        events,
        webhooks: cast.receiver.posts(job).iter().map(|post| Webhook::of(post, zero)).collect(),
        watched: None,
    }
}

/// Whether all that should come has come, and all that should not would have.
fn is_over(seen: &RaceSeen, now: Duration) -> bool {
    let told = seen.webhooks.iter().any(|webhook| webhook.answered.is_some());
    if seen.settled().is_none() || !told {
        return now >= WITHIN;
    }
    let answers = seen.providers.iter().flatten().filter_map(|call| call.answer);
    let limited = answers.filter(|(_, status)| *status == 429).map(|(at, _)| at).max().unwrap_or_default();
    now >= limited + Duration::from_secs(RETRY_AFTER) + WATCH_ON
}

fn show_new(show: &Show, seen: &RaceSeen, shown: usize, now: Duration) -> usize {
    let lines = timeline(seen);
    let ready = timeline::ready(&lines, seen, now).max(shown);
    for line in lines.iter().take(ready).skip(shown) {
        show.line(&format!("{:>7} ms  {:<10}  {}", millis(line.at), line.who, line.what));
    }
    ready
}

/// What is about to happen, in words.
pub(super) fn announcement() -> String {
    let [first, second, third] = PROVIDERS;
    format!(
        "1. A race\n\n   One job: ask {first}. If it answers 429 or 500, ask {second} at once and try {first} again.\n   \
         If {second} is silent for {patience} s, ask {third} too. The first good answer wins; others are cancelled.\n",
        patience = PATIENCE.as_secs()
    )
}
