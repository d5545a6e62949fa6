//! What the headers of an answer say about how fast its destination may be called, and when it may be called again.
//!
//! Pure. Owns the reading of headers; what a gate does with it is in `gate`. Invariant: a header that cannot be read, or
//! names a time that is past, says nothing.
//!
//! Sources: `Retry-After` RFC 9110, section 10.2.3; `RateLimit-*` draft-ietf-httpapi-ratelimit-headers-07, and the
//! `X-RateLimit-*` headers that it grew from; `X-EZTHROTTLE-*`, `X-Aqueduct-*` the wire of those services.

use std::time::{Duration, UNIX_EPOCH};

use super::classify::TOO_MANY_REQUESTS;
use super::gate::Pacing;
use crate::clock::Millis;

/// The status that may come with a time to try again (RFC 9110, section 15.6.4).
const UNAVAILABLE: u16 = 503;
/// A reset of this many seconds or more is a date in seconds since the epoch, not a time from now.
const DATE_SECONDS: f64 = 1e9;
/// The same for a date in milliseconds.
const DATE_MILLIS: f64 = 1e12;

const RESETS: [&str; 3] = ["ratelimit-reset", "x-ratelimit-reset", "x-rate-limit-reset"];
const REMAINING: [&str; 3] = ["ratelimit-remaining", "x-ratelimit-remaining", "x-rate-limit-remaining"];
const RATES: [&str; 2] = ["x-aqueduct-rps", "x-ezthrottle-rps"];
const CONCURRENCIES: [&str; 2] = ["x-aqueduct-max-concurrent", "x-ezthrottle-max-concurrent"];

/// What the headers of an answer say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pace {
    /// Not before this moment, said outright.
    pub retry_after: Option<Millis>,
    /// When the destination's count starts anew.
    pub reset: Option<Millis>,
    /// Whether nothing is left until then.
    pub exhausted: bool,
    /// How fast the destination wants to be called.
    pub pacing: Option<Pacing>,
}

/// Whether and until when an answer closes its gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closes {
    /// It does not.
    Not,
    /// It does, nobody said for how long.
    ForNow,
    /// It does, until this moment.
    Until(Millis),
}

impl Pace {
    /// Reads the headers, whose names are in lower case, of an answer that came at `now`.
    #[must_use]
    pub fn read(headers: &[(String, String)], now: Millis) -> Self {
        let headers = Headers(headers);
        let remaining = headers.number(&REMAINING).map(|(_, number)| number);
        Self {
            retry_after: headers.retry_after(now),
            reset: headers.number(&RESETS).and_then(|(_, number)| moment(number, now)),
            exhausted: remaining.is_some_and(|left| left < 1.0),
            pacing: headers.pacing(),
        }
    }

    /// What an answer of this status does to its gate: a 429 always closes it, a 503 with a time too, and any answer that
    /// says that nothing is left.
    #[must_use]
    pub fn closes(&self, status: u16) -> Closes {
        let said = match status {
            TOO_MANY_REQUESTS => self.retry_after.or(self.reset),
            UNAVAILABLE => self.retry_after,
            _ => None,
        };
        match said.or(self.reset.filter(|_| self.exhausted)) {
            Some(until) => Closes::Until(until),
            None if status == TOO_MANY_REQUESTS => Closes::ForNow,
            None => Closes::Not,
        }
    }
}

/// Headers of an answer.
struct Headers<'a>(&'a [(String, String)]);

impl<'a> Headers<'a> {
    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.trim())
    }

    /// The first of these that has a number that is not negative, and its name.
    fn number(&self, names: &[&'static str]) -> Option<(&'static str, f64)> {
        names.iter().find_map(|name| Some((*name, positive(self.get(name)?)?)))
    }

    fn retry_after(&self, now: Millis) -> Option<Millis> {
        if let Some(millis) = self.get("retry-after-ms").and_then(positive) {
            return later(now, millis / 1_000.0);
        }
        let value = self.get("retry-after")?;
        match positive(value) {
            Some(seconds) => later(now, seconds),
            // The date is the destination's: its own clock says how far ahead it is.
            None => {
                let from = self.get("date").and_then(date).unwrap_or(now);
                let ahead = date(value)?.since(from);
                (!ahead.is_zero()).then(|| now.after(ahead))
            }
        }
    }

    fn pacing(&self) -> Option<Pacing> {
        let rate = self.number(&RATES).filter(|(_, rate)| *rate > 0.0);
        let concurrency = CONCURRENCIES.iter().find_map(|name| {
            let calls: u32 = self.get(name)?.parse().ok()?;
            (calls > 0).then_some((*name, calls))
        });
        let source = rate.map(|(name, _)| name).or(concurrency.map(|(name, _)| name))?;
        Some(Pacing {
            rate: rate.map(|(_, rate)| rate),
            concurrency: concurrency.map(|(_, calls)| calls),
            source: source.to_owned(),
            valid_for: None,
        })
    }
}

fn positive(text: &str) -> Option<f64> {
    // "1e3", "inf" and "nan" are numbers for the parser, not for a header.
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    text.parse().ok().filter(|_| plain)
}

fn date(text: &str) -> Option<Millis> {
    let since = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok().map(Millis)
}

fn later(now: Millis, seconds: f64) -> Option<Millis> {
    let ahead = Duration::try_from_secs_f64(seconds).ok()?;
    (!ahead.is_zero()).then(|| now.after(ahead))
}

/// A number of seconds from now, or a date in seconds or milliseconds since the epoch.
fn moment(number: f64, now: Millis) -> Option<Millis> {
    let seconds = if number >= DATE_MILLIS { number / 1_000.0 } else { number };
    if number < DATE_SECONDS {
        return later(now, seconds);
    }
    let at = Millis(0).after(Duration::try_from_secs_f64(seconds).ok()?);
    (at > now).then_some(at)
}

#[cfg(test)]
#[path = "pace_tests.rs"]
mod tests;
