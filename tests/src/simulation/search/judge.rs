//! What must hold in every state of the search, and where nothing more happens by itself.

use sluice_shared::domain::id::Token;
use sluice_shared::domain::outcome::{Reason, Status};
use sluice_shared::domain::record::{BranchState, Record};

use super::core::RecordId;
use super::state::{Message, State};
use super::steps::{Next, Steps};

impl Steps {
    /// A record was written over another.
    pub(super) fn swapped(&self, state: &mut State, old: RecordId, new: RecordId) {
        let (old, new) = (self.core.record(old), self.core.record(new));
        if old.outcome.is_some() {
            state.breaks("OneOutcome");
        }
        let back = |(was, is)| rank(was) > rank(is);
        if old.branches.iter().map(|b| b.state).zip(new.branches.iter().map(|b| b.state)).any(back) {
            state.breaks("OnlyForward");
        }
        let failed = new.outcome.as_ref().filter(|outcome| outcome.status == Status::Failed);
        if failed.is_some_and(|outcome| outcome.reason != Some(Reason::Deadline)) && new.any_live() && !new.is_fanout()
        {
            state.breaks("FailsWhenAllAreDead");
        }
        let succeeded = new.outcome.as_ref().is_some_and(|outcome| outcome.status == Status::Success);
        if succeeded && new.is_fanout() && !all_have_succeeded(new) {
            state.breaks("SucceedsWhenAllHave");
        }
        if new.outcome.is_none() && !new.any_live() {
            state.breaks("EverythingEnds: pending, and every branch is dead");
        }
    }

    /// A message is about to be stored.
    pub(super) fn stores(&self, state: &mut State, message: Message) {
        let newer =
            |old: &Message| old.token == message.token && (old.attempt, old.stage) > (message.attempt, message.stage);
        if self.contends(state, message.token) && state.messages.iter().any(newer) {
            state.breaks("ChainGoesForward");
        }
        if message.token == Token::Branch(sluice_shared::domain::id::BranchId::OWN) {
            state.committed = true;
        }
    }

    /// A message was acked.
    pub(super) fn acked(&self, state: &mut State, message: Message) {
        let Some(record) = state.record.map(|id| self.core.record(id)) else { return };
        if message.token == Token::Overdue && record.outcome.is_none() && !(record.overdue && state.on_failure) {
            state.breaks("OneFollowUp: overdue, and on_failure was not submitted");
        }
        if state.lossy || !state.committed || record.outcome.is_some() {
            return;
        }
        let has = |token| state.messages.iter().any(|message| message.token == token);
        let bare = record.numbered().any(|(number, branch)| {
            let parent = branch.contender.parent.is_some_and(|parent| has(Token::Branch(parent)));
            branch.is_live() && !parent && !has(Token::Branch(number)) && !has(Token::Start(number))
        });
        if bare {
            state.breaks("LiveBranchHasAMessage");
        }
    }

    /// A call goes out.
    pub(super) fn calls(&self, state: &mut State, token: Token, attempt: u32) {
        if state.called.contains(&(token, attempt)) {
            match state.again.checked_sub(1) {
                Some(left) => state.again = left,
                None => state.breaks("CalledOnce"),
            }
        } else {
            state.called.push((token, attempt));
            state.called.sort_unstable();
        }
    }

    /// What does not hold where nothing more happens by itself.
    pub(super) fn at_rest(&self, state: &State, next: &[Next]) -> Option<&'static str> {
        let record = self.core.record(state.record?);
        if next.iter().any(|next| next.by_itself) {
            return None;
        }
        match &record.outcome {
            Some(_) if state.result.is_none() && !state.lossy => Some("EverythingEnds: settled, and no result"),
            Some(_) => None,
            // What was not accepted need not end, but for the sweep.
            None if self.plan.sweep || state.committed => {
                Some("EverythingEnds: pending, and nothing left that could end it")
            }
            None => None,
        }
    }

    fn contends(&self, state: &State, token: Token) -> bool {
        let (Some(id), Token::Branch(branch)) = (state.record, token) else { return false };
        let record: &Record = self.core.record(id);
        record.outcome.is_none() && record.branch(branch).is_some_and(|branch| branch.is_live())
    }
}

/// Every region of a fanout, or who goes on for it elsewhere.
fn all_have_succeeded(record: &Record) -> bool {
    record.numbered().all(|(number, branch)| branch.state == BranchState::Done || record.has_moved(number))
}

fn rank(state: BranchState) -> u32 {
    match state {
        BranchState::Unstarted => 0,
        BranchState::Live { attempt, .. } => attempt,
        BranchState::Dead | BranchState::Done => u32::MAX,
    }
}
