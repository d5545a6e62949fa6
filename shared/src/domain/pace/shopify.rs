//! Shopify: `X-Shopify-Shop-Api-Call-Limit: 32/40`, what is in a bucket and what it holds. It leaks a twentieth of
//! itself a second: 40 at 2 requests a second, 80 at 4, 400 at 20.
//! <https://shopify.dev/docs/api/admin-rest/usage/rate-limits>

use std::time::Duration;

use super::headers::{Headers, positive, whole};
use super::{Budget, Pace, Policy, Unit};

const SOURCE: &str = "x-shopify-shop-api-call-limit";
/// How long a full bucket takes to leak.
const LEAKS: Duration = Duration::from_secs(20);

pub(super) fn read(headers: &Headers<'_>, pace: &mut Pace) {
    let Some((used, size)) = headers.get(SOURCE).and_then(|value| value.split_once('/')) else { return };
    let count = |text: &str| positive(text.trim()).and_then(whole);
    let (Some(used), Some(size)) = (count(used), count(size).filter(|size| *size > 0)) else { return };
    let empty_in = LEAKS.mul_f64(share(used.min(size), size));
    let (name, unit) = (None, Unit::Requests);
    pace.policies.push(Policy { source: SOURCE, name: name.clone(), unit, quota: size, window: LEAKS });
    pace.budgets.push(Budget {
        source: SOURCE,
        name,
        unit,
        limit: Some(size),
        remaining: Some(size.saturating_sub(used)),
        reset: (empty_in.as_millis() > 0).then(|| headers.now.after(empty_in)),
        refills: true,
    });
}

fn share(part: u64, whole: u64) -> f64 {
    // Both were cut to 32 bits.
    f64::from(u32::try_from(part).unwrap_or(u32::MAX)) / f64::from(u32::try_from(whole).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{in_seconds, read};
    use super::*;

    /// The example of the documentation.
    #[test]
    fn a_bucket_that_leaks() {
        let pace = read(&[("x-shopify-shop-api-call-limit", "32/40")]);
        assert_eq!((pace.policies[0].quota, pace.policies[0].window), (40, LEAKS));
        assert_eq!((pace.budgets[0].remaining, pace.budgets[0].reset), (Some(8), Some(in_seconds(16))));
        for broken in ["", "/", "40", "a/b", "1/0", "-1/40", "1/2/3"] {
            assert_eq!(read(&[("x-shopify-shop-api-call-limit", broken)]).budgets, [], "{broken}");
        }
    }
}
