//! Regions: where a branch is to run, and which workers take it. Pure.
//!
//! What counts is which regions have workers now; who knows that is in `crate::regions`. Two workers that know of different
//! regions for a moment take from the same queue, which does no harm.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::id::{BranchId, Region};
use super::job::{Contender, ExecutionMode, Job, RegionPolicy};
use super::record::Placed;

/// Where a branch, and the queue it waits in, may be taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The regions, the preferred first; anywhere where there is none.
    pub regions: Vec<Region>,
    /// Whether others take it where none of these has a worker.
    pub policy: RegionPolicy,
}

/// What a worker takes by: its own region, and those that have workers now.
#[derive(Clone, Copy, Debug)]
pub struct Standpoint<'a> {
    /// The worker's own region, where it has one.
    pub own: Option<&'a Region>,
    /// Regions that have workers.
    pub live: &'a BTreeSet<Region>,
}

impl Place {
    /// Whether every worker takes it.
    #[must_use]
    pub fn is_anywhere(&self) -> bool {
        self.regions.is_empty()
    }

    /// Whether nobody takes it, because it is only for regions that have no worker.
    #[must_use]
    pub fn is_deserted(&self, live: &BTreeSet<Region>) -> bool {
        let none = !self.regions.iter().any(|region| live.contains(region));
        !self.is_anywhere() && self.policy == RegionPolicy::Strict && none
    }
}

impl Standpoint<'_> {
    /// Whether the worker takes what is to run there: it is in the first of the regions that has workers; where none has,
    /// anybody is, unless it is only for these.
    #[must_use]
    pub fn takes(&self, place: &Place) -> bool {
        let is_live = |region: &&Region| self.own == Some(*region) || self.live.contains(*region);
        match place.regions.iter().find(is_live) {
            Some(first) => self.own == Some(first),
            None => place.is_anywhere() || place.policy == RegionPolicy::Fallback,
        }
    }
}

/// The branches of a job, in their order: its contenders, then its own request once more for each further region where it is
/// made. Those without a parent start with the job.
#[must_use]
pub fn lay_out(job: &Job) -> Vec<(Contender, Placed)> {
    let (regions, policy) = (&job.placement.regions, job.placement.region_policy);
    let everywhere = Place { regions: regions.clone(), policy };
    let one_each = job.placement.execution_mode != ExecutionMode::Once;
    let alone = |region: &Region| Place { regions: vec![region.clone()], policy };
    let own = regions.first().filter(|_| one_each).map_or_else(|| everywhere.clone(), alone);
    let place = |number: usize| if number == 0 { own.clone() } else { everywhere.clone() };
    let contenders = job.branches.iter().enumerate();
    let mut branches: Vec<_> =
        contenders.map(|(number, one)| (one.clone(), Placed { place: place(number), ..Placed::default() })).collect();
    let more = regions.iter().skip(1).filter(|_| one_each);
    if let Some(first) = job.branches.first() {
        let again = |region| Placed { place: alone(region), request_of: Some(BranchId::OWN), moved: None };
        branches.extend(more.map(|region| (first.clone(), again(region))));
    }
    branches
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed parse fails the test")]

    use super::*;

    fn regions(names: &[&str]) -> Vec<Region> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    fn takes(own: &str, wanted: &[&str], policy: RegionPolicy, live: &[&str]) -> bool {
        let (own, live) = (own.parse().ok(), regions(live).into_iter().collect());
        Standpoint { own: own.as_ref(), live: &live }.takes(&Place { regions: regions(wanted), policy })
    }

    #[test]
    fn the_first_region_that_has_workers_takes_it() {
        use RegionPolicy::{Fallback, Strict};
        for policy in [Fallback, Strict] {
            assert!(takes("eu", &["eu", "us"], policy, &["eu", "us"]));
            assert!(!takes("us", &["eu", "us"], policy, &["eu", "us"]));
            assert!(takes("us", &["eu", "us"], policy, &["us", "ap"]));
            assert!(!takes("ap", &["eu", "us"], policy, &["us", "ap"]));
            // Who is there knows it, whatever was heard.
            assert!(takes("eu", &["eu"], policy, &[]));
            for own in ["eu", ""] {
                assert!(takes(own, &[], policy, &["eu"]));
            }
        }
    }

    #[test]
    fn where_none_has_workers_anybody_takes_it_unless_it_is_only_for_them() {
        for own in ["ap", ""] {
            assert!(takes(own, &["eu", "us"], RegionPolicy::Fallback, &["ap"]));
            assert!(!takes(own, &["eu", "us"], RegionPolicy::Strict, &["ap"]));
        }
        let place = |policy| Place { regions: regions(&["eu"]), policy };
        let live = |names| regions(names).into_iter().collect();
        assert!(place(RegionPolicy::Strict).is_deserted(&live(&["us"])));
        assert!(!place(RegionPolicy::Strict).is_deserted(&live(&["eu"])));
        assert!(!place(RegionPolicy::Fallback).is_deserted(&live(&[])));
        assert!(!Place { policy: RegionPolicy::Strict, ..Place::default() }.is_deserted(&live(&[])));
    }
}
