//! Regions in the decision table: the same request in several of them, a fanout, a branch that moves.
#![allow(clippy::unwrap_used, reason = "a record without what the test put there fails the test")]

use proptest::prelude::*;

use super::tests::{NOW, answer, branch, elsewhere, live, message, on, on_error, on_timeout, record, work, work_one};
use super::*;
use crate::domain::id::Incarnation;
use crate::domain::job::ExecutionMode;
use crate::domain::renew::renewed;
use crate::domain::result::JobResult;

/// A fanout over so many regions.
fn fanout(states: &[BranchState]) -> Record {
    let mut record = record(states.iter().map(|state| branch(None, None, *state)).collect());
    record.placement.execution_mode = ExecutionMode::Fanout;
    record
}

fn concluded(record: &Record, branch: u16, status: u16, verdict: Verdict) -> Decision {
    conclude(record, work(record, branch, 1), &answer(status, 1), verdict, NOW)
}

fn moves() -> Verdict {
    Verdict::Elsewhere(Box::new(elsewhere()))
}

#[test]
fn a_submission_demands_its_request_in_every_region_that_of_the_first_last() {
    let record = fanout(&[live(1), live(1), live(1)]);
    assert_eq!(enter(&record, NOW), vec![work_one(1), work_one(2), work_one(0)]);
}

#[test]
fn the_first_success_in_a_fanout_waits_for_the_others_and_keeps_its_answer() {
    let record = fanout(&[live(1), live(1)]);
    let first = concluded(&record, 1, 200, Verdict::Success);
    assert_eq!((&first.demands, &first.then), (&vec![], &Then::Ack));
    let next = first.swap.unwrap();
    assert_eq!((next.branches[1].state, next.outcome.is_none()), (BranchState::Done, true));
    assert_eq!(next.branches[1].last, Some(answer(200, 1)));
    // Its message comes again: nothing is left to be done.
    assert_eq!(on(&next, work(&next, 1, 1)), Decision::only(Then::Ack));
}

#[test]
fn the_last_success_settles_a_fanout_with_the_answers_of_all() {
    let record = fanout(&[live(1), live(1)]);
    let next = concluded(&record, 1, 200, Verdict::Success).swap.unwrap();
    let last = concluded(&next, 0, 201, Verdict::Success);
    assert_eq!(last.demands, vec![Demand::Result { again: false }, Demand::Announce]);
    let settled = last.swap.unwrap();
    let outcome = settled.outcome.clone().unwrap();
    assert_eq!((outcome.status, outcome.winner), (Status::Success, Token::Branch(BranchId(0))));
    let result = JobResult::of(&"job_a".parse().unwrap(), &settled).unwrap();
    let answers: Vec<_> = result.branches.iter().map(|one| one.answer.as_ref().unwrap().status()).collect();
    assert_eq!((outcome.answer, answers), (None, vec![Some(201), Some(200)]));
    // Whoever finds it settled publishes the result again, once more the branch that settled it and no other.
    assert_eq!(on(&settled, work(&settled, 0, 1)).demands, vec![Demand::Result { again: true }, Demand::Announce]);
    assert_eq!(on(&settled, work(&settled, 1, 1)), Decision::only(Then::Ack));
}

#[test]
fn one_region_without_an_attempt_left_fails_a_fanout() {
    let record = fanout(&[live(1), BranchState::Done, live(1)]);
    let decision = concluded(&record, 2, 404, Verdict::Final);
    let outcome = decision.swap.unwrap().outcome.unwrap();
    assert_eq!((outcome.status, outcome.winner), (Status::Failed, Token::Branch(BranchId(2))));
    assert_eq!((outcome.reason, outcome.answer), (Some(Reason::Exhausted), Some(answer(404, 1))));
}

#[test]
fn in_a_race_over_regions_the_first_success_wins_and_one_that_dies_leaves_the_others() {
    let record = record(vec![branch(None, None, live(1)), branch(None, None, live(1))]);
    let won = concluded(&record, 1, 200, Verdict::Success).swap.unwrap();
    assert_eq!(won.outcome.unwrap().winner, Token::Branch(BranchId(1)));
    let died = concluded(&record, 0, 404, Verdict::Final).swap.unwrap();
    assert!(died.outcome.is_none() && died.branches[1].is_live());
}

#[test]
fn a_branch_that_moves_dies_and_another_goes_on_for_it() {
    let mut record = record(vec![
        branch(None, None, live(3)),
        branch(Some(0), on_error(&[503]), BranchState::Unstarted),
        branch(Some(0), on_timeout(3_000), BranchState::Unstarted),
    ]);
    record.branches[0].answers = 2;
    let message_in_hand = work(&record, 0, 3);
    let decision = conclude(&record, message_in_hand, &answer(503, 3), moves(), NOW);
    let next = decision.swap.unwrap();
    let timer = message(
        Token::Start(BranchId(2)),
        When::Later(record.branches[0].started_at.unwrap().after(Duration::from_secs(3))),
        0,
        Expect::Nothing,
    );
    assert_eq!((&decision.demands, &decision.then), (&vec![work_one(1), timer, work_one(3)], &Then::Ack));
    assert_eq!((next.branches[0].state, next.branches[0].answers), (BranchState::Dead, 3));
    let fresh = &next.branches[3];
    assert_eq!((fresh.contender.parent, fresh.queue.clone()), (Some(BranchId(0)), elsewhere().queue));
    assert_eq!(fresh.placed.moved, Some(Moved { from: BranchId(0), reroutes: 1, retries: 2 }));
    assert_eq!((next.began_as(BranchId(3)), next.body_of(BranchId(3))), (BranchId(0), BranchId(0)));
    // What waits for its time waits for the one that goes on; what the answer has started has its parent still.
    assert_eq!(
        (next.branches[1].contender.parent, next.branches[2].contender.parent),
        (Some(BranchId(0)), Some(BranchId(3)))
    );
    // Whoever comes second demands the same.
    assert_eq!(on(&next, work(&next, 0, 3)), Decision::ack_after(decision.demands));
}

#[test]
fn a_fanout_waits_for_the_one_that_goes_on_and_not_for_the_one_that_moved() {
    let record = fanout(&[live(1), BranchState::Done]);
    let next = concluded(&record, 0, 503, moves()).swap.unwrap();
    assert!(next.outcome.is_none());
    let settled = concluded(&next, 2, 200, Verdict::Success).swap.unwrap();
    assert_eq!(settled.outcome.unwrap().status, Status::Success);
}

#[test]
fn a_new_life_begins_in_every_region_and_knows_nothing_of_moves() {
    let mut old = record(vec![
        branch(None, None, live(1)),
        branch(Some(0), on_timeout(3_000), BranchState::Unstarted),
        branch(None, None, live(1)),
    ]);
    old = *concluded(&old, 0, 503, moves()).swap.unwrap();
    assert_eq!(old.branches[1].contender.parent, Some(BranchId(3)));
    let new = renewed(&old, Incarnation::from_random(2), NOW);
    let states: Vec<_> = new.branches.iter().map(|branch| (branch.contender.parent, branch.is_live())).collect();
    assert_eq!(states, [(None, true), (Some(BranchId(0)), false), (None, true)]);
}

fn any_root() -> impl Strategy<Value = BranchState> {
    prop_oneof![(1_u32..3).prop_map(live), Just(BranchState::Done)]
}

fn any_end() -> impl Strategy<Value = (u16, Verdict)> {
    let again = Verdict::Again { at: NOW };
    prop_oneof![Just((200, Verdict::Success)), Just((503, moves())), Just((404, Verdict::Final)), Just((500, again))]
}

proptest! {
    #[test]
    fn a_fanout_succeeds_only_when_all_that_go_on_have_and_ends_once_nobody_does(
        states in proptest::collection::vec(any_root(), 1..5),
        steps in proptest::collection::vec((any::<prop::sample::Index>(), any_end()), 1..40),
    ) {
        let mut record = fanout(&states);
        prop_assume!(record.any_live());
        for (which, (status, verdict)) in steps {
            let live: Vec<_> = record.numbered().filter_map(|(number, one)| match one.state {
                BranchState::Live { attempt, .. } => Some((number, attempt)),
                BranchState::Unstarted | BranchState::Dead | BranchState::Done => None,
            }).collect();
            if record.outcome.is_some() || live.is_empty() {
                break;
            }
            let (number, attempt) = live[which.index(live.len())];
            let next = conclude(&record, work(&record, number.0, attempt), &answer(status, attempt), verdict, NOW);
            record = *next.swap.unwrap();
            let whole = record.numbered().all(|(number, one)| one.state == BranchState::Done || record.has_moved(number));
            let succeeded = record.outcome.as_ref().is_some_and(|outcome| outcome.status == Status::Success);
            prop_assert_eq!(succeeded, whole && record.outcome.is_some());
            prop_assert!(record.outcome.is_some() || record.any_live());
        }
    }
}
