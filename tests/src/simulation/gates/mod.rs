//! One gate and several workers that reserve from it: `domain::gate` decides, the compare-and-swap loop around it is that of
//! `sluice_workers::gate`, step for step. Ticks are microseconds.
//!
//! Workers' clocks differ, swaps are lost or not answered, what the watch tells comes late, workers stand still and die
//! with leases in their hands.

mod checks;
mod worker;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use sluice_shared::domain::gate::{GateState, Interval, Limits};
use sluice_shared::domain::id::Destination;

use super::chance::Chance;
use super::checks::Violation;
use super::clockwork::{BROKER, Clockwork, Sleep};
use super::rules::Rules;
use checks::GateChecks;
use worker::Worker;

const BEGIN: u64 = 1_800_000_000_000_000;
const SECOND: u64 = 1_000_000;
const MOST_STEPS: u32 = 60_000;

/// The gate's entry in the broker, and all that a run is about.
struct Gate {
    clockwork: Rc<Clockwork>,
    chance: Rc<Chance>,
    rules: Rules,
    limits: Limits,
    entry: RefCell<(GateState, u64)>,
    workers: RefCell<Vec<Rc<Worker>>>,
    workers_made: Cell<u32>,
    /// Once in so many times a swap is not answered; a worker stands still; one dies.
    unanswered: u64,
    stalls: u64,
    dies: u64,
    /// By how many ticks two clocks differ at most.
    spread: u64,
    checks: RefCell<GateChecks>,
}

/// Runs a gate once.
#[must_use]
pub fn run_gate(seed: u64, rules: Rules) -> Option<Violation> {
    let gate = Gate::draw(seed, rules);
    for _ in 0..gate.chance.between(1, 4) {
        gate.start_worker();
    }
    gate.start_mishaps();
    let mut steps = 0;
    while gate.clockwork.now() < BEGIN + 40 * SECOND && steps < MOST_STEPS && gate.clockwork.step() {
        steps += 1;
        if gate.checks.borrow().violation.is_some() {
            break;
        }
    }
    gate.clockwork.clear();
    gate.workers.borrow_mut().clear();
    gate.checks.borrow_mut().rate_was_kept(gate.limits, gate.spread);
    gate.checks.borrow_mut().violation.take()
}

impl Gate {
    fn draw(seed: u64, rules: Rules) -> Rc<Self> {
        let chance = Rc::new(Chance::new(seed));
        let rate = chance.one_of(&[0.5, 3.0, 9.0, 40.0]);
        let limits = Limits {
            interval: Interval::of_rate(rate).unwrap(),
            burst: chance.one_of(&[1, 1, 3]),
            concurrency: chance.one_of(&[1, 2, 5, 64]),
            ceiling: true,
        };
        let url = url::Url::parse("http://a.example/").unwrap();
        let fresh = GateState::new(Destination::of(&url).unwrap(), None);
        Rc::new(Self {
            clockwork: Rc::new(Clockwork::new(&chance, BEGIN)),
            rules,
            limits,
            entry: RefCell::new((fresh, 0)),
            workers: RefCell::default(),
            workers_made: Cell::new(0),
            unanswered: chance.one_of(&[0, 4, 20]),
            stalls: chance.one_of(&[0, 0, 3, 20]),
            dies: chance.one_of(&[0, 0, 5, 20]),
            spread: chance.one_of(&[0, 20_000, 4 * SECOND]),
            checks: RefCell::default(),
            chance,
        })
    }

    fn sleep(&self, ticks: u64) -> Sleep {
        Sleep::new(&self.clockwork, ticks)
    }

    fn once_in(&self, times: u64) -> bool {
        self.chance.once_in(times)
    }

    fn start_worker(self: &Rc<Self>) {
        let number = self.workers_made.get() + 1;
        self.workers_made.set(number);
        let worker = Worker::new(self, number);
        self.workers.borrow_mut().push(Rc::clone(&worker));
        self.clockwork.spawn(worker.process, worker.act());
    }

    /// Once a second: a worker stands still, or dies and another one starts.
    fn start_mishaps(self: &Rc<Self>) {
        let gate = Rc::clone(self);
        self.clockwork.spawn(BROKER, async move {
            loop {
                gate.sleep(SECOND).await;
                let one =
                    gate.chance.one_of(&gate.workers.borrow().iter().map(|worker| worker.process).collect::<Vec<_>>());
                if gate.once_in(gate.stalls) {
                    let time = gate.chance.one_of(&[SECOND / 10, SECOND, 5 * SECOND, 25 * SECOND]);
                    gate.clockwork.stall(one, gate.clockwork.now() + time);
                } else if gate.once_in(gate.dies) {
                    gate.workers.borrow_mut().retain(|worker| worker.process != one);
                    gate.checks.borrow_mut().died(one);
                    gate.clockwork.kill(one);
                    gate.start_worker();
                }
            }
        });
    }

    /// A write arrives that was decided then: it holds if nobody wrote since.
    fn write(self: &Rc<Self>, state: GateState, revision: u64, (by, decided): (&Worker, u64)) -> bool {
        if self.entry.borrow().1 != revision {
            return false;
        }
        if self.entry.borrow().0.leases.get(&by.name) != state.leases.get(&by.name) {
            self.checks.borrow_mut().stated(by.process, decided, self.spread);
        }
        *self.entry.borrow_mut() = (state, revision + 1);
        let gate = Rc::clone(self);
        self.clockwork.spawn(BROKER, async move {
            gate.sleep(gate.chance.one_of(&[300, 5_000, 800_000])).await;
            let entry = gate.entry.borrow().clone();
            gate.workers.borrow().iter().for_each(|worker| worker.saw(&entry));
        });
        true
    }
}
