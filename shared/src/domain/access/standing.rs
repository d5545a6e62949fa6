//! How much of its quotas a key has left, as the `RateLimit` and `RateLimit-Policy` headers say it.
//!
//! <https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-ratelimit-headers-10>

use std::time::Duration;

use super::meter::Meter;
use super::quotas::Quotas;
use crate::domain::gate::Nanos;

/// A quota over a time, and what is left of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// What it is called.
    pub name: &'static str,
    /// Jobs in that time.
    pub quota: u64,
    /// The time.
    pub seconds: u64,
    /// Jobs that are left.
    pub left: u64,
    /// When there is more again.
    pub reset: Duration,
}

/// All of them, each by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing(Vec<Window>);

impl Standing {
    /// What a meter says of these quotas.
    #[must_use]
    pub fn of(meter: &Meter, quotas: &Quotas, now: Nanos) -> Self {
        let second = quotas.jobs_per_second.map(|quota| {
            let (left, reset) = meter.at_once(quotas, now);
            Window { name: "second", quota: quota.into(), seconds: 1, left, reset }
        });
        let day = quotas.jobs_per_day.map(|quota| {
            let left = quota.saturating_sub(meter.used_today(now));
            Window { name: "day", quota, seconds: 24 * 3600, left, reset: meter.day_ends_in(now) }
        });
        Self(second.into_iter().chain(day).collect())
    }

    /// Of each name the one with less left.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        for window in other.0 {
            match self.0.iter_mut().find(|own| own.name == window.name) {
                Some(own) if own.left <= window.left => {}
                Some(own) => *own = window,
                None => self.0.push(window),
            }
        }
        self
    }

    /// Whether there is nothing to say.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of `RateLimit-Policy`.
    #[must_use]
    pub fn policy(&self) -> String {
        self.items(|one| format!("\"{}\";q={};w={}", one.name, one.quota, one.seconds))
    }

    /// The value of `RateLimit`.
    #[must_use]
    pub fn limit(&self) -> String {
        self.items(|one| format!("\"{}\";r={};t={}", one.name, one.left, whole_seconds(one.reset)))
    }

    fn items(&self, item: impl Fn(&Window) -> String) -> String {
        self.0.iter().map(item).collect::<Vec<_>>().join(", ")
    }
}

/// Seconds, rounded up, one at least: nobody is told to come at once.
pub(super) fn whole_seconds(time: Duration) -> u64 {
    time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use super::super::meter::take;
    use super::*;
    use crate::clock::Millis;
    use crate::domain::pace::Pace;

    const NOON: Nanos = Nanos(20_000 * 86_400_000_000_000 + 43_200_000_000_000);

    fn quotas(second: u32, day: u64) -> Quotas {
        Quotas { jobs_per_second: Some(second), jobs_per_day: Some(day), ..Quotas::default() }
    }

    fn after(jobs: u32, quotas: &Quotas) -> Standing {
        Standing::of(&take(Meter::default(), quotas, jobs, NOON).meter, quotas, NOON)
    }

    #[test]
    fn what_is_left_is_said_as_the_draft_has_it() {
        let standing = after(3, &quotas(10, 100));
        assert_eq!(standing.policy(), r#""second";q=10;w=1, "day";q=100;w=86400"#);
        assert_eq!(standing.limit(), r#""second";r=7;t=1, "day";r=97;t=43200"#);
        assert!(Standing::of(&Meter::default(), &Quotas::default(), NOON).is_empty());
    }

    #[test]
    fn of_two_keys_the_one_with_less_left_counts() {
        let standing = after(3, &quotas(10, 100)).and(after(3, &quotas(100, 50)));
        assert_eq!(standing.limit(), r#""second";r=7;t=1, "day";r=47;t=43200"#);
    }

    #[test]
    fn whoever_paces_by_such_headers_reads_them_as_they_are_meant() {
        let standing = after(3, &quotas(10, 100));
        let headers = [("ratelimit-policy", standing.policy()), ("ratelimit", standing.limit())];
        let headers = headers.map(|(name, value)| (name.to_owned(), value));
        let read = Pace::read(&headers, Millis(0));
        let left: Vec<_> = read.budgets.iter().map(|budget| (budget.name.as_deref(), budget.remaining)).collect();
        assert_eq!(left, [(Some("second"), Some(7)), (Some("day"), Some(97))]);
    }
}
