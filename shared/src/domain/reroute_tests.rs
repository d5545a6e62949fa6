//! Where an answer moves a branch to.
#![allow(clippy::unwrap_used, reason = "a failed parse fails the test")]

use super::*;
use crate::clock::Millis;
use crate::domain::decide::{Incoming, Kind, Verdict, conclude};
use crate::domain::id::Token;
use crate::domain::outcome::{Answer, Content, Response};
use crate::golden;

fn regions(names: &[&str]) -> Vec<Region> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

/// A job that asks for these regions, whose first branch moves at a 503.
fn record(wanted: &[&str], policy: RegionPolicy, most: Option<u32>) -> Record {
    let mut record = golden::pending_record();
    (record.placement.regions, record.placement.region_policy) = (regions(wanted), policy);
    for branch in &mut record.branches {
        branch.last = None;
        let retry = &mut branch.contender.retry;
        (retry.max_reroutes, retry.reroute_codes) = (most, Some(vec![503, 429, 200]));
    }
    record
}

fn next_from(record: &Record, branch: u16, status: u16, own: &str, live: &[&str]) -> Option<String> {
    let (own, live) = (own.parse().ok(), regions(live).into_iter().collect());
    let place = next(record, BranchId(branch), status, Standpoint { own: own.as_ref(), live: &live })?;
    assert_eq!(place.policy, record.placement.region_policy);
    Some(place.regions.iter().map(Region::as_str).collect::<Vec<_>>().join(","))
}

/// Moves the branch, as its worker in `own` finds it answered.
fn moved(record: &Record, branch: u16, own: &str, to: &str) -> Record {
    let place = Place { regions: regions(&[to]), policy: record.placement.region_policy };
    let queue = record.branches[0].queue.clone();
    let attempt = if branch == 0 { 4 } else { 1 };
    let message = Incoming {
        incarnation: &record.incarnation,
        token: Token::Branch(BranchId(branch)),
        kind: Kind::Work,
        attempt,
    };
    let response = Response { status: 503, headers: Vec::new(), body: bytes::Bytes::new(), truncated: false };
    let answer = Answer { attempt, at: Millis(9), content: Content::Response(response), region: own.parse().ok() };
    let verdict = Verdict::Elsewhere(Box::new(Elsewhere { place, queue, shard: 3 }));
    *conclude(record, message, &answer, verdict, Millis(9)).swap.unwrap()
}

#[test]
fn a_code_that_is_listed_moves_to_the_next_region_of_the_job_that_has_workers() {
    let record = record(&["eu", "us", "ap"], RegionPolicy::Fallback, None);
    assert_eq!(next_from(&record, 0, 503, "eu", &["ap", "eu", "sa", "us"]).as_deref(), Some("us"));
    assert_eq!(next_from(&record, 0, 503, "eu", &["ap", "eu", "sa"]).as_deref(), Some("ap"));
    assert_eq!(next_from(&record, 0, 503, "us", &["eu", "us"]).as_deref(), Some("eu"));
    for status in [200, 429, 500] {
        assert_eq!(next_from(&record, 0, status, "eu", &["eu", "us"]), None, "{status}");
    }
}

#[test]
fn beyond_its_regions_a_job_goes_only_where_its_policy_lets_it() {
    let of = |policy| next_from(&record(&["eu"], policy, None), 0, 503, "eu", &["eu", "sa", "us"]);
    assert_eq!(of(RegionPolicy::Fallback).as_deref(), Some("sa"));
    assert_eq!(of(RegionPolicy::Strict), None);
    assert_eq!(next_from(&record(&[], RegionPolicy::Fallback, None), 0, 503, "", &["eu"]).as_deref(), Some("eu"));
}

#[test]
fn it_goes_nowhere_twice_and_as_often_as_it_may() {
    let live = ["ap", "eu", "sa", "us"];
    let most_one = record(&["eu", "us", "ap"], RegionPolicy::Fallback, Some(1));
    assert_eq!(next_from(&moved(&most_one, 0, "eu", "us"), 3, 503, "us", &live), None);
    let once = moved(&record(&["eu", "us", "ap"], RegionPolicy::Strict, None), 0, "eu", "us");
    assert_eq!(retries_before(&once.branches[3]), 3);
    assert_eq!(next_from(&once, 3, 503, "us", &live).as_deref(), Some("ap"));
    let twice = moved(&once, 3, "us", "ap");
    assert_eq!(next_from(&twice, 4, 503, "ap", &live), None);
    assert_eq!((twice.began_as(BranchId(4)), twice.body_of(BranchId(4))), (BranchId(0), BranchId(0)));
}
