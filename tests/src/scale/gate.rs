//! The gate, its workers and the broker: `actor` and `known` of `sluice_workers::gate`, as events.

use std::rc::Rc;
use std::time::Duration;

use sluice_shared::domain::gate::{GateState, Limits, Move, Nanos, effective, restate};

use super::broker::{Broker, size};
use super::events::{Entry, Event, Events};
use super::figures::{Figures, SETTLING, Seen};
use super::worker::{Doing, Worker};
use super::{BEGIN, Plan};
use crate::simulation::chance::Chance;

/// How far ahead slots are reserved at most, as configured by default.
pub(super) const HORIZON: Duration = Duration::from_millis(100);
/// How late a slot is used at most.
const LATE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(250));
/// What a pull takes.
const PULL: Duration = Duration::from_millis(1);

pub(super) struct Gate {
    plan: Plan,
    limits: Limits,
    chance: Chance,
    events: Events,
    broker: Broker,
    workers: Vec<Worker>,
    now: Nanos,
    pub(super) seen: Seen,
}

impl Gate {
    pub(super) fn new(plan: &Plan, seed: u64, entry: Entry) -> Self {
        let workers = (0..plan.workers).map(|number| Worker::new(number, Rc::clone(&entry))).collect();
        let mut gate = Self {
            plan: *plan,
            limits: plan.limits(),
            chance: Chance::new(seed),
            events: Events::default(),
            broker: Broker::new(plan.costs, entry, plan.workers),
            workers,
            now: BEGIN,
            seen: Seen::default(),
        };
        for worker in 0..plan.workers {
            gate.refill_soon(worker);
        }
        gate
    }

    pub(super) fn run_until(&mut self, end: Nanos) {
        let settled = BEGIN.after(SETTLING);
        while let Some((at, event)) = self.events.next() {
            if self.now < settled && at >= settled {
                self.seen.begin(self.broker.done, self.workers.iter().map(|worker| worker.sent));
            }
            if at >= end {
                return;
            }
            self.now = at;
            self.happens(event);
        }
    }

    pub(super) fn figures(self) -> Figures {
        let sent: Vec<u64> = self.workers.iter().map(|worker| worker.sent).collect();
        self.seen.figures(&self.plan, self.limits, self.broker.done, &sent)
    }

    /// The way to the broker or back: mostly short, sometimes not.
    fn way(&self) -> Duration {
        let rare = if self.chance.once_in(100) { 5_000.0 } else { 0.0 };
        Duration::from_micros(80) + Duration::from_micros(1).mul_f64(rare - 120.0 * (1.0 - self.chance.share()).ln())
    }

    fn soon(&mut self, after: Duration, event: Event) {
        self.events.at(self.now.after(after), event);
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Look { worker, set } => {
                if self.workers[worker].look == set {
                    self.step(worker);
                }
            }
            Event::Refill { worker } => self.refill(worker),
            Event::Slot { worker, at } => self.use_slot(worker, at),
            Event::Over { worker } => self.over(worker),
            Event::Swap { worker, state, revision } => {
                let (at, written) = self.broker.swap(&state, revision, self.now);
                if self.broker.begins_to_tell() {
                    self.events.at(at, Event::Tell);
                }
                let at = at.after(self.way());
                self.events.at(at, Event::Swapped { worker, written });
            }
            Event::Swapped { worker, written } => self.swapped(worker, written),
            Event::Read { worker } => {
                let (at, entry) = self.broker.read(self.now);
                let at = at.after(self.way());
                self.events.at(at, Event::Known { worker, entry });
            }
            Event::Known { worker, entry } => self.read(worker, entry),
            Event::Tell => {
                if let Some((worker, next)) = self.broker.tell(self.now) {
                    let entry = Rc::clone(&self.broker.entry);
                    self.seen.largest = self.seen.largest.max(size(&entry.0));
                    let way = self.way();
                    self.soon(way, Event::Told { worker, entry });
                    self.events.at(next, Event::Tell);
                }
            }
            Event::Told { worker, entry } => {
                self.workers[worker].saw(entry);
                self.look_round(worker);
            }
        }
    }

    /// Something has changed: a task that waits looks, if it has anything to look after.
    fn look_round(&mut self, worker: usize) {
        let one = &self.workers[worker];
        let busy = one.waiting > 0 || one.turn.is_stated();
        if busy && one.changed && matches!(one.doing, Doing::Nothing) {
            self.step(worker);
        }
    }

    fn look_at(&mut self, worker: usize, at: Nanos) {
        let set = self.workers[worker].look + 1;
        self.workers[worker].look = set;
        self.events.at(at.max(self.now), Event::Look { worker, set });
    }

    // ---- hands

    fn refill_soon(&mut self, worker: usize) {
        if !std::mem::replace(&mut self.workers[worker].refills, true) {
            let after = PULL.mul_f64(0.5 + self.chance.share());
            self.soon(after, Event::Refill { worker });
        }
    }

    fn refill(&mut self, worker: usize) {
        let soon = HORIZON.as_nanos() / u128::from(self.limits.interval.nanos()) + 1;
        let one = &mut self.workers[worker];
        one.refills = false;
        let more = one.room(self.limits, u32::try_from(soon).unwrap_or(u32::MAX));
        if more > 0 {
            one.waiting += more;
            one.changed = true;
            self.look_round(worker);
        }
    }

    fn use_slot(&mut self, worker: usize, at: Nanos) {
        let one = &mut self.workers[worker];
        one.slotted -= 1;
        if self.now.since(at) > self.limits.interval.duration().clamp(LATE.0, LATE.1) {
            // Given up: its message wants another one.
            self.seen.missed += 1;
            one.waiting += 1;
            one.changed = true;
            self.look_round(worker);
            return;
        }
        one.on_the_wire += 1;
        one.sent += 1;
        self.seen.sent(self.now);
        self.refill_soon(worker);
        let lasts = self.plan.calls_last.mul_f64(0.5 + self.chance.share());
        self.soon(lasts, Event::Over { worker });
    }

    fn over(&mut self, worker: usize) {
        let one = &mut self.workers[worker];
        one.on_the_wire -= 1;
        one.changed = true;
        self.seen.over();
        self.refill_soon(worker);
        self.look_round(worker);
    }

    /// Slots that are this worker's: to those who wait, kept where nobody does.
    fn hand_out(&mut self, worker: usize, slots: impl IntoIterator<Item = Nanos>) {
        for at in slots {
            let one = &mut self.workers[worker];
            if one.waiting == 0 {
                one.spare.push_back(at);
                continue;
            }
            one.waiting -= 1;
            one.slotted += 1;
            self.events.at(at.max(self.now), Event::Slot { worker, at });
        }
    }

    // ---- the task

    /// `Actor::step`.
    fn step(&mut self, worker: usize) {
        let now = self.now;
        let one = &mut self.workers[worker];
        if !matches!(one.doing, Doing::Nothing) {
            return;
        }
        one.changed = false;
        one.look += 1;
        one.spare.retain(|slot| *slot >= now);
        let from_spare = one.waiting.min(u32::try_from(one.spare.len()).unwrap());
        let slots: Vec<Nanos> = one.spare.drain(..usize::try_from(from_spare).unwrap()).collect();
        self.hand_out(worker, slots);
        if self.workers[worker].waiting == 0 {
            return self.keep_leases(worker, None);
        }
        let (known, lot) = (Rc::clone(&self.workers[worker].known), self.chance.share());
        let limits = effective(self.limits, &known.0, now);
        let one = &mut self.workers[worker];
        let mut turn = std::mem::take(&mut one.turn);
        let moved = turn.reserve(one.sight(&known.0, limits, now), lot);
        one.turn = turn;
        match moved {
            Move::Look(at) => self.keep_leases(worker, Some(at)),
            Move::Swap(offer) => {
                let state = Rc::new(offer.state.clone());
                one.doing = Doing::Offered(offer);
                self.ask(worker, state, known.1);
            }
        }
    }

    fn ask(&mut self, worker: usize, state: Rc<GateState>, revision: u64) {
        self.workers[worker].asked_at = self.now;
        let way = self.way();
        self.soon(way, Event::Swap { worker, state, revision });
    }

    fn swapped(&mut self, worker: usize, written: Option<Entry>) {
        let one = &mut self.workers[worker];
        let doing = std::mem::replace(&mut one.doing, Doing::Nothing);
        match (written, doing) {
            (Some(entry), Doing::Offered(offer)) => {
                one.saw(entry);
                one.turn.took(self.now.since(one.asked_at));
                let slots = one.turn.won(&offer, self.now);
                self.seen.slots(&slots);
                self.hand_out(worker, slots);
                self.keep_leases(worker, Some(self.now));
            }
            (Some(entry), Doing::States { held }) => {
                one.saw(entry);
                one.turn.restated(held, self.now);
                self.rest(worker, None);
            }
            (None, doing) => {
                one.doing = if matches!(doing, Doing::Offered(_)) { Doing::Reads } else { Doing::StatesAgain };
                let way = self.way();
                self.soon(way, Event::Read { worker });
            }
            (Some(_), _) => unreachable!("only a swap is answered"),
        }
    }

    fn read(&mut self, worker: usize, entry: Entry) {
        let lot = self.chance.share();
        let one = &mut self.workers[worker];
        one.saw(entry);
        if matches!(std::mem::replace(&mut one.doing, Doing::Nothing), Doing::Reads) {
            one.turn.took(self.now.since(one.asked_at));
            let again = one.turn.lost(self.now, lot);
            self.keep_leases(worker, Some(again));
        } else {
            // `Shared::change` tries again after a moment; nothing else is done meanwhile.
            one.doing = Doing::StatesAgain;
            self.state_again(worker, Duration::from_millis(2).mul_f64(0.1 + 0.9 * lot));
        }
    }

    fn keep_leases(&mut self, worker: usize, again: Option<Nanos>) {
        let (known, now) = (Rc::clone(&self.workers[worker].known), self.now);
        let limits = effective(self.limits, &known.0, now);
        let one = &mut self.workers[worker];
        let mut turn = std::mem::take(&mut one.turn);
        let must = turn.must_restate(one.sight(&known.0, limits, now));
        one.turn = turn;
        if must {
            return self.state_again(worker, Duration::ZERO);
        }
        self.rest(worker, again);
    }

    fn state_again(&mut self, worker: usize, after: Duration) {
        let at = self.now.after(after);
        let one = &mut self.workers[worker];
        let (held, known) = (one.held(), Rc::clone(&one.known));
        let state = Rc::new(restate(known.0.clone(), &one.name, held, at));
        one.doing = Doing::States { held };
        one.asked_at = at;
        let way = after + self.way();
        self.soon(way, Event::Swap { worker, state, revision: known.1 });
    }

    /// Waits for a change, or until there is something to do without one.
    fn rest(&mut self, worker: usize, again: Option<Nanos>) {
        let one = &mut self.workers[worker];
        one.doing = Doing::Nothing;
        let upkeep = one.turn.next_upkeep(one.held());
        let wake = again.into_iter().chain(upkeep).min();
        let busy = one.waiting > 0 || one.turn.is_stated();
        if one.changed && busy {
            return self.look_at(worker, self.now);
        }
        if let Some(at) = wake {
            self.look_at(worker, at);
        }
    }
}
