//! The forms in which destinations write moments and durations.

use std::time::{Duration, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::headers::{Headers, positive};
use crate::clock::Millis;

/// A number of this many seconds or more is a date in seconds since the epoch, not a time from now.
const DATE_SECONDS: f64 = 1e9;
/// The same for a date in milliseconds.
const DATE_MILLIS: f64 = 1e12;

/// The dates of RFC 9110, section 5.6.7.
pub(super) fn http_date(text: &str) -> Option<Millis> {
    let since = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok().map(Millis)
}

/// A date of RFC 3339.
pub(super) fn rfc3339(text: &str) -> Option<Millis> {
    let nanos = OffsetDateTime::parse(text, &Rfc3339).ok()?.unix_timestamp_nanos();
    u64::try_from(nanos / 1_000_000).ok().map(Millis)
}

/// So many seconds from now; nothing where that is now.
pub(super) fn later(now: Millis, seconds: f64) -> Option<Millis> {
    let ahead = Duration::try_from_secs_f64(seconds).ok()?;
    (ahead.as_millis() > 0).then(|| now.after(ahead))
}

/// A reset, however it is written: seconds from now, seconds or milliseconds since the epoch, a date.
pub(super) fn any(headers: &Headers<'_>, text: &str) -> Option<Millis> {
    let Some(number) = positive(text) else {
        return headers.ahead(http_date(text).or_else(|| rfc3339(text))?);
    };
    if number < DATE_SECONDS {
        return later(headers.now, number);
    }
    let seconds = if number >= DATE_MILLIS { number / 1_000.0 } else { number };
    headers.ahead(Millis(0).after(Duration::try_from_secs_f64(seconds).ok()?))
}

/// A duration as the Go language writes it: `6m0s`, `1h2m3.5s`, `12ms`.
pub(super) fn go_duration(text: &str) -> Option<Duration> {
    let (mut rest, mut seconds) = (text, 0.0);
    while !rest.is_empty() {
        let unit_at = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number = positive(rest.get(..unit_at)?)?;
        let after = rest.get(unit_at..)?;
        let unit_ends = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let scale = match after.get(..unit_ends)? {
            "d" => 86_400.0,
            "h" => 3_600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" | "μs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        seconds += number * scale;
        rest = after.get(unit_ends..)?;
    }
    (!text.is_empty()).then(|| Duration::try_from_secs_f64(seconds).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        for (text, millis) in [
            ("1s", Some(1_000)),
            ("6m0s", Some(360_000)),
            ("6m5s", Some(365_000)),
            ("12ms", Some(12)),
            ("1h2m3s", Some(3_723_000)),
            ("2m59.56s", Some(179_560)),
            ("0s", Some(0)),
            ("", None),
            ("12", None),
            ("s", None),
            ("1x", None),
            ("1.2.3s", None),
            ("-1s", None),
            ("99999999999999999999999h", None),
        ] {
            assert_eq!(go_duration(text).map(|long| long.as_millis()), millis, "{text}");
        }
    }
}
