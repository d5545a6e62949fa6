#![allow(clippy::unwrap_used, reason = "what cannot be read fails the test")]

use proptest::prelude::*;

use super::*;
use crate::domain::id::{BranchId, Incarnation, JobId, Tenant, Token};
use crate::domain::job::Webhook;
use crate::domain::outcome::{Outcome, Status};
use crate::wire;

const NOW: Millis = Millis(1_000_000);

fn schedule() -> Schedule {
    Schedule { pauses: vec![Duration::from_secs(5), Duration::from_secs(300)], jitter: 0.1 }
}

fn a_try(attempt: u32, came: Came) -> Try {
    Try { attempt, at: NOW, came, share: 0.5 }
}

fn failed(attempt: u32) -> Try {
    a_try(attempt, Came::Failed { error: "answered 500".into(), retry_after: None })
}

fn waiting(attempt: u32) -> WebhookState {
    WebhookState::Waiting { attempt, next_at: NOW, last_error: Some("answered 500".into()) }
}

fn dead() -> WebhookState {
    WebhookState::Dead { reason: "answered 410".into(), at: NOW, attempt: 2 }
}

fn delivered() -> WebhookState {
    WebhookState::Delivered { at: NOW, attempt: 2 }
}

fn result(votes: &[bool], quorum: u16) -> JobResult {
    let tenant = Tenant::default();
    let webhook =
        |vote: &bool| Webhook { url: "http://127.0.0.1/".into(), regions: Vec::new(), has_quorum_vote: *vote };
    JobResult {
        job: JobId::derive(&tenant, "k"),
        tenant,
        key: "k".into(),
        incarnation: Incarnation::from_random(1),
        accepted_at: NOW,
        outcome: Outcome {
            status: Status::Success,
            reason: None,
            winner: Token::Branch(BranchId::OWN),
            at: NOW,
            answer: None,
        },
        branches: Vec::new(),
        metadata: None,
        webhooks: votes.iter().map(webhook).collect(),
        webhook_quorum: quorum,
        follow_up: None,
        traceparent: None,
    }
}

#[test]
fn each_state_demands_its_own_of_each_message() {
    let due = |attempt| InHand::Due { attempt };
    let timer = Demand::Timer { attempt: 2, at: NOW };
    let letter = Demand::DeadLetter { reason: "answered 410".into(), attempt: 2 };
    let table = [
        (WebhookState::Untried, InHand::Result, Demand::Post { attempt: 1 }),
        (WebhookState::Untried, due(3), Demand::Post { attempt: 3 }),
        (waiting(2), InHand::Result, timer.clone()),
        (waiting(2), due(1), timer),
        (waiting(2), due(2), Demand::Post { attempt: 2 }),
        (waiting(2), due(3), Demand::Post { attempt: 3 }),
        (dead(), InHand::Result, letter.clone()),
        (dead(), due(2), letter),
        (delivered(), InHand::Result, Demand::Nothing),
        (delivered(), due(2), Demand::Nothing),
    ];
    for (state, in_hand, expected) in table {
        assert_eq!(in_hand.demand(&state), expected, "{state:?} {in_hand:?}");
    }
}

#[test]
fn a_result_put_off_before_its_first_try_waits_for_its_timer_and_is_not_posted_twice() {
    let put_off = WebhookState::Untried.after(&a_try(1, Came::Postponed { by: Duration::from_secs(1) }), &schedule());
    assert_eq!(put_off, WebhookState::Waiting { attempt: 1, next_at: Millis(1_001_000), last_error: None });
    assert!(matches!(InHand::Result.demand(&put_off), Demand::Timer { attempt: 1, .. }));
    assert_eq!(InHand::Due { attempt: 1 }.demand(&put_off), Demand::Post { attempt: 1 });
}

#[test]
fn each_failure_waits_for_its_pause_with_jitter_until_there_is_none_left() {
    let first = WebhookState::Untried.after(&failed(1), &schedule());
    let last_error = Some("answered 500".to_owned());
    let expected = WebhookState::Waiting { attempt: 2, next_at: NOW.after(Duration::from_millis(5_250)), last_error };
    assert_eq!(first, expected);
    let second = first.after(&failed(2), &schedule());
    assert!(matches!(second, WebhookState::Waiting { attempt: 3, .. }));
    let WebhookState::Dead { reason, attempt, .. } = second.after(&failed(3), &schedule()) else {
        panic!("not given up");
    };
    assert_eq!((reason.as_str(), attempt), ("given up after 3 tries: answered 500", 3));
}

#[test]
fn a_retry_after_is_the_least_and_a_day_the_most() {
    let after = |seconds| {
        let retry_after = Some(Duration::from_secs(seconds));
        let one = a_try(1, Came::Failed { error: String::new(), retry_after });
        match WebhookState::Untried.after(&one, &schedule()) {
            WebhookState::Waiting { next_at, .. } => next_at.since(NOW),
            WebhookState::Untried | WebhookState::Delivered { .. } | WebhookState::Dead { .. } => panic!("not waiting"),
        }
    };
    assert_eq!(after(60), Duration::from_secs(60));
    assert_eq!(after(1), Duration::from_millis(5_250));
    assert_eq!(after(u64::MAX), LONGEST_RETRY_AFTER);
}

#[test]
fn a_refusal_is_dead_at_once() {
    let refused = a_try(1, Came::Refused { reason: "answered 410".into() });
    assert!(matches!(WebhookState::Untried.after(&refused, &schedule()), WebhookState::Dead { attempt: 1, .. }));
}

#[test]
fn only_voting_webhooks_count_towards_the_quorum() {
    let result = result(&[true, false, true], 2);
    let taken = a_try(1, Came::Delivered);
    let state = Deliveries::untried(&result).after([(0, &taken), (1, &taken)], &result, &schedule());
    assert_eq!(state.quorum, Quorum { needed: 2, reached: 1 });
    let state = state.after([(2, &taken)], &result, &schedule());
    assert_eq!(state.quorum, Quorum { needed: 2, reached: 2 });
}

#[test]
fn what_is_posted_anew_waits_for_its_first_try_and_does_not_count_as_delivered() {
    let one = result(&[true], 1);
    for (state, last_error) in [(delivered(), false), (dead(), true), (WebhookState::Untried, false)] {
        let state = Deliveries { webhooks: vec![state], quorum: Quorum { needed: 1, reached: 1 } };
        let anew = state.posted_anew(0, &one, false, NOW);
        let WebhookState::Waiting { attempt: 1, next_at, last_error: why } = anew.of(0) else { panic!("{anew:?}") };
        assert_eq!((*next_at, why.is_some(), anew.quorum.reached), (NOW.after(SOONEST), last_error, 0));
        assert_eq!(anew.posted_anew(0, &one, false, NOW.after(SOONEST)), anew, "twice is as once");
    }
    let untried = Deliveries::untried(&one);
    assert_eq!(untried.posted_anew(0, &one, true, NOW), untried, "its first try is to come anyway");
}

#[test]
fn an_entry_outlives_the_next_try() {
    let one = result(&[true], 1);
    let long = a_try(1, Came::Failed { error: String::new(), retry_after: Some(Duration::from_secs(3600)) });
    let state = Deliveries::untried(&one).after([(0, &long)], &one, &schedule());
    assert_eq!(state.kept_for(NOW, Duration::from_secs(60)), Duration::from_secs(3660));
}

#[test]
fn every_state_reads_back_as_what_it_was() {
    let result = result(&[true; 4], 2);
    let state = Deliveries {
        webhooks: vec![WebhookState::Untried, delivered(), waiting(3), dead()],
        quorum: Quorum { needed: 2, reached: 1 },
    };
    assert_eq!(wire::decode::<Deliveries>(&wire::encode(&state)).unwrap(), state);
    let delivery = Delivery { result, webhook: 3, attempt: 2, postponed: 1 };
    assert_eq!(wire::decode::<Delivery>(&wire::encode(&delivery)).unwrap(), delivery);
    let json = serde_json::to_value(waiting(3)).unwrap();
    assert_eq!(
        json,
        serde_json::json!({"status": "waiting", "attempt": 3, "next_at": NOW, "last_error": "answered 500"})
    );
}

fn any_try() -> impl Strategy<Value = Try> {
    let came = prop_oneof![
        Just(Came::Delivered),
        (0..100_000_u64).prop_map(|s| Came::Failed {
            error: "x".into(),
            retry_after: (s % 2 == 0).then(|| Duration::from_secs(s))
        }),
        Just(Came::Refused { reason: "x".into() }),
        (0..2_000_u64).prop_map(|ms| Came::Postponed { by: Duration::from_millis(ms) }),
    ];
    (1..6_u32, 0..10_000_u64, came, 0.0..=1.0).prop_map(|(attempt, at, came, share)| Try {
        attempt,
        at: Millis(at),
        came,
        share,
    })
}

/// How far on a state is: never goes down.
fn rank(state: &WebhookState) -> u32 {
    match state {
        WebhookState::Untried => 0,
        WebhookState::Waiting { attempt, .. } => *attempt,
        WebhookState::Dead { .. } => 1_000,
        WebhookState::Delivered { .. } => 2_000,
    }
}

proptest! {
    #[test]
    fn every_try_applied_twice_is_the_same_as_once_and_nothing_goes_back(tries in prop::collection::vec(any_try(), 1..12)) {
        let mut state = WebhookState::Untried;
        for one in &tries {
            let next = state.after(one, &schedule());
            prop_assert_eq!(&next.after(one, &schedule()), &next);
            prop_assert!(rank(&next) >= rank(&state));
            state = next;
        }
    }

    #[test]
    fn nothing_delivered_is_posted_again_and_nothing_dead_is(tries in prop::collection::vec(any_try(), 1..12), attempt in 1..20_u32) {
        let state = tries.iter().fold(WebhookState::Untried, |state, one| state.after(one, &schedule()));
        let over = matches!(state, WebhookState::Delivered { .. } | WebhookState::Dead { .. });
        for in_hand in [InHand::Result, InHand::Due { attempt }] {
            let posted = matches!(in_hand.demand(&state), Demand::Post { .. });
            prop_assert!(!over || !posted);
        }
        prop_assert!(tries.iter().all(|one| one.came != Came::Delivered) || state.demand() == Demand::Nothing);
    }

    #[test]
    fn what_fails_for_ever_is_given_up_after_as_many_tries_as_there_are_pauses_and_one(pauses in 0..12_usize) {
        let schedule = Schedule { pauses: vec![Duration::from_secs(1); pauses], jitter: 0.1 };
        let (mut state, mut tries) = (WebhookState::Untried, 0);
        while let Demand::Post { attempt } = (InHand::Due { attempt: tries + 1 }).demand(&state) {
            tries = attempt;
            state = state.after(&failed(attempt), &schedule);
        }
        prop_assert_eq!(usize::try_from(tries).unwrap(), pauses + 1);
        let given_up = matches!(state, WebhookState::Dead { .. });
        prop_assert!(given_up);
    }
}
