//! One state for all that cannot be told apart any more, by what they can still lead to.

use sluice_shared::domain::id::{BranchId, Token};
use sluice_shared::domain::record::BranchState;

use super::plan::Reads;
use super::state::{At, End, Expected, Hand, State, Todo, Who};
use super::steps::Steps;

impl Steps {
    /// Brings a state into its plainest form.
    pub(super) fn reduce(&self, state: &mut State) {
        for hand in &mut state.hands {
            if let At::Doing(todo, _) = &mut hand.at {
                todo.retain(|one| !matches!(one, Todo::Publish(_, Expected::This(None)))); // refused for ever
            }
        }
        state.hands.retain(|hand| !is_done(hand));
        if self.plan.reads == Reads::Leader {
            self.forget_what_is_over(state);
        }
        state.hands.sort_unstable();
    }

    /// Attempts that the record has passed are not made again, for their messages are acked; after a settlement the winner
    /// alone can do anything, and nothing once the result is there.
    fn forget_what_is_over(&self, state: &mut State) {
        let Some(record) = state.record.map(|id| self.core.record(id)) else { return };
        let Some(outcome) = &record.outcome else {
            let is_now = |branch: BranchId, attempt: u32| matches!(record.branches[branch.index()].state, BranchState::Live { attempt: now, .. } if now <= attempt);
            state.called.retain(|(token, attempt)| matches!(token, Token::Branch(branch) if is_now(*branch, *attempt)));
            return;
        };
        let (winner, over) = (outcome.winner, state.result.is_some());
        let matters = |token: Token| !over && token == winner;
        for place in (0..u8::try_from(state.messages.len()).unwrap()).rev() {
            if !matters(state.message(place).token) {
                state.remove(place);
            }
        }
        state.hands.retain(|hand| matters(hand.pointer.token) && matches!(hand.who, Who::Worker | Who::Canceller));
        (state.called, state.limited) = (Vec::new(), Vec::new());
        (state.again, state.submitters, state.cancels, state.committed) = (0, 0, 0, true);
        if over {
            state.faults = 0;
        }
    }
}

fn is_done(hand: &Hand) -> bool {
    match &hand.at {
        At::Doing(todo, End::GiveBack) => todo.is_empty(),
        At::Doing(todo, End::Ack) => todo.is_empty() && hand.holds.is_none(),
        At::Doing(_, End::Execute | End::Handle) | At::Calling | At::Again(_) | At::Seen(_) => false,
    }
}
