//! What may stand behind the `?` of a URL: known names, each once.

use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use axum::http::StatusCode;
use url::form_urlencoded;

use crate::problem::Problem;

/// The value of the only name that is known here, if it is given.
pub(super) fn only(known: &str, query: Option<&str>) -> Result<Option<String>, Problem> {
    let [value] = each([known], query)?;
    Ok(value)
}

/// The value of each name that is known here, where it is given.
pub(super) fn each<const N: usize>(known: [&str; N], query: Option<&str>) -> Result<[Option<String>; N], Problem> {
    let mut found = [const { None }; N];
    for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        let Some(place) = known.iter().position(|known| *known == name) else {
            let known = known.map(|known| format!("`{known}`")).join(", ");
            return Err(bad(format!("there is no such query parameter here; there is {known}")));
        };
        if found[place].replace(value.into_owned()).is_some() {
            return Err(bad(format!("`{name}` is given more than once")));
        }
    }
    Ok(found)
}

/// The values of the names that are known here, in their order, as far as they are given.
pub(super) fn among<const N: usize>(known: [&str; N], query: Option<&str>) -> Result<[Option<String>; N], Problem> {
    let mut found = [const { None }; N];
    for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        let place = known.iter().position(|known| *known == name);
        let place = place
            .ok_or_else(|| bad(format!("there is no such query parameter here; there are `{}`", known.join("`, `"))))?;
        if found[place].replace(value.into_owned()).is_some() {
            return Err(bad(format!("`{name}` is given more than once")));
        }
    }
    Ok(found)
}

/// A whole number within a range, if it is given.
pub(super) fn count(name: &str, text: Option<&str>, range: RangeInclusive<usize>) -> Result<Option<usize>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let count = text.parse().ok().filter(|count| range.contains(count));
    let (least, most) = (range.start(), range.end());
    count.map(Some).ok_or_else(|| bad(format!("`{name}` must be a whole number from {least} to {most}")))
}

/// What has a form of its own, if it is given.
pub(super) fn parsed<T: FromStr>(name: &str, text: Option<&str>) -> Result<Option<T>, Problem> {
    text.map(str::parse).transpose().map_err(|_| bad(format!("`{name}` is none that was given out here")))
}

/// A duration with its unit, or seconds.
pub(super) fn duration(name: &str, text: &str) -> Result<Duration, Problem> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds
        .or_else(|| humantime::parse_duration(text).ok())
        .ok_or_else(|| bad(format!("`{name}` must be a duration such as `30s`, `1m 30s` or `500ms`, or seconds")))
}

/// A query that is refused.
pub(super) fn bad(detail: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "bad_query", detail)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a query that is refused fails the test")]

    use super::*;

    #[test]
    fn a_duration_has_a_unit_or_is_in_seconds() {
        for (text, millis) in [("30s", 30_000), ("1m 30s", 90_000), ("500ms", 500), ("30", 30_000), ("0.25", 250)] {
            assert_eq!(duration("wait", text).unwrap(), Duration::from_millis(millis), "{text}");
        }
        for text in ["", "soon", "-1", "30 parsecs", "NaN", "inf"] {
            assert!(duration("wait", text).unwrap_err().detail.contains("`wait`"), "{text}");
        }
    }

    #[test]
    fn each_of_several_names_is_given_once_or_not_at_all() {
        let [limit, cursor] = among(["limit", "cursor"], Some("cursor=a%20b")).unwrap();
        assert_eq!((limit, cursor.as_deref()), (None, Some("a b")));
        assert!(among(["limit"], Some("limit=1&limit=2")).is_err());
        assert!(among(["limit"], Some("secret=1")).is_err_and(|problem| !problem.detail.contains("secret")));
        assert_eq!(count("limit", Some("7"), 1..=9).unwrap(), Some(7));
        assert!(count("limit", Some("0"), 1..=9).is_err() && count("limit", Some("x"), 1..=9).is_err());
        assert_eq!(parsed::<u64>("cursor", None).unwrap(), None);
        assert!(parsed::<u64>("cursor", Some("x")).is_err());
    }

    #[test]
    fn what_is_not_known_or_given_twice_is_refused() {
        assert_eq!(only("wait", None).unwrap(), None);
        assert_eq!(only("wait", Some("wait=1m%2030s")).unwrap().unwrap(), "1m 30s");
        assert!(only("wait", Some("wiat=30s")).is_err());
        assert!(only("wait", Some("wait=1&wait=2")).is_err());
    }
}
