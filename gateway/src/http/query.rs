//! What may stand behind the `?` of a URL: known names, each once.

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
    fn what_is_not_known_or_given_twice_is_refused() {
        assert_eq!(only("wait", None).unwrap(), None);
        assert_eq!(only("wait", Some("wait=1m%2030s")).unwrap().unwrap(), "1m 30s");
        assert!(only("wait", Some("wiat=30s")).is_err());
        assert!(only("wait", Some("wait=1&wait=2")).is_err());
    }
}
