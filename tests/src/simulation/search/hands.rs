//! What those who are at work do next: read and decide, publish, call, let go; or die of it.

use sluice_shared::domain::demand::{Demand, Expect, Then};
use sluice_shared::domain::id::Token;

use super::core::{Answered, Decided, Pointer, RecordId};
use super::plan::Reads;
use super::state::{At, End, Expected, Message, State, Todo, Who};
use super::steps::Steps;

impl Steps {
    pub(super) fn of_hand(&mut self, state: &State, place: usize) {
        let hand = state.hands[place].clone();
        if state.faults > 0 {
            let mut next = state.clone();
            next.faults -= 1;
            next.again += u8::from(hand.at == At::Calling);
            next.hands.remove(place);
            self.push(next, false, || format!("{:?} of {:?} DIES", hand.who, hand.pointer));
        }
        match &hand.at {
            At::Again(answered) => {
                self.acts(state, place, *answered, true, || format!("{:?} reads again", hand.pointer))
            }
            At::Calling => self.of_call(state, place),
            At::Seen(without) => self.of_seen(state, place, without),
            At::Doing(todo, end) if todo.is_empty() => {
                let mut next = state.clone();
                self.end(&mut next, place, *end);
                self.push(next, true, || format!("{:?} of {:?}: {end:?}", hand.who, hand.pointer));
            }
            At::Doing(todo, end) => {
                let (one, end) = (todo[0], *end);
                for answered in [true, false] {
                    if !answered && state.faults == 0 {
                        continue;
                    }
                    let mut next = state.clone();
                    next.faults -= u8::from(!answered);
                    self.does(&mut next, place, one);
                    if answered {
                        self.done(&mut next, place, end);
                    }
                    let lost = if answered { "" } else { ", the answer is LOST" };
                    self.push(next, answered, || format!("{:?} of {:?}: {one:?}{lost}", hand.who, hand.pointer));
                }
            }
        }
    }

    /// The call of a hand is answered, in every way that is left.
    fn of_call(&mut self, state: &State, place: usize) {
        let pointer = state.hands[place].pointer;
        for answered in Answered::ALL {
            let mut next = state.clone();
            match answered {
                Answered::Retryable if pointer.attempt >= self.plan.attempts => continue,
                Answered::Limited if !self.plan.limited || state.limited.contains(&pointer.token) => continue,
                Answered::Limited => {
                    next.limited.push(pointer.token);
                    next.limited.sort_unstable();
                    next.called.retain(|called| *called != (pointer.token, pointer.attempt));
                }
                Answered::Elsewhere if !self.may_move(state, pointer) => continue,
                Answered::Success | Answered::Retryable | Answered::Elsewhere | Answered::Final => {}
            }
            self.acts(&next, place, Some(answered), true, || format!("{pointer:?} is answered: {answered:?}"));
        }
    }

    /// Each branch moves once, and none that has.
    fn may_move(&self, state: &State, pointer: Pointer) -> bool {
        let (Some(record), Token::Branch(branch)) = (state.record, pointer.token) else { return false };
        let branch = self.core.record(record).branch(branch);
        self.plan.moves && branch.is_some_and(|branch| branch.placed.moved.is_none())
    }

    /// Reads, decides and swaps; or the swap's answer is lost.
    pub(super) fn acts(
        &mut self,
        state: &State,
        place: usize,
        answered: Option<Answered>,
        by_itself: bool,
        what: impl Fn() -> String,
    ) {
        let mut next = state.clone();
        let swapped = self.act(&mut next, place, answered);
        self.push(next, by_itself, &what);
        if swapped && state.faults > 0 {
            let mut next = state.clone();
            next.faults -= 1;
            self.act(&mut next, place, answered);
            // A hand that has ended already asks nobody.
            if let Some(hand) = next.hands.get_mut(place) {
                hand.at = At::Again(answered);
                self.push(next, false, || format!("{}, the swap's answer is LOST", what()));
            }
        }
    }

    fn act(&mut self, state: &mut State, place: usize, answered: Option<Answered>) -> bool {
        let Some(record) = state.record else { return false };
        let decided = self.core.decide(record, state.hands[place].pointer, answered);
        if let Some(next) = decided.swap {
            self.swapped(state, record, next);
            state.record = Some(next);
            if self.plan.reads != Reads::Leader {
                state.before.push(record);
            }
        }
        self.take_up(state, place, &decided, decided.swap.unwrap_or(record));
        decided.swap.is_some()
    }

    pub(super) fn take_up(&mut self, state: &mut State, place: usize, decided: &Decided, record: RecordId) {
        let holds = state.hands[place].holds;
        let end = match decided.then {
            Then::Ack => End::Ack,
            Then::Execute { .. } => End::Execute,
            Then::GiveBack { .. } => End::GiveBack,
            Then::LeaveToNewer | Then::SetAside(_) => {
                state.breaks("NothingOdd");
                End::Ack
            }
        };
        let mut todo = todo(&decided.demands, holds, record);
        if state.hands[place].who == Who::Canceller {
            todo.retain(|one| !matches!(one, Todo::Result(_))); // left to the signal's consumer
        }
        let nothing = todo.is_empty();
        state.hands[place].at = At::Doing(todo, end);
        if nothing && (end == End::Execute || (end == End::Ack && decided.swap.is_none())) {
            self.end(state, place, end);
        }
    }

    /// The first of what was to be done is done, and was answered.
    fn done(&mut self, state: &mut State, place: usize, end: End) {
        let At::Doing(todo, _) = &mut state.hands[place].at else { return };
        todo.remove(0);
        if todo.is_empty() && end == End::Execute {
            self.end(state, place, end);
        }
    }

    fn does(&mut self, state: &mut State, place: usize, one: Todo) {
        match one {
            Todo::Result(record) => {
                let status = self.core.record(record).outcome.as_ref().map(|outcome| outcome.status);
                if state.result.is_some() && state.result != status {
                    state.breaks("ResultIsTheOutcome");
                }
                state.result = status;
            }
            Todo::SubmitOnFailure => state.on_failure = true,
            Todo::Publish(message, expected) => {
                let newest = state.newest(message.token);
                let holds = match expected {
                    Expected::Nothing => newest.is_none(),
                    Expected::This(place) => place.is_some() && newest == place,
                };
                if holds {
                    self.stores(state, message);
                    state.store(message);
                }
            }
        }
        debug_assert!(place < state.hands.len());
    }

    fn end(&mut self, state: &mut State, place: usize, end: End) {
        match end {
            End::Execute => {
                let Pointer { token, attempt, .. } = state.hands[place].pointer;
                state.hands[place].at = At::Calling;
                self.calls(state, token, attempt);
            }
            End::Ack => {
                let hand = state.hands.remove(place);
                if let Some(message) = hand.holds {
                    let acked = state.message(message);
                    state.remove(message);
                    self.acked(state, acked);
                }
            }
            End::GiveBack => drop(state.hands.remove(place)),
            End::Handle => {
                self.act(state, place, None);
            }
        }
    }
}

/// What is to be done for demands; an announcement changes nothing here.
pub(super) fn todo(demands: &[Demand], holds: Option<u8>, record: RecordId) -> Vec<Todo> {
    let one = |demand: &Demand| match demand {
        Demand::Message { token, when, attempt, expect } => {
            let expected = match expect {
                Expect::Nothing => Expected::Nothing,
                Expect::InHand => Expected::This(holds),
            };
            Some(Todo::Publish(Message::of(*token, *when, *attempt), expected))
        }
        Demand::Result { .. } => Some(Todo::Result(record)),
        Demand::SubmitOnFailure => Some(Todo::SubmitOnFailure),
        Demand::Announce => None,
    };
    demands.iter().filter_map(one).collect()
}
