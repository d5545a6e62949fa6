//! Whether the storm went as it should: every job succeeded once and was told once, and the destination was hardly ever
//! called above its limit, while plain clients were all the time.
//!
//! Pure. Times are shown, not judged: how fast this machine is is nobody's fault.

use super::seen::StormSeen;
use crate::demo::expect::Expectations;

/// The share of the jobs that may be answered 429 all the same, one in so many: the gate sends exactly at the rate that
/// the destination allows, and a machine that stalls lets two calls arrive closer together than they were sent. A client
/// that knew nothing of the limit would have nine in ten of the first wave refused.
const ONE_IN: usize = 20;

/// Holds all that was seen against what should have happened.
pub(crate) fn check(seen: &StormSeen, expected: &mut Expectations) {
    let jobs = seen.jobs.len();
    expected.equal("storm: the jobs executed with success exactly once", seen.succeeded_once(), jobs);
    expected.equal("storm: the jobs told as a success by exactly one webhook", seen.told_once(), jobs);
    expected.equal("storm: the calls that brought neither 200 nor 429", others(seen), 0);
    let (ours, theirs, most) = (seen.sluice.answered_429, seen.plain.answered_429, jobs / ONE_IN);
    expected.expect(ours <= most, format_args!("storm: Sluice should cause at most {most} answers of 429"), ours);
    expected.expect(
        ours < theirs,
        "storm: plain clients should cause more answers of 429 than Sluice",
        format_args!("{theirs} and {ours}"),
    );
    let ended = seen.clients.succeeded + seen.clients.gave_up;
    expected.equal("storm: the plain clients that succeeded or gave up", ended, jobs);
}

fn others(seen: &StormSeen) -> usize {
    seen.sluice.all - seen.sluice.answered_429 - seen.sluice.succeeded
}
