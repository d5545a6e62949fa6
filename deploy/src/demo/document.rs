//! The demo as data: what `--json` prints.
//!
//! Pure. Times are milliseconds since the submission in the race, seconds in the storm.

use serde_json::{Value, json};

use super::cast::{ALLOWED, PROVIDERS};
use super::race::{self, RaceSeen};
use super::storm::{self, StormSeen};
use crate::show::{millis, seconds};

/// The whole document.
pub(super) fn document(race: &RaceSeen, storm: &StormSeen, failed: &[String]) -> Value {
    json!({ "race": of_race(race), "storm": of_storm(storm), "ok": failed.is_empty(), "failed": failed })
}

fn of_race(seen: &RaceSeen) -> Value {
    let name = |branch: Option<usize>| branch.and_then(|branch| PROVIDERS.get(branch));
    let webhook = seen.webhooks.first().map(|webhook| {
        json!({
            "at_ms": millis(webhook.at), "status": webhook.status, "winner": name(webhook.winner),
            "response_status": webhook.response, "answered": webhook.answered,
        })
    });
    json!({
        "timeline": race::timeline(seen), "winner": name(seen.winner()), "cancelled": race::cancelled(seen),
        "webhook": webhook, "webhooks": seen.webhooks.len(),
    })
}

fn of_storm(seen: &StormSeen) -> Value {
    json!({
        "jobs": seen.jobs.len(),
        "allowed_per_s": ALLOWED,
        "sluice": {
            "calls": seen.sluice.all, "answered_429": seen.sluice.answered_429,
            "seconds": seconds(seen.sluice_took), "ideal_seconds": seconds(storm::ideal(seen.jobs.len(), ALLOWED)),
            "succeeded": seen.succeeded_once(), "webhooks": seen.webhooks(),
        },
        "plain_clients": {
            "calls": seen.plain.all, "answered_429": seen.plain.answered_429, "seconds": seconds(seen.clients.took),
            "succeeded": seen.clients.succeeded, "gave_up": seen.clients.gave_up, "tries_each": storm::TRIES,
        },
    })
}
