//! Discord: `X-RateLimit-*` for a bucket that `X-RateLimit-Bucket` names, with `X-RateLimit-Reset-After` in seconds and
//! parts of them. <https://docs.discord.com/developers/topics/rate-limits>

use super::headers::Headers;
use super::{Budget, Pace, Unit, moment};

const REMAINING: &str = "x-ratelimit-remaining";

pub(super) fn read(headers: &Headers<'_>, pace: &mut Pace) {
    let (Some(remaining), Some(after)) = (headers.count(REMAINING), headers.number("x-ratelimit-reset-after")) else {
        return;
    };
    pace.budgets.push(Budget {
        source: REMAINING,
        name: headers.name("x-ratelimit-bucket"),
        unit: Unit::Requests,
        limit: headers.count("x-ratelimit-limit"),
        remaining: Some(remaining),
        reset: moment::later(headers.now, after),
        refills: false,
    });
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::tests::{NOW, read};

    /// The example of the documentation, its reset made relative.
    #[test]
    fn a_bucket_is_named_and_its_reset_has_parts_of_seconds() {
        let pace = read(&[
            ("x-ratelimit-limit", "5"),
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", "1470173023"),
            ("x-ratelimit-reset-after", "1.25"),
            ("x-ratelimit-bucket", "abcd1234"),
        ]);
        let budget = &pace.budgets[0];
        assert_eq!((budget.name.as_deref(), budget.limit, budget.remaining), (Some("abcd1234"), Some(5), Some(0)));
        assert_eq!(budget.reset, Some(NOW.after(Duration::from_millis(1250))));
        assert_eq!(pace.budgets.len(), 1);
    }
}
