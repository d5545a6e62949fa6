//! How long a gate closes, and how it opens again: at a quarter of its rate, up to all of it over [`RAMP`].

use std::time::Duration;

use super::limits::Interval;
use super::state::{Closing, GateState, Nanos};

/// How long it takes from a quarter of the rate to all of it.
pub const RAMP: Duration = Duration::from_secs(3);

/// The first closing without a time.
const FIRST: Duration = Duration::from_secs(1);
/// The longest closing without a time.
const LONGEST: Duration = Duration::from_secs(60);

/// Closes the gate until a time, `max_close` from now at most; without a time for 1 s, doubled up to 60 s while closings
/// follow each other. Answers of one storm count once: a gate that is closed is not closed again without a time, and a
/// closing is never shortened. Returns when it opens; the state is `None` where nothing changes.
#[must_use]
pub fn close(state: &GateState, until: Option<Nanos>, now: Nanos, max_close: Duration) -> (Option<GateState>, Nanos) {
    let before = state.closing.unwrap_or(Closing { until: Nanos(0), consecutive: 0 });
    let farthest = now.after(max_close);
    let closing = match until {
        Some(until) => Closing { until: until.min(farthest), consecutive: before.consecutive },
        None if before.until > now => before,
        None => {
            let follows = now < before.until.after(RAMP + pause(before.consecutive));
            let consecutive = if follows { before.consecutive.saturating_add(1) } else { 1 };
            Closing { until: now.after(pause(consecutive)).min(farthest), consecutive }
        }
    };
    if closing.until <= before.until || closing.until <= now {
        return (None, before.until.max(now));
    }
    (Some(GateState { closing: Some(closing), ..state.clone() }), closing.until)
}

fn pause(consecutive: u32) -> Duration {
    let doubled = 1_u32.checked_shl(consecutive.saturating_sub(1).min(6)).unwrap_or(u32::MAX);
    FIRST.saturating_mul(doubled).min(LONGEST)
}

/// Whether the gate is opening gently at this moment.
pub(super) fn opening(state: &GateState, at: Nanos) -> bool {
    state.closing.is_some_and(|closing| at < closing.until.after(RAMP))
}

/// From a call at this moment to the next, longer than the limit's while the gate opens: `4r / (r + 3t)` intervals, `t`
/// of the ramp `r` being over.
pub(super) fn interval_at(state: &GateState, interval: Interval, at: Nanos) -> u64 {
    let Some(closing) = state.closing.filter(|_| opening(state, at)) else { return interval.nanos() };
    let (ramp, gone) = (RAMP.as_nanos(), at.since(closing.until).as_nanos());
    let stretched = (u128::from(interval.nanos()) * 4 * ramp).div_ceil(ramp + 3 * gone);
    u64::try_from(stretched).unwrap_or(u64::MAX)
}
