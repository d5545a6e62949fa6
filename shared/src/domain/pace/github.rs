//! GitHub: `x-ratelimit-*` with a reset in seconds since the epoch, and `x-ratelimit-resource`, which of several limits
//! the call counted against. The limit of `core` is for an hour.
//! <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api>

use std::time::Duration;

use super::headers::Headers;
use super::{Budget, Pace, Policy, Unit, moment};

const LIMIT: &str = "x-ratelimit-limit";
const REMAINING: &str = "x-ratelimit-remaining";
const HOUR: Duration = Duration::from_secs(3600);

pub(super) fn read(headers: &Headers<'_>, pace: &mut Pace) {
    let (Some(name), Some(remaining)) = (headers.name("x-ratelimit-resource"), headers.count(REMAINING)) else {
        return;
    };
    let limit = headers.count(LIMIT);
    let reset = headers.get("x-ratelimit-reset").and_then(|text| moment::any(headers, text));
    if let Some(quota) = limit.filter(|limit| *limit > 0 && name == "core") {
        let (name, unit) = (Some(name.clone()), Unit::Requests);
        pace.policies.push(Policy { source: LIMIT, name, unit, quota, window: HOUR });
    }
    let (name, remaining) = (Some(name), Some(remaining));
    pace.budgets.push(Budget {
        source: REMAINING,
        name,
        unit: Unit::Requests,
        limit,
        remaining,
        reset,
        refills: false,
    });
}

#[cfg(test)]
mod tests {
    use super::super::tests::{in_seconds, read};
    use super::*;

    /// The header names of the documentation; the values of an answer to `curl -I https://api.github.com/users/octocat`.
    #[test]
    fn each_resource_has_a_budget_of_its_own_and_core_is_by_the_hour() {
        let headers = |resource| {
            [
                ("x-ratelimit-limit", "5000"),
                ("x-ratelimit-remaining", "4999"),
                ("x-ratelimit-used", "1"),
                ("x-ratelimit-reset", "1767227400"),
                ("x-ratelimit-resource", resource),
            ]
        };
        let pace = read(&headers("core"));
        assert_eq!((pace.policies[0].quota, pace.policies[0].window), (5000, HOUR));
        assert_eq!(pace.budgets.len(), 1);
        assert_eq!((pace.budgets[0].name.as_deref(), pace.budgets[0].reset), (Some("core"), Some(in_seconds(1800))));
        let search = read(&headers("search"));
        assert_eq!((search.policies, search.budgets[0].name.as_deref()), (vec![], Some("search")));
    }
}
