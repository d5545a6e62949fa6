//! One test for each row of the decision table, one for each kind of answer, and the repeats.
#![allow(clippy::unwrap_used, reason = "a record without what the test put there fails the test")]

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::domain::id::{Destination, QueueName, Tenant};
use crate::domain::job::Body;
use crate::domain::job::{Contender, Placement, Priority, RegionPolicy, Request, RetryPolicy, Webhook};
use crate::domain::outcome::{Content, Response};
use crate::domain::record::Fingerprint;
use crate::domain::region::Place;

pub(super) const NOW: Millis = Millis(1_000_000);

pub(super) fn branch(parent: Option<u16>, trigger: Option<Trigger>, state: BranchState) -> Branch {
    let url = url::Url::parse("https://api.example.com/x").unwrap();
    let request = Request {
        method: "POST".into(),
        url: url.to_string(),
        headers: vec![("authorization".into(), "secret".into())],
        body: Body::Inline(Bytes::from_static(b"hello")),
        sealed: None,
    };
    let parent = parent.map(BranchId);
    let contender = Contender {
        request,
        parent,
        trigger,
        retry: RetryPolicy::default(),
        timeout: None,
        account: None,
        priority: Priority::Normal,
    };
    let queue = QueueName::of(&Tenant::default(), &Destination::of(&url).unwrap(), None);
    let started_at = matches!(state, BranchState::Live { .. }).then_some(NOW.before(Duration::from_secs(1)));
    Branch { contender, queue, shard: 3, state, started_at, answers: 0, last: None, placed: Placed::default() }
}

/// Another region, where nothing is there yet.
pub(super) fn elsewhere() -> Elsewhere {
    let place = Place { regions: vec!["us".parse().unwrap()], policy: RegionPolicy::Fallback };
    let url = url::Url::parse("https://api.example.com/x").unwrap();
    let queue = QueueName::placed(&Tenant::default(), &Destination::of(&url).unwrap(), None, &place, Priority::Normal);
    Elsewhere { place, queue, shard: 5 }
}

pub(super) fn live(attempt: u32) -> BranchState {
    BranchState::Live { attempt, due_at: NOW.before(Duration::from_millis(1)) }
}

pub(super) fn on_error(codes: &[u16]) -> Option<Trigger> {
    Some(Trigger::OnError { codes: codes.to_vec() })
}

pub(super) fn on_timeout(millis: u64) -> Option<Trigger> {
    Some(Trigger::OnTimeout { after: Duration::from_millis(millis) })
}

pub(super) fn record(branches: Vec<Branch>) -> Record {
    Record {
        tenant: Tenant::default(),
        key: "k".into(),
        incarnation: Incarnation::from_random(1),
        fingerprint: Fingerprint { version: 1, hash: [0; 32] },
        accepted_at: NOW.before(Duration::from_secs(2)),
        starts_at: NOW.before(Duration::from_secs(2)),
        branches,
        deadline_at: None,
        overdue_at: None,
        overdue: false,
        metadata: None,
        webhooks: vec![Webhook { url: "https://hook.example.com/".into(), regions: vec![], has_quorum_vote: true }],
        webhook_quorum: 1,
        on_success: None,
        on_failure: None,
        placement: Placement::default(),
        traceparent: None,
        outcome: None,
    }
}

fn settled(mut record: Record, winner: Token) -> Record {
    record.outcome = Some(Outcome { status: Status::Success, reason: None, winner, at: NOW, answer: None });
    record
}

pub(super) fn work(record: &Record, branch: u16, attempt: u32) -> Incoming<'_> {
    Incoming { incarnation: &record.incarnation, token: Token::Branch(BranchId(branch)), kind: Kind::Work, attempt }
}

fn due(record: &Record, branch: u16, attempt: u32) -> Incoming<'_> {
    Incoming { kind: Kind::Due, ..work(record, branch, attempt) }
}

fn signal(record: &Record, token: Token) -> Incoming<'_> {
    Incoming { incarnation: &record.incarnation, token, kind: Kind::Due, attempt: 0 }
}

pub(super) fn on(record: &Record, message: Incoming<'_>) -> Decision {
    decide(Known::Record(record), message, NOW)
}

pub(super) fn message(token: Token, when: When, attempt: u32, expect: Expect) -> Demand {
    Demand::Message { token, when, attempt, expect }
}

pub(super) fn work_one(branch: u16) -> Demand {
    message(Token::Branch(BranchId(branch)), When::Work, 1, Expect::Nothing)
}

pub(super) fn answer(status: u16, attempt: u32) -> Answer {
    let content =
        Content::Response(Response { status, headers: vec![], body: Bytes::from_static(b"no"), truncated: false });
    Answer { attempt, at: NOW, content, region: None }
}

// ---- the table, row by row

#[test]
fn a_message_of_another_incarnation_is_acked() {
    let record = record(vec![branch(None, None, live(1))]);
    let old = Incarnation::from_random(99);
    let decision = on(&record, Incoming { incarnation: &old, ..work(&record, 0, 1) });
    assert_eq!(decision, Decision::only(Then::Ack));
}

#[test]
fn a_message_without_a_record_is_acked_when_old_and_set_aside_when_the_record_was_lost() {
    let record = record(vec![branch(None, None, live(1))]);
    let message = work(&record, 0, 1);
    assert_eq!(decide(Known::Forgotten, message, NOW), Decision::only(Then::Ack));
    assert_eq!(decide(Known::Lost, message, NOW), Decision::only(Then::SetAside(Oddity::RecordLost)));
    assert_eq!(decide(Known::Unreadable, message, NOW), Decision::only(Then::SetAside(Oddity::RecordUnreadable)));
}

#[test]
fn the_winner_of_a_settled_job_publishes_the_result_and_announces() {
    let record = settled(
        record(vec![branch(None, None, live(1)), branch(Some(0), on_error(&[]), live(1))]),
        Token::Branch(BranchId(1)),
    );
    assert_eq!(
        on(&record, work(&record, 1, 1)),
        Decision::ack_after(vec![Demand::Result { again: true }, Demand::Announce])
    );
}

#[test]
fn a_job_that_nobody_waits_for_publishes_no_result() {
    let mut record = settled(record(vec![branch(None, None, live(1))]), Token::Branch(BranchId(0)));
    record.webhooks.clear();
    assert_eq!(on(&record, work(&record, 0, 1)), Decision::only(Then::Ack));
}

#[test]
fn everybody_else_at_a_settled_job_is_acked() {
    let record = settled(
        record(vec![branch(None, None, live(1)), branch(Some(0), on_error(&[]), live(1))]),
        Token::Branch(BranchId(1)),
    );
    for message in
        [work(&record, 0, 1), due(&record, 0, 2), signal(&record, Token::Cancel), signal(&record, Token::Deadline)]
    {
        assert_eq!(on(&record, message), Decision::only(Then::Ack));
    }
}

#[test]
fn a_message_of_a_dead_branch_ensures_its_live_fallbacks() {
    let record = record(vec![branch(None, None, BranchState::Dead), branch(Some(0), on_error(&[]), live(1))]);
    for message in [work(&record, 0, 1), due(&record, 0, 1)] {
        assert_eq!(on(&record, message), Decision::ack_after(vec![work_one(1)]));
    }
}

#[test]
fn a_message_of_an_earlier_attempt_ensures_the_fallbacks_and_publishes_the_timer_of_the_records_attempt() {
    let due_at = NOW.after(Duration::from_secs(9));
    let record = record(vec![
        branch(None, None, BranchState::Live { attempt: 3, due_at }),
        branch(Some(0), on_error(&[]), live(1)),
    ]);
    let timer = message(Token::Branch(BranchId(0)), When::Later(due_at), 3, Expect::InHand);
    for message in [work(&record, 0, 2), due(&record, 0, 1)] {
        assert_eq!(on(&record, message), Decision::ack_after(vec![work_one(1), timer.clone()]));
    }
}

#[test]
fn a_timer_of_the_records_attempt_publishes_the_work() {
    let record = record(vec![branch(None, None, live(2))]);
    let next = message(Token::Branch(BranchId(0)), When::Work, 2, Expect::InHand);
    assert_eq!(on(&record, due(&record, 0, 2)), Decision::ack_after(vec![next]));
}

#[test]
fn work_of_the_records_attempt_ensures_the_fallbacks_and_is_executed() {
    let record = record(vec![branch(None, None, live(2)), branch(Some(0), on_error(&[]), live(1))]);
    let decision = on(&record, work(&record, 0, 2));
    assert_eq!(decision.then, Then::Execute { branch: BranchId(0), attempt: 2 });
    assert_eq!((decision.swap, decision.demands), (None, vec![work_one(1)]));
}

#[test]
fn a_start_signal_makes_an_unstarted_fallback_live_and_ensures_it() {
    let record = record(vec![
        branch(None, None, live(1)),
        branch(Some(0), on_timeout(100), BranchState::Unstarted),
        branch(Some(1), on_timeout(3_000), BranchState::Unstarted),
    ]);
    let decision = on(&record, signal(&record, Token::Start(BranchId(1))));
    let timer = message(Token::Start(BranchId(2)), When::Later(NOW.after(Duration::from_secs(3))), 0, Expect::Nothing);
    assert_eq!(decision.demands, vec![timer, work_one(1)]);
    assert_eq!(decision.swap.unwrap().branches[1].state, BranchState::Live { attempt: 1, due_at: NOW });
    assert_eq!(decision.then, Then::Ack);
}

#[test]
fn a_start_signal_of_a_live_fallback_ensures_it_and_of_a_dead_one_is_acked() {
    let mut record = record(vec![branch(None, None, live(1)), branch(Some(0), on_timeout(100), live(1))]);
    assert_eq!(on(&record, signal(&record, Token::Start(BranchId(1)))), Decision::ack_after(vec![work_one(1)]));
    record.branches[1].state = BranchState::Dead;
    assert_eq!(on(&record, signal(&record, Token::Start(BranchId(1)))), Decision::only(Then::Ack));
}

#[test]
fn a_deadline_fails_and_a_cancel_cancels_a_pending_job() {
    let record = record(vec![branch(None, None, live(1))]);
    for (token, status, reason) in
        [(Token::Deadline, Status::Failed, Reason::Deadline), (Token::Cancel, Status::Cancelled, Reason::Cancelled)]
    {
        let decision = on(&record, signal(&record, token));
        let outcome = decision.swap.unwrap().outcome.unwrap();
        assert_eq!((outcome.status, outcome.reason, outcome.winner), (status, Some(reason), token));
        assert_eq!(decision.demands, vec![Demand::Result { again: false }, Demand::Announce]);
    }
}

#[test]
fn an_overdue_signal_marks_the_job_once_and_submits_on_failure_each_time() {
    let mut record = record(vec![branch(None, None, live(1))]);
    record.on_failure = Some(Box::new(crate::domain::job::Job {
        branches: vec![],
        idempotent_key: None,
        metadata: None,
        webhooks: vec![],
        webhook_quorum: 1,
        on_success: None,
        on_failure: None,
        on_failure_timeout: None,
        deadline: None,
        retry_at: None,
        placement: Placement::default(),
    }));
    let first = on(&record, signal(&record, Token::Overdue));
    assert!(first.swap.unwrap().overdue);
    assert_eq!(first.demands, vec![Demand::SubmitOnFailure]);
    record.overdue = true;
    assert_eq!(on(&record, signal(&record, Token::Overdue)), Decision::ack_after(vec![Demand::SubmitOnFailure]));
}

#[test]
fn a_newer_version_is_left_to_someone_newer() {
    let record = record(vec![branch(None, None, live(1))]);
    assert_eq!(decide(Known::Newer, work(&record, 0, 1), NOW), Decision::only(Then::LeaveToNewer));
}

#[test]
fn what_cannot_be_is_set_aside() {
    let record = record(vec![branch(None, None, live(1)), branch(Some(0), on_error(&[]), BranchState::Unstarted)]);
    for (message, oddity) in [
        (work(&record, 0, 2), Oddity::AheadOfRecord),
        (work(&record, 1, 1), Oddity::AheadOfRecord),
        (work(&record, 7, 1), Oddity::NoSuchBranch),
        (signal(&record, Token::Start(BranchId(7))), Oddity::NoSuchBranch),
        (Incoming { kind: Kind::Work, ..signal(&record, Token::Deadline) }, Oddity::WrongStage),
    ] {
        assert_eq!(on(&record, message), Decision::only(Then::SetAside(oddity)));
    }
}

// ---- answers

#[test]
fn a_success_settles_and_drops_what_is_not_needed_any_more() {
    let record = record(vec![branch(None, None, live(1))]);
    let decision = conclude(&record, work(&record, 0, 1), &answer(200, 1), Verdict::Success, NOW);
    let next = decision.swap.unwrap();
    assert_eq!(next.outcome.as_ref().unwrap().status, Status::Success);
    assert_eq!(next.branches[0].contender.request.body, Body::Empty);
    assert!(next.branches[0].contender.request.headers.is_empty());
    assert_eq!((decision.demands, decision.then), (vec![Demand::Result { again: false }], Then::Ack));
}

#[test]
fn a_429_starts_the_fallbacks_it_triggers_and_gives_the_message_back() {
    let record = record(vec![
        branch(None, None, live(1)),
        branch(Some(0), on_error(&[429]), BranchState::Unstarted),
        branch(Some(0), on_error(&[500]), BranchState::Unstarted),
    ]);
    let until = NOW.after(Duration::from_secs(1));
    let decision = conclude(&record, work(&record, 0, 1), &answer(429, 1), Verdict::Limited { until }, NOW);
    let next = decision.swap.unwrap();
    assert_eq!(next.branches[0].state, record.branches[0].state);
    assert!(next.branches[1].is_live());
    assert_eq!(next.branches[2].state, BranchState::Unstarted);
    assert_eq!((decision.demands, decision.then), (vec![work_one(1)], Then::GiveBack { until }));
}

#[test]
fn an_attempt_that_is_held_off_stays_and_starts_what_such_a_failure_would() {
    let fallbacks = [on_error(&[503]), on_error(&[500]), on_error(&[])];
    let fallbacks = fallbacks.map(|trigger| branch(Some(0), trigger, BranchState::Unstarted));
    let record = record([branch(None, None, live(1))].into_iter().chain(fallbacks).collect());
    let until = NOW.after(Duration::from_secs(9));
    let held_off = |record: &Record, status| held_off(record, work(record, 0, 1), status, until, NOW);
    let decision = held_off(&record, Some(503));
    let next = decision.swap.unwrap();
    assert_eq!(next.branches[0], record.branches[0], "no attempt is used up");
    assert_eq!([1, 2, 3].map(|number| next.branches[number].is_live()), [true, false, true]);
    assert_eq!((decision.demands, decision.then), (vec![work_one(1), work_one(3)], Then::GiveBack { until }));
    // Once more, and where there was no answer that a code could be of.
    assert_eq!(held_off(&next, Some(503)), Decision::only(Then::GiveBack { until }));
    let without = held_off(&record, None).swap.unwrap();
    assert_eq!([1, 2, 3].map(|number| without.branches[number].is_live()), [false, false, true]);
    // A message that does not count any more is handled as ever.
    let dead = Record { branches: vec![branch(None, None, BranchState::Dead)], ..record };
    assert_eq!(held_off(&dead, None).then, Then::Ack);
}

#[test]
fn another_attempt_ensures_fallbacks_before_its_own_timer() {
    let record = record(vec![branch(None, None, live(1)), branch(Some(0), on_error(&[]), BranchState::Unstarted)]);
    let at = NOW.after(Duration::from_secs(4));
    let decision = conclude(&record, work(&record, 0, 1), &answer(500, 1), Verdict::Again { at }, NOW);
    let timer = message(Token::Branch(BranchId(0)), When::Later(at), 2, Expect::InHand);
    assert_eq!((decision.demands, decision.then), (vec![work_one(1), timer], Then::Ack));
    assert_eq!(decision.swap.unwrap().branches[0].state, BranchState::Live { attempt: 2, due_at: at });
}

#[test]
fn a_timer_is_never_shorter_than_the_broker_can_do() {
    let record = record(vec![branch(None, None, live(1))]);
    let decision = conclude(&record, work(&record, 0, 1), &answer(500, 1), Verdict::Again { at: NOW }, NOW);
    let timer = message(Token::Branch(BranchId(0)), When::Later(NOW.after(SHORTEST_TIMER)), 2, Expect::InHand);
    assert_eq!(decision.demands, vec![timer]);
}

#[test]
fn a_final_answer_starts_every_unstarted_fallback_whatever_its_trigger() {
    let record = record(vec![
        branch(None, None, live(1)),
        branch(Some(0), on_error(&[500]), BranchState::Unstarted),
        branch(Some(0), on_timeout(100), BranchState::Unstarted),
    ]);
    let decision = conclude(&record, work(&record, 0, 1), &answer(400, 1), Verdict::Final, NOW);
    let next = decision.swap.unwrap();
    assert_eq!(next.branches[0].state, BranchState::Dead);
    assert!(next.branches[1].is_live() && next.branches[2].is_live() && next.outcome.is_none());
    assert_eq!(decision.demands, vec![work_one(1), work_one(2)]);
}

#[test]
fn the_last_final_answer_fails_the_job_in_the_same_swap() {
    let record = record(vec![branch(None, None, BranchState::Dead), branch(Some(0), on_error(&[]), live(1))]);
    let decision = conclude(&record, work(&record, 1, 1), &answer(400, 1), Verdict::Final, NOW);
    let next = decision.swap.unwrap();
    let outcome = next.outcome.unwrap();
    assert_eq!((outcome.status, outcome.reason), (Status::Failed, Some(Reason::Exhausted)));
    assert!(!next.branches[1].contender.request.body.is_empty(), "kept for a retry");
}

#[test]
fn an_answer_that_comes_too_late_is_dropped_and_the_table_decides() {
    let settled = settled(
        record(vec![branch(None, None, live(1)), branch(Some(0), on_error(&[]), live(1))]),
        Token::Branch(BranchId(1)),
    );
    let decision = conclude(&settled, work(&settled, 0, 1), &answer(200, 1), Verdict::Success, NOW);
    assert_eq!(decision, Decision::only(Then::Ack));

    let dead = record(vec![branch(None, None, BranchState::Dead), branch(Some(0), on_error(&[]), live(1))]);
    let decision = conclude(&dead, work(&dead, 0, 1), &answer(200, 1), Verdict::Success, NOW);
    assert_eq!(decision, Decision::ack_after(vec![work_one(1)]));
}

#[test]
fn a_submission_publishes_signals_before_its_commit_point_and_not_those_that_fired() {
    let mut record =
        record(vec![branch(None, None, live(1)), branch(Some(0), on_timeout(5_000), BranchState::Unstarted)]);
    record.deadline_at = Some(NOW.after(Duration::from_secs(60)));
    record.overdue_at = Some(NOW.after(Duration::from_secs(30)));
    let tokens = |demands: Vec<Demand>| -> Vec<Token> {
        let token = |demand| if let Demand::Message { token, .. } = demand { Some(token) } else { None };
        demands.into_iter().filter_map(token).collect()
    };
    let first = [Token::Deadline, Token::Overdue, Token::Start(BranchId(1)), Token::Branch(BranchId(0))];
    assert_eq!(tokens(enter(&record, NOW)), first);
    record.overdue = true;
    assert_eq!(tokens(enter(&record, NOW)), [first[0], first[2], first[3]]);
    record.branches[0].state = live(2);
    assert_eq!(tokens(enter(&record, NOW)), [first[0]]);
}

#[test]
fn a_job_that_must_not_start_yet_begins_with_a_timer() {
    let due_at = NOW.after(Duration::from_secs(60));
    let record = record(vec![branch(None, None, BranchState::Live { attempt: 1, due_at })]);
    assert_eq!(enter(&record, NOW), vec![message(Token::Branch(BranchId(0)), When::Later(due_at), 1, Expect::Nothing)]);
}

// ---- properties

fn any_state() -> impl Strategy<Value = BranchState> {
    prop_oneof![
        Just(BranchState::Unstarted),
        (1_u32..4, 0_u64..2_000)
            .prop_map(|(attempt, late)| BranchState::Live { attempt, due_at: Millis(NOW.0 - 1_000 + late) }),
        Just(BranchState::Dead),
    ]
}

fn any_trigger() -> impl Strategy<Value = Option<Trigger>> {
    prop_oneof![Just(on_error(&[])), Just(on_error(&[429, 500])), (1_u64..5_000).prop_map(on_timeout)]
}

prop_compose! {
    fn any_record()(states in proptest::collection::vec((any_state(), any_trigger(), any::<prop::sample::Index>()), 1..6), settled in any::<bool>()) -> Record {
        let mut branches = Vec::new();
        for (number, (state, trigger, parent)) in states.into_iter().enumerate() {
            let parent = (number > 0).then(|| u16::try_from(parent.index(number)).unwrap());
            let state = if number == 0 && state == BranchState::Unstarted { live(1) } else { state };
            branches.push(branch(parent, trigger.filter(|_| number > 0), state));
        }
        let record = record(branches);
        if settled || !record.any_live() { super::tests::settled(record, Token::Branch(BranchId(0))) } else { record }
    }
}

fn any_verdict() -> impl Strategy<Value = (u16, Verdict)> {
    prop_oneof![
        Just((200, Verdict::Success)),
        Just((429, Verdict::Limited { until: Millis(NOW.0 + 1_000) })),
        (0_u64..5_000).prop_map(|after| (500, Verdict::Again { at: Millis(NOW.0 + after) })),
        Just((400, Verdict::Final)),
        Just((503, Verdict::Elsewhere(Box::new(elsewhere())))),
    ]
}

fn rank(state: BranchState) -> (u8, u32) {
    match state {
        BranchState::Unstarted => (0, 0),
        BranchState::Live { attempt, .. } => (1, attempt),
        BranchState::Dead | BranchState::Done => (2, 0),
    }
}

/// What was demanded, as whoever comes second demands it: a result may have been published.
fn once_more(mut demands: Vec<Demand>) -> Vec<Demand> {
    for demand in &mut demands {
        if let Demand::Result { again } = demand {
            *again = true;
        }
    }
    demands
}

proptest! {
    #[test]
    fn the_record_only_goes_forward_and_a_pending_job_always_has_a_live_branch(
        record in any_record(), which in 0_u16..6, attempt in 1_u32..4, (status, verdict) in any_verdict()
    ) {
        let decision = conclude(&record, work(&record, which, attempt), &answer(status, attempt), verdict, NOW);
        if let Some(next) = decision.swap {
            prop_assert!(record.outcome.is_none(), "a settled record changed");
            for (old, new) in record.branches.iter().zip(&next.branches) {
                prop_assert!(rank(new.state) >= rank(old.state));
            }
            prop_assert!(next.outcome.is_some() || next.any_live());
            let failed = next.outcome.as_ref().is_some_and(|o| o.status == Status::Failed);
            prop_assert!(!failed || !next.any_live(), "failed while a branch could run");
        }
    }

    #[test]
    fn the_same_answer_twice_changes_the_record_once(
        record in any_record(), which in 0_u16..6, attempt in 1_u32..4, (status, verdict) in any_verdict()
    ) {
        let message = work(&record, which, attempt);
        let first = conclude(&record, message, &answer(status, attempt), verdict.clone(), NOW);
        if let Some(next) = first.swap && !matches!(verdict, Verdict::Limited { .. }) {
            let again = conclude(&next, message, &answer(status, attempt), verdict, NOW);
            prop_assert!(again.swap.is_none(), "the repeat changed the record");
            // Whoever comes second demands at least what the first did, from the record alone.
            for demand in &once_more(first.demands) {
                prop_assert!(again.demands.contains(demand), "{demand:?} is not demanded again");
            }
        }
    }

    #[test]
    fn the_same_message_twice_changes_the_record_once(record in any_record(), token in 0_u8..5, which in 0_u16..6) {
        let token = match token {
            0 => Token::Start(BranchId(which)),
            1 => Token::Deadline,
            2 => Token::Overdue,
            3 => Token::Cancel,
            _ => Token::Branch(BranchId(which)),
        };
        let first = on(&record, signal(&record, token));
        if let Some(next) = &first.swap {
            let again = on(next, signal(next, token));
            prop_assert!(again.swap.is_none());
            prop_assert_eq!(once_more(first.demands), again.demands);
        }
    }
}
