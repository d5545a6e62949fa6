//! A worker at the gate: `actor` and `known` of `sluice_workers::gate`, step for step, with somebody always waiting.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use sluice_shared::domain::gate::{
    GateState, Heard, Limits, Move, Nanos, Sight, Turn, close, effective, learn, restate,
};
use sluice_shared::domain::pace::{Budget, Policy, Unit};

use super::super::clockwork::Process;
use super::super::rules::Rule;
use super::{Gate, SECOND};

/// How far ahead slots are reserved.
const HORIZON: Duration = Duration::from_millis(100);

/// A worker at the gate.
pub(super) struct Worker {
    gate: Rc<Gate>,
    pub(super) process: Process,
    pub(super) name: String,
    /// By how many ticks its clock is ahead.
    ahead: u64,
    /// The entry as this worker knows it.
    known: RefCell<(GateState, u64)>,
    /// Calls that have a lease.
    held: Cell<u32>,
    turn: RefCell<Turn>,
}

/// What became of a swap.
#[derive(PartialEq, Eq)]
enum Swapped {
    Done,
    Lost,
    Unknown,
}

impl Worker {
    pub(super) fn new(gate: &Rc<Gate>, number: u32) -> Rc<Self> {
        Rc::new(Self {
            gate: Rc::clone(gate),
            process: Process(number),
            name: format!("worker-{number}"),
            ahead: gate.chance.between(0, gate.spread),
            known: RefCell::new(gate.entry.borrow().clone()),
            held: Cell::new(0),
            turn: RefCell::default(),
        })
    }

    /// The time by this worker's clock.
    fn now(&self) -> Nanos {
        Nanos((self.gate.clockwork.now() + self.ahead) * 1_000)
    }

    /// The limits that count as this worker knows the gate.
    fn limits(&self) -> Limits {
        effective(self.gate.limits, &self.known.borrow().0, self.now())
    }

    pub(super) fn saw(&self, entry: &(GateState, u64)) {
        if entry.1 > self.known.borrow().1 {
            *self.known.borrow_mut() = entry.clone();
        }
    }

    /// `Shared::swap`.
    async fn swap(&self, state: GateState, revision: u64) -> Swapped {
        let decided = self.gate.clockwork.now();
        self.gate.sleep(self.gate.chance.between(100, 2_000)).await;
        let written = self.gate.write(state, revision, (self, decided));
        let answered = !self.gate.once_in(self.gate.unanswered);
        self.gate.sleep(if answered { self.gate.chance.between(100, 2_000) } else { SECOND }).await;
        let entry = self.gate.entry.borrow().clone();
        self.saw(&entry);
        match (answered, written) {
            (true, true) => Swapped::Done,
            (true, false) => Swapped::Lost,
            (false, _) => Swapped::Unknown,
        }
    }

    /// `Shared::change`.
    async fn change(&self, change: impl Fn(&GateState, Nanos) -> Option<GateState>) {
        for _ in 0..50 {
            let (state, revision) = self.known.borrow().clone();
            let Some(wanted) = change(&state, self.now()) else { return };
            if self.swap(wanted, revision).await == Swapped::Done {
                return;
            }
        }
    }

    /// `Actor::step`, again and again.
    pub(super) async fn act(self: Rc<Self>) {
        loop {
            let wait = self.reserve().await;
            self.keep_leases().await;
            self.gate.sleep(wait).await;
        }
    }

    fn sight<'a>(&'a self, state: &'a GateState, waiting: u32) -> Sight<'a> {
        let (worker, held, now) = (self.name.as_str(), self.held.get(), self.now());
        Sight { worker, state, limits: self.limits(), horizon: HORIZON, held, waiting, now }
    }

    /// `Actor::reserve`: one swap; says when to try again.
    async fn reserve(self: &Rc<Self>) -> u64 {
        let gate = &self.gate;
        let (state, revision) = self.known.borrow().clone();
        let (now, waiting) = (self.now(), u32::try_from(gate.chance.between(1, 4)).unwrap());
        if state.closed(now).is_some() {
            return SECOND / 5;
        }
        let moved = self.turn.borrow_mut().reserve(self.sight(&state, waiting), gate.chance.share());
        let offer = match moved {
            // Sooner than that, for something may have changed.
            Move::Look(again) => return micros(again.since(now)).clamp(1_000, SECOND / 4),
            Move::Swap(offer) => offer,
        };
        let swapped = self.swap(offer.state.clone(), revision).await;
        let mut turn = self.turn.borrow_mut();
        turn.took(self.now().since(now));
        let unknown_is_done = !gate.rules.keep(Rule::UnknownSlotsAreGivenUp) && swapped == Swapped::Unknown;
        if swapped == Swapped::Done || unknown_is_done {
            turn.won(&offer, self.now()).into_iter().for_each(|slot| self.use_slot(slot));
            return gate.chance.between(0, 3_000);
        }
        let again = turn.lost(self.now(), gate.chance.share());
        micros(again.since(self.now()))
    }

    /// `Actor::keep_leases`: renews them, and gives back promptly where the gate is short.
    async fn keep_leases(&self) {
        let (state, held) = (self.known.borrow().0.clone(), self.held.get());
        let must = self.turn.borrow_mut().must_restate(self.sight(&state, 1));
        if must {
            self.change(|state, now| Some(restate(state.clone(), &self.name, held, now))).await;
            self.turn.borrow_mut().restated(held, self.now());
        }
    }

    fn use_slot(self: &Rc<Self>, slot: Nanos) {
        self.held.set(self.held.get() + 1);
        self.gate.checks.borrow_mut().slots.push(slot);
        let this = Rc::clone(self);
        self.gate.clockwork.spawn(self.process, async move {
            this.gate.sleep(micros(slot.since(this.now()))).await;
            let late = this.now().since(slot);
            let latest = this.limits().interval.duration().clamp(Duration::from_millis(10), Duration::from_millis(250));
            let closed = this.known.borrow().0.closed(this.now()).is_some();
            if !closed && (late <= latest || !this.gate.rules.keep(Rule::MissedSlotsAreGivenUp)) {
                this.call().await;
            }
            this.held.set(this.held.get() - 1);
        });
    }

    /// What an answer may say about limits, some of it more than the gate may.
    fn answer(&self, sent_at: Nanos) -> Heard {
        let chance = &self.gate.chance;
        let (source, name, unit) = ("ratelimit", None, Unit::Requests);
        let ahead = Duration::from_millis(chance.between(100, 20_000));
        let mut heard = Heard { sent_at, ..Heard::default() };
        match chance.between(0, 2) {
            0 => heard.refused = true,
            1 => heard.policies = vec![Policy { source, name, unit, quota: chance.between(1, 200), window: ahead }],
            _ => {
                let (remaining, reset) = (Some(chance.between(0, 100)), Some(self.now().after(ahead).to_millis()));
                heard.budgets = vec![Budget {
                    source,
                    name,
                    unit,
                    limit: Some(100),
                    remaining,
                    reset,
                    refills: chance.percent(50),
                }];
            }
        }
        heard
    }

    async fn call(&self) {
        let (gate, sent_at) = (&self.gate, self.now());
        let call =
            gate.checks.borrow_mut().sent(self.process, gate.clockwork.now(), gate.limits.concurrency, gate.spread);
        gate.sleep(gate.chance.one_of(&[5_000, 200_000, 3 * SECOND, 22 * SECOND])).await;
        gate.checks.borrow_mut().over(call);
        if gate.once_in(5) {
            let heard = self.answer(sent_at);
            self.change(|state, now| learn(state, gate.limits, &heard, now)).await;
        }
        if gate.once_in(30) {
            let until = gate.chance.percent(50).then(|| self.now().after(Duration::from_millis(1_500)));
            self.change(|state, now| close(state, until, now, Duration::from_secs(3_600)).0).await;
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap()
}
