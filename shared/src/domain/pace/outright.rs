//! Calls a second and calls in flight, said outright: `X-Aqueduct-*` and `X-EZTHROTTLE-*`, the wire of those services.
//!
//! `-Rps` is a rate, also below one (0.5 is one call in two seconds), `-Max-Concurrent` calls in flight. What Aqueduct says
//! counts first. It counts for a day after an answer has said it, or until something else is said.
//! `-Account-Queue` is `enabled` where the limits are those of each account, told by the credential, and else `disabled`.

use std::time::Duration;

use super::Pace;
use super::headers::Headers;
use crate::domain::gate::Pacing;

/// How long it counts.
const COUNTS: Duration = Duration::from_secs(24 * 3600);

const RATES: [&str; 2] = ["x-aqueduct-rps", "x-ezthrottle-rps"];
const CONCURRENCIES: [&str; 2] = ["x-aqueduct-max-concurrent", "x-ezthrottle-max-concurrent"];

const ACCOUNTS: [&str; 2] = ["x-aqueduct-account-queue", "x-ezthrottle-account-queue"];

pub(super) fn read(headers: &Headers<'_>, pace: &mut Pace) {
    let rate = RATES.iter().find_map(|name| Some((*name, headers.number(name).filter(|rate| *rate > 0.0)?)));
    let concurrency = CONCURRENCIES.iter().find_map(|name| {
        let calls: u32 = headers.get(name)?.parse().ok()?;
        (calls > 0).then_some((*name, calls))
    });
    pace.by_account = ACCOUNTS.iter().find_map(|name| {
        let said = headers.get(name)?;
        [("enabled", true), ("disabled", false)]
            .iter()
            .find(|(word, _)| said.eq_ignore_ascii_case(word))
            .map(|(_, is)| *is)
    });
    let source = rate.map(|(name, _)| name).or(concurrency.map(|(name, _)| name));
    pace.pacing = source.map(|source| Pacing {
        rate: rate.map(|(_, rate)| rate),
        concurrency: concurrency.map(|(_, calls)| calls),
        source: source.to_owned(),
        valid_for: Some(COUNTS),
    });
}
