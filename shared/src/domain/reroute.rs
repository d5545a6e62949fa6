//! Whether an answer moves a branch to another region, and to which: instead of another attempt at the same. Pure.
//!
//! Reroutes are counted apart from retries: a branch that moves takes along how many retries it has used up.

use std::collections::BTreeSet;

use super::classify::TOO_MANY_REQUESTS;
use super::id::{BranchId, QueueName, Region};
use super::job::{RegionPolicy, RetryPolicy};
use super::record::{Branch, Record};
use super::region::{Place, Standpoint};

/// How often a branch moves where its policy has codes and does not say.
pub const DEFAULT_REROUTES: u32 = 3;

/// Where a branch goes on: what its successor is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    /// The region.
    pub place: Place,
    /// The queue there.
    pub queue: QueueName,
    /// The shard that holds the queue.
    pub shard: u16,
}

/// The place that an answer with this status moves a branch to, as its worker sees regions; none where it stays.
///
/// First come the other regions of the job that have workers, in their order; then any other, where the policy allows it.
/// Where it was before it does not go again. A 429 moves nothing, for all regions share the gate that it closes.
#[must_use]
pub fn next(record: &Record, branch: BranchId, status: u16, from: Standpoint<'_>) -> Option<Place> {
    let one = record.branch(branch)?;
    let policy = &one.contender.retry;
    let wanted = policy.reroute_codes.as_ref().is_some_and(|codes| codes.contains(&status));
    let so_far = one.placed.moved.map_or(0, |moved| moved.reroutes);
    if !wanted || is_exempt(status) || so_far >= most(policy) {
        return None;
    }
    let tried = tried(record, branch, from.own);
    let (listed, strict) = (&record.placement.regions, record.placement.region_policy == RegionPolicy::Strict);
    let others = from.live.iter().filter(|region| !strict && !listed.contains(region));
    let can = |region: &&Region| from.live.contains(*region) && !tried.contains(*region);
    let region = listed.iter().chain(others).find(can)?;
    Some(Place { regions: vec![region.clone()], policy: record.placement.region_policy })
}

/// How often branches with this policy may move.
#[must_use]
pub fn most(policy: &RetryPolicy) -> u32 {
    match &policy.reroute_codes {
        Some(codes) if !codes.is_empty() => policy.max_reroutes.unwrap_or(DEFAULT_REROUTES),
        Some(_) | None => 0,
    }
}

/// Retries that the branch used up before its present chain began.
#[must_use]
pub fn retries_before(branch: &Branch) -> u32 {
    branch.placed.moved.map_or(0, |moved| moved.retries)
}

fn is_exempt(status: u16) -> bool {
    matches!(status, 200..=299 | TOO_MANY_REQUESTS)
}

/// Regions where the branch, or one that it took over from, has made a call.
fn tried<'a>(record: &'a Record, branch: BranchId, own: Option<&'a Region>) -> BTreeSet<&'a Region> {
    let mut tried: BTreeSet<_> = own.into_iter().collect();
    let mut at = record.branch(branch);
    while let Some(one) = at {
        tried.extend(one.last.as_ref().and_then(|last| last.region.as_ref()));
        let earlier = one.placed.moved.and_then(|moved| record.branch(moved.from));
        at = earlier.filter(|earlier| !std::ptr::eq(*earlier, one));
    }
    tried
}

#[cfg(test)]
#[path = "reroute_tests.rs"]
mod tests;
