//! The storm as a table: Sluice beside plain clients.
//!
//! Pure.

use std::fmt::Write as _;
use std::time::Duration;

use super::seen::StormSeen;

/// The least time that so many calls take at this rate, the first one going at once.
pub(crate) fn ideal(jobs: usize, per_second: u16) -> Duration {
    let waits = u32::try_from(jobs.saturating_sub(1)).unwrap_or(u32::MAX);
    Duration::from_secs(1) * waits / u32::from(per_second.max(1))
}

/// What was seen, side by side.
pub(crate) fn table(seen: &StormSeen, per_second: u16) -> String {
    let jobs = seen.jobs.len();
    let least = in_seconds(ideal(jobs, per_second));
    let rows = [
        ("requests that succeeded".to_owned(), count(seen.succeeded_once()), count(seen.clients.succeeded)),
        ("requests lost".to_owned(), count(seen.lost()), count(seen.clients.gave_up)),
        ("calls that the destination got".to_owned(), count(seen.sluice.all), count(seen.plain.all)),
        ("calls that it answered 429".to_owned(), count(seen.sluice.answered_429), count(seen.plain.answered_429)),
        ("webhooks received".to_owned(), count(seen.webhooks()), "-".to_owned()),
        (format!("time; {least} is the least for {jobs}"), in_seconds(seen.sluice_took), in_seconds(seen.clients.took)),
    ];
    let mut text = format!("   {:<34}{:>12}{:>18}", "", "Sluice", "plain clients");
    for (what, sluice, plain) in rows {
        let _ = write!(text, "\n   {what:<34}{sluice:>12}{plain:>18}");
    }
    text
}

fn count(number: usize) -> String {
    number.to_string()
}

fn in_seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}
