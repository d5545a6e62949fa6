//! All that can happen next in a state.

use sluice_shared::domain::demand::{Then, When};
use sluice_shared::domain::id::{BranchId, Token};
use sluice_shared::domain::record::BranchState;
use sluice_shared::topology::Stage;

use super::core::{Core, Pointer, RecordId};
use super::hands::todo;
use super::plan::{Plan, Reads};
use super::state::{At, End, Expected, Hand, Message, State, Todo, Who};

/// What a hand points to that has no message.
const NOTHING: Pointer = Pointer { token: Token::Branch(BranchId::OWN), work: false, attempt: 0 };

/// A state that can follow.
pub(super) struct Next {
    pub(super) state: State,
    /// It comes sooner or later, whatever else does not.
    pub(super) by_itself: bool,
    /// For people, where it was asked for.
    pub(super) what: String,
}

/// The steps of a plan.
pub(super) struct Steps {
    pub(super) plan: Plan,
    pub(super) core: Core,
    out: Vec<Next>,
    told: bool,
}

impl Steps {
    pub(super) fn new(plan: Plan, core: Core) -> Self {
        Self { plan, core, out: Vec::new(), told: false }
    }

    pub(super) fn begin(&mut self) -> State {
        let Plan { faults, submitters, cancels, .. } = self.plan;
        State { faults, submitters, cancels, ..State::default() }
    }

    /// All that can follow.
    pub(super) fn after(&mut self, state: &State, told: bool) -> Vec<Next> {
        self.told = told;
        for place in 0..u8::try_from(state.messages.len()).unwrap() {
            self.of_message(state, place);
        }
        for hand in 0..state.hands.len() {
            self.of_hand(state, hand);
        }
        self.of_clients(state);
        if self.plan.sweep {
            self.of_sweep(state);
        }
        std::mem::take(&mut self.out)
    }

    pub(super) fn push(&mut self, mut state: State, by_itself: bool, what: impl FnOnce() -> String) {
        self.reduce(&mut state);
        let what = if self.told { what() } else { String::new() };
        self.out.push(Next { state, by_itself, what });
    }

    fn of_message(&mut self, state: &State, place: u8) {
        let message = state.message(place);
        let held = state.hands.iter().any(|hand| hand.holds == Some(place));
        if self.plan.lost && state.faults > 0 && !held && message.token != Token::Cancel {
            let mut next = state.clone();
            (next.faults, next.lossy) = (next.faults - 1, true);
            next.remove(place);
            self.push(next, false, || format!("the broker LOSES {message:?}"));
        }
        if message.stage == Stage::Later {
            return self.of_timer(state, place);
        }
        if held && state.faults == 0 {
            return;
        }
        let mut next = state.clone();
        if held {
            (next.faults, next.again) = (next.faults - 1, next.again + 1);
        }
        let pointer = Pointer { token: message.token, work: message.stage == Stage::Work, attempt: message.attempt };
        next.hands.push(Hand { who: Who::Worker, pointer, holds: Some(place), at: At::Again(None) });
        let hand = next.hands.len() - 1;
        self.of_reads_behind(&next, hand, !held);
        self.acts(&next, hand, None, !held, || {
            format!("{message:?} is handed out{}", if held { " AGAIN" } else { "" })
        });
    }

    fn of_timer(&mut self, state: &State, place: u8) {
        let message = state.message(place);
        if message.stuck {
            return;
        }
        let mut next = state.clone();
        next.remove(place);
        let fired = Message { stage: Stage::Due, ..message };
        self.stores(&mut next, fired);
        next.store(fired);
        self.push(next, true, || format!("{message:?} fires"));
        if self.plan.swallowed && state.faults > 0 {
            let mut next = state.clone();
            next.faults -= 1;
            next.messages[usize::from(place)].stuck = true;
            self.push(next, false, || format!("{message:?} WILL NOT FIRE"));
        }
    }

    /// What a replica says that is behind. Where it asks for a swap, that fails, and the leader is read.
    fn of_reads_behind(&mut self, state: &State, hand: usize, by_itself: bool) {
        if self.plan.reads == Reads::Leader {
            return;
        }
        for behind in state.before.clone() {
            let pointer = state.hands[hand].pointer;
            if self.plan.reads == Reads::BehindThenLeader && !self.knows_of(behind, pointer) {
                continue;
            }
            let decided = self.core.decide(behind, pointer, None);
            if decided.swap.is_none() {
                let mut next = state.clone();
                next.again += u8::from(matches!(decided.then, Then::Execute { .. })); // what such a read may cost
                self.take_up(&mut next, hand, &decided, behind);
                self.push(next, by_itself, || format!("{pointer:?} is handed out, a replica is BEHIND"));
            }
        }
    }

    /// Whether the record is as far as the message that points to it.
    fn knows_of(&self, id: RecordId, pointer: Pointer) -> bool {
        let (Token::Branch(branch) | Token::Start(branch)) = pointer.token else { return true };
        match self.core.record(id).branches[branch.index()].state {
            BranchState::Unstarted => matches!(pointer.token, Token::Start(_)),
            BranchState::Live { attempt, .. } => attempt >= pointer.attempt,
            BranchState::Dead | BranchState::Done => true,
        }
    }

    fn of_clients(&mut self, state: &State) {
        if state.submitters > 0 {
            let mut next = state.clone();
            next.submitters -= 1;
            let record = *next.record.get_or_insert_with(|| self.core.number(self.plan.record()));
            let todo = todo(&self.core.enter(record), None, record);
            next.hands.push(Hand {
                who: Who::Submitter,
                pointer: NOTHING,
                holds: None,
                at: At::Doing(todo, End::GiveBack),
            });
            self.push(next, false, || "somebody creates or finds the record".into());
        }
        let pending = state.record.is_some_and(|record| self.core.record(record).outcome.is_none());
        if state.cancels > 0 && pending {
            let mut next = state.clone();
            next.cancels -= 1;
            let signal = Message::of(Token::Cancel, When::Due, 0);
            let pointer = Pointer { token: Token::Cancel, work: false, attempt: 0 };
            let todo = vec![Todo::Publish(signal, Expected::Nothing)];
            next.hands.push(Hand { who: Who::Canceller, pointer, holds: None, at: At::Doing(todo, End::Handle) });
            self.push(next, false, || "somebody cancels".into());
        }
    }

    /// The sweep looks: at timers that did not fire, and at chains that are empty.
    fn of_sweep(&mut self, state: &State) {
        let Some(record) = state.record.filter(|_| state.hands.iter().all(|hand| hand.who != Who::Sweep)) else {
            return;
        };
        let idle = state.hands.is_empty();
        for (place, message) in state.messages.iter().enumerate().filter(|(_, message)| message.stuck) {
            let mut next = state.clone();
            let this = Expected::This(Some(u8::try_from(place).unwrap()));
            let todo = vec![Todo::Publish(Message { stuck: false, ..*message }, this)];
            next.hands.push(Hand {
                who: Who::Sweep,
                pointer: NOTHING,
                holds: None,
                at: At::Doing(todo, End::GiveBack),
            });
            self.push(next, idle, || format!("the sweep sees that {message:?} is overdue"));
        }
        let mut without = self.core.watched(record);
        without.retain(|token| state.newest(*token).is_none());
        if !without.is_empty() {
            let mut next = state.clone();
            next.hands.push(Hand { who: Who::Sweep, pointer: NOTHING, holds: None, at: At::Seen(without.clone()) });
            self.push(next, idle, || format!("the sweep sees that {without:?} have no message"));
        }
    }

    /// Then it reads the record.
    pub(super) fn of_seen(&mut self, state: &State, place: usize, without: &[Token]) {
        let Some(record) = state.record else { return };
        for demands in self.core.missing(record, without) {
            let mut next = state.clone();
            next.hands[place].at = At::Doing(todo(&demands, None, record), End::GiveBack);
            self.push(next, true, || "the sweep reads the record".into());
        }
    }
}
