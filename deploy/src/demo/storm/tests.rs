use super::seen::{Clients, JobSeen};
use super::*;
use crate::demo::expect::Expectations;

/// The storm as it should be.
fn good() -> StormSeen {
    let job = JobSeen { successes: 1, webhooks: 1, told_success: 1 };
    StormSeen {
        jobs: (1..=200).map(|number| (format!("storm-{number:03}"), job.clone())).collect(),
        sluice: Calls { all: 201, answered_429: 1, succeeded: 200 },
        sluice_took: Duration::from_millis(10_123),
        plain: Calls { all: 860, answered_429: 760, succeeded: 100 },
        clients: Clients { succeeded: 100, gave_up: 100, took: Duration::from_millis(7_300) },
    }
}

/// The good storm with one thing changed is told apart, by this sentence.
fn is_told(change: impl FnOnce(&mut StormSeen), sentence: &str) {
    let mut seen = good();
    change(&mut seen);
    let failed = failed(&seen);
    assert!(failed.iter().any(|one| one.contains(sentence)), "{sentence}: {failed:#?}");
}

fn failed(seen: &StormSeen) -> Vec<String> {
    let mut expected = Expectations::default();
    check(seen, &mut expected);
    expected.failed()
}

fn change_one(seen: &mut StormSeen, change: impl Fn(&mut JobSeen)) {
    seen.jobs.entry("storm-007".to_owned()).and_modify(change);
}

#[test]
fn the_storm_as_it_should_be_meets_every_expectation() {
    assert_eq!(failed(&good()), Vec::<String>::new());
}

#[test]
fn a_job_that_is_lost_or_done_twice_is_told() {
    is_told(|seen| change_one(seen, |job| job.successes = 0), "exactly once should be 200; seen: 199");
    is_told(|seen| change_one(seen, |job| job.successes = 2), "exactly once should be 200; seen: 199");
    is_told(|seen| change_one(seen, |job| job.webhooks = 0), "exactly one webhook should be 200; seen: 199");
    is_told(|seen| change_one(seen, |job| job.webhooks = 2), "exactly one webhook should be 200; seen: 199");
    is_told(|seen| change_one(seen, |job| job.told_success = 0), "exactly one webhook should be 200; seen: 199");
    is_told(|seen| seen.sluice.succeeded = 199, "neither 200 nor 429 should be 0; seen: 1");
}

#[test]
fn more_429s_than_a_gate_should_cause_are_told() {
    is_told(|seen| seen.sluice = Calls { all: 211, answered_429: 11, succeeded: 200 }, "at most 10 answers of 429");
    is_told(|seen| seen.plain.answered_429 = 1, "plain clients should cause more answers of 429 than Sluice");
}

#[test]
fn a_plain_client_without_an_end_is_told() {
    is_told(|seen| seen.clients.gave_up = 99, "succeeded or gave up should be 200; seen: 199");
}

#[test]
fn the_ideal_is_the_waits_between_the_calls() {
    assert_eq!(ideal(200, 20), Duration::from_millis(9_950));
    assert_eq!(ideal(1, 20), Duration::ZERO);
    assert_eq!(ideal(0, 20), Duration::ZERO);
}

#[test]
fn the_table_sets_both_sides_beside_each_other() {
    let expected = "                                           Sluice     plain clients
   requests that succeeded                    200               100
   requests lost                                0               100
   calls that the destination got             201               860
   calls that it answered 429                   1               760
   webhooks received                          200                 -
   time; 9.95 s is the least for 200      10.12 s            7.30 s";
    assert_eq!(table(&good(), 20), expected);
}
