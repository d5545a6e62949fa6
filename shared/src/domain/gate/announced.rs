//! Limits that a destination announces with its answers, as a gate keeps them: so many calls in a window, and so many that
//! are left until a moment.
//!
//! What is left is spread over the time until it is made up, so that a gate slows down before nothing is left; over an hour
//! at most, or a few calls of a month's quota would take days: the less is left, the slower it gets. Answers
//! come out of order and from many workers: of what is written about one limit that of the call sent later counts, and an
//! older one can only make it tighter. Invariant: the calls of any window that a limit speaks of are no more than it allows,
//! and a limit that has expired counts for nothing.

use std::cmp::Reverse;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::lease::in_flight;
use super::limits::{Heard, Interval, Limits};
use super::reserve::CLOCK_BOUND;
use super::state::{GateState, Nanos};
use crate::domain::pace::{Budget, Policy};

/// How long a policy counts after an answer named it.
const POLICY_COUNTS: Duration = Duration::from_secs(3600);
/// What is left is spread over this time at most. A policy for longer is no rate where it is said what is left of it.
const LONGEST_SPREAD: Duration = Duration::from_secs(3600);
/// The soonest that a gate's announced limits are written again.
pub const WRITTEN_AGAIN: Duration = Duration::from_millis(500);
/// How many limits of one destination are kept.
const MOST: usize = 8;
/// What has expired is kept for people to see for so long.
const SHOWN: Duration = Duration::from_secs(600);

/// A limit that a destination announced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announced {
    /// The header that said so.
    pub source: String,
    /// Which of several limits it is, where that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether it is what is left of a limit, and not the limit.
    #[serde(default)]
    pub left: bool,
    /// So many calls, at least 1,
    pub calls: u64,
    /// in so long, in nanoseconds.
    pub window: u64,
    /// When the call was sent whose answer said so.
    pub sent_at: Nanos,
    /// When it was written down.
    pub learned_at: Nanos,
    /// Until when it counts.
    pub expires_at: Nanos,
}

impl Announced {
    fn counts(&self, now: Nanos) -> bool {
        now < self.expires_at
    }

    /// From one call to the next where calls come evenly.
    #[must_use]
    pub fn interval(&self) -> Interval {
        Interval::of_share(self.window, self.calls)
    }

    /// An interval, and how many calls may go at once, so that no window has more calls than it allows: the more at once,
    /// the slower in between. At most a tenth of them goes at once.
    fn pace(&self, burst: u32) -> (Interval, u32) {
        let at_once = u32::try_from((self.calls / 10).max(1)).unwrap_or(u32::MAX).min(burst.max(1));
        let evenly = self.calls.saturating_sub(u64::from(at_once)).saturating_add(1);
        (Interval::of_share(self.window, evenly), at_once)
    }

    fn same_limit(&self, other: &Self) -> bool {
        (self.left, &self.source, &self.name) == (other.left, &other.source, &other.name)
    }

    fn of_policy(policy: &Policy, sent_at: Nanos, now: Nanos) -> Self {
        Self {
            source: policy.source.to_owned(),
            name: policy.name.clone(),
            left: false,
            calls: policy.quota.max(1),
            window: u64::try_from(policy.window.as_nanos()).unwrap_or(u64::MAX),
            sent_at,
            learned_at: now,
            expires_at: now.after(POLICY_COUNTS),
        }
    }

    /// What is left, some of which the calls in flight may use up: as many are taken off, half of it at most, for some of
    /// them are counted already. What comes back bit by bit in that time is there to be spread as well.
    fn of_budget(budget: &Budget, in_flight: u32, sent_at: Nanos, now: Nanos) -> Option<Self> {
        let (remaining, reset) = (budget.remaining?, Nanos::from(budget.reset?));
        let left = remaining.saturating_sub(u64::from(in_flight)).max(remaining / 2);
        let ahead = reset.since(now);
        let spread = ahead.min(LONGEST_SPREAD).as_nanos();
        let window = u64::try_from(spread).ok().filter(|window| *window > 0)?;
        let missing = budget.limit.filter(|_| budget.refills).map_or(0, |limit| limit.saturating_sub(remaining));
        let comes_back = u64::try_from(u128::from(missing) * spread / ahead.as_nanos()).unwrap_or(u64::MAX);
        Some(Self {
            source: budget.source.to_owned(),
            name: budget.name.clone(),
            left: true,
            calls: left.saturating_add(comes_back).max(1),
            window,
            sent_at,
            learned_at: now,
            expires_at: reset,
        })
    }
}

/// What the limits that count now make of others: the tightest policy takes the place of a default and lowers a ceiling,
/// what is left only ever slows down.
pub(super) fn apply(limits: Limits, base: Option<Interval>, state: &GateState, now: Nanos) -> Limits {
    let counting = || state.announced.iter().filter(|one| one.counts(now));
    let slowest = |left: bool| {
        let paces = counting().filter(move |one| one.left == left).map(|one| one.pace(limits.burst));
        paces.reduce(|a, b| (a.0.max(b.0), a.1.min(b.1)))
    };
    let policy = slowest(false);
    let said = base.max(policy.map(|(interval, _)| interval));
    let interval = match said {
        Some(said) if limits.ceiling => said.max(limits.interval),
        Some(said) => said,
        None => limits.interval,
    };
    let left = slowest(true);
    let interval = left.map_or(interval, |(left, _)| left.max(interval));
    let burst = policy.into_iter().chain(left).map(|(_, burst)| burst).fold(limits.burst, u32::min);
    Limits { interval, burst, ..limits }
}

/// Takes in what an answer announced, of calls that may go at `otherwise` so far. `None` where it says nothing that is worth
/// a write, or one was made within [`WRITTEN_AGAIN`]: the next answer says it again. What is left of a window that began
/// anew does not wait, for until it is known nothing holds the gate back.
pub(super) fn learn(state: &GateState, otherwise: Interval, heard: &Heard, now: Nanos) -> Option<Vec<Announced>> {
    let written = state.announced.iter().map(|one| one.learned_at).max();
    let recent = |written: Nanos| now < written.after(WRITTEN_AGAIN) && written < now.after(CLOCK_BOUND);
    let too_soon = written.is_some_and(recent);
    let began_anew = |new: &Announced| {
        let ended = |known: &&Announced| known.same_limit(new) && !known.counts(now);
        let long = |known: &Announced| Duration::from_nanos(known.window) >= WRITTEN_AGAIN;
        state.announced.iter().find(ended).is_some_and(long)
    };
    let said = said(heard, in_flight(state, now), now).into_iter().filter(|one| !too_soon || began_anew(one));
    let news: Vec<Announced> = said.filter(|one| is_news(state, otherwise, one, now)).collect();
    if news.is_empty() {
        return None;
    }
    let shown = |one: &&Announced| now < one.expires_at.after(SHOWN);
    let mut all: Vec<Announced> = state.announced.iter().filter(shown).cloned().collect();
    for mut one in news {
        if let Some(at) = all.iter().position(|known| known.same_limit(&one)) {
            one.sent_at = one.sent_at.max(all.remove(at).sent_at);
        }
        all.push(one);
    }
    // Those that hold back most are kept.
    all.sort_by_key(|one| (!one.counts(now), Reverse(one.interval())));
    all.truncate(MOST);
    (all != state.announced).then_some(all)
}

/// All limits of an answer that make a pace.
fn said(heard: &Heard, in_flight: u32, now: Nanos) -> Vec<Announced> {
    let left = heard.budgets.iter().filter_map(|budget| Announced::of_budget(budget, in_flight, heard.sent_at, now));
    let mut all: Vec<Announced> = left.collect();
    let nothing_left_is_said = all.is_empty();
    let policies = heard.policies.iter().filter(|policy| policy.window <= LONGEST_SPREAD || nothing_left_is_said);
    all.extend(policies.map(|policy| Announced::of_policy(policy, heard.sent_at, now)));
    all
}

/// Whether an announced limit is worth a write: it is new and matters, it changes the pace by more than a tenth, or what is
/// known of it will not count for much longer.
fn is_news(state: &GateState, otherwise: Interval, new: &Announced, now: Nanos) -> bool {
    let known = state.announced.iter().find(|known| known.same_limit(new) && known.counts(now));
    let Some(known) = known else {
        // What is left and holds nothing back needs no place.
        return !new.left || new.interval() > otherwise;
    };
    let (is, was) = (u128::from(new.interval().nanos()), u128::from(known.interval().nanos()));
    if new.sent_at < known.sent_at {
        return is * 10 > was * 11;
    }
    let ends = !new.left && known.expires_at.since(now) < POLICY_COUNTS / 2;
    ends || is.abs_diff(was) * 10 > is.min(was)
}
