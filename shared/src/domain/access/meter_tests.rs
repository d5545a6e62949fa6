#![allow(clippy::unwrap_used, reason = "a value that is not there fails the test")]

use proptest::prelude::*;

use super::*;

const NOON: Nanos = Nanos(20_000 * DAY + DAY / 2);

fn quotas(second: Option<u32>, day: Option<u64>) -> Quotas {
    Quotas { jobs_per_second: second, jobs_per_day: day, ..Quotas::default() }
}

fn later(seconds: f64) -> Nanos {
    NOON.after(Duration::from_secs_f64(seconds))
}

#[test]
fn a_second_has_its_jobs_at_once_and_then_one_after_the_other() {
    let quotas = quotas(Some(5), None);
    let first = take(Meter::default(), &quotas, 7, NOON);
    let short = Exceeded { quota: Quota::Second, again_in: Duration::from_millis(200) };
    assert_eq!((first.granted, first.exceeded), (5, Some(short)));
    assert_eq!(take(first.meter, &quotas, 1, later(0.199)).granted, 0);
    let next = take(first.meter, &quotas, 2, later(0.2));
    assert_eq!(next.granted, 1);
    assert_eq!(take(next.meter, &quotas, 9, later(9.0)).granted, 5);
}

#[test]
fn a_day_has_its_jobs_until_midnight() {
    let quotas = quotas(None, Some(3));
    let taken = take(Meter::default(), &quotas, 4, NOON);
    let short = Exceeded { quota: Quota::Day, again_in: Duration::from_secs(12 * 3600) };
    assert_eq!((taken.granted, taken.exceeded), (3, Some(short)));
    assert_eq!(take(taken.meter, &quotas, 1, later(12.0 * 3600.0 - 0.001)).granted, 0);
    assert_eq!(take(taken.meter, &quotas, 1, later(12.0 * 3600.0)).granted, 1);
}

#[test]
fn a_process_that_is_still_on_the_day_before_gives_nothing_away() {
    let (quotas, midnight) = (quotas(None, Some(3)), Nanos(20_001 * DAY));
    let new_day = take(Meter::default(), &quotas, 2, midnight).meter;
    let behind = take(new_day, &quotas, 3, Nanos(midnight.0 - 1));
    assert_eq!((behind.granted, behind.meter.day, behind.meter.used), (1, 20_001, 3));
    let broken = Meter { day: 30_000, used: 3, ..new_day };
    assert_eq!(take(broken, &quotas, 1, midnight).granted, 1);
}

#[test]
fn what_did_not_come_about_leaves_its_room_to_others() {
    let quotas = quotas(Some(2), Some(2));
    let full = take(Meter::default(), &quotas, 2, NOON).meter;
    assert_eq!(take(full, &quotas, 1, NOON).granted, 0);
    assert_eq!(take(give_back(full, &quotas, 1, NOON), &quotas, 2, NOON).granted, 1);
    assert_eq!(give_back(Meter::default(), &quotas, 9, NOON).used, 0);
}

#[test]
fn a_quota_that_changes_counts_from_then_on() {
    let slow = take(Meter::default(), &quotas(Some(1), None), 1, NOON).meter;
    assert_eq!(take(slow, &quotas(Some(100), None), 100, NOON).granted, 0);
    assert_eq!(take(slow, &quotas(Some(100), None), 100, later(0.5)).granted, 50);
    let far = Meter { arrival: NOON.after(Duration::from_secs(99_999)), ..Meter::default() };
    assert_eq!(take(far, &quotas(Some(10), None), 1, NOON).exceeded.unwrap().again_in, Duration::from_millis(100));
}

#[test]
fn where_nothing_is_limited_all_is_granted() {
    let taken = take(Meter::default(), &Quotas::default(), u32::MAX, NOON);
    assert_eq!((taken.granted, taken.exceeded), (u32::MAX, None));
}

proptest! {
    /// However they come: in any window there are no more than a second's worth at once and the rate over it, and a day has no
    /// more than its quota.
    #[test]
    fn no_order_of_jobs_gets_more_than_its_quota(
        rate in 1_u32..40, day in 1_u64..200,
        steps in prop::collection::vec((0_u64..400_000_000, 1_u32..9), 1..80),
    ) {
        let (quotas, mut meter, mut now) = (quotas(Some(rate), Some(day)), Meter::default(), NOON);
        let mut granted: Vec<(u64, u64)> = Vec::new();
        for (pause, want) in steps {
            now = Nanos(now.0 + pause);
            let taken = take(meter, &quotas, want, now);
            prop_assert_eq!(taken.exceeded.is_some(), taken.granted < want);
            meter = taken.meter;
            granted.push((now.0, taken.granted.into()));
        }
        prop_assert!(granted.iter().map(|(_, count)| count).sum::<u64>() <= day);
        for (from, (begin, _)) in granted.iter().enumerate() {
            let mut sum = 0;
            for (end, count) in &granted[from..] {
                sum += count;
                let allowed = u64::from(rate) + (end - begin) / interval(&quotas);
                prop_assert!(sum <= allowed, "{} in {} ns at {}/s", sum, end - begin, rate);
            }
        }
    }
}
